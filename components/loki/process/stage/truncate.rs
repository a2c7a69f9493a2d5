//! `stage.truncate`: long texts are cut.

use std::collections::BTreeSet;

use base_metrics::Counter;
use base_stdx::ByteSize;
use bytes::Bytes;
use language_eval::{Block, Invalid, Validate, Word};
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::{Changes, Streams};
use crate::process::work::{Line, Seen, Store, Value, Work};

/// The extracted value that tells what was cut.
const TRUNCATED: &str = "truncated";

/// Cuts lines, labels, structured metadata and extracted values that are too long.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct TruncateStage {
    /// What to cut, and where.
    #[block(required)]
    rule: Vec<Rule>,
}

/// What to cut, and where.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct Rule {
    /// The longest that passes, suffix included.
    #[attr]
    limit: ByteSize,
    /// Put behind what is left.
    #[attr(optional)]
    suffix: String,
    /// Names of labels, metadata or extracted values; all when left out.
    #[attr]
    sources: Option<Vec<String>>,
    /// What is cut.
    #[attr(default = SourceType::Line)]
    source_type: SourceType,
}

/// What a rule cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum SourceType {
    /// The line.
    Line,
    /// Labels.
    Label,
    /// Structured metadata.
    StructuredMetadata,
    /// Extracted values.
    #[word(name = "extracted")]
    Extracted,
}

impl Validate for Rule {
    fn validate(&self) -> Result<(), Invalid> {
        if self.limit.0 <= 0 {
            return Err(Invalid::field("limit", "limit must be greater than zero"));
        }
        if self.source_type == SourceType::Line && self.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
            return Err(Invalid::field("sources", "sources cannot be set when source_type is 'line'"));
        }
        if !self.suffix.is_empty() && self.limit.0 <= self.suffix.len() as i64 {
            return Err(Invalid::field("suffix", "suffix length cannot be greater than or equal to limit"));
        }
        Ok(())
    }
}

struct Truncate {
    rules: Vec<Cut>,
    marker: Option<Slot>,
    counters: [Counter; 4],
    changes: Changes,
}

struct Cut {
    what: SourceType,
    /// Without the suffix.
    most: usize,
    suffix: String,
    names: Option<Vec<String>>,
}

const KINDS: [&str; 4] = ["line", "label", "structured_metadata", "extracted"];

impl StageConfig for TruncateStage {
    fn names(&self, plan: &mut Plan) {
        plan.write(TRUNCATED);
        for rule in self.rule.iter().filter(|rule| rule.source_type == SourceType::Extracted) {
            match rule.sources.as_deref() {
                None | Some([]) => plan.read_all(),
                Some(names) => names.iter().for_each(|name| plan.read(name)),
            }
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        let counter = site.metrics.counter_vec(
            "loki_process_truncated_fields_total",
            "A count of all log lines, labels, extracted values, or structured_metadata truncated as a result of a pipeline stage",
            &["field"],
        );
        let rules = self.rule.iter().map(|rule| Cut {
            what: rule.source_type,
            most: rule.limit.to_usize().unwrap_or(usize::MAX).saturating_sub(rule.suffix.len()),
            suffix: rule.suffix.clone(),
            names: rule.sources.clone().filter(|sources| !sources.is_empty()),
        });
        Ok(Box::new(
            Truncate {
                rules: rules.collect(),
                marker: site.plan.slot(TRUNCATED),
                // A kind shows on the metrics page once something of it was cut.
                counters: [(); 4].map(|()| Counter::new()),
                changes: Changes::default(),
            }
            .counting(counter),
        ))
    }
}

// === impl Truncate ===

impl Truncate {
    fn counting(self, counter: base_metrics::CounterVec) -> Counting {
        Counting { truncate: self, counter, shown: [false; 4] }
    }
}

/// Puts counters on the page when they first count.
struct Counting {
    truncate: Truncate,
    counter: base_metrics::CounterVec,
    shown: [bool; 4],
}

impl Stage for Counting {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        let truncate = &mut self.truncate;
        for line in lines {
            let mut cut = [0u64; 4];
            for rule in &truncate.rules {
                let count = rule.cut(line, store, streams, &mut truncate.changes);
                cut[rule.what as usize] += count;
            }
            if cut == [0; 4] {
                continue;
            }
            for kind in 0..4 {
                if cut[kind] > 0 {
                    if !std::mem::replace(&mut self.shown[kind], true) {
                        truncate.counters[kind] = self.counter.with(&[KINDS[kind]]);
                    }
                    truncate.counters[kind].add(cut[kind]);
                }
            }
            let Some(marker) = truncate.marker else { continue };
            let mut kinds: BTreeSet<String> =
                (0..4).filter(|kind| cut[*kind] > 0).map(|kind| KINDS[kind].to_owned()).collect();
            if let Seen::Text(before) = store.see(line, marker, streams) {
                kinds.extend(String::from_utf8_lossy(before).split(',').map(str::to_owned));
            }
            let kinds: Vec<String> = kinds.into_iter().collect();
            if let Some(text) = store.push(kinds.join(",").as_bytes()) {
                store.set(line, marker, Value::Text(text));
            }
        }
    }
}

impl Cut {
    /// How many texts were cut.
    fn cut(&self, line: &mut Line, store: &mut Store, streams: &mut Streams, changes: &mut Changes) -> u64 {
        let names = |name: &str| self.names.as_ref().is_none_or(|names| names.iter().any(|known| known == name));
        match self.what {
            SourceType::Line => {
                if line.text.len() <= self.most {
                    return 0;
                }
                let start = line.text.part(0..self.most);
                if self.suffix.is_empty() {
                    line.text = start;
                } else {
                    let Some(text) = store.push_with(line, start, self.suffix.as_bytes()) else { return 0 };
                    line.text = text;
                }
                1
            }
            SourceType::Label => {
                changes.begin(line.stream);
                let mut count = 0;
                for (name, value) in streams.labels(line.stream) {
                    if names(name) && value.len() > self.most {
                        // Labels are UTF-8: a character that does not fit goes as a whole.
                        let end = value.floor_char_boundary(self.most);
                        changes.set(name, &format!("{}{}", &value[..end], self.suffix));
                        count += 1;
                    }
                }
                line.stream = streams.changed(changes);
                count
            }
            SourceType::StructuredMetadata => {
                let is_long = |(name, value): &(Bytes, Bytes)| {
                    value.len() > self.most && names(std::str::from_utf8(name).unwrap_or_default())
                };
                let count = line.metadata.pairs().iter().filter(|pair| is_long(pair)).count() as u64;
                if count > 0 {
                    let pairs = line.metadata.pairs().iter().map(|pair| match is_long(pair) {
                        true => (pair.0.clone(), Bytes::from(self.shortened(&pair.1))),
                        false => pair.clone(),
                    });
                    line.metadata = pairs.collect();
                }
                count
            }
            SourceType::Extracted => {
                let found: Vec<String> = match &self.names {
                    Some(names) => names.clone(),
                    None => store.everything(line, streams).map(|(name, _)| name.to_owned()).collect(),
                };
                let mut count = 0;
                for name in found {
                    let Seen::Text(value) = store.see_by_name(line, &name, streams) else { continue };
                    if value.len() > self.most {
                        let value = self.shortened(value);
                        let Some(value) = store.push(&value) else { continue };
                        store.set_by_name(line, &name, Value::Text(value));
                        count += 1;
                    }
                }
                count
            }
        }
    }

    fn shortened(&self, text: &[u8]) -> Vec<u8> {
        let mut text = text[..self.most].to_vec();
        text.extend_from_slice(self.suffix.as_bytes());
        text
    }
}
