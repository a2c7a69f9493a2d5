//! Lists of series that come again and again, made ready to be sent (see [`Form`] and [`SymbolForm`]).
//!
//! A list that has come a few times will come again; one that changes with every scrape costs nothing here.

use std::ops::Range;
use std::sync::{Arc, Weak};

use sdk_protocols_remote_write::{Form, SymbolForm};
use sdk_series::Series;
use sdk_signals::{MetricMetadata, SampleBatch, Times};

use super::request::Known as KnownAbouts;
use crate::lists::Lists;

/// A list has a form from the time on that it comes for this time.
const KNOWN: u32 = 3;
/// And eight times as often each time that what is known of its series has changed, which so much is made of at most.
const CHANGED: u32 = 3;
const MOST_CHANGES: u32 = 4;
/// Rows of a form: what has to be made at once takes some milliseconds.
const ROWS: usize = 2048;
/// A shorter text gets smaller together with others, which come after it.
const LEAST_BYTES: usize = 16 << 10;
/// Forms are made until they take so much; then lists of more series are sent without.
const MOST_BYTES: usize = 64 << 20;

pub(crate) struct Forms {
    lists: Lists<Known>,
    /// Of all forms.
    bytes: usize,
}

/// What was made of a list.
#[derive(Default)]
struct Known {
    /// How often it has come.
    times: u32,
    /// For version 1, of [`ROWS`] rows each, from the first on; None for such as are not fit for it.
    forms: Vec<Option<Arc<Form>>>,
    /// For version 2, with what was known of the series.
    symbols: Option<(Weak<[MetricMetadata]>, Arc<SymbolForm>)>,
    /// How often something else was known later.
    changes: u32,
}

/// A form that is to be made.
pub(crate) struct Wanted {
    list: Arc<[Series]>,
    rows: Range<usize>,
    /// An example.
    values: Vec<f64>,
    /// Which of the list's.
    number: usize,
}

// === impl Forms ===

impl Forms {
    pub(crate) fn new() -> Forms {
        Forms { lists: Lists::new(), bytes: 0 }
    }

    /// The forms of a batch's list for version 1, as far as there are any; and one that is to be made, which takes a while.
    pub(crate) fn of(&mut self, batch: &SampleBatch) -> (FormsOf, Option<Wanted>) {
        if !matches!(batch.times, Times::One(_)) || batch.series.len() != batch.values.len() {
            return Default::default();
        }
        let may_grow = self.sweep();
        let known = self.lists.of(&batch.series, Known::default);
        known.times = known.times.saturating_add(1);
        let mut wanted = None;
        if known.times >= KNOWN && may_grow {
            // One each time: a long list may take a while.
            let number = known.forms.len();
            let rows = (number * ROWS).min(batch.len())..batch.len().min((number + 1) * ROWS);
            wanted = (!rows.is_empty()).then(|| {
                let (list, values) = (batch.series.clone(), batch.values[rows.clone()].to_vec());
                Wanted { list, rows, values, number }
            });
        }
        (FormsOf { forms: known.forms.clone(), symbols: None }, wanted)
    }

    /// A form that was wanted is made; another batch of the list may have been quicker.
    pub(crate) fn made(&mut self, wanted: &Wanted, form: Option<Form>) {
        let known = self.lists.of(&wanted.list, Known::default);
        if known.forms.len() == wanted.number {
            self.bytes += form.as_ref().map_or(0, Form::bytes);
            known.forms.push(form.map(Arc::new));
        }
    }

    /// The form of a batch's list for version 2, if there is one. To make it costs what it costs to send the list without.
    pub(crate) fn symbols_of(&mut self, batch: &SampleBatch, abouts: &KnownAbouts<'_>) -> FormsOf {
        let may_grow = self.sweep();
        let known = self.lists.of(&batch.series, Known::default);
        known.times = known.times.saturating_add(1);
        if let Some((metadata, form)) = &known.symbols {
            if std::ptr::addr_eq(metadata.as_ptr(), Arc::as_ptr(&batch.metadata)) {
                return FormsOf { forms: Vec::new(), symbols: Some(form.clone()) };
            }
            self.bytes -= form.bytes().min(self.bytes);
            (known.symbols, known.times) = (None, 1);
            known.changes = (known.changes + 1).min(MOST_CHANGES);
        }
        // Where it changes again and again, a form is made ever more seldom.
        if known.times >= KNOWN << (CHANGED * known.changes) && may_grow {
            let series = batch.series.iter().map(|series| (series.labels().iter(), abouts.about(series)));
            known.symbols = SymbolForm::of(series).map(|form| (Arc::downgrade(&batch.metadata), Arc::new(form)));
            self.bytes += known.symbols.as_ref().map_or(0, |(_, form)| form.bytes());
        }
        FormsOf { forms: Vec::new(), symbols: known.symbols.as_ref().map(|(_, form)| form.clone()) }
    }

    /// Forgets lists that are gone; whether there is room for more forms.
    fn sweep(&mut self) -> bool {
        if self.lists.sweep() {
            self.bytes = self.lists.all().map(Known::bytes).sum();
        }
        self.bytes < MOST_BYTES
    }
}

// === impl Known ===

impl Known {
    fn bytes(&self) -> usize {
        let symbols = self.symbols.as_ref().map_or(0, |(_, form)| form.bytes());
        symbols + self.forms.iter().flatten().map(|form| form.bytes()).sum::<usize>()
    }
}

// === impl Wanted ===

impl Wanted {
    /// None if these series are not fit for a form.
    pub(crate) fn make(&self) -> Option<Form> {
        let series = &self.list[self.rows.clone()];
        let bytes: usize = series.iter().map(|series| series.as_remote_write().len()).sum();
        if bytes < LEAST_BYTES {
            return None;
        }
        Form::of(series.iter().map(Series::as_remote_write), &self.values)
    }
}

/// Those of one batch.
#[derive(Default)]
pub(crate) struct FormsOf {
    forms: Vec<Option<Arc<Form>>>,
    symbols: Option<Arc<SymbolForm>>,
}

// === impl FormsOf ===

impl FormsOf {
    /// For version 2, the form of all rows.
    pub(crate) fn symbols(&self) -> Option<&SymbolForm> {
        self.symbols.as_deref()
    }

    /// The form that a row stands in, the row that is its first, and how many rows of it are left from this one on: one at
    /// least.
    pub(crate) fn at(&self, row: usize) -> Option<(&Form, usize, usize)> {
        let number = row / ROWS;
        let form = self.forms.get(number)?.as_ref()?;
        let start = number * ROWS;
        let left = (start + form.len()).checked_sub(row).filter(|left| *left > 0)?;
        Some((form, start, left))
    }
}

#[cfg(test)]
mod tests {
    use sdk_labels::Labels;
    use sdk_signals::{About, Samples};

    use super::*;

    fn list(count: usize, host: &str) -> Arc<[Series]> {
        let series = |number: usize| {
            Series::of(&Labels::from_pairs([
                ("__name__", "some_total"),
                ("host", host),
                ("number", &number.to_string()),
            ]))
        };
        (0..count).map(series).collect()
    }

    fn batch(list: &Arc<[Series]>) -> SampleBatch {
        let (series, times, values) = (list.clone(), Times::One(7), vec![1.0; list.len()]);
        SampleBatch::new(Samples { series, times, values, ..Samples::default() })
    }

    /// What there is for a batch; then what is wanted is made.
    fn of(forms: &mut Forms, batch: &SampleBatch) -> FormsOf {
        let (found, wanted) = forms.of(batch);
        if let Some(wanted) = wanted {
            forms.made(&wanted, wanted.make());
            let bytes = forms.bytes;
            forms.made(&wanted, wanted.make());
            assert_eq!(forms.bytes, bytes, "who comes too late changes nothing");
        }
        found
    }

    #[test]
    fn a_list_that_comes_again_gets_its_forms_one_by_one() {
        let mut forms = Forms::new();
        let long = batch(&list(ROWS + 800, "a"));
        for _ in 0..KNOWN {
            assert!(of(&mut forms, &long).at(0).is_none());
        }
        let left = |forms: &FormsOf, row| forms.at(row).map(|(_, start, left)| (start, left));
        let first = of(&mut forms, &long);
        assert_eq!(
            (left(&first, 0), left(&first, 5), left(&first, ROWS)),
            (Some((0, ROWS)), Some((0, ROWS - 5)), None)
        );
        let both = of(&mut forms, &long);
        assert_eq!(left(&both, ROWS + 1), Some((ROWS, 799)));
        assert_eq!(left(&both, ROWS + 799), Some((ROWS, 1)));
        assert!([ROWS + 800, ROWS + 801, 2 * ROWS].into_iter().all(|row| left(&both, row).is_none()), "none is left");
        assert!(forms.bytes > 0);
    }

    #[test]
    fn a_list_that_is_short_gets_none_and_one_that_is_gone_is_forgotten() {
        let mut forms = Forms::new();
        let short = batch(&list(3, "short"));
        for _ in 0..KNOWN + 2 {
            assert!(of(&mut forms, &short).at(0).is_none());
        }
        for number in 0..40 {
            let gone = batch(&list(1000, &format!("gone {number}")));
            for _ in 0..KNOWN {
                of(&mut forms, &gone);
            }
        }
        // Those that are still counted are fewer than would be without.
        assert!((0..600_000).contains(&forms.bytes), "{}", forms.bytes);
    }

    #[test]
    fn a_list_has_symbols_as_long_as_the_same_is_known_of_it() {
        let mut forms = Forms::new();
        let list = list(7, "a");
        let with = |metadata: &Arc<[MetricMetadata]>| {
            let (series, values, metadata) = (list.clone(), vec![1.0; 7], metadata.clone());
            SampleBatch::new(Samples { series, values, metadata, ..Samples::default() })
        };
        let known = |forms: &mut Forms, batch: &SampleBatch| {
            let found = forms.symbols_of(batch, &KnownAbouts::of(batch));
            found.symbols().map(|form| (form.len(), form.has_about(0), form.has_about(1)))
        };
        let about = Arc::new(About { kind: "counter".into(), ..About::default() });
        let nothing = with(&Arc::default());
        let something = with(&Arc::from([MetricMetadata { series: list[0].clone(), about }]));
        for (batch, is_told, needed) in [(&nothing, false, KNOWN), (&something, true, KNOWN << CHANGED)] {
            for _ in 1..needed {
                assert_eq!(known(&mut forms, batch), None);
            }
            for _ in 0..3 {
                assert_eq!(known(&mut forms, batch), Some((7, is_told, false)));
            }
        }
        assert_eq!(forms.bytes, forms.lists.all().map(Known::bytes).sum::<usize>());
    }
}
