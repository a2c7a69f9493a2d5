//! YAML that others have written: kubeconfigs, positions, lists of targets, and what users decode themselves.
//!
//! The parser is a guest. What it tells becomes one [`Node`], a tree whose scalars stay texts until somebody says what they
//! want of them: `version: 1.10` is a number to one and a text to another. Types of serde read out of it with [`from_str`].

mod read;
mod scalar;
#[cfg(test)]
mod tests;
mod tree;

use serde::de::DeserializeOwned;

pub use read::Error;
pub use scalar::{float, is_null, whole};
pub use tree::{Kind, Node, Scalar};

/// How many nodes a document may have where nobody says otherwise, aliases expanded: nine lines of YAML can ask for
/// billions.
pub const MOST_NODES: usize = 1_000_000;

/// Reads the first document of a text. The error is for people: the line, and what is wrong there.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    from_str_within(text, MOST_NODES)
}

/// [`from_str`] for a document of at most so many nodes.
pub fn from_str_within<T: DeserializeOwned>(text: &str, most_nodes: usize) -> Result<T, String> {
    let document = Node::of(text, most_nodes)?;
    T::deserialize(&document).map_err(|error: Error| error.to_string())
}
