//! `stage.structured_metadata`: extracted values and labels become structured metadata.

use std::collections::BTreeMap;
use std::ops::Range;

use base_re2::Regex;
use bytes::Bytes;
use language_eval::Block;
use sdk_component::Problem;
use sdk_signals::Metadata;

use super::label_names;
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Changes;
use crate::process::work::{Work, set_metadata};

/// Makes structured metadata of extracted values and labels. A label that is used is removed.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct StructuredMetadataStage {
    /// Name in the metadata → name of the extracted value or label; an empty one means the same.
    #[attr(optional)]
    values: BTreeMap<String, String>,
    /// Take every extracted value and label whose name this expression matches, too.
    #[attr(optional)]
    regex: String,
}

struct IntoMetadata {
    values: Vec<(Bytes, String, Slot)>,
    regex: Option<Regex>,
    changes: Changes,
}

impl StructuredMetadataStage {
    fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, source)| (name.as_str(), if source.is_empty() { name } else { source }.as_str()))
    }
}

impl StageConfig for StructuredMetadataStage {
    fn names(&self, plan: &mut Plan) {
        self.values().for_each(|(_, source)| plan.read(source));
        if !self.regex.is_empty() {
            plan.read_all();
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        label_names(self.values.keys())?;
        let regex = match self.regex.as_str() {
            "" => None,
            regex => Some(Regex::new(regex).map_err(|error| Problem::at("regex", error.to_string()))?),
        };
        let values = self.values().map(|(name, source)| {
            (Bytes::copy_from_slice(name.as_bytes()), source.to_owned(), site.plan.slot_of(source))
        });
        Ok(Box::new(IntoMetadata { values: values.collect(), regex, changes: Changes::default() }))
    }
}

impl Stage for IntoMetadata {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        let mut number = String::new();
        let mut pairs = Pairs::new(lines.len() * self.values.len());
        let mut ends = Vec::with_capacity(lines.len());
        for line in lines.iter_mut() {
            pairs.begin(&line.metadata);
            for (name, _, slot) in &self.values {
                let seen = store.see(line, *slot, streams);
                let Some(text) = seen.text(&mut number).filter(|text| std::str::from_utf8(text).is_ok()) else {
                    continue;
                };
                match store.input_of(line, *slot) {
                    Some(part) => pairs.put(name.clone(), Text::Part(part)),
                    None => pairs.put_copy(name.clone(), text),
                }
            }
            if let Some(regex) = &self.regex {
                for (name, seen) in store.everything(line, streams) {
                    if regex.is_match(name)
                        && let Some(text) = seen.text(&mut number).filter(|text| std::str::from_utf8(text).is_ok())
                    {
                        pairs.put_copy(Bytes::copy_from_slice(name.as_bytes()), text);
                    }
                }
            }
            self.changes.begin(line.stream);
            let labels = streams.labels(line.stream);
            for (name, source, _) in &self.values {
                if let Some(value) = labels.get(source) {
                    pairs.put_copy(name.clone(), value.as_bytes());
                    self.changes.remove(source);
                }
            }
            if let Some(regex) = &self.regex {
                for (name, value) in labels.iter().filter(|(name, _)| regex.is_match(name)) {
                    pairs.put_copy(Bytes::copy_from_slice(name.as_bytes()), value.as_bytes());
                    self.changes.remove(name);
                }
            }
            ends.push(pairs.end());
            line.stream = streams.changed(&self.changes);
        }
        set_metadata(lines, pairs.finish(), ends);
    }
}

/// Pairs of all lines of a batch, and the texts that are no part of a line: none of them has memory of its own.
struct Pairs {
    pairs: Vec<(Bytes, Text)>,
    copies: Vec<u8>,
    /// Where the pairs of the line begin.
    line: usize,
}

enum Text {
    Part(Bytes),
    Copy(Range<usize>),
}

// === impl Pairs ===

impl Pairs {
    fn new(expected: usize) -> Pairs {
        Pairs { pairs: Vec::with_capacity(expected), copies: Vec::new(), line: 0 }
    }

    /// The next line, and what it has already.
    fn begin(&mut self, before: &Metadata) {
        self.line = self.pairs.len();
        self.pairs.extend(before.pairs().iter().map(|(name, value)| (name.clone(), Text::Part(value.clone()))));
    }

    /// A new value takes the place of an old one of the same name.
    fn put(&mut self, name: Bytes, value: Text) {
        match self.pairs[self.line..].iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.pairs.push((name, value)),
        }
    }

    fn put_copy(&mut self, name: Bytes, value: &[u8]) {
        let start = self.copies.len();
        self.copies.extend_from_slice(value);
        self.put(name, Text::Copy(start..self.copies.len()));
    }

    /// Where the pairs of the line end.
    fn end(&self) -> usize {
        self.pairs.len()
    }

    fn finish(self) -> Vec<(Bytes, Bytes)> {
        let copies = Bytes::from(self.copies);
        let text = |text| match text {
            Text::Part(part) => part,
            Text::Copy(range) => copies.slice(range),
        };
        self.pairs.into_iter().map(|(name, value)| (name, text(value))).collect()
    }
}
