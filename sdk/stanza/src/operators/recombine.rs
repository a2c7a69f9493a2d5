//! `recombine`: several records of one source become one.

use std::collections::HashMap;

use language_eval::ValueError;

use crate::entry::Entry;
use crate::expression::Expression;
use crate::field::Field;
use crate::options::{Options, bytes, duration, field};

/// Joins the records of each source from a first one, or to a last one.
pub(crate) struct Recombine {
    border: Expression,
    /// The border is the first record, not the last.
    first: bool,
    field: Field,
    with: String,
    source: Field,
    newest: bool,
    max_batch: usize,
    max_unmatched: usize,
    max_sources: usize,
    max_bytes: usize,
    /// A batch is flushed when its first record was read so many nanoseconds ago.
    flush_after: i64,
    batches: HashMap<String, Batch>,
    /// Sources in their order, which a map does not keep.
    order: Vec<String>,
}

struct Batch {
    base: Entry,
    /// The oldest reading in it.
    reading: u64,
    count: usize,
    text: String,
    since: i64,
    matched: bool,
}

const FLUSH_AFTER: i64 = 5_000_000_000;

/// Of records whose source is not known.
const NO_SOURCE: &str = "DefaultSourceIdentifier";

/// What no `max_log_size` and no `max_batch_size` bound.
const MAX_BYTES: usize = 64 << 20;

impl Recombine {
    pub(crate) fn read(options: &Options<'_>) -> Result<Recombine, ValueError> {
        let (first, last) = (options.expression("is_first_entry")?, options.expression("is_last_entry")?);
        let (border, first) = match (first, last) {
            (Some(border), None) => (border, true),
            (None, Some(border)) => (border, false),
            _ => return Err(ValueError::new("exactly one of is_first_entry and is_last_entry must be set")),
        };
        let newest = match options.text("overwrite_with")?.as_deref() {
            Some("newest") => true,
            None | Some("" | "oldest") => false,
            Some(other) => {
                let what = format!("{other:?} is neither \"oldest\" nor \"newest\"");
                return Err(ValueError::new(what).at_field("overwrite_with"));
            }
        };
        let flush_after = options.read("force_flush_period", duration)?.unwrap_or(FLUSH_AFTER);
        if flush_after <= 0 {
            return Err(ValueError::new("must be greater than 0").at_field("force_flush_period"));
        }
        Ok(Recombine {
            border,
            first,
            field: options.required("combine_field", field)?,
            with: options.text("combine_with")?.unwrap_or_else(|| "\n".to_owned()),
            source: options.field("source_identifier")?.unwrap_or_else(|| Field::attribute("log.file.path")),
            newest,
            max_batch: options.count("max_batch_size")?.unwrap_or(1000),
            max_unmatched: options.count("max_unmatched_batch_size")?.unwrap_or(100),
            max_sources: options.count("max_sources")?.unwrap_or(1000).max(1),
            max_bytes: options.read("max_log_size", bytes)?.unwrap_or(0),
            flush_after,
            batches: HashMap::new(),
            order: Vec::new(),
        })
    }

    /// Joins the parts of container logs: up to the record with the tag `F`.
    pub(crate) fn of_container(max_bytes: usize) -> Recombine {
        Recombine {
            border: Expression::truth("attributes.logtag == 'F'").expect("an expression of our own"),
            first: false,
            field: Field::body(),
            with: String::new(),
            source: Field::attribute("log.file.path"),
            newest: false,
            max_batch: 0,
            max_unmatched: 0,
            max_sources: 1000,
            max_bytes,
            flush_after: FLUSH_AFTER,
            batches: HashMap::new(),
            order: Vec::new(),
        }
    }

    /// Takes a record, and gives on what is whole.
    pub(crate) fn take(&mut self, entry: Entry, out: &mut Vec<Entry>) -> Result<(), Box<(Entry, String)>> {
        let matches = match self.border.is_true(&entry) {
            Ok(matches) => matches,
            Err(error) => return Err(Box::new((entry, error))),
        };
        let source = self.source.text(&entry).filter(|source| !source.is_empty());
        let source = source.map_or_else(|| NO_SOURCE.to_owned(), std::borrow::Cow::into_owned);
        if matches && self.first {
            self.flush(&source, out);
        }
        self.add(entry, &source, matches, out);
        if matches && !self.first {
            self.flush(&source, out);
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry, source: &str, matches: bool, out: &mut Vec<Entry>) {
        let text = self.field.text(&entry).map(std::borrow::Cow::into_owned);
        if !self.batches.contains_key(source) {
            if self.batches.len() >= self.max_sources {
                tracing::error!(max_sources = self.max_sources, "too many sources: all records that wait are given on");
                self.flush_all(out);
            }
            let (since, reading) = (entry.observed, entry.reading);
            let batch = Batch { base: entry, reading, count: 0, text: String::new(), since, matched: false };
            self.batches.insert(source.to_owned(), batch);
            self.order.push(source.to_owned());
        } else if self.newest
            && let Some(batch) = self.batches.get_mut(source)
        {
            batch.base = entry;
        }
        let batch = self.batches.get_mut(source).expect("it was just put there");
        batch.count += 1;
        batch.matched |= matches;
        match text {
            Some(text) => {
                if !batch.text.is_empty() {
                    batch.text.push_str(&self.with);
                }
                batch.text.push_str(&text);
            }
            None => tracing::error!(field = %self.field, "a record does not contain the combine_field"),
        }
        let max_bytes = if self.max_bytes == 0 { MAX_BYTES } else { self.max_bytes };
        let full = batch.text.len() > max_bytes
            || (self.max_batch > 0 && batch.count >= self.max_batch)
            || (!batch.matched && self.max_unmatched > 0 && batch.count >= self.max_unmatched);
        if full {
            self.flush(source, out);
        }
    }

    fn flush(&mut self, source: &str, out: &mut Vec<Entry>) {
        let Some(mut batch) = self.batches.remove(source) else { return };
        self.order.retain(|known| known != source);
        if let Err(error) = self.field.set(&mut batch.base, batch.text.into()) {
            tracing::error!(%error, "cannot set the combine_field");
        }
        out.push(batch.base);
    }

    /// Gives on what has waited long enough.
    pub(crate) fn flush_due(&mut self, now: i64, out: &mut Vec<Entry>) {
        let due = |source: &&String| now.saturating_sub(self.batches[*source].since) >= self.flush_after;
        let due: Vec<String> = self.order.iter().filter(due).cloned().collect();
        due.iter().for_each(|source| self.flush(source, out));
    }

    /// Gives on everything.
    pub(crate) fn flush_all(&mut self, out: &mut Vec<Entry>) {
        let order = std::mem::take(&mut self.order);
        order.iter().for_each(|source| self.flush(source, out));
    }

    /// The oldest reading of which something is held.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.batches.values().map(|batch| batch.reading).min()
    }

    /// How many records it holds, joined ones counted as one.
    pub(crate) fn held(&self) -> usize {
        self.batches.len()
    }

    /// Forgets what it holds: it will be read again.
    pub(crate) fn forget(&mut self) {
        self.batches.clear();
        self.order.clear();
    }
}
