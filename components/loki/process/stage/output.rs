//! `stage.output`: an extracted value becomes the line.

use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::work::Work;

/// Makes an extracted value the line.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct OutputStage {
    /// Name of the extracted value.
    #[attr]
    source: String,
}

struct Output(Slot);

impl StageConfig for OutputStage {
    fn names(&self, plan: &mut Plan) {
        plan.read(&self.source);
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.source.is_empty() {
            return Err(Problem::at("source", "output source value is required if output is specified"));
        }
        Ok(Box::new(Output(site.plan.slot_of(&self.source))))
    }
}

impl Stage for Output {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        for line in lines {
            if let Some(text) = store.span_of(line, self.0, streams) {
                line.text = text;
            }
        }
    }
}
