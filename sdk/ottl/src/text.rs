//! Ways of Go's libraries with texts.

pub(crate) mod case;
pub(crate) mod csv;
pub(crate) mod glob;
pub(crate) mod grok;
pub(crate) mod json;
pub(crate) mod pairs;
pub(crate) mod printf;
pub(crate) mod strptime;
pub(crate) mod trace_state;
pub(crate) mod url;
pub(crate) mod xml;
