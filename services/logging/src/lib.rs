//! Our own log: logfmt and JSON.
