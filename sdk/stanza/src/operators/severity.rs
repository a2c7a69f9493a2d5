//! `severity_parser`: what the source calls a severity, as a number of OTLP.

use std::collections::HashMap;

use language_eval::{Number, Value, ValueError};
use sdk_protocols_otlp::model::AnyValue;

use super::Act;
use crate::entry::{Entry, type_of};
use crate::field::{Field, Found};
use crate::options::{Options, field, text, whole};

/// Reads the severity.
pub(super) struct SeverityParser {
    from: Field,
    mapping: HashMap<String, i32>,
    overwrite_text: bool,
}

/// The six names; each has four numbers: `INFO`, `INFO2`, `INFO3`, `INFO4` are 9 to 12.
const NAMES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// The name of a severity; none of 0.
pub(crate) fn name(severity: i32) -> String {
    let Ok(at) = usize::try_from(severity - 1) else { return String::new() };
    match (NAMES.get(at / 4), at % 4) {
        (None, _) => String::new(),
        (Some(name), 0) => (*name).to_owned(),
        (Some(name), more) => format!("{name}{}", more + 1),
    }
}

/// Words and numbers that mean a severity everywhere.
fn standard() -> HashMap<String, i32> {
    (1..=24)
        .flat_map(|severity| [(name(severity).to_lowercase(), severity), (severity.to_string(), severity)])
        .collect()
}

impl SeverityParser {
    pub(super) fn read(options: &Options<'_>) -> Result<SeverityParser, ValueError> {
        let from = options.required("parse_from", field)?;
        let preset = options.text("preset")?.unwrap_or_default();
        let mut mapping = match preset.as_str() {
            "none" => HashMap::new(),
            _ => standard(),
        };
        if !matches!(preset.as_str(), "none" | "otel" | "aliases") {
            for (word, severity) in [("warning", 13), ("err", 17)] {
                mapping.insert(word.to_owned(), severity);
                mapping.extend((2..=4).map(|more| (format!("{word}{more}"), severity + more - 1)));
            }
        }
        let own = options.value("mapping");
        if let Some(own) = own {
            let Value::Object(own) = own else { return Err(ValueError::mismatch("object", own).at_field("mapping")) };
            for (word, values) in own.iter() {
                // Whatever is no severity stands for none.
                let severity = standard().get(&word.to_lowercase()).copied().unwrap_or(0);
                let list = match values {
                    Value::Array(list) => list.to_vec(),
                    one => vec![one.clone()],
                };
                for value in list {
                    let values = spellings(&value).map_err(|error| error.at_field(word).at_field("mapping"))?;
                    mapping.extend(values.into_iter().map(|value| (value, severity)));
                }
            }
        }
        Ok(SeverityParser { from, mapping, overwrite_text: options.flag("overwrite_text")?.unwrap_or(false) })
    }
}

/// A range of a mapping may hold this many numbers.
const MAX_RANGE: i64 = 100_000;

/// What a value of a mapping stands for: itself, `2xx`, or a range.
fn spellings(value: &Value) -> Result<Vec<String>, ValueError> {
    let range = |from: i64, to: i64| {
        let (from, to) = (from.min(to), from.max(to));
        if to.saturating_sub(from) > MAX_RANGE {
            return Err(ValueError::new(format!("a range holds at most {MAX_RANGE} numbers")));
        }
        Ok((from..=to).map(|number| number.to_string()).collect())
    };
    match value {
        Value::Number(Number::Float(number)) if number.fract() != 0.0 => {
            Err(ValueError::mismatch("whole number", value))
        }
        Value::Number(_) => Ok(vec![whole(value)?.to_string()]),
        Value::String(_) => match text(value)?.as_str() {
            "2xx" => range(200, 299),
            "3xx" => range(300, 399),
            "4xx" => range(400, 499),
            "5xx" => range(500, 599),
            other => Ok(vec![other.to_lowercase()]),
        },
        Value::Object(_) => {
            let options = Options::of(value)?;
            let (from, to) = (options.required("min", whole)?, options.required("max", whole)?);
            options.finish("a range").and_then(|()| range(from, to))
        }
        other => Err(ValueError::mismatch("word, number or range", other)),
    }
}

impl Act for SeverityParser {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let text = match self.from.get(entry) {
            None => return Err(format!("log entry does not have the expected parse_from field {}", self.from)),
            Some(Found::Value(AnyValue::Text(text))) => text.as_str().into_owned(),
            Some(Found::Value(AnyValue::Int(number))) => number.to_string(),
            Some(Found::Value(AnyValue::Double(number))) if number.fract() == 0.0 => (*number as i64).to_string(),
            Some(Found::Value(AnyValue::Bytes(bytes))) => String::from_utf8_lossy(bytes).into_owned(),
            Some(Found::Value(other)) => return Err(format!("parse: type {} cannot be a severity", type_of(other))),
            Some(Found::Map(_)) => return Err("parse: type map[string]interface {} cannot be a severity".to_owned()),
        };
        entry.severity = self.mapping.get(&text.to_lowercase()).copied().unwrap_or(0);
        entry.severity_text = if self.overwrite_text && entry.severity != 0 { name(entry.severity) } else { text };
        Ok(())
    }
}
