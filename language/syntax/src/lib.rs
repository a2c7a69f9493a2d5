//! Text of a configuration: scan, parse, print, diagnose.
