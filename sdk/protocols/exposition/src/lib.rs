//! Prometheus and OpenMetrics exposition, read in one pass over the page.
//!
//! [`Parser`] walks over the lines and yields entries that borrow from the page: the text of a series as it stands there,
//! its value, its time. Nothing is allocated, and the labels are not looked at: whoever scrapes the same page again and
//! again knows nearly every series by its text, and [`labels`] is for the first sight only.
//!
//! The protobuf format is another matter: see [`protobuf`].
//!
//! The rules are those of Prometheus 3's parsers, where pages in the wild have found their limits: the classic format is
//! lenient about blanks, OpenMetrics is not.

mod braces;
mod float;
pub mod fuzz;
mod kind;
mod labels;
mod mark;
mod openmetrics;
mod parser;
pub mod protobuf;
mod text;

pub use float::parse_float;
pub use kind::Kind;
pub use labels::{exemplar_labels, labels, openmetrics_float};
pub use mark::Mark;
pub use parser::{Comments, Entry, Error, Exemplar, Format, Parser, Sample};
