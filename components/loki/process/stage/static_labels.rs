//! `stage.static_labels`: the same labels for every line.

use std::collections::BTreeMap;

use language_eval::Block;
use sdk_component::Problem;

use super::label_names;
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::streams::Changes;
use crate::process::work::Work;

/// Sets labels.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct StaticLabelsStage {
    /// Label → value; empty values are skipped.
    #[attr]
    values: BTreeMap<String, String>,
}

struct StaticLabels {
    values: Vec<(String, String)>,
    changes: Changes,
}

impl StageConfig for StaticLabelsStage {
    fn build(&self, _: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        label_names(self.values.keys())?;
        let values = self.values.iter().filter(|(_, value)| !value.is_empty());
        let values = values.map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(Box::new(StaticLabels { values, changes: Changes::default() }))
    }
}

impl Stage for StaticLabels {
    fn run(&mut self, work: &mut Work) {
        let mut known = None;
        for line in &mut work.lines {
            line.stream = match known {
                Some((from, to)) if from == line.stream => to,
                _ => {
                    self.changes.begin(line.stream);
                    for (name, value) in &self.values {
                        self.changes.set(name, value);
                    }
                    let to = work.streams.changed(&self.changes);
                    known = Some((line.stream, to));
                    to
                }
            };
        }
    }
}
