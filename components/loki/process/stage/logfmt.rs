//! `stage.logfmt`: values of a logfmt line become extracted values.

use std::collections::BTreeMap;

use base_re2::Regex;
use base_stdx::logfmt::Pairs;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use language_eval::Block;
use sdk_component::Problem;

use crate::process::json::unescape;
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::work::{Source, Value, Work};

/// Extracts values of `key=value` pairs.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct LogfmtStage {
    /// Name of the extracted value → key; an empty key means the name.
    #[attr(optional)]
    mapping: BTreeMap<String, String>,
    /// Name of the extracted value to look at; the line when empty.
    #[attr(optional)]
    source: String,
    /// Extract every key that this expression matches, under its own name.
    #[attr(optional)]
    regex: String,
}

struct Logfmt {
    wanted: HashMap<Box<[u8]>, Vec<Slot>, FixedState>,
    regex: Option<Regex>,
    source: Source,
    scratch: Vec<u8>,
    found: Vec<(Found, Value)>,
}

enum Found {
    Slot(Slot),
    Name(String),
}

impl LogfmtStage {
    fn source(&self) -> Option<&str> {
        Some(self.source.as_str()).filter(|source| !source.is_empty())
    }
}

impl StageConfig for LogfmtStage {
    fn names(&self, plan: &mut Plan) {
        self.mapping.keys().for_each(|name| plan.write(name));
        if let Some(source) = self.source() {
            plan.read(source);
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.mapping.is_empty() && self.regex.is_empty() {
            return Err(Problem::new("logfmt mapping or regex is required"));
        }
        let regex = match self.regex.as_str() {
            "" => None,
            regex => Some(Regex::new(regex).map_err(|error| Problem::at("regex", error.to_string()))?),
        };
        let mut wanted: HashMap<Box<[u8]>, Vec<Slot>, FixedState> = HashMap::default();
        for (name, key) in &self.mapping {
            if let Some(slot) = site.plan.slot(name) {
                let key = if key.is_empty() { name } else { key };
                wanted.entry(key.as_bytes().into()).or_default().push(slot);
            }
        }
        let source = site.source(self.source());
        Ok(Box::new(Logfmt { wanted, regex, source, scratch: Vec::new(), found: Vec::new() }))
    }
}

impl Stage for Logfmt {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        for line in lines {
            let Some(text) = self.source.span(store, line, streams) else { continue };
            self.found.clear();
            // Values with escapes are written into the store when the text has been read.
            let mut unescaped = Vec::new();
            for pair in Pairs::new(store.bytes(line, text)) {
                let bytes = store.bytes(line, text);
                let key = &bytes[pair.key];
                let slots = self.wanted.get(key).map_or(&[][..], Vec::as_slice);
                let by_name = self.regex.as_ref().is_some_and(|regex| regex.is_match(key));
                if slots.is_empty() && !by_name {
                    continue;
                }
                let mut value = Value::Text(text.part(pair.value.clone()));
                if pair.escaped {
                    unescaped.push((self.found.len(), slots.len() + usize::from(by_name), pair.value));
                    value = Value::Null;
                }
                self.found.extend(slots.iter().map(|slot| (Found::Slot(*slot), value)));
                if by_name {
                    self.found.push((Found::Name(String::from_utf8_lossy(key).into_owned()), value));
                }
            }
            for (first, count, range) in unescaped {
                self.scratch.clear();
                unescape(&store.bytes(line, text)[range], &mut self.scratch);
                let value = store.push(&self.scratch).map_or(Value::Null, Value::Text);
                self.found[first..first + count].iter_mut().for_each(|(_, found)| *found = value);
            }
            for (found, value) in self.found.drain(..) {
                match found {
                    Found::Slot(slot) => store.set(line, slot, value),
                    Found::Name(name) => store.set_by_name(line, &name, value),
                }
            }
        }
    }
}
