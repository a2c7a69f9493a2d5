//! Over real sockets of this machine, as clients do.

mod answers;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use language_eval::{Scope, ToValue as _};
use sdk_component::HealthState;
use sdk_otel::auth::{AuthHandler, ServerAuth};
use sdk_otel::client::GrpcClient;
use sdk_protocols_compression::Coding;
use sdk_protocols_grpc::{Channel, Code, Status};
use sdk_protocols_otlp::json::to_json;
use sdk_protocols_otlp::wire::{put_bytes, put_message};
use sdk_signals::{OtelConsumer, OtlpBatch, OtlpSignal, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle::{Group, cases};
use serde_json::Value as Json;

use super::Otlp;
use crate::testing::{Answer, ask, channel};

const OUTPUT: &str = "output {\n traces = [next]\n metrics = [next]\n logs = [next]\n}\n";

struct Bench {
    alone: Alone<Otlp>,
    next: Arc<Collector<OtlpBatch>>,
    scope: Scope,
    address: String,
}

impl Bench {
    /// Starts one server on a port of its own.
    async fn start(server: &str, arguments: &str) -> Bench {
        Bench::start_at(server, "127.0.0.1:0", arguments).await
    }

    async fn start_at(server: &str, endpoint: &str, arguments: &str) -> Bench {
        let (next, receiver) = Collector::new();
        let scope = scope([("next", OtelConsumer(receiver).to_value())]);
        let config = format!("{server} {{\n endpoint = {endpoint:?}\n {arguments}\n}}\n{OUTPUT}");
        let alone = Alone::<Otlp>::start(&config, &scope).unwrap();
        let address = listening(&alone).await;
        Bench { alone, next, scope, address }
    }

    async fn post(&self, path: &str, kind: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::post(path).header("content-type", kind);
        ask(&self.address, request.body(Full::new(body.into())).unwrap()).await
    }

    fn metric(&self, what: &str, transport: &str) -> Option<f64> {
        let name = format!("otelcol_receiver_{what}_spans_total");
        self.alone.metric(&name, &[("receiver", "otlp/otelcol.receiver.otlp.test"), ("transport", transport)])
    }

    fn channel(&self, coding: Coding) -> Channel {
        channel(&self.address, coding)
    }
}

async fn listening(alone: &Alone<Otlp>) -> String {
    for _ in 0..500 {
        if let Some((HealthState::Healthy, message)) = alone.health() {
            return message.rsplit_once(" on ").map(|(_, address)| address.to_owned()).unwrap_or_default();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", alone.health());
}

fn spans(count: usize) -> Bytes {
    let mut payload = Vec::new();
    put_message(&mut payload, 1, |out| put_message(out, 2, |out| (0..count).for_each(|_| put_bytes(out, 2, b""))));
    payload.into()
}

#[tokio::test]
async fn http_answers_as_recorded() {
    let Some(rows) = cases::<Json>("pipelines/otelcol/receiver_http.jsonl") else { return };
    let bench = Bench::start("http", "").await;
    let mut group = Group::new("otelcol_receiver_http");
    for (i, case) in rows[0]["expected_answers"].as_array().unwrap().iter().enumerate() {
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let mut request = Request::builder().method(text("method")).uri(text("path"));
        if !text("content_type").is_empty() {
            request = request.header("content-type", text("content_type"));
        }
        // The recording kept bytes as Latin-1.
        let sent: Vec<u8> = text("sent").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let answer = ask(&bench.address, request.body(Full::new(sent.into())).unwrap()).await;
        let id = format!("{} {} {:?} {:?}", text("method"), text("path"), text("content_type"), text("sent"));
        let ours = (answer.status.as_u16(), answer.kind().to_owned());
        let alloy = (case["status"].as_u64().unwrap() as u16, text("answer_type").to_owned());
        // The words about broken bodies are ours; codes, types and all other bodies are not.
        let mut difference = (ours != alloy).then(|| format!("alloy: {alloy:?}\nours:  {ours:?}"));
        if difference.is_none() && answer.status != 400 && answer.body != text("body").as_bytes() {
            difference = Some(format!("alloy: {:?}\nours:  {:?}", text("body"), answer.body));
        }
        if answer.status == 400 {
            let status = if answer.kind() == "application/json" {
                Status::from_json(&answer.body)
            } else {
                Some(Status::from_proto(&answer.body))
            };
            assert_eq!(status.map(|status| status.code), Some(Code::InvalidArgument), "{id}");
        }
        group.case(&format!("receiver_http-{i}"), difference);
    }
    group.finish();
}

#[tokio::test]
async fn what_is_sent_comes_out_whatever_its_coding() {
    let bench = Bench::start("http", "").await;
    for name in ["gzip", "zstd", "zlib", "deflate", "snappy", "lz4"] {
        let body = Coding::of_http(name).unwrap().compress(&spans(2), None);
        let request = Request::post("/v1/traces")
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", name);
        let answer = ask(&bench.address, request.body(Full::new(body.into())).unwrap()).await;
        assert_eq!(answer.status, 200, "{name}: {:?}", answer.body);
        let batch = bench.next.take().remove(0);
        assert_eq!((batch.signal, batch.items, batch.into_bytes()), (OtlpSignal::Traces, 2, spans(2)));
    }
    assert_eq!(bench.metric("accepted", "http"), Some(12.0));
    let request =
        Request::post("/v1/traces").header("content-type", "application/x-protobuf").header("content-encoding", "br");
    assert_eq!(ask(&bench.address, request.body(Full::new(spans(1))).unwrap()).await.status, 400);
}

#[tokio::test]
async fn codings_may_be_left_out() {
    let bench = Bench::start("http", "compression_algorithms = [\"\"]").await;
    let body = Coding::Gzip.compress(&spans(2), None);
    let request =
        Request::post("/v1/traces").header("content-type", "application/x-protobuf").header("content-encoding", "gzip");
    assert_eq!(ask(&bench.address, request.body(Full::new(body.into())).unwrap()).await.status, 400);
    assert_eq!(bench.post("/v1/traces", "application/x-protobuf", spans(1)).await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_as_sent_and_as_expanded() {
    let bench = Bench::start("http", "max_request_body_size = \"1KiB\"").await;
    assert_eq!(bench.post("/v1/traces", "application/x-protobuf", spans(1000)).await.status, 413);
    let body = Coding::Gzip.compress(&spans(10_000), None);
    assert!(body.len() < 1024);
    let request =
        Request::post("/v1/traces").header("content-type", "application/x-protobuf").header("content-encoding", "gzip");
    assert_eq!(ask(&bench.address, request.body(Full::new(body.into())).unwrap()).await.status, 413);
    assert!(bench.next.batches().is_empty());
}

#[tokio::test]
async fn a_refusal_of_the_pipeline_has_the_protocol_s_code() {
    let later =
        Refused { retry_after: Some(Duration::from_millis(6500)), ..Refused::retryable("sending queue is full") };
    for (refused, http, code) in [
        (Refused::retryable("sending queue is full"), 503, Code::Unavailable),
        (later, 503, Code::Unavailable),
        (Refused::permanent("no"), 500, Code::Internal),
    ] {
        let bench = Bench::start("http", "").await;
        bench.next.refuse(Some(refused.clone()));
        let answer = bench
            .post("/v1/traces", "application/json", br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}"#.to_vec())
            .await;
        assert_eq!(answer.status, http);
        let status = Status::from_json(&answer.body).unwrap();
        assert_eq!((status.code, status.message), (code, refused.reason.clone()));
        let delay = answer.headers.get("retry-after").map(|delay| delay.to_str().unwrap());
        assert_eq!(delay, refused.retry_after.map(|_| "7"));
        assert_eq!(bench.metric("refused", "http"), Some(1.0));

        let bench = Bench::start("grpc", "").await;
        bench.next.refuse(Some(refused.clone()));
        let answer = bench
            .channel(Coding::Identity)
            .unary(OtlpSignal::Traces.grpc_path(), vec![spans(1)], HeaderMap::new())
            .await;
        let status = answer.unwrap_err();
        assert_eq!((status.code, status.message, status.retry_delay), (code, refused.reason, refused.retry_after));
        assert_eq!(bench.metric("refused", "grpc"), Some(1.0));
    }
}

#[tokio::test]
async fn grpc_takes_what_is_sent_under_every_coding() {
    let bench = Bench::start("grpc", "").await;
    for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd, Coding::SnappyFramed] {
        let reply =
            bench.channel(coding).unary(OtlpSignal::Logs.grpc_path(), vec![spans(3)], HeaderMap::new()).await.unwrap();
        assert_eq!(&reply.message[..], b"\n\0");
        let batch = bench.next.take().remove(0);
        assert_eq!((batch.signal, batch.items), (OtlpSignal::Logs, 3));
    }
    let empty = bench.channel(Coding::Identity).unary(OtlpSignal::Logs.grpc_path(), vec![], HeaderMap::new()).await;
    assert!(empty.is_ok());
    assert!(bench.next.batches().is_empty());
    let garbage = bench
        .channel(Coding::Identity)
        .unary(OtlpSignal::Logs.grpc_path(), vec![Bytes::from_static(b"\x07")], HeaderMap::new())
        .await;
    assert_eq!(garbage.unwrap_err().code, Code::Internal);
}

/// What is wrong stands in a span, `levels` levels below the request.
fn wrong_at(levels: usize, wrong: &[u8]) -> Bytes {
    // Resource spans, scope spans, span, link, attribute, value, array, value.
    let fields = [1, 2, 2, 13, 4, 2, 5, 1];
    let inside = fields[..levels].iter().rev().fold(wrong.to_vec(), |inside, field| {
        let mut out = Vec::new();
        put_bytes(&mut out, *field, &inside);
        out
    });
    inside.into()
}

#[tokio::test]
async fn what_is_malformed_is_said_so_at_any_depth_and_counted() {
    let (grpc, http) = (Bench::start("grpc", "").await, Bench::start("http", "").await);
    let name = "ferroalloy_otelcol_receiver_malformed_requests_total";
    let counted = |bench: &Bench, transport: &str| {
        bench.alone.metric(name, &[("receiver", "otlp/otelcol.receiver.otlp.test"), ("transport", transport)])
    };
    let mut sent = 0.0;
    let mut payloads: Vec<Bytes> = Vec::new();
    // No tag, a group's end, a length beyond the end, one of more than 64 bits, one that does not end, a field that is cut.
    let wrong: [&[u8]; 6] =
        [b"\x07", b"\x0c", b"\x0a\x05a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x0a\x80", b"\x39\0\0"];
    for levels in 0..=8 {
        payloads.extend(wrong.iter().map(|wrong| wrong_at(levels, wrong)));
    }
    // Ids of the wrong size, of a span and of a link; a number where a message belongs.
    payloads.extend([wrong_at(3, b"\x0a\x01a"), wrong_at(4, b"\x12\x09123456789"), wrong_at(2, b"\x10\x01")]);
    // Deeper than anybody goes.
    let deep = (0..201).fold(Vec::new(), |inside, level| {
        let mut out = Vec::new();
        put_bytes(&mut out, if level % 2 == 0 { 5 } else { 1 }, &inside);
        out
    });
    payloads.push(wrong_at(6, &deep));
    let channel = grpc.channel(Coding::Identity);
    for payload in payloads {
        sent += 1.0;
        let refused = channel.unary(OtlpSignal::Traces.grpc_path(), vec![payload.clone()], HeaderMap::new()).await;
        let refused = refused.map(|_| panic!("taken: {payload:?}")).unwrap_err();
        assert_eq!(refused.code, Code::Internal, "{payload:?}");
        assert!(refused.message.contains("error unmarshalling request"), "{}", refused.message);
        let answer = http.post("/v1/traces", "application/x-protobuf", payload.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (400, "application/x-protobuf"), "{payload:?}");
        assert_eq!(Status::from_proto(&answer.body).code, Code::InvalidArgument);
    }
    assert_eq!((counted(&grpc, "grpc"), counted(&http, "http")), (Some(sent), Some(sent)));
    for text in [
        "",
        "{",
        "[]",
        "{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": [{\"traceId\": \"ab\"}]}]}]}",
        "{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": [{\"startTimeUnixNano\": \"18446744073709551616\"}]}]}]}",
        "{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": [{\"kind\": 1e99}]}]}]}",
        "{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": [{\"name\": \"\\ud800\"}]}]}]}",
    ] {
        let answer = http.post("/v1/traces", "application/json", text).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (400, "application/json"), "{text}");
        sent += 1.0;
    }
    assert_eq!(counted(&http, "http"), Some(sent));
    assert!(grpc.next.batches().is_empty() && http.next.batches().is_empty());
    // Text that is none is taken, as the Collector takes it.
    let answer = http.post("/v1/traces", "application/x-protobuf", wrong_at(3, b"\x2a\x02\xff\xfe")).await;
    assert_eq!((answer.status.as_u16(), http.next.take().remove(0).items), (200, 1));
}

#[tokio::test]
async fn a_message_over_4_mib_is_refused() {
    let bench = Bench::start("grpc", "").await;
    let mut large = spans(1).to_vec();
    put_bytes(&mut large, 1000, &vec![0; 5 << 20]);
    for coding in [Coding::Identity, Coding::Gzip] {
        let refused = bench
            .channel(coding)
            .unary(OtlpSignal::Traces.grpc_path(), vec![large.clone().into()], HeaderMap::new())
            .await;
        assert_eq!(refused.unwrap_err().code, Code::ResourceExhausted);
    }
}

#[tokio::test]
async fn headers_are_seen_only_when_asked_for() {
    for (arguments, seen) in [("include_metadata = true", true), ("", false)] {
        let bench = Bench::start("http", arguments).await;
        let request = Request::post("/v1/traces")
            .header("content-type", "application/x-protobuf")
            .header("X-Test", "a")
            .header("x-test", "b");
        ask(&bench.address, request.body(Full::new(spans(1))).unwrap()).await;
        let origin = bench.next.take().remove(0).origin.unwrap();
        assert_eq!(origin.peer, Some("127.0.0.1".parse().unwrap()));
        assert_eq!(origin.header("x-test"), seen.then(|| ["a".to_owned(), "b".to_owned()]).as_ref().map(|v| &v[..]));
    }
}

#[tokio::test]
async fn json_is_what_went_in() {
    let bench = Bench::start("http", "logs_url_path = \"otlp/logs\"").await;
    let sent = br#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[{"body":{"stringValue":"hi"}}]}]}]}"#;
    let answer = bench.post("/otlp/logs", "application/json", sent.to_vec()).await;
    assert_eq!((answer.status.as_u16(), answer.kind()), (200, "application/json"));
    let batch = bench.next.take().remove(0);
    assert_eq!(to_json(OtlpSignal::Logs, &batch.into_bytes()), sent);
}

#[tokio::test]
async fn a_port_in_use_is_unhealthy_until_it_is_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_next, receiver) = Collector::<OtlpBatch>::new();
    let scope = scope([("next", OtelConsumer(receiver).to_value())]);
    let config = format!("grpc {{\n endpoint = \"{address}\"\n}}\n{OUTPUT}");
    let mut alone = Alone::<Otlp>::start(&config, &scope).unwrap();
    for _ in 0..100 {
        if alone.health().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (state, message) = alone.health().unwrap();
    assert_eq!(state, HealthState::Unhealthy);
    assert!(message.contains(&address) && message.contains("`ss -ltnp 'sport = :"), "{message}");
    // It does not keep the process from stopping.
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn an_update_of_the_output_keeps_the_connection_and_one_of_the_server_moves_it() {
    // An address of its own: a port that it leaves must not be taken by another test.
    let bench = Bench::start_at("grpc", "127.0.0.3:0", "").await;
    let channel = bench.channel(Coding::Identity);
    let send = || channel.unary(OtlpSignal::Traces.grpc_path(), vec![spans(1)], HeaderMap::new());
    send().await.unwrap();
    bench.alone.update(&format!("grpc {{\n endpoint = \"127.0.0.3:0\"\n \n}}\n{OUTPUT}"), &bench.scope).unwrap();
    send().await.unwrap();
    assert_eq!(bench.next.take().len(), 2);
    bench
        .alone
        .update(&format!("grpc {{\n endpoint = \"127.0.0.3:0\"\n include_metadata = true\n}}\n{OUTPUT}"), &bench.scope)
        .unwrap();
    for _ in 0..100 {
        if listening(&bench.alone).await != bench.address {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_ne!(listening(&bench.alone).await, bench.address);
    assert_eq!(send().await.unwrap_err().code, Code::Unavailable);
}

#[tokio::test]
async fn a_browser_may_ask_first() {
    let bench = Bench::start("http", "cors {\n allowed_origins = [\"https://*.example.com\"]\n}").await;
    let request = Request::options("/v1/traces")
        .header("origin", "https://a.example.com")
        .header("access-control-request-method", "POST");
    let answer = ask(&bench.address, request.body(Full::default()).unwrap()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.headers["access-control-allow-origin"].to_str().unwrap()),
        (204, "https://a.example.com")
    );
    let request = Request::post("/v1/traces")
        .header("origin", "https://a.example.com")
        .header("content-type", "application/x-protobuf");
    let answer = ask(&bench.address, request.body(Full::new(spans(1))).unwrap()).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "https://a.example.com");
}

#[tokio::test]
async fn nothing_listens_when_nobody_takes_the_data() {
    let scope = Scope::new();
    let alone = Alone::<Otlp>::start("grpc { }\nhttp { }\noutput { }\n", &scope).unwrap();
    listening(&alone).await;
    assert_eq!(alone.health().unwrap().1, "nothing to listen for");
}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../sdk/net/src/client/fixtures");

fn tls() -> String {
    format!("tls {{\n cert_file = \"{FIXTURES}/server.pem\"\n key_file = \"{FIXTURES}/server.key\"\n}}")
}

fn client(address: &str, tls: &str) -> Channel {
    let config = format!("endpoint = \"{address}\"\ntls {{\n{tls}\n}}\n");
    sdk_testing::component::decode::<GrpcClient>(&config, &Scope::new()).unwrap().channel("test").unwrap()
}

#[tokio::test]
async fn tls_is_spoken_and_checked_unless_told_otherwise() {
    let bench = Bench::start("grpc", &tls()).await;
    let ca = format!("ca_file = \"{FIXTURES}/ca.pem\"\nserver_name = \"server.example\"");
    for (settings, works) in [
        (&ca[..], true),
        ("insecure_skip_verify = true", true),
        ("server_name = \"server.example\"", false),
        (&format!("ca_file = \"{FIXTURES}/ca.pem\"\nserver_name = \"another.example\""), false),
        (&format!("{ca}\nmin_version = \"1.3\""), true),
        (&format!("{ca}\nmax_version = \"1.2\""), true),
        ("insecure = true", false),
    ] {
        let channel = client(&bench.address, settings);
        let call = channel.unary(OtlpSignal::Traces.grpc_path(), vec![spans(1)], HeaderMap::new());
        let answer = tokio::time::timeout(Duration::from_secs(5), call).await;
        let worked = matches!(answer, Ok(Ok(_)));
        assert_eq!(worked, works, "{settings}: {answer:?}");
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_turned_away_when_one_is_asked_for() {
    let with_ca = tls().replace("key_file", &format!("client_ca_file = \"{FIXTURES}/ca.pem\"\n key_file"));
    let bench = Bench::start("grpc", &with_ca).await;
    let own = format!(
        "cert_file = \"{FIXTURES}/server.pem\"\nkey_file = \"{FIXTURES}/server.key\"\ninsecure_skip_verify = true"
    );
    for (settings, works) in [("insecure_skip_verify = true", false), (&own[..], true)] {
        let channel = client(&bench.address, settings);
        let answer = channel.unary(OtlpSignal::Traces.grpc_path(), vec![spans(1)], HeaderMap::new()).await;
        assert_eq!(answer.is_ok(), works, "{settings}: {answer:?}");
    }
}

#[test]
fn a_tls_block_without_a_certificate_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let (_next, receiver) = Collector::<OtlpBatch>::new();
    let scope = scope([("next", OtelConsumer(receiver).to_value())]);
    for (tls, word) in [
        ("", "certificate"),
        ("cert_file = \"/nowhere\"\nkey_file = \"/nowhere\"", "/nowhere"),
        ("cert_file = \"a\"", "key_file"),
        ("cert_pem = \"a\"\ncert_file = \"a\"", "at most one"),
        ("min_version = \"1.4\"", "1.4"),
    ] {
        let config = format!("grpc {{\n tls {{\n{tls}\n}}\n}}\n{OUTPUT}");
        let error = Alone::<Otlp>::build(&config, &scope).err().unwrap_or_default();
        assert!(error.contains(word), "{tls}: {error}");
    }
}

/// Lets in who says so.
struct Door;

impl ServerAuth for Door {
    fn authenticate(&self, headers: &HeaderMap) -> Result<Vec<(String, String)>, String> {
        match headers.get("authorization") {
            Some(value) if value == "please" => Ok(vec![("username".into(), "ann".into())]),
            _ => Err("no basic auth provided".into()),
        }
    }
}

#[tokio::test]
async fn who_may_not_send_is_told_so_by_both() {
    for server in ["grpc", "http"] {
        let (next, receiver) = Collector::<OtlpBatch>::new();
        let handler = AuthHandler::new("auth", None, Some(Arc::new(Door)));
        let scope = scope([("next", OtelConsumer(receiver).to_value()), ("door", handler.to_value())]);
        let config = format!("{server} {{\n endpoint = \"127.0.0.1:0\"\n auth = door\n}}\n{OUTPUT}");
        let alone = Alone::<Otlp>::start(&config, &scope).unwrap();
        let bench = Bench { address: listening(&alone).await, alone, next, scope };
        let please = HeaderMap::from_iter([(http::header::AUTHORIZATION, http::HeaderValue::from_static("please"))]);
        if server == "grpc" {
            let send = |headers| async {
                bench.channel(Coding::Identity).unary(OtlpSignal::Traces.grpc_path(), vec![spans(1)], headers).await
            };
            assert_eq!(send(HeaderMap::new()).await.unwrap_err().code, Code::Unauthenticated);
            assert!(send(please).await.is_ok());
        } else {
            assert_eq!(bench.post("/v1/traces", "application/x-protobuf", spans(1)).await.status, 401);
            let request = Request::post("/v1/traces")
                .header("authorization", "please")
                .header("content-type", "application/x-protobuf");
            assert_eq!(ask(&bench.address, request.body(Full::new(spans(1))).unwrap()).await.status, 200);
        }
        let batches = bench.next.batches();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].origin.as_ref().unwrap().auth, [("username".to_owned(), "ann".to_owned())]);
    }
    let wrong = AuthHandler::new("auth", None, None);
    let scope = scope([("door", wrong.to_value()), ("next", OtelConsumer(Collector::new().1).to_value())]);
    let error = Alone::<Otlp>::build(&format!("grpc {{\n auth = door\n}}\n{OUTPUT}"), &scope).err().unwrap();
    assert!(error.contains("does not support server authentication"), "{error}");
}

#[tokio::test]
async fn a_connection_that_is_idle_or_old_is_closed_without_an_error_for_its_client() {
    for limit in ["max_connection_idle", "max_connection_age"] {
        let bench =
            Bench::start("grpc", &format!("keepalive {{\n server_parameters {{\n {limit} = \"200ms\"\n }}\n}}")).await;
        let stream = tokio::net::TcpStream::connect(&bench.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(
            hyper_util::rt::TokioExecutor::new(),
            hyper_util::rt::TokioIo::new(stream),
        )
        .await
        .unwrap();
        let connection = base_sys::task::spawn("client", connection);
        let request = Request::post(OtlpSignal::Traces.grpc_path()).header("content-type", "application/grpc");
        let response =
            sender.send_request(request.body(Full::new(Bytes::from_static(&[0; 5]))).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        drop(response);
        let ended = tokio::time::timeout(Duration::from_secs(5), connection).await.unwrap();
        assert!(matches!(ended, base_sys::task::Ended::Returned(Ok(()))), "{limit}: {ended:?}");
    }
}
