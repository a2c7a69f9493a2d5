//! `stage.structured_metadata_drop`: structured metadata goes.

use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::work::Work;

/// Removes structured metadata.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct StructuredMetadataDropStage {
    /// Names.
    #[attr]
    values: Vec<String>,
}

struct MetadataDrop(Vec<String>);

impl StageConfig for StructuredMetadataDropStage {
    fn build(&self, _: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.values.is_empty() {
            return Err(Problem::at("values", "structured_metadata_drop stage config cannot be empty"));
        }
        Ok(Box::new(MetadataDrop(self.values.clone())))
    }
}

impl Stage for MetadataDrop {
    fn run(&mut self, work: &mut Work) {
        for line in &mut work.lines {
            if !line.metadata.is_empty() {
                line.metadata.retain(|(name, _)| !self.0.iter().any(|dropped| name == dropped.as_bytes()));
            }
        }
    }
}
