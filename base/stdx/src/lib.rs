//! What the standard library lacks: durations, byte sizes, near names.
