//! The binary ferroalloy.

fn main() {}
