//! An event as a line.

use std::fmt::Write as _;

use base_stdx::json::escape_html;
use base_stdx::quote::quote;
use base_stdx::timestamp::parse_rfc3339;
use sdk_kubernetes::objects::Event;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Logfmt,
    Json,
}

// === impl Format ===

impl Format {
    pub fn of(name: &str) -> Option<Format> {
        match name {
            "logfmt" => Some(Format::Logfmt),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// When it happened last, if the event says.
pub fn time(event: &Event) -> Option<i64> {
    let time = |text: &Option<String>| text.as_ref().and_then(|text| parse_rfc3339(text.as_bytes()));
    time(&event.last_timestamp).or_else(|| time(&event.event_time))
}

/// Its fields, without the empty ones.
pub fn line(event: &Event, format: Format) -> String {
    let object = &event.involved_object;
    let fields = [
        ("name", &object.name),
        ("kind", &object.kind),
        ("action", &event.action),
        ("objectAPIversion", &object.api_version),
        ("objectRV", &object.resource_version),
        ("eventRV", &event.resource_version),
        ("reportinginstance", &event.reporting_instance),
        ("reportingcontroller", &event.reporting_component),
        ("sourcecomponent", &event.source.component),
        ("sourcehost", &event.source.host),
        ("reason", &event.reason),
        ("type", &event.r#type),
    ];
    let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
    match format {
        Format::Logfmt => {
            let mut line = String::new();
            for (name, value) in fields {
                let _ = write!(line, "{name}={value} ");
            }
            if event.count != 0 {
                let _ = write!(line, "count={} ", event.count);
            }
            let _ = write!(line, "msg={} ", quote(event.message.as_bytes()));
            line
        }
        Format::Json => {
            let mut pairs: Vec<(&str, String)> = fields.map(|(name, value)| (name, text(value))).collect();
            if event.count != 0 {
                pairs.push(("count", event.count.to_string()));
            }
            pairs.push(("msg", text(&event.message)));
            pairs.sort();
            let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", pairs.join(","))
        }
    }
}

/// A JSON string as Go writes it.
fn text(value: &str) -> String {
    escape_html(serde_json::Value::from(value).to_string())
}
