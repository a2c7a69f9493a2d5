//! The text of a configuration: scan, parse, print, diagnose.
//!
//! This crate knows text only. It turns bytes into a lossless tree (every token and comment keeps its place),
//! prints a tree back in the one official layout (`ferroalloy fmt`), and draws diagnostics. What a name or a value
//! *means* is decided one crate up, in `language-eval`, and two floors up, in `runtime`.
//!
//! Nothing here fails at the first error: parsing gives a tree *and* every diagnostic, the tree holding all that
//! could be understood.

pub mod ast;
pub mod diagnostic;
pub mod doubts;
pub mod encoding;
pub mod fuzz;
pub mod json;
pub mod letters;
pub mod literal;
pub mod parser;
pub mod printer;
pub mod render;
pub mod same;
pub mod scanner;
pub mod source;
pub mod token;

pub use ast::File;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use encoding::check_encoding;
pub use parser::{parse, parse_expression};
pub use printer::format;
pub use render::{Style, render};
pub use source::{Location, Position, Source, Span};
