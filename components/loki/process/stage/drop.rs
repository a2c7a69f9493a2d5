//! `stage.drop`: lines go.

use base_metrics::Counter;
use base_re2::Regex;
use base_stdx::{ByteSize, GoDuration};
use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Streams;
use crate::process::work::{Line, Seen, Store, Work};

/// Drops lines that meet all of the given conditions.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct DropStage {
    /// The `reason` in the metric of dropped lines; `drop_stage` when empty.
    #[attr(optional)]
    drop_counter_reason: String,
    /// Names of extracted values, separated by commas.
    #[attr(optional)]
    source: String,
    /// What the joined values must be.
    #[attr(optional)]
    value: String,
    /// What joins the values; `;` when empty.
    #[attr(optional)]
    separator: String,
    /// What the joined values, or without a source the line, must match.
    #[attr(optional)]
    expression: String,
    /// Older than this.
    #[attr(default = GoDuration::ZERO)]
    older_than: GoDuration,
    /// Longer than this.
    #[attr(default = ByteSize(0))]
    longer_than: ByteSize,
}

struct Drop {
    longer_than: Option<usize>,
    older_than: Option<i64>,
    sources: Vec<Slot>,
    test: Option<Test>,
    separator: String,
    dropped: Counter,
    scratch: Vec<u8>,
}

enum Test {
    Is(String),
    Matches(Regex),
}

impl DropStage {
    fn sources(&self) -> impl Iterator<Item = &str> {
        // Names are not trimmed (spec §9.18).
        self.source.split(',').filter(|_| !self.source.is_empty())
    }
}

impl StageConfig for DropStage {
    fn names(&self, plan: &mut Plan) {
        self.sources().for_each(|name| plan.read(name));
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        let without_source = self.source.is_empty();
        if without_source && self.expression.is_empty() && self.older_than.0 == 0 && self.longer_than.0 == 0 {
            return Err(Problem::new(
                "drop stage config must contain at least one of `source`, `expression`, `older_than` or `longer_than`",
            ));
        }
        if !self.value.is_empty() && !self.expression.is_empty() {
            let message = "drop stage config error, `value` and `expression` cannot both be defined at the same time";
            return Err(Problem::at("value", message));
        }
        if !self.value.is_empty() && without_source {
            let message = "drop stage config must contain `source` if `value` is specified";
            return Err(Problem::at("value", message));
        }
        let test = match (self.value.as_str(), self.expression.as_str()) {
            ("", "") => None,
            ("", expression) => Some(Test::Matches(Regex::new(expression).map_err(|error| {
                let message = format!("drop stage regex compilation error: {error}");
                Problem::at("expression", message)
            })?)),
            (value, _) => Some(Test::Is(value.to_owned())),
        };
        let reason = if self.drop_counter_reason.is_empty() { "drop_stage" } else { &self.drop_counter_reason };
        Ok(Box::new(Drop {
            longer_than: (self.longer_than.0 != 0).then(|| self.longer_than.to_usize().unwrap_or(0)),
            older_than: (self.older_than.0 != 0).then_some(self.older_than.0),
            sources: self.sources().map(|name| site.plan.slot_of(name)).collect(),
            test,
            separator: if self.separator.is_empty() { ";".to_owned() } else { self.separator.clone() },
            dropped: site.dropped_for(reason),
            scratch: Vec::new(),
        }))
    }
}

// === impl Drop ===

impl Stage for Drop {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, wall, .. } = work;
        let oldest = self.older_than.map(|age| wall.saturating_sub(age));
        let before = lines.len();
        lines.retain(|line| !self.meets_all(line, store, streams, oldest));
        self.dropped.add((before - lines.len()) as u64);
    }
}

impl Drop {
    fn meets_all(&mut self, line: &Line, store: &Store, streams: &Streams, oldest: Option<i64>) -> bool {
        if self.longer_than.is_some_and(|most| line.text.len() <= most) {
            return false;
        }
        if oldest.is_some_and(|oldest| line.timestamp >= oldest) {
            return false;
        }
        let Some(test) = &self.test else {
            return self.sources.iter().all(|slot| store.has(line, *slot, streams));
        };
        if self.sources.is_empty() {
            return test.holds(store.text(line));
        }
        self.scratch.clear();
        let mut number = String::new();
        let mut first = true;
        for slot in &self.sources {
            let seen = store.see(line, *slot, streams);
            if seen == Seen::Absent {
                continue;
            }
            // What is there and cannot be text, such as null, keeps the line.
            let Some(text) = seen.text(&mut number) else { return false };
            if !std::mem::take(&mut first) {
                self.scratch.extend_from_slice(self.separator.as_bytes());
            }
            self.scratch.extend_from_slice(text);
        }
        test.holds(&self.scratch)
    }
}

impl Test {
    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Test::Is(value) => text == value.as_bytes(),
            Test::Matches(expression) => expression.is_match(text),
        }
    }
}
