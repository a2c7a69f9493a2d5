//! otelcol.exporter.*.
