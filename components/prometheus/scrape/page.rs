//! From a page to samples, knowing the page before.
//!
//! A target's page has the same series in the same order nearly every time. So each line is compared with the line that
//! stood there before, and a page without a change costs no look-up, no label, and no reference: its samples share the
//! list of series with the scrape before. When a line differs, it is looked up among the old lines by its text; what is
//! not there either is new, and only then its labels are read. Of texts only their marks are kept.
//!
//! Native histograms have a memory of their own: they are few, and no columns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use sdk_histogram::{Counts, CountsOf, NativeHistogram};
use sdk_labels::{Labels, LabelsBuilder, METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use sdk_protocols_exposition::{Comments, Entry, Format, Kind, Mark, Parser, Sample, exemplar_labels, labels};
use sdk_series::Series;
use sdk_signals::{About, Exemplar, HistogramSample, MetricMetadata, STALE, Samples, Times};

use super::listed::{Item, ItemExemplar, ItemValue, Listed, Wanted};

/// A sample this far ahead of us is not believed, in milliseconds.
const MOST_AHEAD: i64 = 10 * 60 * 1000;
/// Prometheus' limit for the labels of an exemplar, in characters.
const EXEMPLAR_LABELS: usize = 128;
/// So many series of refused pages are remembered beside twice those of the last good one, as in Prometheus.
const REFUSED: usize = 1000;
/// A zero at the time a counter began is not told when it is further back, in milliseconds: Prometheus as a receiver takes
/// nothing older than an hour before its newest sample.
const OLDEST_START: i64 = 60 * 60 * 1000;

/// What a page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageFormat {
    Text(Format),
    Protobuf,
}

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
    pub(crate) wanted: Wanted,
    /// A zero where a counter began.
    pub(crate) zero_at_start: bool,
    /// Native histograms with more buckets are made coarser; 0 means no limit.
    pub(crate) bucket_limit: u64,
    /// Native histograms are made as coarse as this schema.
    pub(crate) finest_schema: Option<i32>,
}

/// The memory of one target's page.
pub(crate) struct Page {
    lines: Vec<Line>,
    /// What stands before some of the lines, with the line's number, in order.
    comments: Vec<(u32, Comments)>,
    /// The series of the rows, then those of the report.
    rows: Arc<[Series]>,
    /// By row: whether the end of the series is told. Report series are not in it.
    tracked: Vec<bool>,
    /// Whether the rows have a value that counts: after a failed scrape they are marked as ended, and remembered.
    alive: bool,
    /// The series of native histograms, by text.
    histograms: HashMap<Box<[u8]>, Series>,
    /// Texts of series that were counted as added in pages that were not taken, since the last good one.
    refused: HashSet<Mark, RandomState>,
    /// When the last good page was read.
    last_read: i64,
    report: Vec<Series>,
    /// What the report's series are, once it is asked for.
    report_metadata: Vec<MetricMetadata>,
}

/// A line with a value.
#[derive(Clone, Copy)]
struct Line {
    mark: Mark,
    /// `NOT_KEPT` for a series that stands twice in the page. The highest bit: it has a time of its own.
    row: u32,
}

const TIMED: u32 = 1 << 31;
const NOT_KEPT: u32 = TIMED - 1;

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
    Buckets,
}

/// Where the samples of a page come from: the page itself, or its list.
trait Lines<'a> {
    /// The value of the next sample, if that is one of this series without a time or anything else to it.
    fn next_value_of(&mut self, series: Mark) -> Option<f64>;

    /// Passes over what stands before the next sample, if it is this.
    fn skip(&mut self, comments: &Comments);

    /// What stood before this sample, the last one.
    fn comments(&self, sample: &Sample<'a>) -> Option<Comments>;

    /// The next sample, found quicker if it is of the series `expected`.
    fn next_sample(&mut self, expected: Option<Mark>) -> Option<Result<Sample<'a>, String>>;

    /// Of which kind the family of the last sample is.
    fn kind(&self) -> Kind;

    /// What a list knows about the last sample beside.
    fn item(&self) -> Option<&'a Item>;
}

/// A page that is walked over.
struct PageLines<'a> {
    parser: Parser<'a>,
    /// Behind the last sample, and behind the one before it.
    behind: usize,
    behind_other: usize,
}

/// A list that is walked over.
struct ListedLines<'a> {
    listed: &'a Listed,
    next: usize,
}

/// What a list adds to a scrape.
#[derive(Default)]
struct Extras {
    /// The zeros of counters that have begun, which stand before all rows.
    zeros: Vec<(Series, i64)>,
    starts: Vec<i64>,
    histograms: Vec<HistogramSample>,
    seen: HashMap<Box<[u8]>, Series>,
    metadata: Vec<MetricMetadata>,
}

/// A page under way that differs from the one before.
struct Rewritten {
    lines: Vec<Line>,
    comments: Vec<(u32, Comments)>,
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
            lines: Vec::new(),
            comments: Vec::new(),
            rows: report.clone().into(),
            tracked: Vec::new(),
            alive: false,
            histograms: HashMap::new(),
            refused: HashSet::default(),
            last_read: i64::MIN,
            report,
            report_metadata: Vec::new(),
        }
    }

    /// Other rules hold from now on: the texts say nothing any more, but the series live on until the next page.
    pub(crate) fn forget_texts(&mut self) {
        self.lines = Vec::new();
        self.comments = Vec::new();
    }

    /// Reads a page. On a failure nothing has changed.
    pub(crate) fn read(
        &mut self,
        page: &[u8],
        format: PageFormat,
        rules: &Rules,
        now: i64,
    ) -> Result<Scraped, Failure> {
        if page.is_empty() {
            // Nothing at all is more likely a target in trouble than one without series: remember them.
            return Ok(Scraped { samples: self.ended(now), ..Scraped::default() });
        }
        let listed = match format {
            PageFormat::Text(format) if !rules.wanted.of_text() => {
                let lines = PageLines { parser: Parser::new(page, format), behind: 0, behind_other: 0 };
                return self.read_lines(lines, rules, now);
            }
            PageFormat::Text(format) => Listed::text_page(page, format, rules.wanted),
            PageFormat::Protobuf => Listed::protobuf(page, rules.wanted),
        };
        let listed = listed.map_err(|reason| failure(reason, None, &Scraped::default(), 0))?;
        self.read_lines(ListedLines { listed: &listed, next: 0 }, rules, now)
    }

    /// Reads a page, and remembers which series of one that is not taken were counted as added: they are no news in the next.
    fn read_lines<'a>(&mut self, lines: impl Lines<'a>, rules: &Rules, now: i64) -> Result<Scraped, Failure> {
        let mut added = Vec::new();
        let read = self.read_counted(lines, rules, now, &mut added);
        if read.is_ok() {
            self.refused = HashSet::default();
        } else if !added.is_empty() {
            // A page with other series each time fills no memory.
            if self.refused.len() + added.len() > 2 * self.lines.len() + REFUSED {
                self.refused = HashSet::default();
            }
            self.refused.extend(added);
        }
        read
    }

    fn read_counted<'a>(
        &mut self,
        mut lines: impl Lines<'a>,
        rules: &Rules,
        now: i64,
        added: &mut Vec<Mark>,
    ) -> Result<Scraped, Failure> {
        let mut scraped = Scraped::default();
        let mut values = Vec::with_capacity(self.tracked.len() + self.report.len() + 1);
        // Only when a line has a time of its own.
        let mut times: Option<Vec<i64>> = None;
        let mut rewritten: Option<Rewritten> = None;
        let mut by_text: Option<HashMap<Mark, usize, RandomState>> = None;
        let mut exemplars = Vec::new();
        let mut extras = Extras::default();
        let mut expected = 0;
        let mut comments = self.comments.iter().peekable();
        loop {
            if rewritten.is_none()
                && let Some(line) = self.lines.get(expected)
            {
                while let Some((_, comments)) = comments.next_if(|(before, _)| *before as usize <= expected) {
                    lines.skip(comments);
                }
                if !line.is_timed()
                    && let Some(value) = lines.next_value_of(line.mark)
                {
                    scraped.scraped += 1;
                    expected += 1;
                    if line.row() == NOT_KEPT {
                        scraped.duplicates += 1;
                        continue;
                    }
                    values.push(value);
                    if let Some(times) = &mut times {
                        times.push(now);
                    }
                    continue;
                }
            }
            let hint = self.lines.get(expected).map(|line| line.mark);
            let sample = match lines.next_sample(hint) {
                None => break,
                Some(Ok(sample)) => sample,
                Some(Err(reason)) => return Err(failure(reason, None, &scraped, 0)),
            };
            scraped.scraped += 1;
            let is_over = rules.sample_limit > 0
                && (values.len() + extras.histograms.len()) as u64 > rules.sample_limit
                && rewritten.is_some();
            if is_over {
                // Counted to the end for the report, but no series is made of what is not kept.
                continue;
            }
            if let Some(item) = lines.item()
                && let ItemValue::Histogram(histogram) = &item.value
            {
                self.histogram(&sample, item, histogram, rules, now, &mut scraped, &mut extras, &mut exemplars, added)
                    .map_err(|(reason, limit)| failure(reason, limit, &scraped, 1))?;
                continue;
            }
            let timestamp = sample.timestamp.filter(|_| rules.honor_timestamps);
            let tracked = timestamp.is_none() || rules.track_timestamps;
            let dropped = timestamp.is_some_and(|timestamp| timestamp > now + MOST_AHEAD);
            scraped.out_of_bounds += u64::from(dropped);

            let mark = Mark::of(sample.series);
            let row = match &mut rewritten {
                None => {
                    let same = hint == Some(mark) && !dropped;
                    let line = self.lines.get(expected).filter(|line| same && line.is_timed() == timestamp.is_some());
                    expected += usize::from(line.is_some());
                    line.map(|line| line.row())
                }
                Some(_) => None,
            };
            let mut is_new = false;
            let row = match row {
                Some(row) => row,
                None => {
                    let rewritten = rewritten.get_or_insert_with(|| self.rewrite(expected));
                    let by_text = by_text.get_or_insert_with(|| self.by_text());
                    let known = if hint == Some(mark) { Some(expected) } else { by_text.get(&mark).copied() };
                    if let Some(known) = known {
                        expected = known + 1;
                    }
                    let known = known.and_then(|line| self.lines.get(line)).filter(|line| line.row() != NOT_KEPT);
                    if std::str::from_utf8(sample.series).is_err() {
                        // Prometheus' parser sees it before the sample counts.
                        scraped.scraped -= 1;
                        let text = String::from_utf8_lossy(sample.series);
                        return Err(failure(format!("invalid UTF-8 in series {text}"), None, &scraped, 0));
                    }
                    let series = match known {
                        Some(line) => self.rows[line.row() as usize].clone(),
                        None => series_of(&sample, lines.kind(), rules)
                            .map_err(|(reason, limit)| failure(reason, limit, &scraped, 1))?,
                    };
                    is_new = !by_text.contains_key(&mark);
                    let before = lines.comments(&sample).map(|comments| (rewritten.lines.len() as u32, comments));
                    rewritten.comments.extend(before);
                    let (row, first) = rewritten.push(mark, series, tracked, timestamp.is_some(), dropped);
                    if is_new && first && !dropped && !self.refused.contains(&mark) {
                        scraped.added += 1;
                        added.push(mark);
                    }
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
            if let Some(item) = lines.item() {
                let series = &rewritten.as_ref().map_or(&*self.rows, |new| &new.rows)[row as usize];
                let at = timestamp.unwrap_or(now);
                for own in &item.exemplars {
                    match listed_exemplar(own, series, at) {
                        Some(exemplar) => exemplars.push(exemplar),
                        None => scraped.bad_exemplars += 1,
                    }
                }
                if rules.zero_at_start && begins(item.start, at, is_new, self.last_read) {
                    extras.zeros.push((series.clone(), item.start));
                }
                if item.start != 0 && extras.starts.is_empty() {
                    extras.starts.resize(values.len(), 0);
                }
                if item.start != 0 || !extras.starts.is_empty() {
                    extras.starts.push(item.start);
                }
                let about = item.about.clone();
                extras.metadata.extend(about.map(|about| MetricMetadata { series: series.clone(), about }));
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
        let kept = values.len() + extras.histograms.len();
        if rules.sample_limit > 0 && kept as u64 > rules.sample_limit {
            scraped.added = scraped.added.min(rules.sample_limit);
            return Err(failure("sample limit exceeded".to_owned(), Some(Limit::Samples), &scraped, 0));
        }

        // A shorter page differs, too.
        if rewritten.is_none() && expected < self.lines.len() {
            rewritten = Some(self.rewrite(expected));
        }
        let was_alive = std::mem::replace(&mut self.alive, true);
        let mut ended: Vec<Series> = match &rewritten {
            Some(new) if was_alive => self.tracked_rows().filter(|series| !new.seen.contains(series)).collect(),
            _ => Vec::new(),
        };
        if was_alive && !self.histograms.is_empty() {
            let gone = self.histograms.iter().filter(|(text, _)| !extras.seen.contains_key(*text));
            ended.extend(gone.map(|(_, series)| series.clone()));
        }
        self.histograms = extras.seen;
        self.last_read = now;
        if let Some(mut new) = rewritten {
            new.lines.shrink_to_fit();
            new.comments.shrink_to_fit();
            new.tracked.shrink_to_fit();
            self.rows = new.rows.iter().chain(&self.report).cloned().collect();
            self.lines = new.lines;
            self.comments = new.comments;
            self.tracked = new.tracked;
        }
        let series = if ended.is_empty() && extras.zeros.is_empty() {
            self.rows.clone()
        } else {
            let (rows, report) = self.rows.split_at(self.tracked.len());
            let zeros = extras.zeros.iter().map(|(series, _)| series);
            zeros.chain(rows).chain(&ended).chain(report).cloned().collect()
        };
        values.extend(ended.iter().map(|_| STALE));
        if !extras.zeros.is_empty() {
            let mut each = times.unwrap_or_else(|| vec![now; values.len()]);
            each.splice(0..0, extras.zeros.iter().map(|(_, start)| *start));
            times = Some(each);
            values.splice(0..0, extras.zeros.iter().map(|_| 0.0));
            if !extras.starts.is_empty() {
                extras.starts.splice(0..0, extras.zeros.iter().map(|_| 0));
            }
        }
        if !extras.starts.is_empty() {
            extras.starts.resize(series.len(), 0);
        }
        if let Some(times) = &mut times {
            times.resize(series.len(), now);
        }
        let times = times.map_or(Times::One(now), Times::Each);
        if rules.wanted.metadata {
            self.tell_report();
            extras.metadata.extend(self.report_metadata.iter().cloned());
        }
        let Extras { starts, histograms, metadata, .. } = extras;
        let metadata = if metadata.is_empty() { Arc::default() } else { metadata.into() };
        scraped.samples = Samples { series, times, values, starts, histograms, exemplars, metadata };
        Ok(scraped)
    }

    /// A native histogram of a list.
    fn histogram(
        &self,
        sample: &Sample<'_>,
        item: &Item,
        histogram: &NativeHistogram,
        rules: &Rules,
        now: i64,
        scraped: &mut Scraped,
        extras: &mut Extras,
        exemplars: &mut Vec<Exemplar>,
        added: &mut Vec<Mark>,
    ) -> Result<(), (String, Option<Limit>)> {
        let timestamp = item.timestamp.filter(|_| rules.honor_timestamps);
        let known = self.histograms.get(sample.series).cloned();
        let is_new = known.is_none();
        let series = match known {
            Some(series) => series,
            None => series_of(sample, item.kind, rules)?,
        };
        let mut histogram = histogram.clone();
        let unsound = |unsound: sdk_histogram::Unsound| (unsound.to_string(), None);
        if let Some(finest) = rules.finest_schema {
            histogram.coarsen_to(finest).map_err(unsound)?;
        }
        let most = usize::try_from(rules.bucket_limit).unwrap_or(usize::MAX);
        if most > 0 && !histogram.limit_buckets(most).map_err(unsound)? {
            return Err(("histogram bucket limit exceeded".to_owned(), Some(Limit::Buckets)));
        }
        // A storage of Prometheus refuses what is not sound, and with it the scrape.
        histogram.check().map_err(unsound)?;
        if timestamp.is_some_and(|timestamp| timestamp > now + MOST_AHEAD) {
            scraped.out_of_bounds += 1;
            return Ok(());
        }
        let tracked = timestamp.is_none() || rules.track_timestamps;
        let twice = tracked && extras.seen.insert(sample.series.into(), series.clone()).is_some();
        if twice && timestamp.is_none() {
            scraped.duplicates += 1;
            return Ok(());
        }
        if is_new && !self.refused.contains(&Mark::of(sample.series)) {
            scraped.added += 1;
            added.push(Mark::of(sample.series));
        }
        let at = timestamp.unwrap_or(now);
        for own in &item.exemplars {
            match listed_exemplar(own, &series, at) {
                Some(exemplar) => exemplars.push(exemplar),
                None => scraped.bad_exemplars += 1,
            }
        }
        if rules.zero_at_start && begins(item.start, at, is_new, self.last_read) {
            let value = Arc::new(zero_of(&histogram));
            extras.histograms.push(HistogramSample { series: series.clone(), timestamp: item.start, start: 0, value });
        }
        let about = item.about.clone();
        extras.metadata.extend(about.map(|about| MetricMetadata { series: series.clone(), about }));
        let value = Arc::new(histogram);
        extras.histograms.push(HistogramSample { series, timestamp: at, start: item.start, value });
        Ok(())
    }

    /// What Prometheus says of the series about a scrape.
    fn tell_report(&mut self) {
        if !self.report_metadata.is_empty() {
            return;
        }
        let told = self.report.iter().filter_map(|series| {
            let (_, help, unit) =
                REPORT_HELP.iter().find(|(name, ..)| series.labels().get(METRIC_NAME) == Some(name))?;
            let family = series.labels().get(METRIC_NAME).unwrap_or("").into();
            let about = Arc::new(About { family, kind: "gauge".into(), help: (*help).into(), unit: (*unit).into() });
            Some(MetricMetadata { series: series.clone(), about })
        });
        self.report_metadata = told.collect();
    }

    /// The scrape failed: every series that was alive has ended.
    pub(crate) fn ended(&mut self, now: i64) -> Samples {
        let mut ended: Vec<Series> = Vec::new();
        if std::mem::take(&mut self.alive) {
            ended.extend(self.tracked_rows());
            ended.extend(self.histograms.values().cloned());
        }
        let values = vec![STALE; ended.len()];
        let series = ended.into_iter().chain(self.report.iter().cloned()).collect();
        let metadata = self.report_metadata[..].into();
        Samples { series, times: Times::One(now), values, metadata, ..Samples::default() }
    }

    /// How many series of the page are alive.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    fn tracked_rows(&self) -> impl Iterator<Item = Series> {
        self.rows.iter().zip(&self.tracked).filter(|(_, tracked)| **tracked).map(|(series, _)| series.clone())
    }

    fn by_text(&self) -> HashMap<Mark, usize, RandomState> {
        // Of a series that stands twice the first line counts.
        self.lines.iter().enumerate().rev().map(|(at, line)| (line.mark, at)).collect()
    }

    /// A new page that begins with the first `same` lines of this one.
    fn rewrite(&self, same: usize) -> Rewritten {
        let lines = &self.lines[..same];
        let rows = lines.iter().filter(|line| line.row() != NOT_KEPT).count();
        Rewritten {
            lines: lines.to_vec(),
            comments: self.comments.iter().take_while(|(line, _)| (*line as usize) < same).copied().collect(),
            rows: self.rows[..rows].to_vec(),
            tracked: self.tracked[..rows].to_vec(),
            seen: self.rows[..rows].iter().cloned().collect(),
        }
    }
}

/// Name, help and unit of the series about a scrape, as Prometheus has them.
const REPORT_HELP: [(&str, &str, &str); 8] = [
    ("up", "Health of the scrape target. 1 means the target is healthy, 0 if the scrape failed.", "targets"),
    ("scrape_duration_seconds", "Duration of the last scrape in seconds.", "seconds"),
    ("scrape_samples_scraped", "Number of samples last scraped.", "samples"),
    (
        "scrape_samples_post_metric_relabeling",
        "Number of samples remaining after metric relabeling was applied.",
        "samples",
    ),
    ("scrape_series_added", "Number of series in the last scrape.", "series"),
    ("scrape_timeout_seconds", "The configured scrape timeout for a target.", "seconds"),
    (
        "scrape_sample_limit",
        "The configured sample limit for a target. Returns zero if there is no limit configured.",
        "samples",
    ),
    (
        "scrape_body_size_bytes",
        "The uncompressed size of the last scrape response, if successful. Scrapes failing because body_size_limit is exceeded report -1, other scrape failures report 0.",
        "bytes",
    ),
];

// === impl Lines ===

impl<'a> Lines<'a> for PageLines<'a> {
    #[inline]
    fn next_value_of(&mut self, series: Mark) -> Option<f64> {
        let value = self.parser.next_value_of(series)?;
        self.behind = self.parser.place();
        Some(value)
    }

    fn skip(&mut self, comments: &Comments) {
        self.parser.pass_over(comments);
    }

    fn comments(&self, sample: &Sample<'a>) -> Option<Comments> {
        self.parser.comments(self.behind_other, sample)
    }

    fn next_sample(&mut self, expected: Option<Mark>) -> Option<Result<Sample<'a>, String>> {
        loop {
            match self.parser.next_like(expected)? {
                Ok(Entry::Sample(sample)) => {
                    self.behind_other = std::mem::replace(&mut self.behind, self.parser.place());
                    return Some(Ok(sample));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error.to_string())),
            }
        }
    }

    fn kind(&self) -> Kind {
        self.parser.kind()
    }

    #[inline]
    fn item(&self) -> Option<&'a Item> {
        None
    }
}

impl<'a> Lines<'a> for ListedLines<'a> {
    fn next_value_of(&mut self, _: Mark) -> Option<f64> {
        None
    }

    fn skip(&mut self, _: &Comments) {}

    fn comments(&self, _: &Sample<'a>) -> Option<Comments> {
        None
    }

    fn next_sample(&mut self, _: Option<Mark>) -> Option<Result<Sample<'a>, String>> {
        let item = self.listed.items.get(self.next)?;
        self.next += 1;
        let value = match item.value {
            ItemValue::Number(value) => value,
            ItemValue::Histogram(_) => 0.0,
        };
        let series = self.listed.text(item);
        Some(Ok(Sample { series, value, timestamp: item.timestamp, exemplar: None }))
    }

    fn kind(&self) -> Kind {
        self.item().map_or(Kind::Unknown, |item| item.kind)
    }

    fn item(&self) -> Option<&'a Item> {
        self.listed.items.get(self.next.checked_sub(1)?)
    }
}

impl Line {
    fn row(&self) -> u32 {
        self.row & !TIMED
    }

    fn is_timed(&self) -> bool {
        self.row & TIMED != 0
    }
}

impl Rewritten {
    /// One more line: its row, and whether its series stands in the page for the first time.
    fn push(&mut self, mark: Mark, series: Series, tracked: bool, timed: bool, dropped: bool) -> (u32, bool) {
        let first = self.seen.insert(series.clone());
        let row = if dropped || (!timed && !first) {
            NOT_KEPT
        } else {
            self.rows.push(series);
            self.tracked.push(tracked);
            self.rows.len() as u32 - 1
        };
        self.lines.push(Line { mark, row: if timed { row | TIMED } else { row } });
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

fn listed_exemplar((own, value, timestamp): &ItemExemplar, series: &Series, at: i64) -> Option<Exemplar> {
    let characters: usize = own.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    (characters <= EXEMPLAR_LABELS).then(|| Exemplar {
        series: series.clone(),
        labels: Labels::from_pairs(own.iter().map(|(name, value)| (name, value))),
        value: *value,
        timestamp: timestamp.unwrap_or(at),
    })
}

/// Whether a counter has begun at `start`, and nobody has been told.
fn begins(start: i64, at: i64, is_new: bool, last_read: i64) -> bool {
    start != 0 && start < at && start > at - OLDEST_START && (is_new || start > last_read)
}

/// A histogram of the same form in which nothing is.
fn zero_of(histogram: &NativeHistogram) -> NativeHistogram {
    let counts = match histogram.counts {
        Counts::Integer(_) => Counts::Integer(CountsOf::default()),
        Counts::Float(_) => Counts::Float(CountsOf::default()),
    };
    let (positive_spans, negative_spans) = (Vec::new(), Vec::new());
    let (schema, zero_threshold, reset_hint) = (histogram.schema, histogram.zero_threshold, histogram.reset_hint);
    let custom_values = histogram.custom_values.clone();
    NativeHistogram {
        schema,
        zero_threshold,
        sum: 0.0,
        reset_hint,
        counts,
        positive_spans,
        negative_spans,
        custom_values,
    }
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
            wanted: Wanted::default(),
            zero_at_start: false,
            bucket_limit: 0,
            finest_schema: None,
        }
    }

    const TEXT: PageFormat = PageFormat::Text(Format::Text);

    fn page() -> Page {
        Page::new(&rules().target, &["up"])
    }

    /// The rows without the report, in a form that is easy to write down.
    fn read(page: &mut Page, text: &str) -> String {
        let scraped = page.read(text.as_bytes(), TEXT, &rules(), 1000).expect("a good page");
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
        assert!(page.read(b"a 1\nb{ 2\n", TEXT, &rules(), 1000).is_err());
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
            let scraped = page().read(text.as_bytes(), TEXT, rules, 0).expect("a good page");
            scraped.samples.series[0].labels().to_string()
        };
        let expect = r#"{__name__="m", exported_exported_job="own", exported_job="x", instance="i", job="j"}"#;
        assert_eq!(labels(&rules()), expect);
        let honoured = r#"{__name__="m", exported_job="x", job="own"}"#;
        assert_eq!(labels(&Rules { honor_labels: true, ..rules() }), honoured);
    }

    #[test]
    fn limits_fail_the_whole_page() {
        let fails = |rules: Rules, text: &str| page().read(text.as_bytes(), TEXT, &rules, 0).expect_err(text).reason;
        assert_eq!(fails(Rules { sample_limit: 1, ..rules() }, "a 1\nb 2\n"), "sample limit exceeded");
        let limited = Rules { sample_limit: 1, ..rules() };
        let page_of_three = "limited_a 1\nlimited_b 2\nlimited_c 3\n";
        let failure = page().read(page_of_three.as_bytes(), TEXT, &limited, 1000).expect_err("three samples");
        assert_eq!((failure.scraped, failure.kept, failure.added), (3, 3, 1));
        assert!(fails(Rules { label_limit: 3, ..rules() }, "a{x=\"1\"} 1\n").starts_with("label_limit exceeded"));
        let long = Rules { label_value_length_limit: 3, ..rules() };
        assert!(fails(long, "abcd 1\n").starts_with("label_value_length_limit exceeded"));
        assert!(fails(rules(), "{\"a.b\"} 1\n").starts_with("invalid metric name or label names"));
        assert!(fails(rules(), "a{x=\"1\",x=\"2\"} 1\n").contains("is not unique"));
    }

    #[test]
    fn series_of_a_page_that_is_refused_are_added_once() {
        let mut page = page();
        let mut added = |text: &str, rules: &Rules| match page.read(text.as_bytes(), TEXT, rules, 1000) {
            Ok(scraped) => Ok(scraped.added),
            Err(failure) => Err(failure.added),
        };
        let bad = "a 1\nb 2\n?\n";
        assert_eq!([added(bad, &rules()), added(bad, &rules())], [Err(2), Err(0)]);
        assert_eq!(added("a 1\nb 2\nc 3\n?\n", &rules()), Err(1));
        assert_eq!(added("a 1\nb 2\nc 3\nd 4\n", &rules()), Ok(1), "as Prometheus counts");
        // What a good page no longer has is forgotten.
        assert_eq!([added("a 1\n", &rules()), added(bad, &rules()), added(bad, &rules())], [Ok(0), Err(1), Err(0)]);
        let limited = Rules { sample_limit: 2, ..rules() };
        let large = "k 1\nl 2\nm 3\nn 4\n";
        assert_eq!([added(large, &limited), added(large, &limited)], [Err(2), Err(0)]);
    }

    #[test]
    fn pages_that_are_refused_fill_no_memory() {
        let mut page = page();
        for at in 0..20 {
            let text: String = (0..300).map(|line| format!("m{{at=\"{at}\",line=\"{line}\"}} 1\n")).collect();
            let failure = page.read((text + "?\n").as_bytes(), TEXT, &rules(), 1000).expect_err("a bad line");
            assert_eq!(failure.added, 300);
        }
        assert!(page.refused.len() <= REFUSED, "{} are remembered", page.refused.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever pages follow each other, the samples are those of a reader without a memory, and exactly the series
        /// that are gone have ended.
        #[test]
        fn a_memory_changes_nothing(pages in proptest::collection::vec(proptest::collection::vec((0u8..6, proptest::option::of(0i64..3), 0usize..6), 0..6), 1..6)) {
            let mut page = page();
            let mut before: HashSet<Series> = HashSet::new();
            for lines in pages {
                let comments = ["", "", "# TYPE m gauge\n", "# TYPE m counter\n", "\n# HELP m x\n", "# EOF\n"];
                let text: String = lines.iter().map(|(name, time, comment)| match time {
                    Some(time) => format!("{}m{name} {name} {time}\n", comments[*comment]),
                    None => format!("{}m{name} {name}\n", comments[*comment]),
                }).collect();
                let fresh = self::page().read(text.as_bytes(), TEXT, &rules(), 1000).expect("a good page").samples;
                let ours = page.read(text.as_bytes(), TEXT, &rules(), 1000).expect("a good page").samples;
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
