//! `trace_parser` and `scope_name_parser`: to which trace and scope a record belongs.

use language_eval::ValueError;
use sdk_protocols_otlp::model::AnyValue;

use super::Act;
use crate::entry::Entry;
use crate::field::{Field, Found};
use crate::options::{Options, field};

/// Reads ids in hexadecimal; what is not there stays unknown.
pub(super) struct TraceParser {
    trace_id: Field,
    span_id: Field,
    trace_flags: Field,
}

/// Reads the name of the scope.
pub(super) struct ScopeNameParser {
    from: Field,
}

impl TraceParser {
    pub(super) fn read(options: &Options<'_>) -> Result<TraceParser, ValueError> {
        let from = |key: &'static str| {
            let own = options.read(key, |value| {
                let options = Options::of(value)?;
                let from = options.field("parse_from")?;
                options.finish(key).map(|()| from)
            })?;
            Ok(own.flatten().unwrap_or_else(|| Field::body().child(key)))
        };
        Ok(TraceParser { trace_id: from("trace_id")?, span_id: from("span_id")?, trace_flags: from("trace_flags")? })
    }
}

impl ScopeNameParser {
    pub(super) fn read(options: &Options<'_>) -> Result<ScopeNameParser, ValueError> {
        Ok(ScopeNameParser { from: options.required("parse_from", field)? })
    }
}

fn hex(entry: &Entry, field: &Field) -> Result<Vec<u8>, String> {
    let Some(Found::Value(value)) = field.get(entry) else { return Ok(Vec::new()) };
    let text = value.to_text();
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            Ok(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
        }
        _ => Err(format!("{field} is not hexadecimal: {text}")),
    }
}

impl Act for TraceParser {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let (trace_id, span_id) = (hex(entry, &self.trace_id), hex(entry, &self.span_id));
        let trace_flags = hex(entry, &self.trace_flags);
        // What can be read is kept, whatever the others are.
        entry.trace_id = trace_id.clone().unwrap_or_default();
        entry.span_id = span_id.clone().unwrap_or_default();
        entry.trace_flags = trace_flags.clone().unwrap_or_default();
        trace_id.and(span_id).and(trace_flags).map(drop)
    }
}

impl Act for ScopeNameParser {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        match self.from.get(entry) {
            None => Err(format!("log entry does not have the expected parse_from field {}", self.from)),
            Some(Found::Value(AnyValue::Text(name))) => {
                entry.scope_name = name.as_str().into_owned();
                Ok(())
            }
            Some(_) => Err(format!("parse_from field {} does not contain a string", self.from)),
        }
    }
}
