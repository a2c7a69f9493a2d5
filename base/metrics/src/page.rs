//! One page of exposition text. Families are written in any order and by many writers, each sample straight into one
//! text; [`Page::encode`] then sorts the families by name and gives each one `HELP` and one `TYPE`, however many
//! writers contributed to it. A family that contradicts an earlier one, or a series that is already there, is left out
//! and counted: one bad series never costs the page.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use crate::number::write_go_float;
use crate::text::{is_metric_name, write_escaped_help, write_escaped_label};
use crate::values::Counter;

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
    /// Quantiles.
    Summary,
    /// Not said.
    Untyped,
}

/// What pages had to leave out.
#[derive(Debug, Default)]
pub struct Losses {
    /// Families whose type contradicts an earlier one of the same name, or whose name is not valid.
    pub inconsistent_families: Counter,
    /// Series that were already on the page.
    pub duplicate_series: Counter,
    /// Label sets beyond [`crate::MAX_SERIES_PER_FAMILY`].
    pub too_many_series: Counter,
    /// Collectors that panicked; nothing of theirs is on the page.
    pub panicked_collectors: Counter,
}

/// A page under construction. Keep it and [`Page::clear`] it: the room it grew is used again.
#[derive(Debug, Default)]
pub struct Page {
    /// Names, help texts and samples, one after the other; the blocks say what is where.
    text: String,
    blocks: Vec<Block>,
    /// Hashes of the series of the family at hand, to find doubles.
    seen: HashSet<u64>,
    hasher: RandomState,
}

#[derive(Clone, Debug)]
struct Block {
    name: Range<usize>,
    help: Range<usize>,
    samples: Range<usize>,
    kind: Kind,
}

/// Writes families into a page, with the labels of its scope put on every sample.
#[derive(Debug)]
pub struct FamilyWriter<'a> {
    page: &'a mut Page,
    /// Sorted by name.
    constant: &'a [(String, String)],
}

/// Writes the samples of one family.
#[derive(Debug)]
pub struct Samples<'a> {
    page: &'a mut Page,
    constant: &'a [(String, String)],
    name: Range<usize>,
}

// === impl Page ===

impl Page {
    /// An empty page.
    pub fn new() -> Page {
        Page::default()
    }

    /// Empties the page and keeps its room.
    pub fn clear(&mut self) {
        self.text.clear();
        self.blocks.clear();
    }

    /// A writer without labels of its own.
    pub fn writer(&mut self) -> FamilyWriter<'_> {
        self.writer_with(&[])
    }

    /// A writer that puts `constant` (sorted by name) on every sample.
    pub fn writer_with<'a>(&'a mut self, constant: &'a [(String, String)]) -> FamilyWriter<'a> {
        FamilyWriter { page: self, constant }
    }

    fn push(&mut self, text: &str) -> Range<usize> {
        let from = self.text.len();
        self.text.push_str(text);
        from..self.text.len()
    }

    /// Where the page is now, for [`Page::truncate`].
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.text.len(), self.blocks.len())
    }

    /// Forgets what was written after the mark.
    pub(crate) fn truncate(&mut self, (text, blocks): (usize, usize)) {
        self.text.truncate(text);
        self.blocks.truncate(blocks);
    }

    /// Appends the page to `out`, families sorted by name, and adds what was left out to `losses`.
    pub fn encode(&mut self, out: &mut String, losses: &Losses) {
        let text = self.text.as_str();
        // Stable: within a family, writers keep their order.
        self.blocks.sort_by(|a, b| text[a.name.clone()].cmp(&text[b.name.clone()]));
        out.reserve(text.len());
        for family in self.blocks.chunk_by(|a, b| text[a.name.clone()] == text[b.name.clone()]) {
            let first = &family[0];
            let name = &text[first.name.clone()];
            if family.iter().all(|block| block.samples.is_empty()) {
                continue;
            }
            if !is_metric_name(name) {
                losses.inconsistent_families.add(family.len() as u64);
                continue;
            }
            out.push_str("# HELP ");
            out.push_str(name);
            out.push(' ');
            write_escaped_help(out, &text[first.help.clone()]);
            out.push_str("\n# TYPE ");
            out.push_str(name);
            out.push(' ');
            out.push_str(first.kind.name());
            out.push('\n');
            self.seen.clear();
            for block in family {
                if block.kind != first.kind {
                    losses.inconsistent_families.inc();
                    continue;
                }
                for line in text[block.samples.clone()].split_inclusive('\n') {
                    let series = &line[..series_end(line)];
                    if self.seen.insert(self.hasher.hash_one(series)) {
                        out.push_str(line);
                    } else {
                        losses.duplicate_series.inc();
                    }
                }
            }
        }
    }
}

// === impl FamilyWriter ===

impl<'a> FamilyWriter<'a> {
    /// Begins a family. Its samples follow through what is returned; a family without samples is not shown.
    pub fn family(&mut self, name: &str, help: &str, kind: Kind) -> Samples<'_> {
        let name = self.page.push(name);
        let help = self.page.push(help);
        let at = self.page.text.len();
        self.page.blocks.push(Block { name: name.clone(), help, samples: at..at, kind });
        Samples { page: &mut *self.page, constant: self.constant, name }
    }

    /// A counter with a single sample without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, help, Kind::Counter).sample(&[], value);
    }

    /// A gauge with a single sample without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, help, Kind::Gauge).sample(&[], value);
    }
}

// === impl Samples ===

impl<'a> Samples<'a> {
    /// One sample. Give the labels sorted by name; an empty value is shown as it is.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.line("", labels, None, value)
    }

    /// Puts these labels (sorted by name) on the samples that follow, instead of those of the writer.
    pub fn with(&mut self, constant: &'a [(String, String)]) -> &mut Self {
        self.constant = constant;
        self
    }

    /// One sample of a moment, in milliseconds since 1970. Give the labels sorted by name.
    pub fn sample_at(&mut self, labels: &[(&str, &str)], value: f64, at: i64) -> &mut Self {
        self.line("", labels, None, value);
        self.page.text.pop();
        let _ = writeln!(self.page.text, " {at}");
        self.close();
        self
    }

    /// One sample of a series whose whole text, name and labels, another page had already. The scope's labels are not
    /// put on it.
    pub fn as_written(&mut self, series: &str, value: f64) -> &mut Self {
        self.page.text.push_str(series.trim());
        self.end(value);
        self
    }

    /// One histogram: cumulative `buckets` (upper bound, count up to it), +Inf is added from `count`.
    pub fn histogram(&mut self, labels: &[(&str, &str)], buckets: &[(f64, u64)], sum: f64, count: u64) -> &mut Self {
        for (bound, below) in buckets.iter().filter(|(bound, _)| *bound < f64::INFINITY) {
            self.line("_bucket", labels, Some(("le", *bound)), *below as f64);
        }
        self.line("_bucket", labels, Some(("le", f64::INFINITY)), count as f64);
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count as f64)
    }

    /// One summary: `quantiles` are (quantile, value).
    pub fn summary(&mut self, labels: &[(&str, &str)], quantiles: &[(f64, f64)], sum: f64, count: u64) -> &mut Self {
        for (quantile, value) in quantiles {
            self.line("", labels, Some(("quantile", *quantile)), *value);
        }
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count as f64)
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], last: Option<(&str, f64)>, value: f64) -> &mut Self {
        self.begin(suffix);
        let text = &mut self.page.text;
        let mut separator = '{';
        let mut label = |text: &mut String, name: &str, value: &str| {
            text.push(separator);
            separator = ',';
            text.push_str(name);
            text.push_str("=\"");
            write_escaped_label(text, value);
            text.push('"');
        };
        let mut constant = self.constant.iter().peekable();
        for (name, value) in labels {
            while let Some((constant_name, constant_value)) = constant.next_if(|(before, _)| before.as_str() < *name) {
                label(text, constant_name, constant_value);
            }
            label(text, name, value);
        }
        for (name, value) in constant {
            label(text, name, value);
        }
        if let Some((name, number)) = last {
            label(text, name, &crate::go_float(number));
        }
        if separator == ',' {
            text.push('}');
        }
        self.end(value);
        self
    }

    /// A sample whose labels are rendered already, constant ones included.
    pub(crate) fn rendered(&mut self, suffix: &str, rendered_labels: &str, value: f64) {
        self.begin(suffix);
        if !rendered_labels.is_empty() {
            self.page.text.push('{');
            self.page.text.push_str(rendered_labels);
            self.page.text.push('}');
        }
        self.end(value);
    }

    /// A bucket of a histogram whose labels are rendered already.
    pub(crate) fn bucket(&mut self, rendered_labels: &str, bound: f64, count: u64) {
        self.begin("_bucket");
        self.page.text.push('{');
        if !rendered_labels.is_empty() {
            self.page.text.push_str(rendered_labels);
            self.page.text.push(',');
        }
        self.page.text.push_str("le=\"");
        write_go_float(&mut self.page.text, bound);
        self.page.text.push_str("\"}");
        self.end(count as f64);
    }

    fn begin(&mut self, suffix: &str) {
        self.page.text.extend_from_within(self.name.clone());
        self.page.text.push_str(suffix);
    }

    fn end(&mut self, value: f64) {
        self.page.text.push(' ');
        write_go_float(&mut self.page.text, value);
        self.page.text.push('\n');
        self.close();
    }

    /// What is written belongs to the family at hand.
    fn close(&mut self) {
        let end = self.page.text.len();
        self.page.blocks.last_mut().expect("a family begins with a block").samples.end = end;
    }
}

/// Where the name and the labels of a sample end: what follows is its value, and its moment if it has one.
fn series_end(line: &str) -> usize {
    line.rfind('}').map(|brace| brace + 1).or_else(|| line.find(' ')).unwrap_or(line.len())
}

// === impl Kind ===

impl Kind {
    /// The word of the `TYPE` line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
            Kind::Untyped => "untyped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &mut Page) -> (String, Losses) {
        let (mut out, losses) = (String::new(), Losses::default());
        page.encode(&mut out, &losses);
        (out, losses)
    }

    #[test]
    fn families_are_sorted_and_merged_under_one_heading() {
        let mut page = Page::new();
        let constant = [("component_id".to_owned(), "a".to_owned()), ("zone".to_owned(), "z".to_owned())];
        page.writer().gauge("up_b", "Two\nlines \\.", 1e6);
        let mut writer = page.writer_with(&constant);
        writer.family("up_a", "First.", Kind::Counter).sample(&[("host", "h\"1")], 1.0).sample(&[], 2.5);
        writer.family("up_empty", "Never shown.", Kind::Counter);
        page.writer().family("up_a", "First.", Kind::Counter).sample(&[("host", "h2")], 3.0);
        assert_eq!(
            text(&mut page).0,
            r#"# HELP up_a First.
# TYPE up_a counter
up_a{component_id="a",host="h\"1",zone="z"} 1
up_a{component_id="a",zone="z"} 2.5
up_a{host="h2"} 3
# HELP up_b Two\nlines \\.
# TYPE up_b gauge
up_b 1e+06
"#
        );
    }

    #[test]
    fn what_contradicts_is_left_out_and_counted_and_the_rest_stays() {
        let mut page = Page::new();
        page.writer().gauge("a", "", 1.0);
        page.writer().gauge("a", "", 2.0);
        page.writer().family("a", "", Kind::Counter).sample(&[("x", "y")], 3.0);
        page.writer().gauge("no-name", "", 4.0);
        page.writer().gauge("z", "", 5.0);
        let (out, losses) = text(&mut page);
        assert_eq!(out, "# HELP a \n# TYPE a gauge\na 1\n# HELP z \n# TYPE z gauge\nz 5\n");
        assert_eq!(losses.duplicate_series.get(), 1.0);
        assert_eq!(losses.inconsistent_families.get(), 2.0);
    }

    #[test]
    fn histograms_and_summaries_write_all_their_series() {
        let mut page = Page::new();
        page.writer().family("h", "H.", Kind::Histogram).histogram(&[("a", "b")], &[(0.5, 1), (1e6, 2)], 7.5, 3);
        page.writer().family("s", "S.", Kind::Summary).summary(&[], &[(0.99, 4.0)], 5.0, 6);
        assert_eq!(
            text(&mut page).0,
            r#"# HELP h H.
# TYPE h histogram
h_bucket{a="b",le="0.5"} 1
h_bucket{a="b",le="1e+06"} 2
h_bucket{a="b",le="+Inf"} 3
h_sum{a="b"} 7.5
h_count{a="b"} 3
# HELP s S.
# TYPE s summary
s{quantile="0.99"} 4
s_sum 5
s_count 6
"#
        );
    }

    #[test]
    fn samples_of_a_moment_carry_it_and_a_series_is_there_once_whatever_its_moment() {
        let mut page = Page::new();
        let constant = [("id".to_owned(), "/a} 1".to_owned())];
        let mut writer = page.writer();
        let mut family = writer.family("a", "", Kind::Gauge);
        family.with(&constant).sample_at(&[("cpu", "1")], 2.0, 1_700_000_000_000).sample_at(&[("cpu", "1")], 3.0, 5);
        family.with(&[]).sample_at(&[], 4.0, -5);
        let (out, losses) = text(&mut page);
        assert_eq!(out, "# HELP a \n# TYPE a gauge\na{cpu=\"1\",id=\"/a} 1\"} 2 1700000000000\na 4 -5\n");
        assert_eq!(losses.duplicate_series.get(), 1.0);
    }

    #[test]
    fn a_label_value_that_ends_like_a_sample_is_not_taken_for_a_duplicate() {
        let mut page = Page::new();
        page.writer().family("a", "", Kind::Gauge).sample(&[("x", "1 2")], 1.0).sample(&[("x", "1 3")], 1.0);
        assert_eq!(text(&mut page).1.duplicate_series.get(), 0.0);
    }
}
