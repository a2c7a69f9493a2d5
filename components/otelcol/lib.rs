//! otelcol.auth.* and the rest of otelcol.*.
