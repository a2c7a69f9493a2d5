//! Against a server that answers as told.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use language_eval::{FromValue as _, Scope, ToValue as _};
use sdk_component::HealthState;
use sdk_otel::storage::StorageHandler;
use sdk_protocols_grpc::server::{Config, Headers, Service};
use sdk_protocols_grpc::{Code, Status};
use sdk_protocols_otlp::edit::any;
use sdk_protocols_otlp::response::PartialSuccess;
use sdk_protocols_otlp::wire::{put_bytes, put_message};
use sdk_signals::{Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Outcome, Refused};
use sdk_testing::component::Alone;
use tokio::time::Instant;

use super::Otlp;
use crate::auth_tests::Tokens;

/// Answers with what is next in `answers`, then with success; keeps what it got.
#[derive(Default)]
struct Server {
    answers: Mutex<Vec<Result<Bytes, Status>>>,
    got: Mutex<Vec<(String, Bytes, Instant)>>,
}

impl Server {
    async fn start(answers: Vec<Result<Bytes, Status>>) -> (Arc<Server>, String) {
        let server = Arc::new(Server { answers: Mutex::new(answers), ..Server::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = server.clone();
        base_sys::task::spawn("server", async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let server = shared.clone();
                let config = Config { message_limit: 64 << 20, ..Config::default() };
                let serving = sdk_protocols_grpc::server::serve(tcp, server, config, std::future::pending());
                base_sys::task::spawn("connection", serving);
            }
        });
        (server, address)
    }

    fn got(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

impl Service for Server {
    type Admission = String;

    fn admit(&self, path: &str, _: &Headers) -> Result<String, Status> {
        Ok(path.to_owned())
    }

    async fn call(self: Arc<Self>, path: String, message: Bytes) -> Result<Bytes, Status> {
        self.got.lock().unwrap().push((path, message, Instant::now()));
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() { Ok(Bytes::new()) } else { answers.remove(0) }
    }
}

fn batch(spans: u32) -> OtlpBatch {
    let mut payload = Vec::new();
    put_message(&mut payload, 1, |out| put_message(out, 2, |out| (0..spans).for_each(|_| put_bytes(out, 2, b""))));
    OtlpBatch { signal: OtlpSignal::Traces, payload: vec![payload.into()], items: spans, origin: None }
}

struct Bench {
    alone: Alone<Otlp>,
    input: OtelConsumer,
}

impl Bench {
    fn start(address: &str, more: &str) -> Bench {
        Bench::start_in(address, more, &Scope::new())
    }

    fn start_in(address: &str, more: &str, scope: &Scope) -> Bench {
        Bench::start_as(address, "", more, scope)
    }

    fn start_as(address: &str, client: &str, more: &str, scope: &Scope) -> Bench {
        let config =
            format!("client {{\n endpoint = \"{address}\"\n {client}\n tls {{\n insecure = true\n }}\n}}\n{more}");
        let alone = Alone::<Otlp>::start(&config, scope).unwrap();
        let input = OtelConsumer::from_value(&alone.export("input").unwrap()).unwrap();
        Bench { alone, input }
    }

    async fn send(&self, spans: u32) -> Result<Delivery, Refused> {
        self.input.0.consume(batch(spans)).await
    }

    fn count(&self, what: &str) -> Option<f64> {
        let name = format!("otelcol_exporter_{what}_spans_total");
        self.alone.metric(&name, &[("exporter", "otlp/otelcol.exporter.otlp.test")])
    }
}

const FAST: &str = "retry_on_failure {\n initial_interval = \"10ms\"\n max_interval = \"20ms\"\n}\n";

#[tokio::test]
async fn a_request_arrives_as_it_was_and_counts_once() {
    let (server, address) = Server::start(vec![]).await;
    let bench = Bench::start(&address, "");
    let mut sent = batch(1);
    let mut more = Vec::new();
    put_message(&mut more, 1, |out| put_bytes(out, 1000, &any::int(7)));
    sent.payload.push(more.into());
    let whole = sent.clone().into_bytes();
    assert_eq!(bench.input.0.consume(sent).await.unwrap().await, Outcome::Delivered);
    let (path, message, _) = server.got.lock().unwrap()[0].clone();
    assert_eq!((&path[..], message), ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", whole));
    assert_eq!((bench.count("sent"), bench.count("send_failed")), (Some(1.0), Some(0.0)));
    assert_eq!(bench.alone.metric("otelcol_exporter_queue_capacity", &[("data_type", "traces")]), Some(1000.0));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_counts_once_as_sent() {
    let (server, address) = Server::start(vec![Err(Status::new(Code::Unavailable, "later"))]).await;
    let bench = Bench::start(&address, FAST);
    assert_eq!(bench.send(3).await.unwrap().await, Outcome::Delivered);
    assert_eq!(server.got(), 2);
    assert_eq!((bench.count("sent"), bench.count("send_failed")), (Some(3.0), Some(0.0)));
    // One request left the queue, however often it was tried.
    let page = bench.alone.metrics();
    let size = |what: &str| {
        let name = format!("otelcol_exporter_queue_batch_send_size{what}");
        let line = page.lines().find(|line| line.split('{').next() == Some(&name));
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    let bytes = batch(3).into_bytes().len().to_string();
    assert_eq!((size("_count").as_deref(), size("_sum").as_deref()), (Some("1"), Some("3")));
    assert_eq!((size("_bytes_count").as_deref(), size("_bytes_sum")), (Some("1"), Some(bytes)));
}

#[tokio::test]
async fn what_will_not_pass_is_dropped_at_once() {
    for code in [Code::InvalidArgument, Code::Internal, Code::ResourceExhausted, Code::Unimplemented] {
        let (server, address) = Server::start(vec![Err(Status::new(code, "no"))]).await;
        let bench = Bench::start(&address, FAST);
        assert_eq!(bench.send(3).await.unwrap().await, Outcome::Dropped, "{code:?}");
        assert_eq!(server.got(), 1);
        assert_eq!((bench.count("sent"), bench.count("send_failed")), (Some(0.0), Some(3.0)));
    }
}

#[tokio::test]
async fn a_server_may_say_when_to_come_again() {
    let later = Status::new(Code::ResourceExhausted, "busy").retry_after(Duration::from_millis(300));
    let (server, address) = Server::start(vec![Err(later)]).await;
    let bench = Bench::start(&address, FAST);
    assert_eq!(bench.send(1).await.unwrap().await, Outcome::Delivered);
    let got = server.got.lock().unwrap();
    assert!(got[1].2 - got[0].2 >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_partial_success_is_counted_and_not_repeated() {
    let partial = PartialSuccess { rejected: 2, message: "too old".into() };
    let (server, address) = Server::start(vec![Ok(partial.to_proto().into())]).await;
    let bench = Bench::start(&address, FAST);
    assert_eq!(bench.send(5).await.unwrap().await, Outcome::Delivered);
    assert_eq!(server.got(), 1);
    assert_eq!((bench.count("sent"), bench.count("send_failed")), (Some(3.0), Some(2.0)));
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_that_it_may_pass() {
    // Nobody listens there.
    let bench = Bench::start("127.0.0.1:1", "sending_queue {\n queue_size = 2\n num_consumers = 1\n}\n");
    let mut deliveries = Vec::new();
    for _ in 0..2 {
        deliveries.push(bench.send(1).await.unwrap());
    }
    let refused = bench.send(1).await.unwrap_err();
    assert_eq!((refused.retryable, &refused.reason[..]), (true, "sending queue is full"));
    assert_eq!(bench.count("enqueue_failed"), Some(1.0));
}

#[tokio::test]
async fn without_a_queue_the_caller_hears_the_outcome() {
    let (_server, address) = Server::start(vec![Err(Status::new(Code::InvalidArgument, "no"))]).await;
    let bench = Bench::start(&address, "sending_queue {\n enabled = false\n}\n");
    assert!(!bench.send(1).await.unwrap_err().retryable);
    assert_eq!(bench.send(1).await.unwrap().await, Outcome::Delivered);
}

#[tokio::test]
async fn all_whose_requests_were_merged_hear_the_answer() {
    let no = Status::new(Code::ResourceExhausted, "later").retry_after(Duration::from_secs(3600));
    let (server, address) = Server::start(vec![Err(no)]).await;
    let batch = "batch {\n flush_timeout = \"1h\"\n min_size = 4\n }\n";
    let bench = Bench::start(&address, &format!("sending_queue {{\n wait_for_result = true\n {batch}}}\n"));
    let told = futures_util::future::join_all((0..4).map(|_| bench.send(1))).await;
    for told in told {
        let Refused { code, retryable, retry_after, .. } = told.unwrap_err();
        assert_eq!((code, retryable, retry_after), (Some(8), true, Some(Duration::from_secs(3600))));
    }
    assert_eq!((server.got(), bench.count("send_failed")), (1, Some(4.0)));
}

#[tokio::test]
async fn whoever_waits_for_the_answer_hears_of_a_stop() {
    // Nobody listens there.
    let Bench { mut alone, input } = Bench::start("127.0.0.1:1", "sending_queue {\n wait_for_result = true\n}\n");
    let (told, ()) = tokio::join!(input.0.consume(batch(1)), async {
        while alone.metric("otelcol_exporter_queue_size", &[("data_type", "traces")]) != Some(1.0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        alone.stop().await.unwrap();
    });
    let refused = told.unwrap_err();
    assert_eq!((refused.retryable, refused.code), (true, None), "{refused:?}");
}

#[tokio::test]
async fn with_wait_for_result_too() {
    let (_server, address) = Server::start(vec![Err(Status::new(Code::InvalidArgument, "no"))]).await;
    let bench = Bench::start(&address, "sending_queue {\n wait_for_result = true\n}\n");
    assert!(!bench.send(1).await.unwrap_err().retryable);
    assert_eq!(bench.send(1).await.unwrap().await, Outcome::Delivered);
}

#[tokio::test]
async fn what_is_not_sent_at_a_stop_is_written_down_and_told_as_delivered() {
    let mut bench = Bench::start("127.0.0.1:1", "");
    let delivery = bench.send(4).await.unwrap();
    let start = Instant::now();
    bench.alone.stop().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(delivery.await, Outcome::Delivered);
    assert!(bench.send(1).await.unwrap_err().retryable);
    assert!(bench.alone.context.data_path().join("traces").is_dir());
}

#[tokio::test]
async fn with_a_storage_what_was_taken_survives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let start = |address: &str, directory: &Path| {
        let storage = StorageHandler::new("otelcol.storage.file.a", directory);
        let scope = sdk_testing::component::scope([("storage", storage.to_value())]);
        Bench::start_in(address, "sending_queue {\n storage = storage\n}\n", &scope)
    };
    let bench = start("127.0.0.1:1", folder.path());
    assert_eq!(bench.send(4).await.unwrap().await, Outcome::Delivered, "it is on the disk");
    // What a crash leaves at this moment.
    let left = tempfile::tempdir().unwrap();
    let queue = "otelcol.exporter.otlp.test_traces";
    std::fs::create_dir(left.path().join(queue)).unwrap();
    for file in std::fs::read_dir(folder.path().join(queue)).unwrap().flatten() {
        std::fs::copy(file.path(), left.path().join(queue).join(file.file_name())).unwrap();
    }
    let (server, address) = Server::start(vec![]).await;
    let bench = start(&address, left.path());
    while bench.count("sent") != Some(4.0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.got(), 1);
}

#[tokio::test]
async fn a_storage_that_cannot_be_opened_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("file");
    std::fs::write(&place, "").unwrap();
    let storage = StorageHandler::new("otelcol.storage.file.a", &place);
    let scope = sdk_testing::component::scope([("storage", storage.to_value())]);
    let bench = Bench::start_in("127.0.0.1:1", "sending_queue {\n storage = storage\n}\n", &scope);
    assert!(bench.send(1).await.unwrap_err().retryable);
}

#[tokio::test]
async fn requests_of_the_queue_are_merged_and_cut() {
    let (server, address) = Server::start(vec![]).await;
    let queue =
        "sending_queue {\n num_consumers = 1\n batch {\n flush_timeout = \"1h\"\n min_size = 6\n max_size = 6\n }\n}\n";
    let bench = Bench::start(&address, queue);
    let first = bench.send(4).await.unwrap();
    let second = bench.send(5).await.unwrap();
    assert_eq!((first.await, second.await), (Outcome::Delivered, Outcome::Delivered));
    let got = server.got.lock().unwrap();
    let spans = |message: &Bytes| sdk_protocols_otlp::check(OtlpSignal::Traces, message).unwrap();
    assert_eq!(got.iter().map(|(_, message, _)| spans(message)).collect::<Vec<_>>(), [6, 3]);
}

#[tokio::test]
async fn a_batch_that_does_not_fill_goes_when_its_time_is_over() {
    let (server, address) = Server::start(vec![]).await;
    let bench = Bench::start(&address, "sending_queue {\n batch {\n flush_timeout = \"20ms\"\n }\n}\n");
    assert_eq!(bench.send(4).await.unwrap().await, Outcome::Delivered);
    assert_eq!(server.got(), 1);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let client = "client {\n endpoint = \"h:1\"\n}\n";
    for (config, word) in [
        ("sending_queue {\n batch {\n min_size = 10\n max_size = 5\n }\n}\n", "max_size"),
        ("sending_queue {\n batch {\n sizer = \"requests\"\n }\n}\n", "sizer"),
        ("client {\n endpoint = \"h:1\"\n tls {\n tpm {\n enabled = true\n }\n }\n}\n", "tpm"),
        ("client {\n endpoint = \"h:1\"\n compression = \"zlib\"\n}\n", "compression"),
        ("client {\n endpoint = \"h:1\"\n balancer_name = \"other\"\n}\n", "round_robin"),
        ("sending_queue {\n queue_size = 0\n}\n", "queue_size"),
        ("retry_on_failure {\n multiplier = 1\n}\n", "multiplier"),
    ] {
        let config = if config.starts_with("client") { config.to_owned() } else { format!("{client}{config}") };
        let error = Alone::<Otlp>::build(&config, &Scope::new()).err().unwrap_or_default();
        assert!(error.contains(word), "{config}: {error}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_replaced_once() {
    let no = || Err(Status::new(Code::Unauthenticated, "who?"));
    for (answers, outcome) in [(vec![no()], Outcome::Delivered), (vec![no(), no()], Outcome::Dropped)] {
        let (server, address) = Server::start(answers).await;
        let tokens = Arc::new(Tokens::default());
        let bench = Bench::start_as(&address, "auth = test.handler", FAST, &tokens.scope());
        assert_eq!(bench.send(3).await.unwrap().await, outcome);
        assert_eq!((server.got(), tokens.rejected()), (2, 1));
    }
}

#[tokio::test]
async fn secrets_are_not_sent_without_tls() {
    let (server, address) = Server::start(vec![]).await;
    let tokens = Arc::new(Tokens::secret());
    let bench = Bench::start_as(&address, "auth = test.handler", FAST, &tokens.scope());
    let delivery = bench.send(3).await.unwrap();
    for _ in 0..3000 {
        if bench.alone.health().is_some_and(|(state, why)| {
            state == HealthState::Unhealthy
                && why.contains(&format!("the credentials of test require TLS, and tls.insecure switches it off: nothing is sent to {address}"))
        }) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(bench.alone.health().unwrap().0, HealthState::Unhealthy);
    assert_eq!((server.got(), tokens.asked()), (0, 0));
    // What waited goes when the configuration is mended.
    let config = format!("client {{\n endpoint = \"{address}\"\n tls {{\n insecure = true\n }}\n}}\n{FAST}");
    bench.alone.update(&config, &Scope::new()).unwrap();
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!(bench.alone.health().unwrap().0, HealthState::Healthy);
}
