//! What collectors are fed with: scrape targets, log files, spans.

mod lines;
mod spans;
mod targets;

pub use lines::{Line, write_lines};
pub use spans::{Spans, send_spans};
pub use targets::targets;
