//! cargo xtask check | test | docs | bench.

fn main() {}
