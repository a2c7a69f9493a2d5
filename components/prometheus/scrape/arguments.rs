//! What a `prometheus.scrape` block says.

use std::collections::BTreeMap;

use base_stdx::quote::quote;
use base_stdx::{ByteSize, GoDuration};
use language_eval::{Arguments, Block, Invalid, Target, Validate};
use sdk_net::ClientConfig;
use sdk_protocols_exposition::Format;
use sdk_signals::MetricsReceiver;

use super::listed::Wanted;
use super::page::PageFormat;

/// Scrapes Prometheus metrics over HTTP from targets and hands them on.
///
/// Each target is scraped on its own, spread over the interval. Besides the samples of its page each scrape gives `up`
/// and four more series about itself. A series that vanishes from a page is marked as ended.
#[derive(Arguments, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct ScrapeArguments {
    /// What to scrape.
    #[attr]
    pub targets: Vec<Target>,
    /// Where the samples go.
    #[attr]
    pub forward_to: Vec<MetricsReceiver>,
    /// The value of `job` for targets that have none; the component's id when left out.
    #[attr(optional)]
    pub job_name: String,
    /// A label of a page wins over the target's; otherwise it is renamed `exported_…`.
    #[attr(optional)]
    pub honor_labels: bool,
    /// Take the times that a page gives.
    #[attr(default = true)]
    pub honor_timestamps: bool,
    /// Mark series with times of their own as ended, too.
    #[attr(optional)]
    pub track_timestamps_staleness: bool,
    /// The query of the request.
    #[attr(optional)]
    pub params: BTreeMap<String, Vec<String>>,
    /// Keep the classic buckets of a histogram that also has native ones, or is made native.
    #[attr(optional)]
    pub scrape_classic_histograms: bool,
    /// Take native histograms. Only the format `PrometheusProto` has them, which is then asked for first unless
    /// `scrape_protocols` says otherwise.
    #[attr(optional)]
    pub scrape_native_histograms: bool,
    /// A file for a line of JSON about each scrape that failed.
    #[attr(optional)]
    pub scrape_failure_log_file: String,
    /// How often.
    #[attr(default = GoDuration::from_secs(60))]
    pub scrape_interval: GoDuration,
    /// How long a scrape may take.
    #[attr(default = GoDuration::from_secs(10))]
    pub scrape_timeout: GoDuration,
    /// The formats to ask for, the preferred one first.
    #[attr(default = default_protocols())]
    pub scrape_protocols: Vec<String>,
    /// Path of the page, for targets that have none of their own.
    #[attr(default = "/metrics")]
    pub metrics_path: String,
    /// `http` or `https`, for targets that have none of their own.
    #[attr(default = "http")]
    pub scheme: String,
    /// A page that is as large fails the scrape. With 0, nothing fails below 512MiB and 4,194,304 lines, but a page of more than
    /// 8MiB is asked for twice the first time: nothing of it is kept before its end has been seen.
    #[attr(default = ByteSize::default())]
    pub body_size_limit: ByteSize,
    /// More samples fail the scrape; 0 means no limit.
    #[attr(optional)]
    pub sample_limit: u64,
    /// More targets fail all scrapes; 0 means no limit.
    #[attr(optional)]
    pub target_limit: u64,
    /// A series with more labels fails the scrape; 0 means no limit.
    #[attr(optional)]
    pub label_limit: u64,
    /// A longer label name fails the scrape; 0 means no limit.
    #[attr(optional)]
    pub label_name_length_limit: u64,
    /// A longer label value fails the scrape; 0 means no limit.
    #[attr(optional)]
    pub label_value_length_limit: u64,
    /// How to reach targets and who to be there.
    #[squash]
    pub client: ClientConfig,
    /// Three more series about each scrape.
    #[attr(optional)]
    pub extra_metrics: bool,
    /// The older name of `scrape_native_histograms`.
    #[attr(optional)]
    pub enable_protobuf_negotiation: bool,
    /// Which names of metrics and labels are taken: `legacy` or `utf8`.
    #[attr(default = "legacy")]
    pub metric_name_validation_scheme: String,
    /// How targets are asked to write other names; `underscores` with `legacy`, `allow-utf-8` with `utf8` when left out.
    #[attr(optional)]
    pub metric_name_escaping_scheme: String,
    /// The format of a page that does not say which.
    #[attr(default = "PrometheusText0.0.4")]
    pub scrape_fallback_protocol: String,
    /// Make native histograms, with buckets of their own, of classic ones.
    #[attr(optional)]
    pub convert_classic_histograms_to_nhcb: bool,
    /// Ask for compressed pages.
    #[attr(default = true)]
    pub enable_compression: bool,
    /// A native histogram with more buckets is made coarser, and fails the scrape if that does not help; 0 means no limit.
    #[attr(optional)]
    pub native_histogram_bucket_limit: u64,
    /// A native histogram whose buckets grow by less is made coarser; 0 keeps it as it is.
    #[attr(optional)]
    pub native_histogram_min_bucket_factor: f64,
    /// Pass on what families are: type, help and unit. Version 2 of remote write sends it.
    #[attr(optional)]
    pub honor_metadata: bool,
    /// Label each series with its type and unit, as `__type__` and `__unit__`.
    #[attr(optional)]
    pub enable_type_and_unit_labels: bool,
    /// Add a zero where a counter began, if its page says when that was.
    #[attr(optional)]
    pub start_timestamp_zero_ingestion: bool,
    /// Sharing targets in a cluster.
    #[block(optional)]
    pub clustering: Clustering,
}

/// Sharing targets in a cluster. A process that is in no cluster scrapes all of them, whatever this says, as in Alloy.
#[derive(Block, Clone, Debug, Default, PartialEq)]
pub struct Clustering {
    /// Share targets with the other members.
    #[attr]
    pub enabled: bool,
}

/// A format that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    OpenMetrics1,
    OpenMetrics0,
    Text1,
    Text0,
    Protobuf,
}

fn default_protocols() -> Vec<String> {
    let all = [Protocol::OpenMetrics1, Protocol::OpenMetrics0, Protocol::Text1, Protocol::Text0];
    all.iter().map(|protocol| protocol.name().to_owned()).collect()
}

impl Protocol {
    const ALL: [Protocol; 5] =
        [Protocol::OpenMetrics0, Protocol::OpenMetrics1, Protocol::Protobuf, Protocol::Text0, Protocol::Text1];

    fn name(self) -> &'static str {
        match self {
            Protocol::OpenMetrics1 => "OpenMetricsText1.0.0",
            Protocol::OpenMetrics0 => "OpenMetricsText0.0.1",
            Protocol::Text1 => "PrometheusText1.0.0",
            Protocol::Text0 => "PrometheusText0.0.4",
            Protocol::Protobuf => "PrometheusProto",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// As in `Accept`.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Protocol::OpenMetrics1 => "application/openmetrics-text;version=1.0.0",
            Protocol::OpenMetrics0 => "application/openmetrics-text;version=0.0.1",
            Protocol::Text1 => "text/plain;version=1.0.0",
            Protocol::Text0 => "text/plain;version=0.0.4",
            Protocol::Protobuf => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
        }
    }

    /// Whether a target is told how to write names that the classic rule does not know.
    pub(crate) fn has_escaping(self) -> bool {
        matches!(self, Protocol::OpenMetrics1 | Protocol::Text1)
    }

    pub(crate) fn format(self) -> PageFormat {
        match self {
            Protocol::OpenMetrics1 | Protocol::OpenMetrics0 => PageFormat::Text(Format::OpenMetrics),
            Protocol::Text1 | Protocol::Text0 => PageFormat::Text(Format::Text),
            Protocol::Protobuf => PageFormat::Protobuf,
        }
    }
}

impl ScrapeArguments {
    /// How pages are asked for and read: all but where they are, and where what they say goes.
    pub(crate) fn manner(&self) -> ScrapeArguments {
        ScrapeArguments { targets: Vec::new(), forward_to: Vec::new(), ..self.clone() }
    }

    /// The formats to ask for. Only one of them has native histograms: where these are wanted and nothing is said about
    /// formats, it comes first.
    pub(crate) fn protocols(&self) -> Vec<String> {
        let mut protocols = self.scrape_protocols.clone();
        let wanted = self.scrape_native_histograms || self.enable_protobuf_negotiation;
        if wanted && protocols == default_protocols() {
            protocols.insert(0, Protocol::Protobuf.name().to_owned());
        }
        protocols
    }

    /// What is read out of a page beside plain samples.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            native: self.scrape_native_histograms || self.enable_protobuf_negotiation,
            keep_classic: self.scrape_classic_histograms,
            convert_classic: self.convert_classic_histograms_to_nhcb,
            metadata: self.honor_metadata,
            type_and_unit_labels: self.enable_type_and_unit_labels,
            starts: self.start_timestamp_zero_ingestion,
        }
    }

    /// The finest schema whose buckets grow by `native_histogram_min_bucket_factor`.
    pub(crate) fn finest_schema(&self) -> Option<i32> {
        let factor = self.native_histogram_min_bucket_factor;
        let schema = || (-factor.max(1.000_000_1).log2().log2()).floor();
        let (coarsest, finest) = (f64::from(sdk_histogram::COARSEST_SCHEMA), f64::from(sdk_histogram::FINEST_SCHEMA));
        (factor > 0.0).then(|| schema().clamp(coarsest, finest) as i32)
    }

    /// What the escaping scheme is when it is left out.
    pub(crate) fn escaping(&self) -> &str {
        match (self.metric_name_escaping_scheme.as_str(), self.metric_name_validation_scheme.as_str()) {
            ("", "legacy") => "underscores",
            ("", _) => "allow-utf-8",
            (scheme, _) => scheme,
        }
    }
}

impl Validate for ScrapeArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.scrape_timeout > self.scrape_interval {
            return Err(Invalid::field(
                "scrape_timeout",
                format!(
                    "scrape_timeout ({}) greater than scrape_interval ({}) for scrape config with job name {}",
                    self.scrape_timeout,
                    self.scrape_interval,
                    quote(self.job_name.as_bytes())
                ),
            ));
        }
        self.validate_protocols()?;
        self.validate_names()?;
        if self.scrape_interval <= GoDuration::ZERO {
            return Err(Invalid::field("scrape_interval", "scrape_interval must be greater than 0"));
        }
        Ok(())
    }
}

impl ScrapeArguments {
    fn validate_protocols(&self) -> Result<(), Invalid> {
        let unknown = |name: &str| {
            let known: Vec<_> = Protocol::ALL.iter().map(|protocol| protocol.name()).collect();
            format!("unknown scrape protocol {name}, supported: [{}]", known.join(" "))
        };
        let is_default = self.scrape_protocols == default_protocols();
        if self.enable_protobuf_negotiation && !is_default {
            return Err(Invalid::field(
                "enable_protobuf_negotiation",
                "both enable_protobuf_negotiation and scrape_protocols are set, only one can be set at a time",
            ));
        }
        let has_protobuf = self.scrape_protocols.iter().any(|name| name == Protocol::Protobuf.name());
        if self.scrape_native_histograms && !is_default && !has_protobuf {
            return Err(Invalid::field(
                "scrape_native_histograms",
                "scrape_native_histograms is set to true, but PrometheusProto is not in scrape_protocols",
            ));
        }
        for (i, name) in self.scrape_protocols.iter().enumerate() {
            if self.scrape_protocols[..i].contains(name) {
                let message = format!(
                    "duplicate scrape protocol {}: make sure the scrape protocols provided are unique",
                    quote(name.as_bytes())
                );
                return Err(Invalid::field("scrape_protocols", message));
            }
            if Protocol::from_name(name).is_none() {
                let message = format!("invalid scrape protocol {}: {}", quote(name.as_bytes()), unknown(name));
                return Err(Invalid::field("scrape_protocols", message));
            }
        }
        let fallback = &self.scrape_fallback_protocol;
        if !fallback.is_empty() && Protocol::from_name(fallback).is_none() {
            let message =
                format!("invalid scrape_fallback_protocol {}: {}", quote(fallback.as_bytes()), unknown(fallback));
            return Err(Invalid::field("scrape_fallback_protocol", message));
        }
        Ok(())
    }

    fn validate_names(&self) -> Result<(), Invalid> {
        let validation = &self.metric_name_validation_scheme;
        if !matches!(validation.as_str(), "utf8" | "legacy") {
            let message = format!(
                "invalid metric_name_validation_scheme {}: must be either \"utf8\" or \"legacy\"",
                quote(validation.as_bytes())
            );
            return Err(Invalid::field("metric_name_validation_scheme", message));
        }
        let escaping = &self.metric_name_escaping_scheme;
        if !matches!(escaping.as_str(), "" | "allow-utf-8" | "underscores" | "dots" | "values") {
            let message = format!(
                "invalid metric_name_escaping_scheme: {}, supported values: [allow-utf-8 underscores dots values]",
                quote(escaping.as_bytes())
            );
            return Err(Invalid::field("metric_name_escaping_scheme", message));
        }
        if escaping == "allow-utf-8" && validation != "utf8" {
            return Err(Invalid::field(
                "metric_name_escaping_scheme",
                "metric_name_escaping_scheme cannot be set to 'allow-utf-8' while metric_name_validation_scheme is not set to 'utf8'",
            ));
        }
        Ok(())
    }
}
