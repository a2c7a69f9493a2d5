//! What exporters do with the answers of a backend: every cell of the tables in docs/retries.md.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use language_eval::{FromValue as _, Scope};
use sdk_component::Component;
use sdk_otel::exporter::{SendError, Transport};
use sdk_otel::retry::{Backoff, RetryOnFailure};
use sdk_protocols_grpc::{Code, Status};
use sdk_protocols_otlp::wire::{put_bytes, put_message};
use sdk_signals::{OtelConsumer, OtlpBatch, OtlpSignal, Outcome};
use sdk_testing::component::{Alone, decode};
use sdk_testing::table::table;

/// For what is to happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// The head of an answer.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
}

/// Answers over HTTP/1 and HTTP/2: with what is next in `answers`, then well.
#[derive(Default)]
struct Backend {
    answers: Mutex<Vec<Answer>>,
    asked: Mutex<usize>,
}

/// An exporter, and what it shares with the other.
struct Exporter {
    /// `otlp` or `otlphttp`.
    kind: &'static str,
    transport: fn(&str) -> Box<dyn Transport>,
    /// What a success looks like.
    well: fn() -> Answer,
}

impl Backend {
    async fn start(well: fn() -> Answer) -> (Arc<Backend>, String) {
        let backend = Arc::new(Backend::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = backend.clone();
        base_sys::task::spawn("backend", async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let backend = shared.clone();
                let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let backend = backend.clone();
                    async move {
                        request.into_body().collect().await.unwrap();
                        *backend.asked.lock().unwrap() += 1;
                        let next = backend.answers.lock().unwrap().pop();
                        let Answer { status, headers } = next.unwrap_or_else(well);
                        let mut response = Response::builder().status(status);
                        for (name, value) in headers {
                            response = response.header(name, value);
                        }
                        Ok::<_, Infallible>(response.body(Full::new(Bytes::new())).unwrap())
                    }
                });
                base_sys::task::spawn("connection", async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                    let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(tcp), service).await;
                });
            }
        });
        (backend, address)
    }
}

fn payload() -> Bytes {
    let mut payload = Vec::new();
    put_message(&mut payload, 1, |out| put_message(out, 2, |out| put_bytes(out, 2, b"")));
    payload.into()
}

fn client(kind: &str, address: &str) -> String {
    match kind {
        "otlp" => format!("client {{\n endpoint = \"{address}\"\n tls {{\n insecure = true\n }}\n}}\n"),
        _ => format!("client {{\n endpoint = \"http://{address}\"\n}}\n"),
    }
}

/// What the table calls it, by the default settings.
fn in_words(error: &SendError) -> String {
    if !error.retryable {
        return "never".to_owned();
    }
    let settings = RetryOnFailure { randomization_factor: 0.0, ..RetryOnFailure::default() };
    let usual = Backoff::new(&settings).next(None);
    match (error.retry_after, Backoff::new(&settings).next(error.retry_after)) {
        (_, None) => "never: too long".to_owned(),
        (None | Some(Duration::ZERO), after) => {
            assert_eq!(after, usual);
            "again".to_owned()
        }
        (Some(asked), after) => {
            assert_eq!(after, usual.max(Some(asked)));
            format!("again after {} s", asked.as_secs())
        }
    }
}

/// Plays one cell, whose answer depends on the time in seconds: what is decided, and what becomes of the data, by whoever counts it.
async fn check<C: Component>(
    exporter: &Exporter,
    answer: impl Fn(i64) -> Answer,
    (expected, code): (&str, Code),
    about: &str,
) {
    let (backend, address) = Backend::start(exporter.well).await;
    let transport = (exporter.transport)(&address);
    // Held, so that a date is as far away as it was meant.
    let seconds = base_sys::clock::now_ms() / 1000;
    let now = base_sys::clock::hold(seconds * 1_000_000_000);
    backend.answers.lock().unwrap().push(answer(seconds));
    let error = transport.send(OtlpSignal::Traces, payload().into(), None).await.unwrap_err();
    drop(now);
    assert_eq!((&in_words(&error)[..], error.code), (expected, Some(code)), "{about}: {error:?}");

    backend.answers.lock().unwrap().push(answer(base_sys::clock::now_ms() / 1000));
    *backend.asked.lock().unwrap() = 0;
    let retry = "retry_on_failure {\n initial_interval = \"10ms\"\n max_interval = \"10ms\"\n}\n";
    let config = client(exporter.kind, &address) + retry;
    let alone = Alone::<C>::start(&config, &Scope::new()).unwrap();
    let input = OtelConsumer::from_value(&alone.export("input").unwrap()).unwrap();
    let batch = || OtlpBatch { signal: OtlpSignal::Traces, payload: vec![payload()], items: 1, origin: None };
    let outcome = input.0.consume(batch()).await.unwrap().await;
    let label = format!("{}/otelcol.exporter.{0}.test", exporter.kind);
    let count = |what: &str| alone.metric(&format!("otelcol_exporter_{what}_spans_total"), &[("exporter", &label)]);
    // What waits for two seconds is written down, which counts as delivered: the answer may still be to come.
    let since = tokio::time::Instant::now();
    while count("sent") == Some(0.0) && count("send_failed") == Some(0.0) && since.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seen = (outcome, *backend.asked.lock().unwrap(), count("sent"), count("send_failed"));
    let wanted = match expected.starts_with("again") {
        true => (Outcome::Delivered, 2, Some(1.0), Some(0.0)),
        false => (Outcome::Dropped, 1, Some(0.0), Some(1.0)),
    };
    assert_eq!(seen, wanted, "{about}");

    // Whoever waits for the answer is told of it, with a queue between or without.
    for queue in ["enabled = false", "wait_for_result = true"] {
        backend.answers.lock().unwrap().push(answer(base_sys::clock::now_ms() / 1000));
        let config = format!(
            "{}retry_on_failure {{\n enabled = false\n}}\nsending_queue {{\n {queue}\n}}\n",
            client(exporter.kind, &address)
        );
        let alone = Alone::<C>::start(&config, &Scope::new()).unwrap();
        let input = OtelConsumer::from_value(&alone.export("input").unwrap()).unwrap();
        let refused = input.0.consume(batch()).await.unwrap_err();
        assert_eq!((refused.code, refused.retryable), (Some(code as u8), error.retryable), "{queue}: {about}");
        assert_eq!(refused.retry_after.is_some(), error.retry_after.is_some(), "{queue}: {about}");
        assert_eq!(input.0.consume(batch()).await.unwrap().await, Outcome::Delivered, "{queue}: {about}");
    }
}

fn grpc(code: u8, details: Option<String>) -> Answer {
    let mut headers = vec![("content-type", "application/grpc".to_owned()), ("grpc-status", code.to_string())];
    headers.extend(details.map(|details| ("grpc-status-details-bin", details)));
    Answer { status: 200, headers }
}

/// The details that the head of a column means; several are to be treated alike.
fn details(code: u8, column: &str) -> Vec<Option<String>> {
    let encoded = |bytes: &[u8]| Some(BASE64_STANDARD_NO_PAD.encode(bytes));
    let status = |delay| encoded(&Status::new(Code::of(code.into()), "no").retry_after(delay).to_proto());
    let with = |info: &[u8]| {
        let mut status = Vec::new();
        put_message(&mut status, 3, |any| {
            put_bytes(any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
            put_bytes(any, 2, info);
        });
        encoded(&status)
    };
    match column {
        "no `RetryInfo`" => vec![None, encoded(&Status::new(Code::of(code.into()), "no").to_proto())],
        "of 0 s" => vec![status(Duration::ZERO), with(b"")],
        "of 1 s" => vec![status(Duration::from_secs(1))],
        "malformed" => vec![Some("*garbage*".to_owned()), encoded(b"garbage"), with(b"garbage")],
        other => panic!("unknown column {other:?}"),
    }
}

#[tokio::test]
async fn every_code_of_grpc() {
    let exporter = Exporter {
        kind: "otlp",
        transport: |address| {
            crate::otlp::settings(decode(&client("otlp", address), &Scope::new()).unwrap()).unwrap().transport
        },
        well: || grpc(0, None),
    };
    let table = table(env!("CARGO_MANIFEST_DIR"), "retries.md", "gRPC code");
    let codes: Vec<u8> = table.rows.iter().map(|row| row[0].split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(codes, (1..=16).collect::<Vec<u8>>());
    for (row, code) in table.rows.iter().zip(codes) {
        for (column, expected) in table.heads.iter().zip(row).skip(1) {
            for details in details(code, column) {
                let about = format!("{}, {column}: {details:?}", row[0]);
                check::<crate::otlp::Otlp>(
                    &exporter,
                    |_| grpc(code, details.clone()),
                    (expected, Code::of(code.into())),
                    &about,
                )
                .await;
            }
        }
    }
}

#[tokio::test]
async fn every_status_of_http() {
    let exporter = Exporter {
        kind: "otlphttp",
        transport: |address| {
            crate::otlphttp::settings(decode(&client("otlphttp", address), &Scope::new()).unwrap()).unwrap().transport
        },
        well: || Answer { status: 200, headers: Vec::new() },
    };
    let table = table(env!("CARGO_MANIFEST_DIR"), "retries.md", "HTTP status");
    assert_eq!(table.rows.len(), 20);
    for row in &table.rows {
        let status: u16 = row[0].split(' ').next().unwrap().parse().unwrap();
        for (column, expected) in table.heads.iter().zip(row).skip(1) {
            let answer = |now| {
                let retry_after = match &column[..] {
                    "no `Retry-After`" => None,
                    "a date in 2 s" => Some(date(now + 2)),
                    value => Some(value.to_owned()),
                };
                Answer { status, headers: retry_after.into_iter().map(|value| ("retry-after", value)).collect() }
            };
            let about = format!("{}, {column}", row[0]);
            check::<crate::otlphttp::OtlpHttp>(&exporter, answer, (expected, Code::of_http(status)), &about).await;
        }
    }
}

/// As HTTP writes it (RFC 9110, 5.6.7).
fn date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
