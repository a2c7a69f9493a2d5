//! Against servers of this machine that answer as told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use language_eval::{FromValue as _, Scope, ToValue as _};
use sdk_otel::storage::StorageHandler;
use sdk_protocols_grpc::server::{Config, Headers, Service};
use sdk_protocols_grpc::{Code, Status};
use sdk_protocols_otlp::model::{Data, LogRecord, Message as _, Metric, ResourceGroup, ScopeGroup, Span};
use sdk_signals::{Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Outcome, Refused};
use sdk_testing::component::Alone;
use sdk_testing::patience::until;

use super::LoadBalancing;
use super::arguments::RoutingKey;
use super::ring::Ring;
use super::routing::parts;

/// A backend that keeps what it takes.
#[derive(Default)]
struct Server {
    away: AtomicBool,
    got: Mutex<Vec<Bytes>>,
}

impl Server {
    async fn start() -> (Arc<Server>, String) {
        let server = Arc::new(Server::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = server.clone();
        base_sys::task::spawn("server", async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let serving =
                    sdk_protocols_grpc::server::serve(tcp, shared.clone(), Config::default(), std::future::pending());
                base_sys::task::spawn("connection", serving);
            }
        });
        (server, address)
    }

    /// The first bytes of the trace ids of what it took.
    fn traces(&self) -> BTreeSet<u8> {
        let got = self.got.lock().unwrap();
        let data = got.iter().map(Data::<Span>::decode);
        data.flat_map(|data| data.items().map(|(_, _, span)| span.trace_id[0]).collect::<Vec<_>>()).collect()
    }
}

impl Service for Server {
    type Admission = ();

    fn admit(&self, _: &str, _: &Headers) -> Result<(), Status> {
        Ok(())
    }

    async fn call(self: Arc<Self>, (): (), message: Bytes) -> Result<Bytes, Status> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Status::new(Code::Unavailable, "away"));
        }
        self.got.lock().unwrap().push(message);
        Ok(Bytes::new())
    }
}

/// A span of each of these traces.
fn spans(traces: std::ops::Range<u8>) -> OtlpBatch {
    let items: Vec<Span> = traces.map(|first| Span { trace_id: vec![first; 16].into(), ..Span::default() }).collect();
    let count = items.len() as u32;
    let scopes = vec![ScopeGroup { items, ..ScopeGroup::default() }];
    let data = Data { resources: vec![ResourceGroup { scopes, ..ResourceGroup::default() }], ..Data::default() };
    OtlpBatch { signal: OtlpSignal::Traces, payload: vec![data.encode().into()], items: count, origin: None }
}

fn config(endpoints: &[&str]) -> String {
    format!(
        "protocol {{\n otlp {{\n retry {{\n initial_interval = \"20ms\"\n max_interval = \"20ms\"\n }}\n client {{\n compression = \"none\"\n tls {{\n insecure = true\n }}\n }}\n }}\n}}\nresolver {{\n static {{\n hostnames = {endpoints:?}\n }}\n}}\n"
    )
}

fn input(alone: &Alone<LoadBalancing>) -> OtelConsumer {
    OtelConsumer::from_value(&alone.export("input").expect("an input")).expect("a consumer")
}

async fn send(alone: &Alone<LoadBalancing>, batch: OtlpBatch) -> Result<Delivery, Refused> {
    input(alone).0.consume(batch).await
}

#[tokio::test]
async fn a_trace_goes_to_one_backend_and_all_of_them_are_used() {
    let ((a, at_a), (b, at_b)) = (Server::start().await, Server::start().await);
    let alone = Alone::<LoadBalancing>::start(&config(&[&at_a, &at_b]), &Scope::new()).unwrap();
    for _ in 0..3 {
        assert_eq!(send(&alone, spans(0..100)).await.unwrap().await, Outcome::Delivered);
    }
    let (to_a, to_b) = (a.traces(), b.traces());
    assert!(to_a.is_disjoint(&to_b), "{to_a:?} {to_b:?}");
    assert_eq!(to_a.len() + to_b.len(), 100);
    assert!(!to_a.is_empty() && !to_b.is_empty());
    assert_eq!(sent(&alone), Some(300.0));
    assert_eq!(alone.metric("otelcol_loadbalancer_num_backends", &[("resolver", "static")]), Some(2.0));
    let outcome = [("endpoint", &at_a[..]), ("success", "true")];
    assert_eq!(alone.metric("otelcol_loadbalancer_backend_outcome_total", &outcome), Some(3.0));
}

#[tokio::test]
async fn what_waits_for_a_backend_that_goes_is_sent_to_the_others() {
    let ((a, at_a), (b, at_b)) = (Server::start().await, Server::start().await);
    b.away.store(true, Ordering::SeqCst);
    let alone = Alone::<LoadBalancing>::start(&config(&[&at_a, &at_b]), &Scope::new()).unwrap();
    let delivery = send(&alone, spans(0..100)).await.unwrap();
    until(|| !a.traces().is_empty()).await;
    alone.update(&config(&[&at_a]), &Scope::new()).unwrap();
    let delivered = tokio::time::timeout(Duration::from_secs(30), delivery).await;
    assert_eq!(delivered, Ok(Outcome::Delivered));
    assert_eq!(a.traces().len(), 100);
    // It comes back.
    b.away.store(false, Ordering::SeqCst);
    alone.update(&config(&[&at_a, &at_b]), &Scope::new()).unwrap();
    until(|| alone.metric("otelcol_loadbalancer_num_backends", &[("resolver", "static")]) == Some(2.0)).await;
    assert_eq!(send(&alone, spans(100..200)).await.unwrap().await, Outcome::Delivered);
    assert!(!b.traces().is_empty());
}

#[tokio::test]
async fn what_a_stop_left_for_a_backend_is_sent_to_the_others_of_the_next_run() {
    let data = tempfile::tempdir().unwrap();
    let ((a, at_a), (b, at_b)) = (Server::start().await, Server::start().await);
    a.away.store(true, Ordering::SeqCst);
    let run = |endpoint: &str| {
        let mut alone = Alone::<LoadBalancing>::build_in(&config(&[endpoint]), &Scope::new(), data.path()).unwrap();
        alone.run();
        alone
    };
    let mut alone = run(&at_a);
    let delivery = send(&alone, spans(0..50)).await.unwrap();
    alone.stop().await.unwrap();
    assert_eq!(delivery.await, Outcome::Delivered);
    let _alone = run(&at_b);
    until(|| b.traces().len() == 50).await;
}

/// Of the exporters together.
fn sent(alone: &Alone<LoadBalancing>) -> Option<f64> {
    let kind = "load_balancing/otelcol.exporter.loadbalancing.test";
    alone.metric("otelcol_exporter_sent_spans_total", &[("exporter", kind)])
}

const RETRY: &str = "retry_on_failure {\n initial_interval = \"20ms\"\n max_interval = \"20ms\"\n}\n";

#[tokio::test]
async fn a_queue_in_front_holds_what_the_backends_refuse() {
    let (a, at_a) = Server::start().await;
    a.away.store(true, Ordering::SeqCst);
    // Without queues of their own, and without a second try.
    let backends = config(&[&at_a]).replace("retry {\n", "queue {\n enabled = false\n }\n retry {\n enabled = false\n");
    let queue = "sending_queue {\n queue_size = 2\n num_consumers = 1\n}\n";
    let alone = Alone::<LoadBalancing>::start(&format!("{backends}{queue}{RETRY}"), &Scope::new()).unwrap();
    let deliveries = [send(&alone, spans(0..50)).await.unwrap(), send(&alone, spans(50..100)).await.unwrap()];
    let full = send(&alone, spans(100..101)).await.unwrap_err();
    assert_eq!((full.retryable, &full.reason[..]), (true, "sending queue is full"));
    assert_eq!((a.traces().len(), sent(&alone)), (0, Some(0.0)));
    a.away.store(false, Ordering::SeqCst);
    for delivery in deliveries {
        assert_eq!(delivery.await, Outcome::Delivered);
    }
    assert_eq!((a.traces().len(), sent(&alone)), (100, Some(100.0)));
}

#[tokio::test]
async fn what_the_queues_have_on_a_storage_survives_a_restart() {
    for part in ["sending_queue", "queue"] {
        let (storage, left) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let run = |endpoint: &str, folder: &std::path::Path| {
            let handler = StorageHandler::new("otelcol.storage.file.a", folder);
            let scope = sdk_testing::component::scope([("storage", handler.to_value())]);
            let queue = format!("{part} {{\n storage = storage\n}}\n");
            let config = match part {
                "queue" => config(&[endpoint]).replace("retry {\n", &format!("{queue} retry {{\n")),
                _ => format!("{}{queue}{RETRY}", config(&[endpoint])),
            };
            Alone::<LoadBalancing>::start(&config, &scope).unwrap()
        };
        let (a, at_a) = Server::start().await;
        a.away.store(true, Ordering::SeqCst);
        let alone = run(&at_a, storage.path());
        assert_eq!(send(&alone, spans(0..50)).await.unwrap().await, Outcome::Delivered, "it is on the disk");
        // What a crash leaves at this moment.
        copy(storage.path(), left.path());
        let (b, at_b) = Server::start().await;
        let _after = run(&at_b, left.path());
        until(|| b.traces().len() == 50).await;
        assert!(a.traces().is_empty());
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_signal_that_the_key_does_not_route_is_refused() {
    let (_, address) = Server::start().await;
    let alone = Alone::<LoadBalancing>::start(&config(&[&address]), &Scope::new()).unwrap();
    let metrics = OtlpBatch { signal: OtlpSignal::Metrics, ..spans(0..1) };
    let refused = send(&alone, metrics).await.unwrap_err();
    assert!(!refused.retryable, "{}", refused.reason);
}

#[test]
fn what_does_not_work_is_refused_by_name() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    for (config, word) in [
        ("resolver {\n}", "no resolvers"),
        ("resolver {\n static {\n hostnames = []\n }\n}", "no endpoints"),
        ("resolver {\n static {\n hostnames = [\"a\"]\n }\n dns {\n hostname = \"a\"\n }\n}", "only one resolver"),
        ("resolver {\n kubernetes {\n service = \"\"\n }\n}", "no service specified"),
        ("resolver {\n kubernetes {\n service = \"a.b.svc\"\n }\n}", "the domain of the cluster is missing"),
        ("resolver {\n kubernetes {\n service = \"a\"\n ports = [70000]\n }\n}", "invalid port 70000"),
        ("resolver {\n aws_cloud_map {\n namespace = \"\"\n service_name = \"b\"\n }\n}", "no Cloud Map namespace"),
        ("resolver {\n aws_cloud_map {\n namespace = \"a\"\n service_name = \"\"\n }\n}", "no Cloud Map service_name"),
        (
            "resolver {\n aws_cloud_map {\n namespace = \"a\"\n service_name = \"b\"\n health_status = \"WELL\"\n }\n}",
            "invalid health status \"WELL\"",
        ),
        ("routing_key = \"x\"\nresolver {\n static {\n hostnames = [\"a\"]\n }\n}", "x"),
        ("sending_queue {\n queue_size = 0\n}\nresolver {\n static {\n hostnames = [\"a\"]\n }\n}", "queue_size"),
    ] {
        let config = format!("protocol {{\n otlp {{\n client {{\n }}\n }}\n}}\n{config}");
        let error = Alone::<LoadBalancing>::build(&config, &Scope::new()).err().unwrap_or_default();
        assert!(error.contains(word), "{config}: {error}");
    }
}

#[test]
fn a_batch_is_cut_by_what_belongs_together() {
    let ring = Ring::of(&["a:1".to_owned(), "b:1".to_owned(), "c:1".to_owned()]);
    let total = |parts: &[(String, OtlpBatch)]| parts.iter().map(|(_, part)| part.items).sum::<u32>();
    let cut = parts(RoutingKey::TraceId, &ring, &spans(0..200)).unwrap();
    assert_eq!((cut.len(), total(&cut)), (3, 200));
    // One service is one part, also where spans of several resources are.
    assert_eq!(parts(RoutingKey::Service, &ring, &spans(0..200)).unwrap().len(), 1);
    let group = |name: &str| {
        let metric = Metric { name: name.into(), ..Metric::default() };
        ScopeGroup { items: vec![metric], ..ScopeGroup::default() }
    };
    let data = Data {
        resources: vec![ResourceGroup { scopes: ["x", "y", "x"].map(group).to_vec(), ..ResourceGroup::default() }],
        ..Data::default()
    };
    let batch = OtlpBatch { signal: OtlpSignal::Metrics, payload: vec![data.encode().into()], items: 0, origin: None };
    for (endpoint, part) in parts(RoutingKey::Metric, &ring, &batch).unwrap() {
        for (_, _, metric) in Data::<Metric>::decode(&part.into_bytes()).items() {
            assert_eq!(ring.endpoint(metric.name.as_bytes()), Some(&endpoint[..]));
        }
    }
    let record = LogRecord { trace_id: vec![1; 16].into(), ..LogRecord::default() };
    let scopes = vec![ScopeGroup { items: vec![record], ..ScopeGroup::default() }];
    let data = Data { resources: vec![ResourceGroup { scopes, ..ResourceGroup::default() }], ..Data::default() };
    let batch = OtlpBatch { signal: OtlpSignal::Logs, payload: vec![data.encode().into()], items: 1, origin: None };
    let cut = parts(RoutingKey::TraceId, &ring, &batch).unwrap();
    assert_eq!(cut[0].0, ring.endpoint("01".repeat(16).as_bytes()).unwrap());
}
