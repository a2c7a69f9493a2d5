//! What Alloy's servers count of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base_metrics::{Gauge, GaugeVec, HistogramVec, Scope, exponential_buckets};
use bytes::Bytes;
use http::Response;
use http::header::UPGRADE;
use http::request::Parts;
use tokio::time::Instant;

use super::Route;
use crate::server::PushServer;

const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];

#[derive(Clone)]
pub(super) struct ServerMetrics {
    duration: HistogramVec,
    request_bytes: HistogramVec,
    response_bytes: HistogramVec,
    inflight: GaugeVec,
    /// HTTP connections that are open.
    pub connections: Gauge,
    connections_limit: GaugeVec,
    streams_limit: Gauge,
}

/// One request, while it is answered.
pub(super) struct Measured {
    metrics: ServerMetrics,
    method: String,
    route: String,
    websocket: &'static str,
    received: Arc<AtomicU64>,
    since: Instant,
}

// === impl ServerMetrics ===

impl ServerMetrics {
    pub fn new(scope: &Scope, namespace: &str, arguments: &PushServer) -> ServerMetrics {
        let name = |name: &str| format!("{namespace}_{name}");
        let sizes = exponential_buckets(4.0, 4.0, 15);
        let tcp =
            scope.gauge_vec(&name("tcp_connections"), "Current number of accepted TCP connections.", &["protocol"]);
        // Nothing listens there, and dashboards find the series they know.
        tcp.with(&["grpc"]);
        let metrics = ServerMetrics {
            duration: scope.histogram_vec(
                &name("request_duration_seconds"),
                "Time (in seconds) spent serving HTTP requests.",
                SECONDS,
                &["method", "route", "status_code", "ws"],
            ),
            request_bytes: scope.histogram_vec(
                &name("request_message_bytes"),
                "Size (in bytes) of messages received in the request.",
                &sizes,
                &["method", "route"],
            ),
            response_bytes: scope.histogram_vec(
                &name("response_message_bytes"),
                "Size (in bytes) of messages sent in response.",
                &sizes,
                &["method", "route"],
            ),
            inflight: scope.gauge_vec(
                &name("inflight_requests"),
                "Current number of inflight requests.",
                &["method", "route"],
            ),
            connections: tcp.with(&["http"]),
            connections_limit: scope.gauge_vec(
                &name("tcp_connections_limit"),
                "The max number of TCP connections that can be accepted (0 means no limit).",
                &["protocol"],
            ),
            streams_limit: scope.gauge(
                &name("grpc_concurrent_streams_limit"),
                "The max number of concurrent streams that can be accepted (0 means no limit).",
            ),
        };
        metrics.limits(arguments);
        metrics
    }

    /// What the configuration allows.
    pub fn limits(&self, arguments: &PushServer) {
        self.connections_limit.with(&["http"]).set(arguments.http.conn_limit as f64);
        self.connections_limit.with(&["grpc"]).set(arguments.grpc.conn_limit as f64);
        self.streams_limit.set(arguments.grpc.server_max_concurrent_streams as f64);
    }

    /// A request has come.
    pub fn request(&self, head: &Parts, route: Option<&Route>) -> Measured {
        // A method of a stranger's making is no label.
        let method = match route {
            Some(route) => route.method.to_string(),
            None if head.method.as_str().len() <= 7 && is_usual(&head.method) => head.method.to_string(),
            None => "other".to_owned(),
        };
        let route = route.map_or_else(|| "other".to_owned(), |route| route_name(route.path));
        self.inflight.with(&[&method, &route]).inc();
        let websocket =
            head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        Measured {
            metrics: self.clone(),
            method,
            route,
            websocket: if websocket { "true" } else { "false" },
            received: Arc::default(),
            since: Instant::now(),
        }
    }
}

fn is_usual(method: &http::Method) -> bool {
    use http::Method;
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
        Method::CONNECT,
    ]
    .contains(method)
}

/// `/loki/api/v1/push` as Alloy's label has it: `loki_api_v1_push`.
fn route_name(path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("_").to_lowercase();
    if name.is_empty() { "root".to_owned() } else { name }
}

// === impl Measured ===

impl Measured {
    /// Where the bytes of the body are counted.
    pub fn received(&self) -> Arc<AtomicU64> {
        self.received.clone()
    }

    /// The answer is ready.
    pub fn answered(self, response: &Response<Bytes>) {
        let labels = [self.method.as_str(), self.route.as_str()];
        let status = response.status().as_u16().to_string();
        let seconds = self.since.elapsed().as_secs_f64();
        self.metrics.duration.with(&[labels[0], labels[1], &status, self.websocket]).observe(seconds);
        self.metrics.request_bytes.with(&labels).observe(self.received.load(Ordering::Relaxed) as f64);
        self.metrics.response_bytes.with(&labels).observe(response.body().len() as f64);
    }
}

/// Also when the client goes away before its answer.
impl Drop for Measured {
    fn drop(&mut self) {
        self.metrics.inflight.with(&[&self.method, &self.route]).dec();
    }
}
