//! `stage.label_drop`: labels go.

use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::streams::Changes;
use crate::process::work::Work;

/// Removes labels.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct LabelDropStage {
    /// Their names.
    #[attr]
    values: Vec<String>,
}

struct LabelDrop {
    values: Vec<String>,
    changes: Changes,
}

impl StageConfig for LabelDropStage {
    fn build(&self, _: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.values.is_empty() {
            return Err(Problem::at("values", "labeldrop stage config cannot be empty"));
        }
        Ok(Box::new(LabelDrop { values: self.values.clone(), changes: Changes::default() }))
    }
}

impl Stage for LabelDrop {
    fn run(&mut self, work: &mut Work) {
        let mut known = None;
        for line in &mut work.lines {
            line.stream = match known {
                Some((from, to)) if from == line.stream => to,
                _ => {
                    self.changes.begin(line.stream);
                    for name in &self.values {
                        self.changes.remove(name);
                    }
                    let to = work.streams.changed(&self.changes);
                    known = Some((line.stream, to));
                    to
                }
            };
        }
    }
}
