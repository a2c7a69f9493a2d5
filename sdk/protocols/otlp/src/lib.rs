//! OTLP: types, wire walker, JSON.
