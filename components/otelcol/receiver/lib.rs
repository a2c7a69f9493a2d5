//! otelcol.receiver.*.
