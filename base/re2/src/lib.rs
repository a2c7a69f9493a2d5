//! Regular expressions in Go's RE2 syntax, linear time always.
//!
//! Alloy's configurations hold Go regular expressions. The engine here is `regex-automata`, whose own syntax differs
//! from Go's in dozens of places (ASCII `\d`, literal braces, set operations inside brackets, ...), so the text is
//! parsed by our own parser into the engine's tree. Error messages are Go's, since users know and search for them.
//!
//! Text is UTF-8. Bytes that are not are matched by nothing but the shortcuts for `.*` and its like.

mod class;
mod error;
mod expand;
mod parser;
mod regex;
mod shortcut;
mod steps;
mod unicode;

pub use error::{Error, ErrorKind};
pub use regex::{Cursor, Regex, Slots};
