//! What clients are told, by both protocols: every cell of the table in docs/retries.md.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use sdk_protocols_compression::Coding;
use sdk_protocols_grpc::{Code, Status};
use sdk_protocols_otlp::status::http_retryable;
use sdk_protocols_otlp::wire::{put_bytes, put_message};
use sdk_signals::{OtlpSignal, Refused};
use sdk_testing::table::table;

use super::{Bench, spans};
use crate::testing::ask;

/// Bytes that a request may have.
const LIMIT: usize = 64 << 10;

/// A request that is as it should be, but for what a row says.
struct Sent {
    path: &'static str,
    method: &'static str,
    kind: &'static str,
    /// The word for the coding of the payload, and the payload in it.
    coding: &'static str,
    body: Bytes,
    /// What the component behind the receiver does with it.
    refused: Option<Refused>,
}

impl Sent {
    fn of(row: &str, proto: bool) -> Sent {
        let (path, kind) = match proto {
            true => (OtlpSignal::Traces.grpc_path(), "application/grpc"),
            false => ("/v1/traces", "application/x-protobuf"),
        };
        let good = Sent { path, method: "POST", kind, coding: "", body: spans(1), refused: None };
        let later = |delay| Refused { retry_after: Some(delay), ..Refused::retryable("later") };
        let span = |fields: fn(&mut Vec<u8>)| {
            let mut payload = Vec::new();
            put_message(&mut payload, 1, |out| put_message(out, 2, |out| put_message(out, 2, fields)));
            payload
        };
        let gzip = |bytes: &[u8]| Coding::Gzip.compress(bytes, None);
        match row {
            "taken" => good,
            "without items" => Sent { body: Bytes::new(), ..good },
            "a component refuses it for good" => Sent { refused: Some(Refused::permanent("no")), ..good },
            "a component refuses it for now" => Sent { refused: Some(Refused::retryable("later")), ..good },
            "a component refuses it for 6.5 s" => Sent { refused: Some(later(Duration::from_millis(6500))), ..good },
            "a component refuses it for 0 s" => Sent { refused: Some(later(Duration::ZERO)), ..good },
            "a component is shutting down" => Sent { refused: Some(Refused::stopped("otelcol.exporter.x")), ..good },
            "not protobuf" => Sent { body: Bytes::from_static(b"\x07"), ..good },
            "cut off in the middle of a span" => {
                let whole = span(|out| put_bytes(out, 5, b"a name"));
                Sent { body: Bytes::from(whole).split_to(10), ..good }
            }
            "a trace id of 3 bytes" => Sent { body: span(|out| put_bytes(out, 1, b"abc")).into(), ..good },
            "not JSON" => Sent { kind: "application/json", body: Bytes::from_static(b"{\"resourceSpans\":"), ..good },
            "not what its coding says" => Sent { coding: "gzip", body: Bytes::from_static(b"no gzip"), ..good },
            "an unknown coding" => Sent { coding: "br", ..good },
            "larger than the limit" => Sent { body: spans(LIMIT), ..good },
            "larger than the limit when expanded" => {
                let body = gzip(&spans(10 * LIMIT));
                assert!(body.len() < LIMIT);
                Sent { coding: "gzip", body: body.into(), ..good }
            }
            "to another path" => Sent { path: if proto { "/a.Service/Other" } else { "/v1/other" }, ..good },
            "of another content type" => Sent { kind: "text/plain", ..good },
            "by another method" => Sent { method: "GET", ..good },
            other => panic!("unknown row {other:?}"),
        }
    }

    /// The head of an HTTP request.
    fn head(&self) -> http::request::Builder {
        Request::builder().method(self.method).header("content-type", self.kind)
    }
}

/// What an exporter without a queue makes of an answer, which the exporters' own tests compare.
fn told(answer: &str) -> Refused {
    let (answer, delay) = match answer.split_once(", ") {
        Some((answer, delay)) => (answer, delay.split(' ').nth(1).map(|seconds| seconds.parse().unwrap())),
        None => (answer, None),
    };
    let retry_after = delay.map(Duration::from_secs);
    let (code, retryable) = match answer.strip_prefix("HTTP ").map(|status| status.parse().unwrap()) {
        Some(status) => (Code::of_http(status), http_retryable(status)),
        None => {
            let code = Code::ALL.into_iter().find(|code| spelling(*code) == answer).unwrap();
            (code, code.retryable(retry_after))
        }
    };
    Refused { reason: "no".to_owned(), retryable, retry_after, code: Some(code as u8) }
}

#[tokio::test]
async fn what_a_backend_said() {
    for row in table(env!("CARGO_MANIFEST_DIR"), "retries.md", "backend's answer").rows {
        let [answer, over_grpc, over_http] = &row[..] else { panic!("{row:?}") };
        let bench = Bench::start("grpc", "").await;
        bench.next.refuse(Some(told(answer)));
        assert_eq!(grpc(&bench, Sent::of("taken", true)).await, *over_grpc, "{answer}");
        let bench = Bench::start("http", "").await;
        bench.next.refuse(Some(told(answer)));
        assert_eq!(http(&bench, Sent::of("taken", false)).await, *over_http, "{answer}");
    }
}

#[tokio::test]
async fn over_grpc() {
    for row in table(env!("CARGO_MANIFEST_DIR"), "retries.md", "request").rows {
        let [what, expected, _] = &row[..] else { panic!("{row:?}") };
        if expected.is_empty() {
            continue;
        }
        let bench = Bench::start("grpc", &format!("max_recv_msg_size = \"{LIMIT}B\"")).await;
        let sent = Sent::of(what, true);
        bench.next.refuse(sent.refused.clone());
        assert_eq!(grpc(&bench, sent).await, *expected, "{what}");
    }
}

#[tokio::test]
async fn over_http() {
    for row in table(env!("CARGO_MANIFEST_DIR"), "retries.md", "request").rows {
        let [what, _, expected] = &row[..] else { panic!("{row:?}") };
        let bench = Bench::start("http", &format!("max_request_body_size = \"{LIMIT}B\"")).await;
        let sent = Sent::of(what, false);
        bench.next.refuse(sent.refused.clone());
        assert_eq!(http(&bench, sent).await, *expected, "{what}");
    }
}

/// The status, and the delay.
async fn http(bench: &Bench, sent: Sent) -> String {
    let request = sent.head().uri(sent.path).header("content-encoding", sent.coding);
    let answer = ask(&bench.address, request.body(Full::new(sent.body.clone())).unwrap()).await;
    let delay = answer.headers.get("retry-after").map(|delay| format!(", Retry-After {}", delay.to_str().unwrap()));
    format!("{}{}", answer.status.as_u16(), delay.unwrap_or_default())
}

/// The code in the protocol's spelling, and the delay.
async fn grpc(bench: &Bench, sent: Sent) -> String {
    let mut message = vec![u8::from(!sent.coding.is_empty())];
    message.extend((sent.body.len() as u32).to_be_bytes());
    message.extend(&sent.body);
    let mut request = sent.head().uri(format!("http://{}{}", bench.address, sent.path)).header("te", "trailers");
    if !sent.coding.is_empty() {
        request = request.header("grpc-encoding", sent.coding);
    }
    let stream = tokio::net::TcpStream::connect(&bench.address).await.unwrap();
    let (executor, io) = (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(executor, io).await.unwrap();
    drop(base_sys::task::spawn("client", connection));
    let response = sender.send_request(request.body(Full::new(message.into())).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    if head.status != 200 {
        return format!("HTTP {}", head.status.as_u16());
    }
    let trailers = body.collect().await.unwrap().trailers().cloned();
    let status = |headers: &HeaderMap| {
        let code = headers.get("grpc-status")?.to_str().unwrap().parse().unwrap();
        let details = headers.get("grpc-status-details-bin").map(|details| {
            use base64::Engine as _;
            base64::prelude::BASE64_STANDARD_NO_PAD.decode(details.as_bytes()).unwrap()
        });
        let delay = details.and_then(|details| Status::from_proto(&details).retry_delay);
        Some((Code::of(code), delay))
    };
    let (code, delay) = status(&head.headers).or_else(|| status(&trailers?)).expect("a status");
    let code = spelling(code);
    delay.map_or(code.clone(), |delay| format!("{code}, RetryInfo {} s", delay.as_secs_f64()))
}

/// Of a code, in the protocol.
fn spelling(code: Code) -> String {
    if code == Code::Canceled {
        return "CANCELLED".to_owned();
    }
    let mut words = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_uppercase());
    }
    words
}
