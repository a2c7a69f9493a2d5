//! `stage.match`: stages for some lines only, or their end.

use base_metrics::Counter;
use language_eval::Block;
use sdk_component::Problem;
use tokio::time::Instant;

use super::StageArguments;
use crate::process::pipeline::{Site, Stage, StageConfig, Stages, part};
use crate::process::plan::Plan;
use crate::process::selector::Selector;
use crate::process::streams::{StreamId, Streams};
use crate::process::work::{Line, Store, Work};

/// Runs stages for the lines that a selector takes, or drops those lines.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct MatchStage {
    /// `{label="value"}`, with `=`, `!=`, `=~`, `!~`, and line filters `|=`, `!=`, `|~`, `!~` behind it.
    #[attr]
    selector: String,
    /// What happens to the lines that the selector takes.
    #[block(enum, prefix = "stage")]
    stages: Vec<StageArguments>,
    /// `keep` (also when empty): run the stages. `drop`: drop the lines.
    #[attr(optional)]
    action: String,
    /// Not used; Alloy takes it too.
    #[attr(optional)]
    pipeline_name: String,
    /// The `reason` in the metric of dropped lines; `match_stage` when empty.
    #[attr(optional)]
    drop_counter_reason: String,
}

struct Match {
    condition: Condition,
    action: Action,
}

enum Action {
    Keep(Stages),
    Drop(Counter),
}

struct Condition {
    selector: Selector,
    /// The last stream asked for in this batch, and the answer.
    known: Option<(StreamId, bool)>,
}

impl StageConfig for MatchStage {
    fn names(&self, plan: &mut Plan) {
        for stage in &self.stages {
            stage.config().names(plan);
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.selector.is_empty() {
            return Err(Problem::at("selector", "selector statement required for match stage"));
        }
        let action = match self.action.as_str() {
            "" | "keep" if self.stages.is_empty() => {
                let message = "match stage requires at least one additional stage to be defined in '- stages'";
                return Err(Problem::new(message));
            }
            "" | "keep" => Action::Keep(Stages::build(&self.stages, site)?),
            "drop" if !self.stages.is_empty() => {
                return Err(Problem::new("match stage configured to drop entries cannot contains stages"));
            }
            "drop" => Action::Drop(site.dropped_for(match self.drop_counter_reason.as_str() {
                "" => "match_stage",
                reason => reason,
            })),
            _ => return Err(Problem::at("action", "match stage action should be 'keep' or 'drop'")),
        };
        let selector = Selector::parse(&self.selector)
            .map_err(|error| Problem::at("selector", format!("invalid selector syntax for match stage: {error}")))?;
        Ok(Box::new(Match { condition: Condition { selector, known: None }, action }))
    }
}

// === impl Match ===

impl Stage for Match {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        self.condition.known = None;
        match &mut self.action {
            Action::Drop(dropped) => {
                let before = lines.len();
                lines.retain(|line| !self.condition.takes(line, store, streams));
                dropped.add((before - lines.len()) as u64);
            }
            Action::Keep(stages) => {
                let (taken, others) = part(lines, |line| self.condition.takes(line, store, streams));
                *lines = taken;
                if others.is_empty() {
                    work.adopt_labels();
                    return stages.run(work);
                }
                if !lines.is_empty() {
                    work.adopt_labels();
                    stages.run(work);
                }
                // Stable, so that what a stage made of one line stays in its order.
                work.lines.extend(others);
                work.lines.sort_by_key(|line| line.order);
            }
        }
    }

    fn holds(&self) -> bool {
        matches!(&self.action, Action::Keep(stages) if stages.hold())
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.action {
            Action::Keep(stages) => stages.deadline(),
            Action::Drop(_) => None,
        }
    }

    fn release(&mut self, work: &mut Work, all: bool) {
        if let Action::Keep(stages) = &mut self.action {
            // Lines that earlier stages let go have been run already; the stages inside must not see them twice.
            let others = std::mem::take(&mut work.lines);
            stages.release(work, all);
            work.lines.splice(0..0, others);
        }
    }
}

impl Condition {
    fn takes(&mut self, line: &Line, store: &Store, streams: &Streams) -> bool {
        let takes_stream = match self.known {
            Some((stream, answer)) if stream == line.stream => answer,
            _ => {
                let answer = self.selector.takes_stream(streams.labels(line.stream));
                self.known = Some((line.stream, answer));
                answer
            }
        };
        takes_stream && self.selector.takes_line(store.text(line))
    }
}
