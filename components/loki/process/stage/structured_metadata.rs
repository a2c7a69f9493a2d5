//! `stage.structured_metadata`: extracted values and labels become structured metadata.

use std::collections::BTreeMap;

use base_re2::Regex;
use bytes::Bytes;
use language_eval::Block;
use sdk_component::Problem;
use sdk_signals::Metadata;

use super::label_names;
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Changes;
use crate::process::work::Work;

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
        for line in lines {
            let mut pairs: Vec<(Bytes, Bytes)> = Vec::with_capacity(self.values.len());
            let mut put = |name: Bytes, value: Bytes| match pairs.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => pairs.push((name, value)),
            };
            for (name, _, slot) in &self.values {
                if let Some(text) = store.shared(line, *slot, streams, &mut number) {
                    put(name.clone(), text);
                }
            }
            if let Some(regex) = &self.regex {
                for (name, seen) in store.everything(line, streams) {
                    if regex.is_match(name)
                        && let Some(text) = seen.text(&mut number).filter(|text| std::str::from_utf8(text).is_ok())
                    {
                        put(Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(text));
                    }
                }
            }
            self.changes.begin(line.stream);
            let labels = streams.labels(line.stream);
            for (name, source, _) in &self.values {
                if let Some(value) = labels.get(source) {
                    put(name.clone(), Bytes::copy_from_slice(value.as_bytes()));
                    self.changes.remove(source);
                }
            }
            if let Some(regex) = &self.regex {
                for (name, value) in labels.iter().filter(|(name, _)| regex.is_match(name)) {
                    put(Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
                    self.changes.remove(name);
                }
            }
            if pairs.is_empty() {
                continue;
            }
            line.stream = streams.changed(&self.changes);
            line.metadata = merged(&line.metadata, pairs);
        }
    }
}

/// New values take the place of old ones of the same name.
fn merged(old: &Metadata, mut new: Vec<(Bytes, Bytes)>) -> Metadata {
    if old.is_empty() {
        return new.into_iter().collect();
    }
    let mut pairs = Vec::with_capacity(old.pairs().len() + new.len());
    for (name, value) in old.pairs() {
        let replaced = new.iter().position(|(known, _)| known == name);
        pairs.push((name.clone(), replaced.map_or_else(|| value.clone(), |at| new.remove(at).1)));
    }
    pairs.extend(new);
    pairs.into_iter().collect()
}
