//! Ways of Go's libraries with texts; the operators of `otelcol.receiver.filelog` read them the same way.

pub(crate) mod case;
pub mod csv;
pub(crate) mod glob;
pub(crate) mod grok;
pub mod json;
pub mod pairs;
pub(crate) mod printf;
pub mod strptime;
pub(crate) mod trace_state;
pub mod url;
pub(crate) mod xml;
