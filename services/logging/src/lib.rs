//! Our own log: one line per event on stderr, as logfmt or JSON, and if wanted also into `loki.*` components.
//!
//! [`Log::install`] makes every `tracing` event of this process a line. Until the `logging` block has been read, lines
//! wait, because nobody knows yet what level and format are wanted; [`Logging`] is the service that the block configures.
//!
//! A line holds `ts`, `level`, `msg`, then the fields of the spans around the event (which component it is about), then
//! its own. The order and the quoting are Alloy's, because people search for these lines.

mod forward;
mod layer;
mod line;
mod service;

pub use layer::Log;
pub use service::{Arguments, Destination, Format, Level, Logging};
