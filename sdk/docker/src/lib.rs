//! A client for the Docker engine, one connection pool per host.
