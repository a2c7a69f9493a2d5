//! Stages in a row, run over whole batches.

use std::sync::Arc;

use base_metrics::{Counter, CounterVec, Scope};
use sdk_component::Problem;
use sdk_signals::LogBatch;
use tokio::time::Instant;

use super::plan::Plan;
use super::stage::StageArguments;
use super::work::{Finished, Line, Source, Work};

/// A step of a pipeline: a function over all lines of a batch.
pub trait Stage: Send {
    /// Does its work on every line. Dropping a line is taking it out of `work.lines`, after counting it.
    fn run(&mut self, work: &mut Work);

    /// Whether it may hold lines from one batch to another.
    fn holds(&self) -> bool {
        false
    }

    /// When held lines must leave by themselves.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Puts held lines that are due at `work.now` into the batch; with `all`, whatever is held.
    fn release(&mut self, work: &mut Work, all: bool) {
        let _ = (work, all);
    }
}

/// Makes stages, and says which extracted values they touch.
pub trait StageConfig {
    /// The names it reads and writes.
    fn names(&self, plan: &mut Plan) {
        let _ = plan;
    }

    /// Checks what the language cannot, and makes the stage.
    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem>;
}

/// What a stage may use when it is made.
pub struct Site<'a> {
    /// Where extracted values are.
    pub plan: &'a Plan,
    /// The component's metrics.
    pub metrics: &'a Scope,
    /// Metrics that end with the pipeline (`stage.metrics`).
    pub own_metrics: &'a Scope,
}

/// The stages of a component, or of one `stage.match`.
pub struct Stages(Vec<Box<dyn Stage>>);

/// All stages of a component with the table they work on.
pub struct Pipeline {
    stages: Stages,
    work: Work,
    holds: bool,
    _own_metrics: Scope,
}

// === impl Site ===

impl Site<'_> {
    /// The counter of dropped lines.
    pub fn dropped(&self) -> CounterVec {
        self.metrics.counter_vec(
            "loki_process_dropped_lines_total",
            "A count of all log lines dropped as a result of a pipeline stage",
            &["reason"],
        )
    }

    /// Where a stage with an optional `source` finds its text.
    pub fn source(&self, name: Option<&str>) -> Source {
        name.map_or(Source::Line, |name| Source::Extracted(self.plan.slot_of(name)))
    }

    /// The counter of lines dropped for this reason.
    pub fn dropped_for(&self, reason: &str) -> Counter {
        self.dropped().with(&[reason])
    }
}

// === impl Stages ===

impl Stages {
    /// Makes every stage.
    pub fn build(arguments: &[StageArguments], site: &Site<'_>) -> Result<Stages, Problem> {
        let mut stages = Vec::with_capacity(arguments.len());
        for arguments in arguments {
            let name = arguments.name();
            let stage = arguments.config().build(site).map_err(|problem| Problem {
                field: Some(name.to_owned()),
                message: format!("{name}: {}", problem.message),
                ..problem
            })?;
            stages.push(stage);
        }
        Ok(Stages(stages))
    }

    /// Runs all of them.
    pub fn run(&mut self, work: &mut Work) {
        for stage in &mut self.0 {
            if work.lines.is_empty() {
                return;
            }
            stage.run(work);
        }
    }

    /// Whether any may hold lines.
    pub fn hold(&self) -> bool {
        self.0.iter().any(|stage| stage.holds())
    }

    /// The earliest deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|stage| stage.deadline()).min()
    }

    /// Lets due lines go, each through the stages behind the one that held it.
    pub fn release(&mut self, work: &mut Work, all: bool) {
        for stage in &mut self.0 {
            // What earlier stages let go may be held again here, or be joined to what is held.
            if !work.lines.is_empty() {
                stage.run(work);
            }
            stage.release(work, all);
        }
    }
}

// === impl Pipeline ===

impl Pipeline {
    /// Plans and makes the stages. `metrics` is the component's scope.
    pub fn build(arguments: &[StageArguments], metrics: &Scope) -> Result<Pipeline, Problem> {
        let mut plan = Plan::default();
        for stage in arguments {
            stage.config().names(&mut plan);
        }
        plan.seal();
        if plan.is_too_large() {
            return Err(Problem::new("the stages use more than 65,536 names of extracted values"));
        }
        let own_metrics = metrics.child(&[]);
        let site = Site { plan: &plan, metrics, own_metrics: &own_metrics };
        let stages = Stages::build(arguments, &site)?;
        let holds = stages.hold();
        let work = Work::new(Arc::new(plan), holds);
        Ok(Pipeline { stages, work, holds, _own_metrics: own_metrics })
    }

    /// Runs a batch through.
    pub fn run(&mut self, batch: LogBatch) -> Finished {
        self.work.open(batch);
        self.stages.run(&mut self.work);
        self.work.finish()
    }

    /// Whether stages may hold lines back, so that a batch's delivery may wait for later ones.
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// When [`Pipeline::release`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.stages.deadline()
    }

    /// Lets go what is due, or everything.
    pub fn release(&mut self, all: bool) -> Finished {
        // Nothing more: what it holds is of batches before.
        self.work.open(LogBatch { rereadable: true, ..LogBatch::default() });
        self.stages.release(&mut self.work, all);
        self.work.finish()
    }
}

/// Sorts lines into two lists by a condition, keeping the order inside each.
pub(super) fn part(lines: &mut Vec<Line>, mut condition: impl FnMut(&Line) -> bool) -> (Vec<Line>, Vec<Line>) {
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    for line in lines.drain(..) {
        if condition(&line) { yes.push(line) } else { no.push(line) }
    }
    (yes, no)
}
