//! `otelcol.connector.host_info`: tells which hosts send spans, as a metric.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_metrics::Counter;
use base_stdx::GoDuration;
use language_eval::{Block, Exports, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::{Output, Outputs};
use sdk_protocols_otlp::model::{
    AnyValue, Data, Gauge, Map, Message as _, Metric, MetricData, Number, NumberPoint, ResourceGroup, Scope, ScopeGroup,
};
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::resources;
use sdk_signals::{BoxFuture, Consumer, Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused};
use tokio::sync::watch;
use tracing::error;

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

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct HostInfoExports {
    /// Takes traces.
    pub input: OtelConsumer,
}

/// The component.
pub struct HostInfo {
    context: Context,
    input: Arc<Input>,
    interval: watch::Sender<Duration>,
}

/// The consumer behind the exported input.
struct Input {
    component: String,
    outputs: Outputs,
    state: Mutex<State>,
    overflowed: Counter,
    ended: AtomicBool,
}

struct State {
    identifiers: Vec<String>,
    hosts: Hosts,
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

impl Arguments {
    fn check(&self) -> Result<Duration, Problem> {
        for (list, message) in [
            (&self.output.logs, "logs output is not supported yet"),
            (&self.output.traces, "traces output is not supported yet"),
        ] {
            if !list.is_empty() {
                return Err(Problem::at("output", message));
            }
        }
        if self.output.metrics.is_empty() {
            return Err(Problem::at("output", "nobody would get the metric: output names no consumer of metrics"));
        }
        Ok(self.metrics_flush_interval.to_std().unwrap_or_default())
    }
}

// === impl HostInfo ===

impl Component for HostInfo {
    const NAME: &'static str = "otelcol.connector.host_info";
    type Arguments = Arguments;
    type Exports = HostInfoExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let interval = watch::Sender::new(arguments.check()?);
        let input = Arc::new(Input {
            component: context.local_id().to_owned(),
            outputs: Outputs::new(context, &arguments.output),
            state: Mutex::new(State { identifiers: arguments.host_identifiers, hosts: Hosts::default() }),
            overflowed: context.metrics().counter(
                "ferroalloy_otelcol_connector_host_info_overflowed_hosts_total",
                "Times that a host was seen that is not told apart from others.",
            ),
            ended: AtomicBool::new(false),
        });
        context.publish(&HostInfoExports { input: OtelConsumer(Receiver::new(context.id(), input.clone())) });
        Ok(HostInfo { context: context.clone(), input, interval })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let (input, interval, pause) = (self.input.clone(), self.interval.clone(), arguments.check()?);
        Ok(Update::then(move || {
            interval.send_replace(pause);
            input.outputs.replace(&arguments.output);
            input.state().identifiers = arguments.host_identifiers;
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.input.ended.store(false, Ordering::Relaxed);
        self.context.healthy("started");
        let mut interval = self.interval.subscribe();
        loop {
            let pause = *interval.borrow_and_update();
            tokio::select! {
                () = stop.stopped() => break,
                _ = interval.changed() => {}
                () = tokio::time::sleep(pause) => self.flush().await,
            }
        }
        self.input.ended.store(true, Ordering::Relaxed);
        self.flush().await;
        Ok(())
    }
}

impl HostInfo {
    /// Sends the metric. What nobody takes now is sent with the next one.
    async fn flush(&self) {
        let hosts = std::mem::take(&mut self.input.state().hosts);
        if hosts.names.is_empty() {
            return;
        }
        let data = hosts.metric(base_sys::clock::now_ns() as u64);
        let (items, payload) = (data.count() as u32, vec![data.encode().into()]);
        let batch = OtlpBatch { signal: OtlpSignal::Metrics, payload, items, origin: None };
        match self.input.outputs.consume(batch).await {
            Ok(delivery) => delivery.detach(),
            Err(refused) => {
                error!(err = refused.reason, "Error consuming metrics");
                let mut state = self.input.state();
                hosts.names.into_iter().for_each(|name| _ = state.hosts.add(name));
                state.hosts.overflow |= hosts.overflow;
            }
        }
    }
}

// === impl Input ===

impl Consumer<OtlpBatch> for Input {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if batch.signal != OtlpSignal::Traces {
                return Err(Refused::permanent("telemetry type is not supported"));
            }
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(&self.component));
            }
            let State { identifiers, hosts } = &mut *self.state();
            for group in batch.payload.iter().flat_map(|payload| resources(payload)) {
                if group.scopes().next().is_none() {
                    continue;
                }
                for pair in group.attributes() {
                    if identifiers.iter().any(|name| name.as_bytes() == pair.key) && !hosts.add(text::of(pair.value)) {
                        self.overflowed.inc();
                    }
                }
            }
            Ok(Delivery::delivered())
        })
    }
}

impl Input {
    fn state(&self) -> MutexGuard<'_, State> {
        // A set is never half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
