//! `otelcol.connector.servicegraph`: which services call which, how often, how long it takes and how often it fails.

mod edges;

use std::sync::Arc;
use std::time::Duration;

use base_metrics::Counter;
use base_stdx::GoDuration;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Context, Problem};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{
    CUMULATIVE, Data, Map, Metric, MetricData, Number, NumberPoint, ResourceGroup, Scope, ScopeGroup, Sum,
};
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{self, Attribute};
use tokio::time::Instant;

use crate::aggregating::{Aggregating, Aggregation};
use crate::distribution::{Distribution, Point, Shape, default_bounds};
use crate::series::{Now, Series, Table};
use crate::span::{CLIENT, CONSUMER, ERROR, PRODUCER, SERVER, Span, is_empty, value};
use edges::{Connection, Edge, Edges, Key, Stored};

/// Edges told apart; beyond, requests are counted in one series.
const MOST_SERIES: usize = 50_000;

/// An edge on which nothing has happened for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

/// What an exponential histogram has when a negative number of buckets is asked for, as in Alloy.
const DEFAULT_SIZE: i32 = 160;

/// Makes metrics of the requests between services: `traces_service_graph_request_total`, `…_request_failed_total`,
/// `…_request_server` and `…_request_client`, with the labels `client`, `server`, `connection_type` and `failed`.
///
/// A request is a span of kind client (or producer) and the span of kind server (or consumer) below it. Until both have
/// come, the one that has waits in memory. A client span that names a database needs no other. When the time to wait is
/// over, a client span that names its peer becomes a request to a virtual node of that name, and a server span without
/// parent one from `user`. All spans of a trace must come to the same collector.
///
/// Spans are counted in memory, and delivered with that: what a crash loses is what waits, and what was counted since the
/// last flush. At the stop, and when the arguments change, what was counted is sent. Metrics that the next component refuses
/// are offered again with the next ones. Beyond 50,000 series requests are counted in one, `otel.metric.overflow = true`.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Upper bounds of the histograms of durations.
    #[attr(default = default_bounds())]
    pub latency_histogram_buckets: Vec<GoDuration>,
    /// Attributes of resources or spans that become labels, with `client_` or `server_` before their names.
    #[attr(default = Vec::new())]
    pub dimensions: Vec<String>,
    /// Spans that wait for their other half.
    #[block(optional)]
    pub store: Store,
    /// How often it is looked for edges on which nothing has happened for 15 minutes; these are forgotten.
    #[attr(default = GoDuration::from_secs(60))]
    pub cache_loop: GoDuration,
    /// How often it is looked for spans that have waited for too long.
    #[attr(default = GoDuration::from_secs(2))]
    pub store_expiration_loop: GoDuration,
    /// Attributes of client spans that name whom they call, the first that is there; without any, there are no virtual nodes.
    #[attr(default = ["peer.service", "db.name", "db.system"].map(str::to_owned).to_vec())]
    pub virtual_node_peer_attributes: Vec<String>,
    /// Adds a label `virtual_node`, which says which side is one: `client`, `server`, or none.
    #[attr(optional)]
    pub virtual_node_extra_label: bool,
    /// How often the metrics are sent; 0 is after each payload.
    #[attr(default = GoDuration::from_secs(60))]
    pub metrics_flush_interval: GoDuration,
    /// Attributes that name a database, the first that is there.
    #[attr(default = vec!["db.name".to_owned()])]
    pub database_name_attributes: Vec<String>,
    /// Makes exponential histograms with so many buckets at most; 0 makes them with `latency_histogram_buckets`.
    #[attr(optional)]
    pub exponential_histogram_max_size: i32,
    /// Where the metrics go.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// Spans that wait for their other half.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct Store {
    /// How many may wait; more are dropped and counted.
    #[attr(default = 1000)]
    pub max_items: i64,
    /// For how long.
    #[attr(default = GoDuration::from_secs(2))]
    pub ttl: GoDuration,
}

/// `otelcol.connector.servicegraph`.
pub type Component = Aggregating<ServiceGraph>;

/// The arguments, what waits, and what was counted.
pub struct ServiceGraph {
    settings: Settings,
    edges: Edges,
    requests: Requests,
    cleaned: Instant,
    counters: Counters,
}

struct Settings {
    dimensions: Vec<String>,
    databases: Vec<String>,
    peers: Vec<String>,
    interval: Duration,
    upkeep: Duration,
    clean: Duration,
}

struct Counters {
    edges: Counter,
    expired: Counter,
    dropped: Counter,
}

/// Requests by edge.
struct Requests {
    table: Table<Counted>,
    shape: Shape,
    /// Names of the labels of dimensions.
    labels: Vec<String>,
    virtual_label: bool,
    /// When counting began, in nanoseconds since 1970.
    start: u64,
    key: Vec<u8>,
    overflowed: Counter,
}

struct Counted {
    total: u64,
    failed: u64,
    server: Distribution,
    client: Distribution,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        for (field, name, value) in [
            ("cache_loop", "cache_loop", self.cache_loop),
            ("store_expiration_loop", "store_expiration_loop", self.store_expiration_loop),
            ("store", "store.ttl", self.store.ttl),
        ] {
            if value <= GoDuration::ZERO {
                return Err(Invalid::field(field, format!("{name} must be greater than 0")));
            }
        }
        if self.store.max_items <= 0 {
            return Err(Invalid::field("store", "store.max_items must be greater than 0"));
        }
        Ok(())
    }
}

// === impl ServiceGraph ===

impl Aggregation for ServiceGraph {
    const NAME: &'static str = "otelcol.connector.servicegraph";
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let counter = |name: &str, help: &str| context.metrics().counter(name, help);
        let duration = |duration: GoDuration| duration.to_std().unwrap_or_default();
        let databases = match &arguments.database_name_attributes[..] {
            [] => vec!["db.name".to_owned()],
            names => names.to_vec(),
        };
        Ok(ServiceGraph {
            settings: Settings {
                dimensions: arguments.dimensions.clone(),
                databases,
                peers: arguments.virtual_node_peer_attributes.clone(),
                interval: duration(arguments.metrics_flush_interval),
                upkeep: duration(arguments.store_expiration_loop),
                clean: duration(arguments.cache_loop),
            },
            edges: Edges::new(
                usize::try_from(arguments.store.max_items).unwrap_or(usize::MAX),
                duration(arguments.store.ttl),
            ),
            requests: Requests::new(
                arguments,
                counter(
                    "ferroalloy_otelcol_connector_servicegraph_overflowed_requests_total",
                    "Number of requests on edges that are not told apart.",
                ),
            ),
            cleaned: Instant::now(),
            counters: Counters {
                edges: counter("otelcol_connector_servicegraph_edges_total", "Total number of unique edges"),
                expired: counter(
                    "otelcol_connector_servicegraph_expired_edges_total",
                    "Number of edges that expired before finding its matching span",
                ),
                dropped: counter(
                    "otelcol_connector_servicegraph_dropped_spans_total",
                    "Number of spans dropped when trying to add edges",
                ),
            },
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    fn interval(&self) -> Duration {
        self.settings.interval
    }

    fn count(&mut self, payload: &[u8]) {
        for group in walk::resources(payload) {
            let attributes: Vec<Attribute<'_>> = group.attributes().collect();
            let Some(service) = value(attributes.iter().cloned(), "service.name").map(text::of) else { continue };
            for record in group.scopes().flat_map(|scope| scope.records()) {
                self.span(&service, &attributes, &Span::read(record));
            }
        }
    }

    fn metrics(&mut self, _last: bool) -> Data<Metric> {
        self.requests.metrics()
    }

    fn upkeep(&self) -> Option<Duration> {
        Some(self.settings.upkeep)
    }

    fn keep_up(&mut self) {
        let now = Now::read();
        self.expire(now);
        if now.instant.duration_since(self.cleaned) >= self.settings.clean {
            self.cleaned = now.instant;
            self.requests.table.expire(FORGET_AFTER, now.instant);
        }
    }
}

impl ServiceGraph {
    fn span(&mut self, service: &str, resource: &[Attribute<'_>], span: &Span<'_>) {
        let (is_client, above) = match span.kind {
            CLIENT | PRODUCER => (true, span.span_id),
            SERVER | CONSUMER => (false, span.parent_span_id),
            _ => return,
        };
        let now = Now::read();
        if self.edges.is_full() {
            self.expire(now);
        }
        let settings = &self.settings;
        let seconds = span.nanoseconds() as f64 / 1e9;
        let around = |name: &str| value(resource.iter().cloned(), name).or_else(|| span.attribute(name)).map(text::of);
        let stored = self.edges.upsert(Key::new(span.trace_id, above), now.instant, |edge| {
            edge.connection = match span.kind {
                PRODUCER | CONSUMER => Connection::Messaging,
                _ => Connection::Unknown,
            };
            edge.failed |= span.status == ERROR;
            edge.dimensions.resize(2 * settings.dimensions.len(), None);
            for (i, name) in settings.dimensions.iter().enumerate() {
                if let Some(text) = around(name) {
                    edge.dimensions[2 * i + usize::from(!is_client)] = Some(text);
                }
            }
            if !is_client {
                service.clone_into(&mut edge.server);
                edge.server_seconds = seconds;
                return;
            }
            service.clone_into(&mut edge.client);
            edge.client_seconds = seconds;
            let peers = settings.peers.iter().enumerate();
            let peer = peers.filter_map(|(i, name)| Some((i, text::of(span.attribute(name)?)))).next();
            if let Some(peer) = peer.filter(|(i, _)| edge.peer.as_ref().is_none_or(|(before, _)| i <= before)) {
                edge.peer = Some(peer);
            }
            // A database answers without a span of its own.
            if let Some(name) = settings.databases.iter().find_map(|name| around(name)) {
                edge.connection = Connection::Database;
                edge.server = name;
                edge.server_seconds = seconds;
            }
        });
        match stored {
            Stored::New => self.counters.edges.inc(),
            Stored::Known => {}
            Stored::Complete { edge, new } => {
                self.counters.edges.add(u64::from(new));
                self.requests.add(&edge, "", now);
            }
            Stored::NoRoom => self.counters.dropped.inc(),
        }
    }

    /// What has waited for too long becomes a request to or from a virtual node, if it can.
    fn expire(&mut self, now: Now) {
        while let Some((key, mut edge)) = self.edges.pop_expired(now.instant) {
            self.counters.expired.inc();
            if self.settings.peers.is_empty() {
                continue;
            }
            edge.connection = Connection::VirtualNode;
            if edge.client.is_empty() && is_empty(&key.span) {
                "user".clone_into(&mut edge.client);
                self.requests.add(&edge, "client", now);
            }
            if edge.server.is_empty() {
                edge.server = edge.peer.take().map_or_else(|| "unknown".to_owned(), |(_, name)| name);
                self.requests.add(&edge, "server", now);
            }
        }
    }
}

// === impl Requests ===

impl Requests {
    fn new(arguments: &Arguments, overflowed: Counter) -> Requests {
        let shape = match arguments.exponential_histogram_max_size {
            0 => {
                let bounds: Arc<[f64]> =
                    arguments.latency_histogram_buckets.iter().map(|bound| bound.as_secs_f64()).collect();
                Shape::Explicit(bounds)
            }
            ..0 => Shape::Exponential(DEFAULT_SIZE),
            size => Shape::Exponential(size),
        };
        let sides = ["client", "server"];
        Requests {
            table: Table::new(),
            shape,
            labels: arguments.dimensions.iter().flat_map(|name| sides.map(|side| format!("{side}_{name}"))).collect(),
            virtual_label: arguments.virtual_node_extra_label,
            start: base_sys::clock::now_ns() as u64,
            key: Vec::new(),
            overflowed,
        }
    }

    fn add(&mut self, edge: &Edge, virtual_node: &str, now: Now) {
        let Requests { table, shape, labels, virtual_label, key, overflowed, .. } = self;
        key.clear();
        key.push(u8::from(edge.failed));
        let parts = [&edge.client[..], &edge.server, edge.connection.text(), virtual_node];
        for part in parts.into_iter().map(Some).chain(edge.dimensions.iter().map(Option::as_deref)) {
            // A dimension that is not there is none that is empty.
            key.push(u8::from(part.is_some()));
            let part = part.unwrap_or_default();
            key.extend_from_slice(&(part.len() as u32).to_le_bytes());
            key.extend_from_slice(part.as_bytes());
        }
        let attributes = || {
            let mut attributes: Map = [("client", &*edge.client), ("server", &*edge.server)].into_iter().collect();
            attributes.set("connection_type", edge.connection.text());
            attributes.set("failed", edge.failed);
            for (label, text) in labels.iter().zip(&edge.dimensions) {
                text.iter().for_each(|text| attributes.set(label.as_str(), text.as_str()));
            }
            if *virtual_label {
                attributes.set("virtual_node", virtual_node);
            }
            attributes
        };
        let empty = || Counted { total: 0, failed: 0, server: shape.empty(), client: shape.empty() };
        let found = table.find(key, MOST_SERIES, now, attributes, empty);
        overflowed.add(u64::from(found.overflowed));
        let counted = &mut found.series.value;
        counted.total += 1;
        counted.failed += u64::from(edge.failed);
        shape.observe(&mut counted.server, edge.server_seconds, 1);
        shape.observe(&mut counted.client, edge.client_seconds, 1);
    }

    fn metrics(&mut self) -> Data<Metric> {
        let (start, time) = (self.start, base_sys::clock::now_ns() as u64);
        let all = self.table.all();
        let all: Vec<&Series<Counted>> = all.into_iter().map(|(_, series)| &*series).collect();
        if all.is_empty() {
            return Data::default();
        }
        let sum = |name: &str, count: fn(&Counted) -> u64, least: u64| {
            let points = all.iter().filter(|series| count(&series.value) >= least).map(|series| NumberPoint {
                attributes: series.attributes.clone(),
                start_time_unix_nano: start,
                time_unix_nano: time,
                value: Number::Int(i64::try_from(count(&series.value)).unwrap_or(i64::MAX)),
                ..NumberPoint::default()
            });
            let sum = Sum { points: points.collect(), temporality: CUMULATIVE, is_monotonic: true, ..Sum::default() };
            Metric { name: name.into(), data: MetricData::Sum(sum), ..Metric::default() }
        };
        let histogram = |name: &str, side: fn(&Counted) -> &Distribution| {
            let points = all.iter().map(|series| {
                let attributes = series.attributes.clone();
                (Point { attributes, start, time, exemplars: Vec::new() }, side(&series.value))
            });
            let data = self.shape.data(CUMULATIVE, points);
            Metric { name: name.into(), unit: "s".into(), data, ..Metric::default() }
        };
        let mut items = vec![
            sum("traces_service_graph_request_total", |counted| counted.total, 0),
            sum("traces_service_graph_request_failed_total", |counted| counted.failed, 1),
            histogram("traces_service_graph_request_server", |counted| &counted.server),
            histogram("traces_service_graph_request_client", |counted| &counted.client),
        ];
        items.retain(|metric| !metric.data.is_empty());
        let scope = Scope { name: "traces_service_graph".into(), ..Scope::default() };
        let scopes = vec![ScopeGroup { scope, items, ..ScopeGroup::default() }];
        Data { resources: vec![ResourceGroup { scopes, ..ResourceGroup::default() }], ..Data::default() }
    }
}

#[cfg(test)]
mod tests;
