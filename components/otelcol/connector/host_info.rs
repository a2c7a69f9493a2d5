//! `otelcol.connector.host_info`: tells which hosts send spans, as a metric.

use std::collections::BTreeSet;
use std::time::Duration;

use base_metrics::Counter;
use base_stdx::GoDuration;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Context, Problem};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{
    AnyValue, Data, Gauge, Map, Metric, MetricData, Number, NumberPoint, ResourceGroup, Scope, ScopeGroup,
};
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::resources;

use crate::aggregating::{Aggregating, Aggregation};

/// Hosts told apart between two flushes at most; the others are one, `otel.metric.overflow`.
const MOST_HOSTS: usize = 10_000;

/// Makes a metric of the hosts that spans come from.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Attributes of resources whose values name a host.
    #[attr(default = vec!["host.id".to_owned()])]
    pub host_identifiers: Vec<String>,
    /// How often the metric is sent.
    #[attr(default = GoDuration::from_secs(60))]
    pub metrics_flush_interval: GoDuration,
    /// Where the metric goes.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// `otelcol.connector.host_info`.
pub type Component = Aggregating<HostInfo>;

/// The arguments, and the hosts seen since the last flush.
pub struct HostInfo {
    identifiers: Vec<String>,
    interval: Duration,
    hosts: Hosts,
    overflowed: Counter,
}

/// The hosts seen since the last flush.
#[derive(Default)]
struct Hosts {
    names: BTreeSet<String>,
    /// There were more than are told apart.
    overflow: bool,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.host_identifiers.is_empty() {
            return Err(Invalid::field("host_identifiers", "host_identifiers must not be empty"));
        }
        if self.metrics_flush_interval <= GoDuration::ZERO {
            return Err(Invalid::field("metrics_flush_interval", "metrics_flush_interval must be greater than 0"));
        }
        Ok(())
    }
}

// === impl HostInfo ===

impl Aggregation for HostInfo {
    const NAME: &'static str = "otelcol.connector.host_info";
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        Ok(HostInfo {
            identifiers: arguments.host_identifiers.clone(),
            interval: arguments.metrics_flush_interval.to_std().unwrap_or_default(),
            hosts: Hosts::default(),
            overflowed: context.metrics().counter(
                "ferroalloy_otelcol_connector_host_info_overflowed_hosts_total",
                "Times that a host was seen that is not told apart from others.",
            ),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn count(&mut self, payload: &[u8]) {
        for group in resources(payload) {
            if group.scopes().next().is_none() {
                continue;
            }
            for pair in group.attributes() {
                let is_host = self.identifiers.iter().any(|name| name.as_bytes() == pair.key);
                if is_host && !self.hosts.add(text::of(pair.value)) {
                    self.overflowed.inc();
                }
            }
        }
    }

    fn metrics(&mut self, _last: bool) -> Data<Metric> {
        std::mem::take(&mut self.hosts).metric(base_sys::clock::now_ns() as u64)
    }
}

// === impl Hosts ===

impl Hosts {
    /// Whether the host is told apart from others.
    fn add(&mut self, name: String) -> bool {
        if self.names.contains(&name) {
            return true;
        }
        if self.names.len() >= MOST_HOSTS {
            self.overflow = true;
            return false;
        }
        self.names.insert(name)
    }

    fn metric(&self, now: u64) -> Data<Metric> {
        let point = |key: &str, value: AnyValue| {
            let mut attributes = Map::default();
            attributes.set(key, value);
            let value = Number::Int(1);
            NumberPoint { attributes, start_time_unix_nano: now, time_unix_nano: now, value, ..NumberPoint::default() }
        };
        let hosts = self.names.iter().map(|name| point("grafana.host.id", AnyValue::Text(name.as_str().into())));
        let others = self.overflow.then(|| point("otel.metric.overflow", AnyValue::Bool(true)));
        let gauge = Gauge { points: hosts.chain(others).collect(), ..Gauge::default() };
        let metric = Metric { name: "traces_host_info".into(), data: MetricData::Gauge(gauge), ..Metric::default() };
        let scope = Scope { name: "hostinfoconnector".into(), ..Scope::default() };
        let scopes = vec![ScopeGroup { scope, items: vec![metric], ..ScopeGroup::default() }];
        Data { resources: vec![ResourceGroup { scopes, ..ResourceGroup::default() }], ..Data::default() }
    }
}

#[cfg(test)]
mod tests;
