//! What collectors are fed with: scrape targets, log files, containers, spans.

mod engine;
mod lines;
mod spans;
mod targets;

pub use engine::Engine;
pub use lines::{Line, write_lines};
pub use spans::{Coding, Pace, Sent, Spans, Transport};
pub use targets::{Page, targets};
