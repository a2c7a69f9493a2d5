//! Messages of syslog: [`rfc3164`], which devices and `logger` send, and [`rfc5424`]. Both are read into a [`Message`] whose texts are
//! slices of what was read.

pub mod fuzz;
mod message;
pub mod rfc3164;
pub mod rfc5424;

pub use message::{Element, Message, Timestamp, Unreadable};
