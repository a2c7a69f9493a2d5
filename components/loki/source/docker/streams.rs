//! The label sets of a container's two outputs.

use std::collections::BTreeMap;

use language_eval::Target;
use sdk_docker::frames::Output;
use sdk_labels::{Labels, LabelsBuilder};
use sdk_relabel::Rules;
use sdk_signals::{FanOut, LogBatch};

pub const CONTAINER_ID: &str = "__meta_docker_container_id";
const LOG_STREAM: &str = "__meta_docker_container_log_stream";

/// What a container's lines are labelled with and where they go.
#[derive(Clone)]
pub struct Streams {
    /// Of stdout and stderr; none: the rules drop its lines.
    labels: [Option<Labels>; 2],
    /// As the position's key has them: the target's own and the additional ones, before the rules.
    pub position_labels: String,
    /// Of several targets of one container the smallest speaks.
    pub rank: u64,
    forward_to: FanOut<LogBatch>,
}

impl Streams {
    pub fn new(target: &Target, more: &BTreeMap<String, String>, rules: Option<Rules>) -> Streams {
        let own = Labels::from_pairs(target.iter());
        let mut builder = LabelsBuilder::default();
        builder.reset(&own);
        for (name, value) in more {
            builder.set(name, value);
        }
        let base = builder.labels();
        let labels = ["stdout", "stderr"].map(|stream| {
            builder.reset(&base);
            builder.set(LOG_STREAM, stream);
            if !rules.as_ref().is_none_or(|rules| rules.apply(&mut builder)) {
                return None;
            }
            let relabelled = builder.labels();
            Some(Labels::from_pairs(relabelled.iter().filter(|(name, _)| !name.starts_with("__"))))
        });
        Streams { labels, position_labels: base.to_string(), rank: own.hash(), forward_to: FanOut::new([]) }
    }

    pub fn forwarding(self, forward_to: FanOut<LogBatch>) -> Streams {
        Streams { forward_to, ..self }
    }

    pub fn labels(&self, output: Output) -> Option<&Labels> {
        self.labels[output as usize].as_ref()
    }

    pub fn forward_to(&self) -> &FanOut<LogBatch> {
        &self.forward_to
    }
}

impl PartialEq for Streams {
    fn eq(&self, other: &Streams) -> bool {
        self.labels == other.labels && self.forward_to.receivers() == other.forward_to.receivers()
    }
}
