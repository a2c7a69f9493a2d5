//! The component's metrics, under Alloy's names.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use base_metrics::{Counter, CounterVec, Gauge, GaugeVec, Scope};
use url::Url;

use super::payload::Payload;

/// Origins that are told apart: browsers name them.
const MAX_ORIGINS: usize = 200;
/// Bytes of an origin.
const MAX_ORIGIN: usize = 512;
/// The label of those that come after, and of longer ones.
const OTHER: &str = "other";

#[derive(Clone)]
pub(super) struct Counters {
    logs: Counter,
    measurements: Counter,
    exceptions: Counter,
    events: Counter,
    errors: CounterVec,
    cached: GaugeVec,
    downloads: CounterVec,
    file_reads: CounterVec,
    origins: Arc<Mutex<HashSet<String>>>,
}

/// What could not be handed on.
#[derive(Clone, Copy)]
pub(super) enum Exporter {
    Logs,
    Traces,
}

impl Counters {
    pub fn new(scope: &Scope) -> Counters {
        let total = |what: &str| {
            scope.counter(&format!("faro_receiver_{what}_total"), &format!("Total number of ingested {what}"))
        };
        Counters {
            logs: total("logs"),
            measurements: total("measurements"),
            exceptions: total("exceptions"),
            events: total("events"),
            errors: scope.counter_vec(
                "faro_receiver_exporter_errors_total",
                "Total number of errors produced by a receiver exporter",
                &["exporter"],
            ),
            cached: scope.gauge_vec(
                "faro_receiver_sourcemap_cache_size",
                "number of items in source map cache, per origin",
                &["origin"],
            ),
            downloads: scope.counter_vec(
                "faro_receiver_sourcemap_downloads_total",
                "downloads by the source map service",
                &["origin", "http_status"],
            ),
            file_reads: scope.counter_vec(
                "faro_receiver_sourcemap_file_reads_total",
                "source map file reads from file system, by origin and status",
                &["origin", "status"],
            ),
            origins: Arc::default(),
        }
    }

    /// A payload was taken.
    pub fn taken(&self, payload: &Payload) {
        self.logs.add(payload.logs.len() as u64);
        self.measurements.add(payload.measurements.len() as u64);
        self.exceptions.add(payload.exceptions.len() as u64);
        self.events.add(payload.events.len() as u64);
    }

    /// A part of a payload was not.
    pub fn refused(&self, exporter: Exporter) {
        let name = match exporter {
            Exporter::Logs => "logs exporter",
            Exporter::Traces => "traces exporter",
        };
        self.errors.with(&[name]).inc();
    }

    pub fn file_read(&self, url: &str, status: &str) {
        self.file_reads.with(&[&self.origin(url), status]).inc();
    }

    pub fn downloaded(&self, url: &str, status: &str) {
        self.downloads.with(&[&self.origin(url), status]).inc();
    }

    /// The maps of the URL's origin.
    pub fn cached(&self, url: &str) -> Gauge {
        self.cached.with(&[&self.origin(url)])
    }

    fn origin(&self, url: &str) -> String {
        let origin = match Url::parse(url) {
            Ok(url) => {
                let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
                format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
            }
            // A file name without an origin.
            Err(url::ParseError::RelativeUrlWithoutBase) => "://".to_owned(),
            Err(_) => "?".to_owned(),
        };
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if !origins.contains(&origin) {
            if origins.len() >= MAX_ORIGINS || origin.len() > MAX_ORIGIN {
                return OTHER.to_owned();
            }
            origins.insert(origin.clone());
        }
        origin
    }
}
