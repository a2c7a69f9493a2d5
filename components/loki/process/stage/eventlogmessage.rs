//! `stage.eventlogmessage`: the lines of a Windows event's message become extracted values.

use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;
use sdk_labels::{is_legacy_label_name, is_utf8_name};

use super::{extract, label_name_of};
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::work::{Seen, Work};

/// Extracts `key: value` lines of a Windows event's message. `stage.windowsevent` does it better.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct EventlogmessageStage {
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

impl Validate for EventlogmessageStage {
    fn validate(&self) -> Result<(), Invalid> {
        if is_utf8_name(&self.source) {
            return Ok(());
        }
        Err(Invalid::field("source", format!("invalid label name: {}", self.source)))
    }
}

struct EventLogMessage {
    source: Slot,
    drop_invalid: bool,
    overwrite: bool,
}

impl StageConfig for EventlogmessageStage {
    fn names(&self, plan: &mut Plan) {
        plan.read(&self.source);
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        Ok(Box::new(EventLogMessage {
            source: site.plan.slot_of(&self.source),
            drop_invalid: self.drop_invalid_labels,
            overwrite: self.overwrite_existing,
        }))
    }
}

impl Stage for EventLogMessage {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        // A message that is there and cannot be text takes its line with it.
        lines.retain(|line| store.see(line, self.source, streams) != Seen::Null);
        for line in lines {
            let Some(message) = store.span_of(line, self.source, streams) else { continue };
            let message = String::from_utf8_lossy(store.bytes(line, message)).into_owned();
            for row in message.split("\r\n") {
                let Some((key, value)) = row.split_once(':') else { continue };
                let mut key = key.to_owned();
                if !is_legacy_label_name(&key) {
                    if self.drop_invalid {
                        continue;
                    }
                    key = label_name_of(&key);
                }
                extract(line, key, value, self.overwrite, store, streams);
            }
        }
    }
}
