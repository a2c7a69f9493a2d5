//! Against a server that answers as told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use language_eval::{FromValue as _, Scope};
use sdk_protocols_compression::Coding;
use sdk_protocols_otlp::json::from_json;
use sdk_protocols_otlp::response::PartialSuccess;
use sdk_protocols_otlp::wire::{put_bytes, put_message};
use sdk_signals::{Delivery, Origin, OtelConsumer, OtlpBatch, OtlpSignal, Outcome};
use sdk_testing::component::Alone;
use tokio::time::Instant;

use super::OtlpHttp;
use crate::auth_tests::{Instead, Tokens, of};

type Answer = (u16, &'static [(&'static str, &'static str)], Bytes);

/// Answers with what is next in `answers`, then with 200; keeps what it got.
#[derive(Default)]
struct Server {
    answers: Mutex<Vec<Answer>>,
    got: Mutex<Vec<(String, HeaderMap, Bytes, Instant)>>,
}

impl Server {
    async fn start(answers: Vec<Answer>) -> (Arc<Server>, String) {
        let server = Arc::new(Server { answers: Mutex::new(answers), ..Server::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = server.clone();
        base_sys::task::spawn("server", async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let server = shared.clone();
                let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let server = server.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        server.got.lock().unwrap().push((
                            head.uri.path().to_owned(),
                            head.headers,
                            body,
                            Instant::now(),
                        ));
                        let mut answers = server.answers.lock().unwrap();
                        let (status, headers, body) =
                            if answers.is_empty() { (200, &[][..], Bytes::new()) } else { answers.remove(0) };
                        let mut response = Response::builder().status(status);
                        for (name, value) in headers {
                            response = response.header(*name, *value);
                        }
                        Ok::<_, std::convert::Infallible>(response.body(Full::new(body)).unwrap())
                    }
                });
                let io = hyper_util::rt::TokioIo::new(tcp);
                base_sys::task::spawn(
                    "connection",
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service),
                );
            }
        });
        (server, url)
    }
}

fn payload() -> Bytes {
    let mut payload = Vec::new();
    put_message(&mut payload, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| put_bytes(out, 5, b"name")))
    });
    payload.into()
}

struct Bench {
    alone: Alone<OtlpHttp>,
    input: OtelConsumer,
}

const FAST: &str = "retry_on_failure {\n initial_interval = \"10ms\"\n max_interval = \"20ms\"\n}\n";

impl Bench {
    fn start(url: &str, client: &str, more: &str) -> Bench {
        Bench::start_in(url, client, more, &Scope::new())
    }

    fn start_in(url: &str, client: &str, more: &str, scope: &Scope) -> Bench {
        let config = format!("client {{\n endpoint = \"{url}\"\n {client}\n}}\n{FAST}{more}");
        let alone = Alone::<OtlpHttp>::start(&config, scope).unwrap();
        let input = OtelConsumer::from_value(&alone.export("input").unwrap()).unwrap();
        Bench { alone, input }
    }

    async fn send(&self) -> Delivery {
        self.send_from(None).await
    }

    async fn send_from(&self, origin: Option<Arc<Origin>>) -> Delivery {
        let batch = OtlpBatch { signal: OtlpSignal::Traces, payload: vec![payload()], items: 1, origin };
        self.input.0.consume(batch).await.unwrap()
    }

    fn count(&self, what: &str) -> Option<f64> {
        let name = format!("otelcol_exporter_{what}_spans_total");
        self.alone.metric(&name, &[("exporter", "otlphttp/otelcol.exporter.otlphttp.test")])
    }
}

#[tokio::test]
async fn a_body_arrives_under_every_coding() {
    for (name, coding) in [
        ("gzip", Some("gzip")),
        ("zstd", Some("zstd")),
        ("snappy", Some("snappy")),
        ("zlib", Some("zlib")),
        ("deflate", Some("deflate")),
        ("none", None),
    ] {
        let (server, url) = Server::start(vec![]).await;
        let bench = Bench::start(
            &format!("{url}/"),
            &format!("compression = \"{name}\"\n headers = {{ \"X-Scope\" = \"a\" }}"),
            "",
        );
        assert_eq!(bench.send().await.await, Outcome::Delivered);
        let (path, headers, body, _) = server.got.lock().unwrap()[0].clone();
        assert_eq!(
            (&path[..], &headers["content-type"], &headers["x-scope"]),
            (
                "/v1/traces",
                &http::HeaderValue::from_static("application/x-protobuf"),
                &http::HeaderValue::from_static("a")
            )
        );
        assert_eq!(headers.get("content-encoding").map(|value| value.to_str().unwrap()), coding);
        assert!(headers["user-agent"].to_str().unwrap().starts_with("Ferroalloy/"));
        assert_eq!(Coding::of_http(coding.unwrap_or("")).unwrap().expand(&body, 1000).unwrap(), payload());
    }
}

#[tokio::test]
async fn json_and_an_endpoint_of_its_own() {
    let (server, url) = Server::start(vec![]).await;
    let bench = Bench::start(
        "http://unused:1",
        "compression = \"none\"",
        &format!("encoding = \"json\"\ntraces_endpoint = \"{url}/other\"\n"),
    );
    assert_eq!(bench.send().await.await, Outcome::Delivered);
    let (path, headers, body, _) = server.got.lock().unwrap()[0].clone();
    assert_eq!((&path[..], headers["content-type"].to_str().unwrap()), ("/other", "application/json"));
    let again = from_json(OtlpSignal::Traces, &body).unwrap();
    assert_eq!(
        sdk_protocols_otlp::json::to_json(OtlpSignal::Traces, &again),
        sdk_protocols_otlp::json::to_json(OtlpSignal::Traces, &payload())
    );
}

#[tokio::test]
async fn only_four_statuses_are_tried_again() {
    for status in [400, 401, 404, 408, 413, 429, 500, 501, 502, 503, 504] {
        let (server, url) = Server::start(vec![(status, &[], Bytes::new())]).await;
        let bench = Bench::start(&url, "", "");
        let outcome = bench.send().await.await;
        let retried = [429, 502, 503, 504].contains(&status);
        assert_eq!(
            (outcome, server.got.lock().unwrap().len()),
            if retried { (Outcome::Delivered, 2) } else { (Outcome::Dropped, 1) },
            "{status}"
        );
        assert_eq!(
            (bench.count("sent"), bench.count("send_failed")),
            if retried { (Some(1.0), Some(0.0)) } else { (Some(0.0), Some(1.0)) }
        );
    }
}

#[tokio::test]
async fn retry_after_beats_the_back_off() {
    let (server, url) = Server::start(vec![(503, &[("retry-after", "1")], Bytes::new())]).await;
    let bench = Bench::start(&url, "", "");
    assert_eq!(bench.send().await.await, Outcome::Delivered);
    let got = server.got.lock().unwrap();
    assert!(got[1].3 - got[0].3 >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_partial_success_is_counted() {
    let partial = PartialSuccess { rejected: 1, message: "no".into() };
    let (_server, url) =
        Server::start(vec![(200, &[("content-type", "application/x-protobuf")], partial.to_proto().into())]).await;
    let bench = Bench::start(&url, "", "");
    assert_eq!(bench.send().await.await, Outcome::Delivered);
    assert_eq!((bench.count("sent"), bench.count("send_failed")), (Some(0.0), Some(1.0)));
}

#[tokio::test]
async fn the_words_of_the_server_are_shown_and_the_url_s_query_is_not() {
    let body = Bytes::from_static(br#"{"code":3,"message":"too old"}"#);
    let (_server, url) = Server::start(vec![(400, &[("content-type", "application/json")], body)]).await;
    let bench = Bench::start(&url, "", "");
    assert_eq!(bench.send().await.await, Outcome::Dropped);
    let said = bench.alone.health().unwrap().1;
    assert!(said.starts_with("exporting to http://127.0.0.1:"), "{said}");
    assert!(said.ends_with("/v1/traces failed: HTTP status 400 Bad Request: too old"), "{said}");

    let bench = Bench::start("http://127.0.0.1:1", "", "traces_endpoint = \"http://127.0.0.1:1/?token=secret\"\n");
    let _delivery = bench.send().await;
    for _ in 0..100 {
        if bench.alone.health().is_some_and(|(_, message)| message.contains("failed")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let message = bench.alone.health().unwrap().1;
    assert!(message.contains("refused") && !message.contains("secret"), "{message}");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (config, word) in [
        ("client {\n endpoint = \"\"\n}\n", "endpoint"),
        ("client {\n endpoint = \"tempo:4318\"\n}\n", "http://"),
        ("client {\n endpoint = \"http://t:1\"\n}\nencoding = \"xml\"\n", "proto"),
        ("client {\n endpoint = \"http://t:1\"\n cookies { }\n}\n", "cookies"),
        ("client {\n endpoint = \"http://t:1\"\n max_conns_per_host = 1\n}\n", "max_conns_per_host"),
        ("client {\n endpoint = \"http://t:1\"\n compression_params {\n level = 10\n }\n}\n", "level"),
    ] {
        let error = Alone::<OtlpHttp>::build(config, &Scope::new()).err().unwrap_or_default();
        assert!(error.contains(word), "{config}: {error}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_replaced_once() {
    let no: Answer = (401, &[], Bytes::new());
    for (answers, outcome, requests) in
        [(vec![no.clone()], Outcome::Delivered, 2), (vec![no.clone(), no.clone()], Outcome::Dropped, 2)]
    {
        let (server, url) = Server::start(answers).await;
        let tokens = Arc::new(Tokens::default());
        let bench = Bench::start_in(&url, "auth = test.handler", "", &tokens.scope());
        assert_eq!(bench.send_from(of("a")).await.await, outcome);
        let got: Vec<_> =
            server.got.lock().unwrap().iter().map(|(_, headers, ..)| headers["authorization"].clone()).collect();
        assert_eq!(got, ["t1", "t2"]);
        assert_eq!((got.len(), tokens.rejected()), (requests, 1));
    }
}

#[tokio::test]
async fn without_a_token_data_waits_and_health_tells_why() {
    for instead in [Instead::Failure, Instead::Silence] {
        let (server, url) = Server::start(vec![]).await;
        let tokens = Arc::new(Tokens::default());
        let said = if matches!(instead, Instead::Failure) { "no token today" } else { "no credentials in time" };
        tokens.instead.lock().unwrap().push(instead);
        let more =
            "retry_on_failure {\n initial_interval = \"1h\"\n max_interval = \"1h\"\n max_elapsed_time = \"0s\"\n}\n";
        let config = format!("client {{\n endpoint = \"{url}\"\n auth = test.handler\n timeout = \"50ms\"\n}}\n{more}");
        let alone = Alone::<OtlpHttp>::start(&config, &tokens.scope()).unwrap();
        let input = OtelConsumer::from_value(&alone.export("input").unwrap()).unwrap();
        let bench = Bench { alone, input };
        drop(bench.send().await);
        for _ in 0..3000 {
            if bench.alone.health().is_some_and(|(_, message)| message.contains(said)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(bench.alone.health().unwrap().1.contains(said), "{:?}", bench.alone.health());
        assert!(server.got.lock().unwrap().is_empty(), "nothing is sent without a token");
        assert_eq!(bench.count("send_failed"), Some(0.0), "it was not dropped");
    }
    // It goes out when there is one.
    let (server, url) = Server::start(vec![]).await;
    let tokens = Arc::new(Tokens::default());
    tokens.instead.lock().unwrap().extend([Instead::Failure, Instead::Failure]);
    let bench = Bench::start_in(&url, "auth = test.handler", "", &tokens.scope());
    assert_eq!(bench.send().await.await, Outcome::Delivered);
    assert_eq!(server.got.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_authenticator_sees_all_headers_and_what_it_wanted_to_keep() {
    let (server, url) = Server::start(vec![]).await;
    let tokens = Arc::new(Tokens::default());
    // They wait together, and are not merged.
    let more = "sending_queue {\n batch {\n  flush_timeout = \"1s\"\n  min_size = 3\n }\n}\n";
    let bench = Bench::start_in(&url, "auth = test.handler", more, &tokens.scope());
    let sent = [bench.send_from(of("a")).await, bench.send_from(of("a")).await, bench.send_from(of("b")).await];
    for delivery in sent {
        assert_eq!(delivery.await, Outcome::Delivered);
    }
    let got = server.got.lock().unwrap().clone();
    let tenants: Vec<_> = got.iter().map(|(_, headers, ..)| headers["tenant"].to_str().unwrap()).collect();
    assert_eq!(tenants, ["a", "b"]);
    assert!(got[0].1["agent"].to_str().unwrap().starts_with("Ferroalloy/"));
}
