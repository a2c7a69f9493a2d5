//! A page as a list of its samples, for pages that take more than one look: protobuf, classic histograms that become
//! native ones, metadata, start times.
//!
//! The text of each series is that of a text page, whatever the page was, so that the page's memory (see `page`) works
//! as it does for text. Text pages that need none of this are never listed: they are walked over where they are.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use sdk_histogram::{Classic, NativeHistogram, ResetHint};
use sdk_labels::{METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use sdk_protocols_exposition::protobuf::{self, Exemplar as ProtobufExemplar, Family, Metric, MetricValue};
use sdk_protocols_exposition::{Entry, Format, Kind, Parser, exemplar_labels, labels, openmetrics_float, parse_float};
use sdk_signals::About;

/// The labels that say what a series is.
const TYPE_LABEL: &str = "__type__";
const UNIT_LABEL: &str = "__unit__";
const BUCKET_LABEL: &str = "le";

/// What is read out of a page beside the samples of text pages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    /// Native histograms of protobuf pages.
    pub(crate) native: bool,
    /// Classic ones as well, where there is a native one.
    pub(crate) keep_classic: bool,
    /// Native histograms made of classic ones.
    pub(crate) convert_classic: bool,
    /// What families are.
    pub(crate) metadata: bool,
    /// The same, as labels.
    pub(crate) type_and_unit_labels: bool,
    /// Since when counters count; `_created` series are then no samples.
    pub(crate) starts: bool,
}

/// The samples of a page.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    texts: Vec<u8>,
    pub(crate) items: Vec<Item>,
}

/// One sample.
#[derive(Debug)]
pub(crate) struct Item {
    text: Range<usize>,
    pub(crate) kind: Kind,
    pub(crate) value: ItemValue,
    /// Milliseconds since 1970, if the page says when.
    pub(crate) timestamp: Option<i64>,
    /// Since when it counts, in the same form; 0 if that is not known.
    pub(crate) start: i64,
    pub(crate) exemplars: Vec<ItemExemplar>,
    pub(crate) about: Option<Arc<About>>,
}

#[derive(Debug)]
pub(crate) enum ItemValue {
    Number(f64),
    Histogram(NativeHistogram),
}

/// Its labels as pairs, its value, its time if the page says when.
pub(crate) type ItemExemplar = (Vec<(String, String)>, f64, Option<i64>);

impl Wanted {
    /// Whether text pages have to be listed.
    pub(crate) fn of_text(&self) -> bool {
        self.convert_classic || self.metadata || self.type_and_unit_labels || self.starts
    }
}

impl Listed {
    /// Its name and labels, as they would stand in a text page.
    pub(crate) fn text(&self, item: &Item) -> &[u8] {
        &self.texts[item.text.clone()]
    }

    /// A page of protobuf.
    pub(crate) fn protobuf(page: &[u8], wanted: Wanted) -> Result<Listed, String> {
        let mut listed = Listed::default();
        let mut last: Option<(&str, Arc<About>)> = None;
        protobuf::visit(page, |family, metric| {
            let about = match &last {
                Some((name, about)) if *name == family.name => about.clone(),
                _ => {
                    let text = |text: &str| text.into();
                    let about = About {
                        family: text(family.name),
                        kind: text(family.kind.as_str()),
                        help: text(family.help),
                        unit: text(family.unit),
                    };
                    last.insert((family.name, Arc::new(about))).1.clone()
                }
            };
            listed.metric(family, metric, about, wanted)
        })
        .map_err(|malformed| malformed.0)?;
        Ok(listed)
    }

    fn metric(
        &mut self,
        family: &Family<'_>,
        metric: Metric<'_>,
        about: Arc<About>,
        wanted: Wanted,
    ) -> Result<(), protobuf::Malformed> {
        let head = Head { family, metric: &metric, about, wanted };
        match &metric.value {
            MetricValue::Number(value, exemplar) => {
                self.add(&head, "", None, *value, exemplar.as_ref());
            }
            MetricValue::Summary(count, sum, quantiles) => {
                self.add(&head, "_count", None, *count, None);
                self.add(&head, "_sum", None, *sum, None);
                for (quantile, value) in quantiles {
                    self.add(&head, "", Some(("quantile", &openmetrics_float(*quantile))), *value, None);
                }
            }
            MetricValue::Histogram(histogram) => {
                let native = histogram.native.as_ref().filter(|_| wanted.native);
                let converted = match native {
                    None if wanted.convert_classic => Some(convert(family, histogram)?),
                    _ => None,
                };
                let has_classic = match native {
                    Some(_) => wanted.keep_classic && !histogram.buckets.is_empty(),
                    None => wanted.keep_classic || converted.is_none(),
                };
                if let Some(native) = native.cloned().or(converted) {
                    let buckets = histogram.buckets.iter().filter_map(|bucket| bucket.exemplar.as_ref());
                    let exemplars: Vec<_> = match &histogram.exemplars[..] {
                        [] => buckets.map(exemplar).collect(),
                        own => own.iter().map(exemplar).collect(),
                    };
                    let text = self.write(&head, "", None);
                    // Nothing says to which bucket's time an exemplar without one belongs.
                    let exemplars = exemplars.into_iter().filter(|(_, _, time)| time.is_some()).collect();
                    self.items.push(Item { exemplars, ..head.item(text, ItemValue::Histogram(native), "") });
                }
                if has_classic {
                    self.add(&head, "_count", None, histogram.count, None);
                    self.add(&head, "_sum", None, histogram.sum, None);
                    let mut is_last = false;
                    for bucket in &histogram.buckets {
                        if !is_last {
                            let le = openmetrics_float(bucket.le);
                            self.add(
                                &head,
                                "_bucket",
                                Some((BUCKET_LABEL, &le)),
                                bucket.count,
                                bucket.exemplar.as_ref(),
                            );
                        }
                        is_last |= bucket.le == f64::INFINITY;
                    }
                    if !is_last {
                        self.add(&head, "_bucket", Some((BUCKET_LABEL, "+Inf")), histogram.count, None);
                    }
                }
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        head: &Head<'_>,
        suffix: &str,
        more: Option<(&str, &str)>,
        value: f64,
        found: Option<&ProtobufExemplar<'_>>,
    ) {
        let text = self.write(head, suffix, more);
        let item = head.item(text, ItemValue::Number(value), suffix);
        self.items.push(Item { exemplars: found.map(exemplar).into_iter().collect(), ..item });
    }

    fn write(&mut self, head: &Head<'_>, suffix: &str, more: Option<(&str, &str)>) -> Range<usize> {
        let name = format!("{}{suffix}", head.family.name);
        let own = head.metric.labels.iter().copied();
        if head.wanted.type_and_unit_labels {
            let own = own.filter(|(name, _)| !matches!(*name, TYPE_LABEL | UNIT_LABEL));
            let about = type_and_unit(head.family.kind, head.family.unit);
            return self.write_series(&name, own.chain(more).chain(about));
        }
        self.write_series(&name, own.chain(more))
    }

    fn write_series<'a>(&mut self, name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Range<usize> {
        let start = self.texts.len();
        let texts = &mut self.texts;
        let mut separator = b'{';
        if is_legacy_metric_name(name) {
            texts.extend_from_slice(name.as_bytes());
        } else {
            texts.push(b'{');
            quote(texts, name);
            separator = b',';
        }
        for (name, value) in labels {
            texts.push(separator);
            separator = b',';
            if is_legacy_label_name(name) {
                texts.extend_from_slice(name.as_bytes());
            } else {
                quote(texts, name);
            }
            texts.push(b'=');
            quote(texts, value);
        }
        if separator == b',' {
            texts.push(b'}');
        }
        start..texts.len()
    }
}

/// What the samples of a metric share.
struct Head<'a> {
    family: &'a Family<'a>,
    metric: &'a Metric<'a>,
    about: Arc<About>,
    wanted: Wanted,
}

impl Head<'_> {
    fn item(&self, text: Range<usize>, value: ItemValue, suffix: &str) -> Item {
        let name = format!("{}{suffix}", self.family.name);
        let told = self.wanted.metadata && is_of_family(&name, self.family.name, self.family.kind);
        Item {
            text,
            // Bounds are written as this kind of family has them.
            kind: if self.family.kind == Kind::GaugeHistogram { Kind::Histogram } else { self.family.kind },
            value,
            timestamp: self.metric.timestamp,
            start: self.metric.start,
            exemplars: Vec::new(),
            about: told.then(|| self.about.clone()),
        }
    }
}

fn convert(family: &Family<'_>, histogram: &protobuf::Histogram<'_>) -> Result<NativeHistogram, protobuf::Malformed> {
    let mut classic = Classic::default();
    classic.count(histogram.count);
    classic.sum(histogram.sum);
    histogram.buckets.iter().for_each(|bucket| classic.bucket(bucket.le, bucket.count));
    let hint = if family.kind == Kind::GaugeHistogram { ResetHint::Gauge } else { ResetHint::Unknown };
    classic.native(hint).map_err(|error| protobuf::Malformed(format!("histogram {:?}: {error}", family.name)))
}

fn exemplar(found: &ProtobufExemplar<'_>) -> ItemExemplar {
    let own = found.labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    (own.collect(), found.value, found.timestamp)
}

fn quote(to: &mut Vec<u8>, text: &str) {
    to.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'\\' => to.extend_from_slice(b"\\\\"),
            b'"' => to.extend_from_slice(b"\\\""),
            b'\n' => to.extend_from_slice(b"\\n"),
            byte => to.push(byte),
        }
    }
    to.push(b'"');
}

fn type_and_unit(kind: Kind, unit: &str) -> impl Iterator<Item = (&str, &str)> {
    let kind = (kind != Kind::Unknown).then(|| (TYPE_LABEL, kind.as_str()));
    kind.into_iter().chain((!unit.is_empty()).then_some((UNIT_LABEL, unit)))
}

/// Whether a series of this name belongs to the family, by the suffixes that its kind gives.
fn is_of_family(name: &str, family: &str, kind: Kind) -> bool {
    let suffixes: &[&str] = match kind {
        Kind::Counter => &["_total"],
        Kind::Histogram => &["_bucket", "_sum", "_count"],
        Kind::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        Kind::Summary => &["_sum", "_count"],
        Kind::Info => &["_info"],
        _ => &[],
    };
    let stem = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    // A family may be called by the name of its series.
    let family = match kind {
        Kind::Counter => family.strip_suffix("_total").unwrap_or(family),
        Kind::Info => family.strip_suffix("_info").unwrap_or(family),
        _ => family,
    };
    stem == family
}

// === text pages ===

/// The text of a help line. Only OpenMetrics escapes quotes there.
fn unescaped(help: &[u8], format: Format) -> String {
    let help = String::from_utf8_lossy(help);
    let mut text = String::with_capacity(help.len());
    let mut rest = &*help;
    while let Some((before, after)) = rest.split_once('\\') {
        text += before;
        let (one, escaped) = match after.as_bytes().first() {
            Some(b'n') => ('\n', true),
            Some(b'\\') => ('\\', true),
            Some(b'"') if format == Format::OpenMetrics => ('"', true),
            _ => ('\\', false),
        };
        text.push(one);
        rest = &after[usize::from(escaped)..];
    }
    text + rest
}

/// A text page under way.
struct Text<'a> {
    listed: Listed,
    wanted: Wanted,
    format: Format,
    /// What the last lines with a number sign were about.
    family: &'a [u8],
    families: HashMap<&'a [u8], Told<'a>>,
    /// A classic histogram of which series have been seen.
    collecting: Option<Collecting>,
    /// Since when the series count whose labels and family these are.
    created: HashMap<String, i64>,
}

#[derive(Clone, Default)]
struct Told<'a> {
    kind: Kind,
    help: &'a [u8],
    unit: &'a [u8],
    /// Made when the first series needs it.
    about: Option<Arc<About>>,
}

struct Collecting {
    /// Name and labels, but for `le`: what the series of one histogram share.
    name: String,
    labels: Vec<(String, String)>,
    classic: Classic,
    item: Item,
}

impl Listed {
    /// A text page.
    pub(crate) fn text_page(page: &[u8], format: Format, wanted: Wanted) -> Result<Listed, String> {
        let mut text = Text {
            listed: Listed::default(),
            wanted,
            format,
            family: b"",
            families: HashMap::new(),
            collecting: None,
            created: HashMap::new(),
        };
        let mut parser = Parser::new(page, format);
        while let Some(entry) = parser.next() {
            match entry.map_err(|error| error.to_string())? {
                Entry::Type { name, kind } => text.told(name).kind = kind,
                Entry::Help { name, text: help } => text.told(name).help = help,
                Entry::Unit { name, unit } => text.told(name).unit = unit,
                Entry::Comment => {}
                Entry::Sample(sample) => text.sample(&sample, parser.kind(), parser.unit())?,
            }
        }
        text.collected();
        if wanted.starts {
            text.starts();
        }
        Ok(text.listed)
    }
}

impl<'a> Text<'a> {
    fn told(&mut self, family: &'a [u8]) -> &mut Told<'a> {
        self.family = family;
        let told = self.families.entry(family).or_default();
        told.about = None;
        told
    }

    fn sample(&mut self, sample: &sdk_protocols_exposition::Sample<'a>, kind: Kind, unit: &[u8]) -> Result<(), String> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        labels(sample.series, kind, &mut |name, value| pairs.push((name.into_owned(), value.into_owned())))
            .ok_or_else(|| format!("invalid UTF-8 in series {}", String::from_utf8_lossy(sample.series)))?;
        let name = pairs.iter().find(|(name, _)| name == METRIC_NAME).map_or(String::new(), |(_, name)| name.clone());
        let mut others: Vec<(String, String)> = pairs.into_iter().filter(|(name, _)| name != METRIC_NAME).collect();

        if self.wanted.starts
            && matches!(kind, Kind::Counter | Kind::Summary | Kind::Histogram)
            && let Some(stem) = name.strip_suffix("_created")
            && stem.as_bytes() == self.family
        {
            self.created.insert(key(stem, &others), (sample.value * 1000.0) as i64);
            return Ok(());
        }

        let text = if self.wanted.type_and_unit_labels {
            let unit = String::from_utf8_lossy(unit).into_owned();
            others.retain(|(name, _)| !matches!(name.as_str(), TYPE_LABEL | UNIT_LABEL));
            let about = type_and_unit(kind, &unit).map(|(name, value)| (name.to_owned(), value.to_owned()));
            others.extend(about.collect::<Vec<_>>());
            self.listed.write_series(&name, others.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        } else {
            let start = self.listed.texts.len();
            self.listed.texts.extend_from_slice(sample.series);
            start..self.listed.texts.len()
        };
        let exemplars = sample.exemplar.and_then(|exemplar| {
            let mut own = Vec::new();
            exemplar_labels(exemplar.labels, &mut |name, value| own.push((name.to_owned(), value.to_owned())))?;
            Some((own, exemplar.value, exemplar.timestamp))
        });
        let mut item = Item {
            text,
            kind,
            value: ItemValue::Number(sample.value),
            timestamp: sample.timestamp,
            start: 0,
            exemplars: exemplars.into_iter().collect(),
            about: if self.wanted.metadata { self.about(&name) } else { None },
        };
        if self.wanted.convert_classic {
            let Some(kept) = self.collect(&name, &others, item, kind, sample.value) else { return Ok(()) };
            item = kept;
        }
        self.listed.items.push(item);
        Ok(())
    }

    /// What the last family says, if the series is of it.
    fn about(&mut self, name: &str) -> Option<Arc<About>> {
        let family = std::str::from_utf8(self.family).ok()?;
        let told = self.families.get_mut(self.family)?;
        if !is_of_family(name, family, told.kind) {
            return None;
        }
        let unit = || String::from_utf8_lossy(told.unit).into();
        let make = || {
            let (kind, help) = (told.kind.as_str().into(), unescaped(told.help, self.format).into());
            Arc::new(About { family: family.into(), kind, help, unit: unit() })
        };
        let about = told.about.take().unwrap_or_else(make);
        told.about = Some(about.clone());
        Some(about)
    }

    /// Adds a series of a classic histogram to what is being collected. Gives the item back if it is to be kept.
    fn collect(&mut self, name: &str, others: &[(String, String)], item: Item, kind: Kind, value: f64) -> Option<Item> {
        let part =
            ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| Some((suffix, name.strip_suffix(suffix)?)));
        let part = part.filter(|(_, stem)| kind == Kind::Histogram && stem.as_bytes() == self.family);
        let le = others.iter().find(|(name, _)| name == BUCKET_LABEL).and_then(|(_, le)| parse_float(le.as_bytes()));
        let part = part.filter(|(suffix, _)| *suffix != "_bucket" || le.is_some_and(|le| !le.is_nan()));
        let Some((suffix, stem)) = part else {
            self.collected();
            return Some(item);
        };
        let shared: Vec<_> = others.iter().filter(|(name, _)| name != BUCKET_LABEL).cloned().collect();
        if self.collecting.as_ref().is_none_or(|now| now.name != stem || now.labels != shared) {
            self.collected();
            let about = item.about.clone();
            let empty = Item {
                text: 0..0,
                kind,
                value: ItemValue::Number(0.0),
                timestamp: item.timestamp,
                start: 0,
                exemplars: Vec::new(),
                about,
            };
            self.collecting =
                Some(Collecting { name: stem.to_owned(), labels: shared, classic: Classic::default(), item: empty });
        }
        let now = self.collecting.as_mut()?;
        match suffix {
            "_sum" => now.classic.sum(value),
            "_count" => now.classic.count(value),
            _ => now.classic.bucket(le.unwrap_or(f64::INFINITY), value),
        }
        now.item.timestamp = item.timestamp;
        now.item.exemplars.extend(item.exemplars.iter().filter(|(_, _, time)| time.is_some()).cloned());
        self.wanted.keep_classic.then_some(item)
    }

    /// The histogram that was being collected is complete. What does not make one is left out, as in Prometheus.
    fn collected(&mut self) {
        let Some(Collecting { name, labels, classic, mut item }) = self.collecting.take() else { return };
        if let Ok(native) = classic.native(ResetHint::Unknown) {
            item.text =
                self.listed.write_series(&name, labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            item.value = ItemValue::Histogram(native);
            self.listed.items.push(item);
        }
    }

    /// Gives each series the time that a `_created` series told.
    fn starts(&mut self) {
        if self.created.is_empty() {
            return;
        }
        let Listed { texts, items } = &mut self.listed;
        for item in items {
            let mut pairs: Vec<(String, String)> = Vec::new();
            let text = &texts[item.text.clone()];
            if labels(text, item.kind, &mut |name, value| pairs.push((name.into_owned(), value.into_owned()))).is_none()
            {
                continue;
            }
            let name = pairs.iter().find(|(name, _)| name == METRIC_NAME).map_or("", |(_, name)| name);
            let suffixes: &[&str] = match item.kind {
                Kind::Counter => &["_total"],
                Kind::Histogram => &["_bucket", "_sum", "_count"],
                Kind::Summary => &["_sum", "_count"],
                _ => continue,
            };
            let stem = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            let others: Vec<_> = pairs.iter().filter(|(name, _)| name != METRIC_NAME).cloned().collect();
            item.start = self.created.get(&key(stem, &others)).copied().unwrap_or(0);
        }
    }
}

/// Name and labels, but for those that tell the series of one metric apart and those that we have added.
fn key(stem: &str, others: &[(String, String)]) -> String {
    let told = |name: &str| matches!(name, BUCKET_LABEL | "quantile" | TYPE_LABEL | UNIT_LABEL);
    let mut others: Vec<_> = others.iter().filter(|(name, _)| !told(name)).collect();
    others.sort();
    format!("{stem} {others:?}")
}

#[cfg(test)]
mod tests;
