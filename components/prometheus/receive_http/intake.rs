//! From a request to a batch.

use std::fmt::Write as _;
use std::sync::Arc;

use base_sys::clock;
use sdk_labels::{Labels, METRIC_NAME};
use sdk_protocols_remote_write::{About as SentAbout, Malformed, SeriesView, Version, visit};
use sdk_series::Series;
use sdk_signals::{About, Exemplar, HistogramSample, MetricMetadata, SampleBatch, Samples, Times};

/// Labels of all series of a request; a short request of version 2 may name a long symbol again and again.
const MOST_LABEL_BYTES: usize = 256 << 20;
/// Samples of a request: each may take two bytes there, and takes 24 here.
const MOST_SAMPLES: usize = 4_000_000;
/// A sample this far ahead of us is not believed, in milliseconds.
const MOST_AHEAD: i64 = 10 * 60 * 1000;
/// Prometheus' limit for the labels of an exemplar, in characters.
const EXEMPLAR_LABELS: usize = 128;
/// So many bytes of reasons are told to a sender.
const MOST_FAULTS: usize = 4096;

/// What is wanted beside samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Manner {
    pub(super) metadata: bool,
    pub(super) type_and_unit_labels: bool,
}

/// A request that was read.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) batch: SampleBatch,
    pub(super) written: Written,
    /// Samples of series with labels that are none.
    pub(super) invalid_labels: u64,
    /// Why a part of it is refused; empty if nothing is.
    pub(super) faults: String,
}

/// What of a request is in the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Written {
    pub(super) samples: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
}

/// A batch under way.
struct Reader {
    manner: Manner,
    version: Version,
    latest: i64,
    label_bytes: usize,
    series: Vec<Series>,
    times: Vec<i64>,
    values: Vec<f64>,
    starts: Vec<i64>,
    rest: Samples,
    metadata: Vec<MetricMetadata>,
    invalid_labels: u64,
    exemplars: u64,
    faults: String,
    /// Version 1 is all or nothing.
    is_refused: bool,
}

impl Intake {
    /// Reads a request, decompressed. What is wrong with single series is in the result, by the rules of the version.
    pub(super) fn read(version: Version, request: &[u8], manner: Manner) -> Result<Intake, Malformed> {
        let mut reader = Reader {
            manner,
            version,
            latest: clock::now_ms() + MOST_AHEAD,
            label_bytes: 0,
            series: Vec::new(),
            times: Vec::new(),
            values: Vec::new(),
            starts: Vec::new(),
            rest: Samples::default(),
            metadata: Vec::new(),
            invalid_labels: 0,
            exemplars: 0,
            faults: String::new(),
            is_refused: false,
        };
        visit(version, request, |view| reader.series(view))?;
        Ok(reader.finish())
    }
}

impl Reader {
    fn series(&mut self, view: &mut SeriesView<'_>) -> Result<(), Malformed> {
        let count = view.samples.len() + view.histograms.len();
        let bytes =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>();
        self.label_bytes += bytes(&view.labels);
        for exemplar in &view.exemplars {
            self.label_bytes += exemplar.labels.as_ref().map_or(0, |pairs| bytes(pairs));
        }
        if self.label_bytes > MOST_LABEL_BYTES || self.values.len() + count > MOST_SAMPLES {
            return Err(Malformed::TooLarge);
        }
        let labels = match self.labels(view) {
            Ok(labels) => labels,
            Err(fault) => {
                self.invalid_labels += count as u64;
                // Version 1 passes over such a series, as Prometheus does.
                match self.version {
                    Version::V1 => tracing::warn!(error = fault, "a series with invalid labels is left out"),
                    Version::V2 => self.fault(&fault),
                }
                return Ok(());
            }
        };
        if self.version == Version::V2 && count == 0 {
            self.fault(&format!("TimeSeries must contain at least one sample or histogram for series {labels}"));
            return Ok(());
        }
        let series = Series::of(&labels);
        for sample in &view.samples {
            if sample.timestamp > self.latest {
                self.too_far_ahead(&series);
                continue;
            }
            if sample.start != 0 && self.starts.is_empty() {
                self.starts.resize(self.values.len(), 0);
            }
            if sample.start != 0 || !self.starts.is_empty() {
                self.starts.push(sample.start);
            }
            self.series.push(series.clone());
            self.times.push(sample.timestamp);
            self.values.push(sample.value);
        }
        for one in view.histograms.drain(..) {
            if one.timestamp > self.latest {
                self.too_far_ahead(&series);
                continue;
            }
            let mut value = one.value;
            let sound = value.coarsen_to(sdk_histogram::FINEST_SCHEMA);
            // One that says the end of its series has nothing but that.
            let sound = if sdk_signals::is_stale(value.sum) { Ok(()) } else { sound.and_then(|()| value.check()) };
            if let Err(unsound) = sound {
                self.refuse(&format!("{unsound} for series {labels}"));
                continue;
            }
            let (timestamp, start, value) = (one.timestamp, one.start, Arc::new(value));
            self.rest.histograms.push(HistogramSample { series: series.clone(), timestamp, start, value });
        }
        for exemplar in &view.exemplars {
            self.exemplar(exemplar, &series);
        }
        if let (true, Some(sent)) = (self.manner.metadata, view.about) {
            self.tell(series, sent);
        }
        Ok(())
    }

    fn exemplar(&mut self, exemplar: &sdk_protocols_remote_write::ExemplarView<'_>, series: &Series) {
        let pairs = match &exemplar.labels {
            Ok(pairs) => pairs,
            Err(fault) => {
                if self.version == Version::V2 {
                    self.fault(&format!("parsing exemplar for series {}: {fault}", series.labels()));
                }
                return;
            }
        };
        let characters: usize = pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        // As in Prometheus, an exemplar that is not taken is no reason to refuse the request.
        if characters > EXEMPLAR_LABELS || exemplar.timestamp > self.latest {
            tracing::debug!(series = %series.labels(), "an exemplar is left out: it is too long, or too far in the future");
            return;
        }
        self.exemplars += 1;
        let labels = Labels::from_pairs(pairs.iter().copied());
        let (value, timestamp) = (exemplar.value, exemplar.timestamp);
        self.rest.exemplars.push(Exemplar { series: series.clone(), labels, value, timestamp });
    }

    fn labels(&self, view: &SeriesView<'_>) -> Result<Labels, String> {
        if let Some(fault) = &view.fault {
            return Err(fault.clone());
        }
        let sent = || {
            let pairs = view.labels.iter().map(|(name, value)| format!("{name}={value:?}"));
            format!("{{{}}}", pairs.take(10).collect::<Vec<_>>().join(", "))
        };
        // A label without a value is none.
        let named = view.labels.iter().filter(|(_, value)| !value.is_empty()).copied();
        let (mut pairs, mut kind, mut unit) = (Vec::with_capacity(view.labels.len()), None, None);
        let about = view.about.filter(|_| self.manner.type_and_unit_labels);
        if let Some(about) = about {
            kind = Some(("__type__", about.kind)).filter(|(_, kind)| *kind != "unknown");
            unit = Some(("__unit__", about.unit)).filter(|(_, unit)| !unit.is_empty());
        }
        let replaced = |name: &str| (kind.is_some() || unit.is_some()) && matches!(name, "__type__" | "__unit__");
        pairs.extend(named.filter(|(name, _)| !replaced(name)).chain(kind).chain(unit));
        pairs.sort_unstable_by_key(|(name, _)| *name);
        if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("invalid labels for series, labels {}, duplicated label {}", sent(), twice[0].0));
        }
        if pairs.first().is_none_or(|(name, _)| name.is_empty()) || !pairs.iter().any(|(name, _)| *name == METRIC_NAME)
        {
            return Err(format!("invalid metric name or labels, got {}", sent()));
        }
        Ok(Labels::from_pairs(pairs))
    }

    fn tell(&mut self, series: Series, sent: SentAbout<'_>) {
        let family_name = family(series.labels().get(METRIC_NAME).unwrap_or(""), sent.kind);
        let wanted = (family_name, sent.kind, sent.help, sent.unit);
        let same = |about: &About| (&*about.family, &*about.kind, &*about.help, &*about.unit) == wanted;
        // Series of a family follow each other mostly.
        let about = match self.metadata.last().filter(|last| same(&last.about)) {
            Some(last) => last.about.clone(),
            None => {
                let family = family_name.into();
                Arc::new(About { family, kind: sent.kind.into(), help: sent.help.into(), unit: sent.unit.into() })
            }
        };
        self.metadata.push(MetricMetadata { series, about });
    }

    fn too_far_ahead(&mut self, series: &Series) {
        self.refuse(&format!("out of bounds: timestamp is too far in the future for series {}", series.labels()));
    }

    /// A sample is not taken, and with it, in version 1, none is.
    fn refuse(&mut self, why: &str) {
        self.is_refused |= self.version == Version::V1;
        self.fault(why);
    }

    fn fault(&mut self, why: &str) {
        if self.faults.len() < MOST_FAULTS {
            let _ = writeln!(self.faults, "{why}");
        }
    }

    fn finish(self) -> Intake {
        let Reader { series, times, values, mut starts, rest, metadata, invalid_labels, exemplars, .. } = self;
        let faults = self.faults.trim_end().to_owned();
        if self.is_refused {
            let (batch, written) = (SampleBatch::default(), Written::default());
            return Intake { batch, written, invalid_labels, faults };
        }
        if !starts.is_empty() {
            starts.resize(values.len(), 0);
        }
        let written = Written { samples: values.len() as u64, histograms: rest.histograms.len() as u64, exemplars };
        let (series, times) = (series.into(), Times::Each(times));
        let batch = SampleBatch::new(Samples { series, times, values, starts, metadata: metadata.into(), ..rest });
        Intake { batch, written, invalid_labels, faults }
    }
}

/// The family of a series, which version 2 does not name.
fn family<'a>(name: &'a str, kind: &str) -> &'a str {
    let suffixes: &[&str] = match kind {
        "histogram" => &["_bucket", "_sum", "_count"],
        "gaugehistogram" => &["_bucket", "_gsum", "_gcount"],
        "summary" => &["_sum", "_count"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}
