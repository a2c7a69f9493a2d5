//! `stage.windowsevent`: the sections of a Windows event's message become extracted values.

use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;
use sdk_labels::is_utf8_name;

use super::{extract, label_name_of};
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Streams;
use crate::process::work::{Line, Seen, Store, Work};

/// Extracts the sections of a Windows event's message: the first as `Description`, the `key: value` lines of the others
/// under the section's title and the key.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct WindowseventStage {
    /// Name of the extracted value that holds the message.
    #[attr(default = "message")]
    source: String,
    /// Skip keys that are no label names, rather than mend them.
    #[attr(default = false)]
    drop_invalid_labels: bool,
    /// Overwrite extracted values that are there, rather than add `_extracted` to the key.
    #[attr(default = false)]
    overwrite_existing: bool,
}

impl Validate for WindowseventStage {
    fn validate(&self) -> Result<(), Invalid> {
        if is_utf8_name(&self.source) {
            return Ok(());
        }
        Err(Invalid::field("source", format!("invalid label name: {}", self.source)))
    }
}

struct WindowsEvent {
    source: Slot,
    drop_invalid: bool,
    overwrite: bool,
}

impl StageConfig for WindowseventStage {
    fn names(&self, plan: &mut Plan) {
        plan.read(&self.source);
        plan.write("Description");
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        Ok(Box::new(WindowsEvent {
            source: site.plan.slot_of(&self.source),
            drop_invalid: self.drop_invalid_labels,
            overwrite: self.overwrite_existing,
        }))
    }
}

// === impl WindowsEvent ===

impl Stage for WindowsEvent {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        // A message that is there and cannot be text takes its line with it.
        lines.retain(|line| store.see(line, self.source, streams) != Seen::Null);
        for line in lines {
            let Some(message) = store.span_of(line, self.source, streams) else { continue };
            let message = String::from_utf8_lossy(store.bytes(line, message)).into_owned();
            for (key, value) in fields(&message) {
                self.put(line, &key, &value, store, streams);
            }
        }
    }
}

impl WindowsEvent {
    fn put(&self, line: &mut Line, key: &str, value: &str, store: &mut Store, streams: &Streams) {
        let mut key = key.replace(['\t', '\r', '\n', ' '], "");
        if !is_utf8_name(&key) {
            if self.drop_invalid {
                return;
            }
            key = label_name_of(&key);
        }
        extract(line, key, &value.replace(['\t', '\r', '\n'], ""), self.overwrite, store, streams);
    }
}

fn fields(message: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (number, section) in message.split("\r\n\r\n").enumerate() {
        if number == 0 {
            fields.push(("Description".to_owned(), section.to_owned()));
            continue;
        }
        let mut rows = section.split("\r\n").enumerate().peekable();
        let mut title = "";
        while let Some((at, row)) = rows.next() {
            let Some((key, value)) = row.split_once(':') else { continue };
            if value.is_empty() {
                if at == 0 {
                    title = key;
                }
                continue;
            }
            let mut value = value.to_owned();
            // Rows without a colon go on with the value before.
            while let Some((_, more)) = rows.next_if(|(_, row)| !row.is_empty() && !row.contains(':')) {
                value.push(',');
                value.push_str(more);
            }
            let key = if title.is_empty() { key.to_owned() } else { format!("{title}_{key}") };
            fields.push((key, value));
        }
    }
    fields
}
