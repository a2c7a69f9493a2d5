//! What the otelcol components share: their common blocks and their consumers.
