//! The HTTP server on 127.0.0.1:12345.
