//! JSON as log lines hold it: scanned where it lies, decoded only where somebody looks.

mod encode;
mod scan;
mod special;
mod tree;

pub use base_stdx::json::unescape;
pub use encode::{encode, encode_string};
pub use scan::{Kind, Malformed, Raw, Scanner};
pub use special::Head;
pub use tree::{Json, number};
