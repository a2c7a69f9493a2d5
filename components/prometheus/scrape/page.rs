//! From a page to samples, knowing the page before.
//!
//! A target's page has the same series in the same order nearly every time. So each line is compared with the line that
//! stood there before, and a page without a change costs no look-up, no label, and no reference: its samples share the
//! list of series with the scrape before. When a line differs, it is looked up among the old lines by its text; what is
//! not there either is new, and only then its labels are read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use sdk_labels::{Labels, LabelsBuilder, METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use sdk_protocols_exposition::{Entry, Format, Kind, Parser, Sample, exemplar_labels, labels};
use sdk_series::Series;
use sdk_signals::{Exemplar, STALE, Samples, Times};

/// A sample this far ahead of us is not believed, in milliseconds.
const MOST_AHEAD: i64 = 10 * 60 * 1000;
/// Prometheus' limit for the labels of an exemplar, in characters.
const EXEMPLAR_LABELS: usize = 128;

/// What samples of a target become.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) target: Labels,
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    pub(crate) track_timestamps: bool,
    pub(crate) utf8_names: bool,
    /// 0 means no limit, here and below.
    pub(crate) sample_limit: u64,
    pub(crate) label_limit: u64,
    pub(crate) label_name_length_limit: u64,
    pub(crate) label_value_length_limit: u64,
}

/// The memory of one target's page.
pub(crate) struct Page {
    /// The texts of all series, one behind the other.
    texts: Vec<u8>,
    lines: Vec<Line>,
    /// The series of the rows, then those of the report.
    rows: Arc<[Series]>,
    /// By row: whether the end of the series is told. Report series are not in it.
    tracked: Vec<bool>,
    /// Whether the rows have a value that counts: after a failed scrape they are marked as ended, and remembered.
    alive: bool,
    report: Vec<Series>,
}

/// A line with a value.
#[derive(Clone, Copy)]
struct Line {
    start: u32,
    length: u32,
    /// `NOT_KEPT` for a series that stands twice in the page.
    row: u32,
    /// Has a time of its own.
    timed: bool,
}

const NOT_KEPT: u32 = u32::MAX;

/// What a scrape gave.
#[derive(Debug, Default)]
pub(crate) struct Scraped {
    /// Its samples, the report's not yet among the values.
    pub(crate) samples: Samples,
    /// Lines with a value.
    pub(crate) scraped: u64,
    /// Series that were not in the page before.
    pub(crate) added: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_bounds: u64,
    pub(crate) bad_exemplars: u64,
}

/// Why a page is not taken.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) limit: Option<Limit>,
    /// What was counted before, for the report.
    pub(crate) scraped: u64,
    pub(crate) kept: u64,
    pub(crate) added: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    Samples,
    Labels,
}

/// A page under way that differs from the one before.
struct Rewritten {
    texts: Vec<u8>,
    lines: Vec<Line>,
    rows: Vec<Series>,
    tracked: Vec<bool>,
    /// What stands in this page already.
    seen: HashSet<Series>,
}

impl Page {
    /// Nothing is known yet. `report` are the names of the series about the scrape itself.
    pub(crate) fn new(target: &Labels, report: &[&str]) -> Page {
        let series = |name: &&str| {
            let mut builder = LabelsBuilder::default();
            builder.set(METRIC_NAME, name);
            let exposed: Vec<_> = vec![(METRIC_NAME.to_owned(), (*name).to_owned())];
            add_target_labels(&mut builder, &exposed, target);
            Series::of(&builder.labels())
        };
        let report: Vec<Series> = report.iter().map(series).collect();
        Page {
            texts: Vec::new(),
            lines: Vec::new(),
            rows: report.clone().into(),
            tracked: Vec::new(),
            alive: false,
            report,
        }
    }

    /// Other rules hold from now on: the texts say nothing any more, but the series live on until the next page.
    pub(crate) fn forget_texts(&mut self) {
        self.texts = Vec::new();
        self.lines = Vec::new();
    }

    /// Reads a page. On a failure nothing has changed.
    pub(crate) fn read(&mut self, page: &[u8], format: Format, rules: &Rules, now: i64) -> Result<Scraped, Failure> {
        if page.is_empty() {
            // Nothing at all is more likely a target in trouble than one without series: remember them.
            return Ok(Scraped { samples: self.ended(now), ..Scraped::default() });
        }
        let mut scraped = Scraped::default();
        let mut values = Vec::with_capacity(self.tracked.len() + self.report.len() + 1);
        // Only when a line has a time of its own.
        let mut times: Option<Vec<i64>> = None;
        let mut rewritten: Option<Rewritten> = None;
        let mut by_text: Option<HashMap<&[u8], usize, RandomState>> = None;
        let mut exemplars = Vec::new();
        let mut expected = 0;
        let mut parser = Parser::new(page, format);
        loop {
            let hint = self.lines.get(expected).map_or(&b""[..], |line| self.text(line));
            let sample = match parser.next_like(hint) {
                None => break,
                Some(Ok(Entry::Sample(sample))) => sample,
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(failure(error.to_string(), None, &scraped, 0)),
            };
            scraped.scraped += 1;
            let timestamp = sample.timestamp.filter(|_| rules.honor_timestamps);
            let tracked = timestamp.is_none() || rules.track_timestamps;
            let dropped = timestamp.is_some_and(|timestamp| timestamp > now + MOST_AHEAD);
            scraped.out_of_bounds += u64::from(dropped);

            let row = match &mut rewritten {
                None => {
                    let same = !hint.is_empty() && sample.series == hint && !dropped;
                    let line = self.lines.get(expected).filter(|line| same && line.timed == timestamp.is_some());
                    expected += usize::from(line.is_some());
                    line.map(|line| line.row)
                }
                Some(_) => None,
            };
            let row = match row {
                Some(row) => row,
                None => {
                    let rewritten = rewritten.get_or_insert_with(|| self.rewrite(expected));
                    let by_text = by_text.get_or_insert_with(|| self.by_text());
                    let known = if sample.series == hint && !hint.is_empty() {
                        Some(expected)
                    } else {
                        by_text.get(sample.series).copied()
                    };
                    if let Some(known) = known {
                        expected = known + 1;
                    }
                    let known = known.and_then(|line| self.lines.get(line)).filter(|line| line.row != NOT_KEPT);
                    if std::str::from_utf8(sample.series).is_err() {
                        // Prometheus' parser sees it before the sample counts.
                        scraped.scraped -= 1;
                        let text = String::from_utf8_lossy(sample.series);
                        return Err(failure(format!("invalid UTF-8 in series {text}"), None, &scraped, 0));
                    }
                    let series = match known {
                        Some(line) => self.rows[line.row as usize].clone(),
                        None => series_of(&sample, parser.kind(), rules)
                            .map_err(|(reason, limit)| failure(reason, limit, &scraped, 1))?,
                    };
                    let is_new = !by_text.contains_key(sample.series);
                    let (row, first) = rewritten.push(sample.series, series, tracked, timestamp.is_some(), dropped);
                    scraped.added += u64::from(is_new && first && !dropped);
                    row
                }
            };
            if row == NOT_KEPT {
                scraped.duplicates += u64::from(!dropped);
                continue;
            }
            if let (Some(exemplar), rows) = (sample.exemplar, rewritten.as_ref().map_or(&*self.rows, |new| &new.rows)) {
                match read_exemplar(exemplar, &rows[row as usize], timestamp.unwrap_or(now)) {
                    Some(exemplar) => exemplars.push(exemplar),
                    None => scraped.bad_exemplars += 1,
                }
            }
            values.push(sample.value);
            match (&mut times, timestamp) {
                (None, None) => {}
                (None, Some(timestamp)) => {
                    let mut all = vec![now; values.len() - 1];
                    all.push(timestamp);
                    times = Some(all);
                }
                (Some(times), timestamp) => times.push(timestamp.unwrap_or(now)),
            }
        }
        if rules.sample_limit > 0 && values.len() as u64 > rules.sample_limit {
            scraped.added = scraped.added.min(rules.sample_limit);
            return Err(failure("sample limit exceeded".to_owned(), Some(Limit::Samples), &scraped, 0));
        }

        // A shorter page differs, too.
        if rewritten.is_none() && expected < self.lines.len() {
            rewritten = Some(self.rewrite(expected));
        }
        let was_alive = std::mem::replace(&mut self.alive, true);
        let series = match rewritten {
            None => self.rows.clone(),
            Some(new) => {
                let ended: Vec<Series> =
                    self.tracked_rows().filter(|series| was_alive && !new.seen.contains(series)).collect();
                let new_rows = new.rows.iter().chain(&self.report).cloned().collect();
                let with_ended: Option<Arc<[Series]>> =
                    (!ended.is_empty()).then(|| new.rows.iter().chain(&ended).chain(&self.report).cloned().collect());
                values.extend(ended.iter().map(|_| STALE));
                if let Some(times) = &mut times {
                    times.resize(values.len(), now);
                }
                self.texts = new.texts;
                self.lines = new.lines;
                self.rows = new_rows;
                self.tracked = new.tracked;
                with_ended.unwrap_or_else(|| self.rows.clone())
            }
        };
        if let Some(times) = &mut times {
            times.resize(series.len(), now);
        }
        let times = times.map_or(Times::One(now), Times::Each);
        scraped.samples = Samples { series, times, values, exemplars, ..Samples::default() };
        Ok(scraped)
    }

    /// The scrape failed: every series that was alive has ended.
    pub(crate) fn ended(&mut self, now: i64) -> Samples {
        let ended: Vec<Series> =
            if std::mem::take(&mut self.alive) { self.tracked_rows().collect() } else { Vec::new() };
        let values = vec![STALE; ended.len()];
        let series = ended.into_iter().chain(self.report.iter().cloned()).collect();
        Samples { series, times: Times::One(now), values, ..Samples::default() }
    }

    /// How many series of the page are alive.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    fn tracked_rows(&self) -> impl Iterator<Item = Series> {
        self.rows.iter().zip(&self.tracked).filter(|(_, tracked)| **tracked).map(|(series, _)| series.clone())
    }

    fn text(&self, line: &Line) -> &[u8] {
        &self.texts[line.start as usize..(line.start + line.length) as usize]
    }

    fn by_text(&self) -> HashMap<&[u8], usize, RandomState> {
        // Of a series that stands twice the first line counts.
        self.lines.iter().enumerate().rev().map(|(at, line)| (self.text(line), at)).collect()
    }

    /// A new page that begins with the first `same` lines of this one.
    fn rewrite(&self, same: usize) -> Rewritten {
        let lines = &self.lines[..same];
        let end = lines.last().map_or(0, |line| line.start + line.length) as usize;
        let rows = lines.iter().filter(|line| line.row != NOT_KEPT).count();
        Rewritten {
            texts: self.texts[..end].to_vec(),
            lines: lines.to_vec(),
            rows: self.rows[..rows].to_vec(),
            tracked: self.tracked[..rows].to_vec(),
            seen: self.rows[..rows].iter().cloned().collect(),
        }
    }
}

impl Rewritten {
    /// One more line: its row, and whether its series stands in the page for the first time.
    fn push(&mut self, text: &[u8], series: Series, tracked: bool, timed: bool, dropped: bool) -> (u32, bool) {
        let start = self.texts.len() as u32;
        self.texts.extend_from_slice(text);
        let first = self.seen.insert(series.clone());
        let row = if dropped || (!timed && !first) {
            NOT_KEPT
        } else {
            self.rows.push(series);
            self.tracked.push(tracked);
            self.rows.len() as u32 - 1
        };
        self.lines.push(Line { start, length: text.len() as u32, row, timed });
        (row, first)
    }
}

/// `bad` lines were counted already, but not kept.
fn failure(reason: String, limit: Option<Limit>, scraped: &Scraped, bad: u64) -> Failure {
    let Scraped { scraped, added, .. } = *scraped;
    Failure { reason, limit, scraped, kept: scraped - bad, added }
}

fn series_of(sample: &Sample<'_>, kind: Kind, rules: &Rules) -> Result<Series, (String, Option<Limit>)> {
    let shown = || String::from_utf8_lossy(sample.series).into_owned();
    let mut exposed: Vec<(String, String)> = Vec::new();
    labels(sample.series, kind, &mut |name, value| exposed.push((name.into_owned(), value.into_owned())))
        .ok_or_else(|| (format!("series {} cannot be read", shown()), None))?;
    let mut builder = LabelsBuilder::default();
    for (i, (name, value)) in exposed.iter().enumerate() {
        if exposed[..i].iter().any(|(other, _)| other == name) {
            return Err((format!("label name {name:?} is not unique in series {}", shown()), None));
        }
        builder.set(name, value);
    }
    if rules.honor_labels {
        for (name, value) in &rules.target {
            // An empty label of the page counts: it takes the target's label away.
            if !exposed.iter().any(|(exposed, _)| exposed == name) {
                builder.set(name, value);
            }
        }
    } else {
        add_target_labels(&mut builder, &exposed, &rules.target);
    }
    let labels = builder.labels();
    let Some(name) = labels.get(METRIC_NAME) else {
        return Err((format!("missing metric name (__name__ label) in series {}", shown()), None));
    };
    let good =
        rules.utf8_names || (is_legacy_metric_name(name) && labels.iter().all(|(name, _)| is_legacy_label_name(name)));
    if !good || labels.get("").is_some() {
        return Err((format!("invalid metric name or label names: {}", shown()), None));
    }
    check_limits(&labels, rules)?;
    Ok(Series::of(&labels))
}

/// The target's labels win; what they take the place of is renamed.
fn add_target_labels(builder: &mut LabelsBuilder, exposed: &[(String, String)], target: &Labels) {
    let mut clashes: Vec<(&str, &str)> = Vec::new();
    for (name, value) in target {
        if let Some((name, value)) = exposed.iter().find(|(exposed, value)| exposed == name && !value.is_empty()) {
            clashes.push((name, value));
        }
        builder.set(name, value);
    }
    clashes.sort_by_key(|(name, _)| name.len());
    for (name, value) in clashes {
        let mut renamed = format!("exported_{name}");
        while !builder.get(&renamed).is_empty() {
            renamed.insert_str(0, "exported_");
        }
        builder.set(&renamed, value);
    }
}

fn check_limits(labels: &Labels, rules: &Rules) -> Result<(), (String, Option<Limit>)> {
    let metric = labels.get(METRIC_NAME).unwrap_or("");
    let over = |actual: usize, limit: u64| limit > 0 && actual as u64 > limit;
    let count = labels.len();
    if over(count, rules.label_limit) {
        let limit = rules.label_limit;
        let message = format!("label_limit exceeded (metric: {metric:?}, number of labels: {count}, limit: {limit})");
        return Err((message, Some(Limit::Labels)));
    }
    for (name, value) in labels {
        for (what, text, limit) in [
            ("label_name_length_limit", name, rules.label_name_length_limit),
            ("label_value_length_limit", value, rules.label_value_length_limit),
        ] {
            if over(text.len(), limit) {
                let length = text.len();
                let message = format!(
                    "{what} exceeded (metric: {metric:?}, label name: {name:?}, length: {length}, limit: {limit})"
                );
                return Err((message, Some(Limit::Labels)));
            }
        }
    }
    Ok(())
}

fn read_exemplar(found: sdk_protocols_exposition::Exemplar<'_>, series: &Series, now: i64) -> Option<Exemplar> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    exemplar_labels(found.labels, &mut |name, value| pairs.push((name.to_owned(), value.to_owned())))?;
    let characters: usize = pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    (characters <= EXEMPLAR_LABELS).then(|| Exemplar {
        series: series.clone(),
        labels: Labels::from_pairs(pairs),
        value: found.value,
        timestamp: found.timestamp.unwrap_or(now),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sdk_signals::is_stale;

    use super::*;

    fn rules() -> Rules {
        Rules {
            target: Labels::from_pairs([("job", "j"), ("instance", "i")]),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps: false,
            utf8_names: false,
            sample_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
        }
    }

    fn page() -> Page {
        Page::new(&rules().target, &["up"])
    }

    /// The rows without the report, in a form that is easy to write down.
    fn read(page: &mut Page, text: &str) -> String {
        let scraped = page.read(text.as_bytes(), Format::Text, &rules(), 1000).expect("a good page");
        let mut shown = Vec::new();
        for (row, value) in scraped.samples.values.iter().enumerate() {
            let labels = scraped.samples.series[row].labels();
            let own: String = labels
                .iter()
                .filter(|(n, _)| !matches!(*n, "job" | "instance" | "__name__"))
                .map(|(n, v)| format!("{{{n}={v}}}"))
                .collect();
            let value = if is_stale(*value) { "ended".to_owned() } else { value.to_string() };
            let time = scraped.samples.times.at(row);
            let time = if time == 1000 { String::new() } else { format!("@{time}") };
            shown.push(format!("{}{own}={value}{time}", labels.get("__name__").unwrap_or("")));
        }
        assert_eq!(scraped.samples.series.len(), scraped.samples.values.len() + 1, "the report's series stand behind");
        shown.join(" ")
    }

    #[test]
    fn a_page_without_change_shares_its_list_of_series() {
        let mut page = page();
        let text = "# TYPE a counter\na{x=\"1\"} 1\nb 2\n";
        assert_eq!(read(&mut page, text), "a{x=1}=1 b=2");
        let first = page.rows.clone();
        assert_eq!(read(&mut page, "a{x=\"1\"} 5\nb 6\n"), "a{x=1}=5 b=6");
        assert!(Arc::ptr_eq(&first, &page.rows));
    }

    #[test]
    fn series_come_go_and_move() {
        let mut page = page();
        assert_eq!(read(&mut page, "a 1\nb 2\nc 3\n"), "a=1 b=2 c=3");
        assert_eq!(read(&mut page, "a 1\nc 3\n"), "a=1 c=3 b=ended");
        assert_eq!(read(&mut page, "a 1\nc 3\n"), "a=1 c=3");
        assert_eq!(read(&mut page, "n 0\nc 3\na 1\n"), "n=0 c=3 a=1");
        assert_eq!(read(&mut page, "n 0\n"), "n=0 c=ended a=ended");
        assert_eq!(read(&mut page, ""), "n=ended");
        assert_eq!(read(&mut page, "n 0\n"), "n=0");
    }

    #[test]
    fn a_series_that_stands_twice_counts_once_unless_times_tell_them_apart() {
        let mut page = page();
        for _ in 0..2 {
            assert_eq!(read(&mut page, "a 1\na 2\nb 1\n"), "a=1 b=1");
        }
        assert_eq!(read(&mut page, "a 1 5\na 2 6\n"), "a=1@5 a=2@6 b=ended");
        assert_eq!(read(&mut page, "a 1 5\na 2 6\n"), "a=1@5 a=2@6");
        assert_eq!(read(&mut page, "b 1\n"), "b=1", "the end of a series with times is not told");
    }

    #[test]
    fn a_failed_scrape_ends_all_and_forgets_nothing() {
        let mut page = page();
        read(&mut page, "a 1\nb 2 5\n");
        let rows = page.rows.clone();
        assert!(page.read(b"a 1\nb{ 2\n", Format::Text, &rules(), 1000).is_err());
        let ended = page.ended(2000);
        assert_eq!((ended.values.len(), ended.series.len()), (1, 2), "b has times of its own");
        assert!(page.ended(3000).values.is_empty(), "what has ended does not end again");
        assert_eq!(read(&mut page, "a 1\nb 2 5\n"), "a=1 b=2@5");
        assert!(Arc::ptr_eq(&rows, &page.rows), "the texts were still known");
    }

    #[test]
    fn labels_of_the_page_give_way_unless_they_are_honoured() {
        let text = "m{job=\"own\",exported_job=\"x\",instance=\"\"} 1\n";
        let labels = |rules: &Rules| {
            let scraped = page().read(text.as_bytes(), Format::Text, rules, 0).expect("a good page");
            scraped.samples.series[0].labels().to_string()
        };
        let expect = r#"{__name__="m", exported_exported_job="own", exported_job="x", instance="i", job="j"}"#;
        assert_eq!(labels(&rules()), expect);
        let honoured = r#"{__name__="m", exported_job="x", job="own"}"#;
        assert_eq!(labels(&Rules { honor_labels: true, ..rules() }), honoured);
    }

    #[test]
    fn limits_fail_the_whole_page() {
        let fails =
            |rules: Rules, text: &str| page().read(text.as_bytes(), Format::Text, &rules, 0).expect_err(text).reason;
        assert_eq!(fails(Rules { sample_limit: 1, ..rules() }, "a 1\nb 2\n"), "sample limit exceeded");
        assert!(fails(Rules { label_limit: 3, ..rules() }, "a{x=\"1\"} 1\n").starts_with("label_limit exceeded"));
        let long = Rules { label_value_length_limit: 3, ..rules() };
        assert!(fails(long, "abcd 1\n").starts_with("label_value_length_limit exceeded"));
        assert!(fails(rules(), "{\"a.b\"} 1\n").starts_with("invalid metric name or label names"));
        assert!(fails(rules(), "a{x=\"1\",x=\"2\"} 1\n").contains("is not unique"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever pages follow each other, the samples are those of a reader without a memory, and exactly the series
        /// that are gone have ended.
        #[test]
        fn a_memory_changes_nothing(pages in proptest::collection::vec(proptest::collection::vec((0u8..6, proptest::option::of(0i64..3)), 0..6), 1..6)) {
            let mut page = page();
            let mut before: HashSet<Series> = HashSet::new();
            for lines in pages {
                let text: String = lines.iter().map(|(name, time)| match time {
                    Some(time) => format!("m{name} {name} {time}\n"),
                    None => format!("m{name} {name}\n"),
                }).collect();
                let fresh = self::page().read(text.as_bytes(), Format::Text, &rules(), 1000).expect("a good page").samples;
                let ours = page.read(text.as_bytes(), Format::Text, &rules(), 1000).expect("a good page").samples;
                let row = |samples: &Samples, row: usize| (samples.series[row].clone(), samples.times.at(row), samples.values[row].to_bits());
                let count = fresh.values.len();
                for i in 0..count {
                    prop_assert_eq!(row(&ours, i), row(&fresh, i));
                }
                let ended: HashSet<Series> = (count..ours.values.len()).map(|i| ours.series[i].clone()).collect();
                prop_assert!(ours.values[count..].iter().all(|value| is_stale(*value)));
                let now: HashSet<Series> = fresh.series[..count].iter().cloned().collect();
                prop_assert_eq!(&ended, &before.difference(&now).cloned().collect());
                before = if text.is_empty() { HashSet::new() } else { page.tracked_rows().collect() };
            }
        }
    }
}
