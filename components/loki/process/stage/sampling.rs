//! `stage.sampling`: some lines go by chance.

use base_metrics::Counter;
use base_sys::chance::Chance;
use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::work::Work;

/// Keeps a part of the lines, chosen by chance.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct SamplingStage {
    /// The `reason` in the metric of dropped lines.
    #[attr(default = "sampling_stage")]
    drop_counter_reason: String,
    /// The part that is kept, from 0 to 1.
    #[attr]
    rate: f64,
}

impl Validate for SamplingStage {
    fn validate(&self) -> Result<(), Invalid> {
        if (0.0..=1.0).contains(&self.rate) {
            return Ok(());
        }
        let message = format!(
            "sampling stage failed to parse rate,Sampling Rate must be between 0.0 and 1.0, received {:.6}",
            self.rate
        );
        Err(Invalid::field("rate", message))
    }
}

struct Sampling {
    rate: f64,
    chance: Chance,
    dropped: Counter,
}

impl StageConfig for SamplingStage {
    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        let dropped = site.dropped_for(&self.drop_counter_reason);
        Ok(Box::new(Sampling { rate: self.rate, chance: Chance::new(), dropped }))
    }
}

impl Stage for Sampling {
    fn run(&mut self, work: &mut Work) {
        let before = work.lines.len();
        work.lines.retain(|_| self.chance.below(self.rate));
        self.dropped.add((before - work.lines.len()) as u64);
    }
}
