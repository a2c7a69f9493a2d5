//! `stage.label_keep`: all other labels go.

use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::streams::Changes;
use crate::process::work::Work;

/// Removes all labels but these.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct LabelKeepStage {
    /// Names of those that stay.
    #[attr]
    values: Vec<String>,
}

struct LabelKeep {
    values: Vec<String>,
    changes: Changes,
}

impl StageConfig for LabelKeepStage {
    fn build(&self, _: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.values.is_empty() {
            return Err(Problem::at("values", "labelallow stage config cannot be empty"));
        }
        Ok(Box::new(LabelKeep { values: self.values.clone(), changes: Changes::default() }))
    }
}

impl Stage for LabelKeep {
    fn run(&mut self, work: &mut Work) {
        let mut known = None;
        for line in &mut work.lines {
            line.stream = match known {
                Some((from, to)) if from == line.stream => to,
                _ => {
                    self.changes.begin(line.stream);
                    for (name, _) in work.streams.labels(line.stream) {
                        if !self.values.iter().any(|kept| kept == name) {
                            self.changes.remove(name);
                        }
                    }
                    let to = work.streams.changed(&self.changes);
                    known = Some((line.stream, to));
                    to
                }
            };
        }
    }
}
