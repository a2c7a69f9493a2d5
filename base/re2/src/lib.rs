//! Regular expressions in Go's RE2 syntax, linear time always.
