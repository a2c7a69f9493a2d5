//! From entries of the journal to entries of a log.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sdk_labels::{Labels, LabelsBuilder};
use sdk_relabel::Rules;
use sdk_signals::{LogBatch, LogEntry, LogGroup};

use super::file::Field;
use super::files::Record;
use crate::process::json::encode_string;

const NO_MESSAGE: &str = "no_message";
const EMPTY_LABELS: &str = "empty_labels";

/// How entries are made.
pub struct Entries {
    labels: Labels,
    rules: Option<Rules>,
    as_json: bool,
}

// === impl Entries ===

impl Entries {
    /// The label `job` is the component's id.
    pub fn new(id: &str, labels: &BTreeMap<String, String>, rules: Option<Rules>, as_json: bool) -> Entries {
        let own = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Entries { labels: Labels::from_pairs(own.chain([("job", id)])), rules, as_json }
    }

    /// Adds an entry to a batch; Err: why there is none, for the metric.
    pub fn add(&self, record: &Record, batch: &mut LogBatch) -> Result<(), &'static str> {
        let line = match self.as_json {
            true => json(&record.fields),
            false => {
                // Of several messages the last one counts, as for Alloy.
                let message = record.fields.iter().rfind(|field| field.name == "MESSAGE");
                message.map(|field| Bytes::copy_from_slice(&field.value)).unwrap_or_default()
            }
        };
        if line.is_empty() {
            return Err(NO_MESSAGE);
        }
        let labels = self.labels_of(&record.fields).ok_or(EMPTY_LABELS)?;
        let nanos = i64::try_from(record.cursor.realtime).ok().and_then(|micros| micros.checked_mul(1000));
        let entry = LogEntry::new(nanos.unwrap_or(i64::MAX), line);
        match batch.groups.last_mut().filter(|group| group.labels == labels) {
            Some(group) => group.entries.push(entry),
            None => batch.groups.push(LogGroup { labels, entries: vec![entry] }),
        }
        Ok(())
    }

    fn labels_of(&self, fields: &[Arc<Field>]) -> Option<Labels> {
        // Without rules no field becomes a label that leaves us.
        let labels = match &self.rules {
            None => self.labels.clone(),
            Some(rules) => {
                let mut builder = LabelsBuilder::new(&self.labels);
                for field in fields {
                    let value = String::from_utf8_lossy(&field.value);
                    if field.name == "PRIORITY" {
                        builder.set("__journal_priority_keyword", keyword(&value));
                    }
                    builder.set(&format!("__journal_{}", field.name.to_ascii_lowercase()), &value);
                }
                if !rules.apply(&mut builder) {
                    return None;
                }
                builder.labels()
            }
        };
        let internal = labels.iter().any(|(name, _)| name.starts_with("__"));
        let labels = match internal {
            true => Labels::from_pairs(labels.iter().filter(|(name, _)| !name.starts_with("__"))),
            false => labels,
        };
        (!labels.is_empty()).then_some(labels)
    }
}

/// As syslog calls it; what is no priority stays as it is.
fn keyword(priority: &str) -> &str {
    match priority {
        "0" => "emerg",
        "1" => "alert",
        "2" => "crit",
        "3" => "error",
        "4" => "warning",
        "5" => "notice",
        "6" => "info",
        "7" => "debug",
        other => other,
    }
}

/// An object of all fields, by name; of a field that comes twice the later value.
fn json(fields: &[Arc<Field>]) -> Bytes {
    let by_name: BTreeMap<&str, &[u8]> =
        fields.iter().map(|field| (field.name.as_str(), field.value.as_slice())).collect();
    let mut text = vec![b'{'];
    for (name, value) in by_name {
        if text.len() > 1 {
            text.push(b',');
        }
        encode_string(name.as_bytes(), &mut text);
        text.push(b':');
        encode_string(value, &mut text);
    }
    text.push(b'}');
    text.into()
}
