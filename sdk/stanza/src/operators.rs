//! The operators, each read from its object.

mod container;
mod fields;
mod json_array;
mod parsers;
mod recombine;
mod route;
mod severity;
mod syslog;
mod time;
mod trace;

use base_stdx::nearest::nearest;
use language_eval::{Value, ValueError};

use crate::entry::Entry;
use crate::expression::Expression;
use crate::options::{Options, text};
pub(crate) use container::Container;
pub(crate) use recombine::Recombine;
pub(crate) use route::{Filter, Router};
pub(crate) use severity::name as severity_name;

/// What an operator does to a record; an error goes by `on_error`.
pub(crate) trait Act: Send {
    fn act(&self, entry: &mut Entry) -> Result<(), String>;
}

/// An operator as it is configured.
pub(crate) struct Operator {
    /// Its id, or its type where it has none.
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Others pass by.
    pub(crate) when: Option<Expression>,
    pub(crate) on_error: OnError,
    /// Ids of those it leads to; none is the next one.
    pub(crate) output: Option<Vec<String>>,
}

/// What an operator does.
pub(crate) enum Kind {
    Each(Box<dyn Act>),
    Filter(Filter),
    Router(Router),
    Recombine(Recombine),
    Container(Box<Container>),
}

/// What becomes of a record with which an operator could do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OnError {
    pub(crate) send: bool,
    pub(crate) quiet: bool,
}

/// What there is in the Collector and not here.
const NOT_YET: [&str; 4] = ["file_output", "stdout", "generate_input", "noop_output"];

/// Every type that there is here.
const TYPES: [&str; 26] = [
    "add",
    "assign_keys",
    "container",
    "copy",
    "csv_parser",
    "filter",
    "flatten",
    "json_array_parser",
    "json_parser",
    "key_value_parser",
    "move",
    "noop",
    "recombine",
    "regex_parser",
    "regex_replace",
    "remove",
    "retain",
    "router",
    "sanitize_utf8",
    "scope_name_parser",
    "severity_parser",
    "syslog_parser",
    "time_parser",
    "trace_parser",
    "unquote",
    "uri_parser",
];

// === impl Operator ===

impl Operator {
    /// Reads an operator.
    pub(crate) fn read(value: &Value) -> Result<Operator, ValueError> {
        let options = Options::of(value)?;
        let kind = options.required("type", text)?;
        let id = options.text("id")?.filter(|id| !id.is_empty()).unwrap_or_else(|| kind.clone());
        let mut operator =
            Operator { id, kind: Kind::Each(Box::new(Noop)), when: None, on_error: OnError::SEND, output: None };
        if kind == "router" {
            operator.kind = Kind::Router(Router::read(&options)?);
            options.finish(&kind)?;
            return Ok(operator);
        }
        operator.when = options.expression("if")?;
        operator.on_error = options.read("on_error", OnError::read)?.unwrap_or(OnError::SEND);
        operator.output = options.texts("output")?.filter(|output| !output.is_empty());
        operator.kind = match kind.as_str() {
            "noop" => Kind::Each(Box::new(Noop)),
            "filter" => Kind::Filter(Filter::read(&options)?),
            "recombine" => Kind::Recombine(Recombine::read(&options)?),
            "container" => Kind::Container(Box::new(Container::read(&options)?)),
            "severity_parser" => Kind::Each(Box::new(severity::SeverityParser::read(&options)?)),
            "syslog_parser" => Kind::Each(Box::new(syslog::SyslogParser::read(&options)?)),
            "time_parser" => Kind::Each(Box::new(time::TimeParser::read(&options)?)),
            "trace_parser" => Kind::Each(Box::new(trace::TraceParser::read(&options)?)),
            "scope_name_parser" => Kind::Each(Box::new(trace::ScopeNameParser::read(&options)?)),
            other => match parsers::read(other, &options)?
                .map_or_else(|| fields::read(other, &options), |act| Ok(Some(act)))?
            {
                Some(act) => Kind::Each(act),
                None => return Err(unknown(other).at_field("type")),
            },
        };
        options.finish(&kind)?;
        Ok(operator)
    }
}

fn unknown(kind: &str) -> ValueError {
    if NOT_YET.contains(&kind) {
        return ValueError::new(format!("the operator {kind:?} is not supported yet by this version of Ferroalloy"))
            .with_hint("remove it, or run this component in Alloy until it is");
    }
    let error = ValueError::new(format!("unsupported type {kind:?}"));
    match nearest(kind, TYPES) {
        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
        None => error,
    }
}

// === impl OnError ===

impl OnError {
    pub(crate) const SEND: OnError = OnError { send: true, quiet: false };

    fn read(value: &Value) -> Result<OnError, ValueError> {
        let (send, quiet) = match text(value)?.as_str() {
            "send" => (true, false),
            "send_quiet" => (true, true),
            "drop" => (false, false),
            "drop_quiet" => (false, true),
            other => {
                let what = format!("{other:?} is none of \"send\", \"send_quiet\", \"drop\" and \"drop_quiet\"");
                return Err(ValueError::new(what));
            }
        };
        Ok(OnError { send, quiet })
    }
}

/// Does nothing.
struct Noop;

impl Act for Noop {
    fn act(&self, _: &mut Entry) -> Result<(), String> {
        Ok(())
    }
}
