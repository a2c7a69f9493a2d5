//! #[derive(Arguments, Exports, Block)].
