//! `stage.labels`: extracted values become labels.

use std::collections::BTreeMap;

use language_eval::Block;
use sdk_component::Problem;

use super::label_names;
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::{Changes, Known};
use crate::process::work::{Value, Work};

/// Makes labels of extracted values.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct LabelsStage {
    /// Label → name of the extracted value; an empty name means the label's own.
    #[attr]
    values: BTreeMap<String, String>,
    /// Where the values are: `extracted` (also when empty) or `structured_metadata`.
    #[attr(optional)]
    source_type: String,
}

enum Labels {
    FromExtracted { values: Vec<(String, Slot)>, known: Known, changes: Changes },
    FromMetadata { values: Vec<(String, String)>, changes: Changes },
}

impl StageConfig for LabelsStage {
    fn names(&self, plan: &mut Plan) {
        if self.source_type != "structured_metadata" {
            for (label, source) in &self.values {
                plan.read(if source.is_empty() { label } else { source });
            }
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        label_names(self.values.keys())?;
        let values = self
            .values
            .iter()
            .map(|(label, source)| (label.clone(), if source.is_empty() { label.clone() } else { source.clone() }));
        let changes = Changes::default();
        Ok(Box::new(match self.source_type.as_str() {
            "" | "extracted" => {
                let values: Vec<_> = values.map(|(label, source)| (label, site.plan.slot_of(&source))).collect();
                Labels::FromExtracted { known: Known::new(values.len()), values, changes }
            }
            "structured_metadata" => Labels::FromMetadata { values: values.collect(), changes },
            other => {
                let message =
                    format!("invalid labels source_type: {other}. Can only be 'extracted' or 'structured_metadata'");
                return Err(Problem::at("source_type", message));
            }
        }))
    }
}

impl Stage for Labels {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        match self {
            Labels::FromExtracted { values, known, changes } => {
                let mut number = String::new();
                known.prepare(streams);
                for line in lines {
                    known.begin(line.stream);
                    for (_, slot) in values.iter() {
                        let value = store.value(line, *slot);
                        known.value(value, if let Value::Text(text) = value { store.bytes(line, text) } else { &[] });
                    }
                    if let Some(stream) = known.answer() {
                        line.stream = stream;
                        continue;
                    }
                    changes.begin(line.stream);
                    for (label, slot) in values.iter() {
                        let seen = store.see(line, *slot, streams);
                        if let Some(text) = seen.text(&mut number)
                            && let Ok(text) = std::str::from_utf8(text)
                        {
                            changes.set(label, text);
                        }
                    }
                    line.stream = streams.changed(changes);
                    known.learn(line.stream);
                }
            }
            Labels::FromMetadata { values, changes } => {
                for line in lines {
                    changes.begin(line.stream);
                    for (label, source) in values.iter() {
                        let pair = line.metadata.pairs().iter().find(|(name, _)| name == source.as_bytes());
                        if let Some(text) = pair.and_then(|(_, value)| std::str::from_utf8(value).ok()) {
                            changes.set(label, text);
                        }
                    }
                    line.stream = streams.changed(changes);
                }
            }
        }
    }
}
