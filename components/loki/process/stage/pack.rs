//! `stage.pack`: labels move into the line.

use language_eval::Block;
use sdk_component::Problem;

use crate::process::json::encode_string;
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Changes;
use crate::process::work::Work;

/// Makes the line a JSON object of itself (`_entry`) and of labels, which are removed.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct PackStage {
    /// Names of labels and extracted values.
    #[attr]
    labels: Vec<String>,
    /// The time of the line becomes now, so that lines stay in order.
    #[attr(default = true)]
    ingest_timestamp: bool,
}

struct Pack {
    /// Sorted, each once.
    labels: Vec<(String, Slot)>,
    ingest_timestamp: bool,
    changes: Changes,
    json: Vec<u8>,
}

impl StageConfig for PackStage {
    fn names(&self, plan: &mut Plan) {
        self.labels.iter().for_each(|name| plan.read(name));
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        let mut labels: Vec<_> = self.labels.iter().map(|name| (name.clone(), site.plan.slot_of(name))).collect();
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        labels.dedup_by(|a, b| a.0 == b.0);
        let ingest_timestamp = self.ingest_timestamp;
        Ok(Box::new(Pack { labels, ingest_timestamp, changes: Changes::default(), json: Vec::new() }))
    }
}

impl Stage for Pack {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, wall, .. } = work;
        let mut number = String::new();
        for line in lines {
            self.changes.begin(line.stream);
            self.json.clear();
            self.json.push(b'{');
            for (name, slot) in &self.labels {
                let seen = store.see(line, *slot, streams);
                let Some(text) = seen.text(&mut number) else { continue };
                encode_string(name.as_bytes(), &mut self.json);
                self.json.push(b':');
                encode_string(text, &mut self.json);
                self.json.push(b',');
                self.changes.remove(name);
            }
            self.json.extend_from_slice(b"\"_entry\":");
            encode_string(store.text(line), &mut self.json);
            self.json.push(b'}');
            let Some(packed) = store.push(&self.json) else { continue };
            line.text = packed;
            line.stream = streams.changed(&self.changes);
            if self.ingest_timestamp {
                line.timestamp = *wall;
            }
        }
    }
}
