//! otelcol.processor.*.
