//! `stage.structured_metadata_drop`: structured metadata goes.

use bytes::Bytes;
use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::work::{Work, set_metadata};

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
        if work.lines.iter().all(|line| line.metadata.is_empty()) {
            return;
        }
        let mut kept = Vec::new();
        let mut ends = Vec::with_capacity(work.lines.len());
        for line in &work.lines {
            let stays = |name: &Bytes| self.0.iter().all(|dropped| *name != dropped.as_bytes());
            kept.extend(line.metadata.pairs().iter().filter(|(name, _)| stays(name)).cloned());
            ends.push(kept.len());
        }
        set_metadata(&mut work.lines, kept, ends);
    }
}
