//! The process-wide table of series.
