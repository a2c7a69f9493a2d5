//! Lists of series that come again and again, made ready to be sent (see [`Form`]).
//!
//! A list that has come a few times will come again; one that changes with every scrape costs nothing here.

use std::sync::Arc;

use sdk_protocols_remote_write::Form;
use sdk_series::Series;
use sdk_signals::{SampleBatch, Times};

use crate::lists::Lists;

/// A list has a form from the time on that it comes for this time.
const KNOWN: u32 = 3;
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
    /// Of [`ROWS`] rows each, from the first on; None for such as are not fit for it.
    forms: Vec<Option<Arc<Form>>>,
}

// === impl Forms ===

impl Forms {
    pub(crate) fn new() -> Forms {
        Forms { lists: Lists::new(), bytes: 0 }
    }

    /// The forms of a batch's list, as far as there are any.
    pub(crate) fn of(&mut self, batch: &SampleBatch) -> FormsOf {
        if !matches!(batch.times, Times::One(_)) || batch.series.len() != batch.values.len() {
            return FormsOf::default();
        }
        if self.lists.sweep() {
            self.count();
        }
        let known = self.lists.of(&batch.series, Known::default);
        known.times = known.times.saturating_add(1);
        if known.times >= KNOWN && self.bytes < MOST_BYTES {
            // One each time: a long list may take a while.
            let rows = (known.forms.len() * ROWS).min(batch.len())..batch.len().min((known.forms.len() + 1) * ROWS);
            if !rows.is_empty() {
                let form = form_of(&batch.series[rows.clone()], &batch.values[rows]);
                self.bytes += form.as_ref().map_or(0, Form::bytes);
                known.forms.push(form.map(Arc::new));
            }
        }
        FormsOf(known.forms.clone())
    }

    fn count(&mut self) {
        self.bytes = self.lists.all().flat_map(|known| &known.forms).flatten().map(|form| form.bytes()).sum();
    }
}

fn form_of(series: &[Series], values: &[f64]) -> Option<Form> {
    let bytes: usize = series.iter().map(|series| series.as_remote_write().len()).sum();
    if bytes < LEAST_BYTES {
        return None;
    }
    Form::of(series.iter().map(Series::as_remote_write), values)
}

/// Those of one batch.
#[derive(Default)]
pub(crate) struct FormsOf(Vec<Option<Arc<Form>>>);

// === impl FormsOf ===

impl FormsOf {
    /// The form that a row stands in, the row that is its first, and how many rows of it are left from this one on: one at
    /// least.
    pub(crate) fn at(&self, row: usize) -> Option<(&Form, usize, usize)> {
        let number = row / ROWS;
        let form = self.0.get(number)?.as_ref()?;
        let start = number * ROWS;
        let left = (start + form.len()).checked_sub(row).filter(|left| *left > 0)?;
        Some((form, start, left))
    }
}

#[cfg(test)]
mod tests {
    use sdk_labels::Labels;
    use sdk_signals::Samples;

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

    #[test]
    fn a_list_that_comes_again_gets_its_forms_one_by_one() {
        let mut forms = Forms::new();
        let long = batch(&list(ROWS + 800, "a"));
        for _ in 1..KNOWN {
            assert!(forms.of(&long).at(0).is_none());
        }
        let left = |forms: &FormsOf, row| forms.at(row).map(|(_, start, left)| (start, left));
        let first = forms.of(&long);
        assert_eq!(
            (left(&first, 0), left(&first, 5), left(&first, ROWS)),
            (Some((0, ROWS)), Some((0, ROWS - 5)), None)
        );
        let both = forms.of(&long);
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
            assert!(forms.of(&short).at(0).is_none());
        }
        for number in 0..40 {
            let gone = batch(&list(1000, &format!("gone {number}")));
            for _ in 0..KNOWN {
                forms.of(&gone);
            }
        }
        // Those that are still counted are fewer than would be without.
        assert!((0..600_000).contains(&forms.bytes), "{}", forms.bytes);
    }
}
