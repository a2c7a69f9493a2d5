//! Over real sockets of this machine, as clients do, and on any bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use language_eval::{Scope, ToValue as _};
use sdk_component::HealthState;
use sdk_protocols_compression::Coding;
use sdk_protocols_grpc::Code;
use sdk_protocols_otlp::json::to_json;
use sdk_protocols_otlp::wire::{put_bytes, put_message, put_tag, put_varint};
use sdk_protocols_thrift::Encoding;
use sdk_signals::{OtelConsumer, OtlpBatch, OtlpSignal, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::mutate;
use sdk_testing::patience::until;
use tokio::net::UdpSocket;

use super::{Jaeger, TRANSPORTS, proto, thrift};
use crate::testing::{Answer, Thrift, channel, post};

const POST_SPANS: &str = "/jaeger.api_v2.CollectorService/PostSpans";
const OUTPUT: &str = "output {\n traces = [next]\n}\n";

struct Bench {
    alone: Alone<Jaeger>,
    next: Arc<Collector<OtlpBatch>>,
    scope: Scope,
    address: String,
}

impl Bench {
    /// Starts one of the protocols on a port of its own.
    async fn start(protocol: &str, arguments: &str) -> Bench {
        let (next, receiver) = Collector::new();
        let scope = scope([("next", OtelConsumer(receiver).to_value())]);
        let alone = Alone::<Jaeger>::start(&config(protocol, "127.0.0.1:0", arguments), &scope).unwrap();
        let address = listening(&alone).await;
        Bench { alone, next, scope, address }
    }

    async fn post(&self, path: &str, kind: &str, body: impl Into<Bytes>) -> Answer {
        post(&self.address, path, &[("content-type", kind)], body.into()).await
    }

    async fn post_spans(&self, coding: Coding, message: impl Into<Bytes>) -> Result<Bytes, sdk_protocols_grpc::Status> {
        let channel = channel(&self.address, coding);
        channel.unary(POST_SPANS, vec![message.into()], HeaderMap::new()).await.map(|reply| reply.message)
    }

    async fn datagram(&self, datagram: &[u8]) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(datagram, &self.address).await.unwrap();
    }

    fn metric(&self, what: &str, transport: &str) -> Option<f64> {
        let name = format!("otelcol_receiver_{what}_spans_total");
        let labels = [("receiver", "jaeger/otelcol.receiver.jaeger.test"), ("transport", transport)];
        self.alone.metric(&name, &labels)
    }

    fn dropped(&self, reason: &str, transport: &str) -> Option<f64> {
        let receiver = ("receiver", "jaeger/otelcol.receiver.jaeger.test");
        let labels = [receiver, ("transport", transport), ("reason", reason)];
        self.alone.metric("ferroalloy_otelcol_receiver_dropped_datagrams_total", &labels)
    }

    /// The next batch, as JSON.
    async fn json(&self) -> String {
        let mut batches = Vec::new();
        until(|| {
            batches = self.next.take();
            !batches.is_empty()
        })
        .await;
        json(&batches[0].payload.concat())
    }
}

fn config(protocol: &str, endpoint: &str, arguments: &str) -> String {
    format!("protocols {{\n {protocol} {{\n endpoint = {endpoint:?}\n {arguments}\n }}\n}}\n{OUTPUT}")
}

async fn listening(alone: &Alone<Jaeger>) -> String {
    for _ in 0..3000 {
        if let Some((HealthState::Healthy, message)) = alone.health() {
            return message.rsplit_once(" on ").map(|(_, address)| address.to_owned()).unwrap_or_default();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", alone.health());
}

fn json(payload: &[u8]) -> String {
    sdk_protocols_otlp::check(OtlpSignal::Traces, payload).unwrap();
    String::from_utf8(to_json(OtlpSignal::Traces, payload)).unwrap()
}

// === what clients send ===

use Thrift::{Bool, Double, I32, I64, List, Struct};

fn tag(key: &str, kind: i32, value: Option<(i16, Thrift)>) -> Thrift {
    let mut fields = vec![(1, key.into()), (2, I32(kind))];
    fields.extend(value);
    Struct(fields)
}

fn text(key: &str, value: &str) -> Thrift {
    tag(key, 0, Some((3, value.into())))
}

fn reference(kind: i32, low: i64, span: i64) -> Thrift {
    Struct(vec![(1, I32(kind)), (2, I64(low)), (3, I64(0)), (4, I64(span))])
}

fn span(low: i64, id: i64, more: Vec<(i16, Thrift)>) -> Thrift {
    let mut fields = vec![
        (1, I64(low)),
        (2, I64(0)),
        (3, I64(id)),
        (4, I64(0)),
        (5, "get".into()),
        (7, I32(1)),
        (8, I64(1_600_000_000_000_000)),
        (9, I64(1500)),
    ];
    fields.extend(more);
    Struct(fields)
}

fn batch() -> Thrift {
    let tags = vec![
        text("span.kind", "server"),
        tag("error", 2, Some((5, Bool(true)))),
        text("otel.status_description", "broken"),
        tag("http.response.status_code", 3, Some((6, I64(500)))),
        tag("ratio", 1, Some((4, Double(0.5)))),
        tag("raw", 4, Some((7, Thrift::Bytes(vec![0, 255])))),
        tag("odd", 9, None),
        text("twice", "a"),
        text("twice", "b"),
    ];
    let log = Struct(vec![(1, I64(1_600_000_000_000_001)), (2, List(vec![text("event", "retry"), text("n", "1")]))]);
    let references = List(vec![reference(0, 7, 5), reference(1, 7, 6), reference(0, 8, 9)]);
    let process = Struct(vec![
        (1, "shop".into()),
        (2, List(vec![text("hostname", "h1"), text("jaeger.version", "Go-2"), tag("up", 2, Some((5, Bool(false))))])),
    ]);
    let spans =
        List(vec![span(7, 3, vec![(6, references), (10, List(tags)), (11, List(vec![log]))]), span(7, 4, vec![])]);
    Struct(vec![(1, process), (2, spans), (3, I64(1))])
}

fn body(batch: &Thrift) -> Vec<u8> {
    let mut body = Vec::new();
    batch.write(Encoding::Binary, &mut body);
    body
}

fn call(encoding: Encoding, method: &str, batch: Thrift) -> Vec<u8> {
    let mut message = match encoding {
        Encoding::Binary => vec![0x80, 1, 0, 4],
        Encoding::Compact => vec![0x82, 0x81, 0],
    };
    Thrift::from(method).write(encoding, &mut message);
    if encoding == Encoding::Binary {
        message.extend([0; 4]);
    }
    Struct(vec![(1, batch)]).write(encoding, &mut message);
    message
}

const EXPECTED: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"up","value":{"boolValue":false}},{"key":"host.name","value":{"stringValue":"h1"}},{"key":"opencensus.exporterversion","value":{"stringValue":"Jaeger-Go-2"}}]},"scopeSpans":[{"scope":{},"spans":[{"traceId":"00000000000000000000000000000007","spanId":"0000000000000003","parentSpanId":"0000000000000005","name":"get","kind":2,"startTimeUnixNano":"1600000000000000000","endTimeUnixNano":"1600000000001500000","attributes":[{"key":"http.status_code","value":{"intValue":"500"}},{"key":"ratio","value":{"doubleValue":0.5}},{"key":"raw","value":{"bytesValue":"AP8="}},{"key":"odd","value":{"stringValue":"<Unknown Jaeger TagType \"<UNSET>\">"}},{"key":"twice","value":{"stringValue":"b"}}],"events":[{"timeUnixNano":"1600000000000001000","name":"retry","attributes":[{"key":"n","value":{"stringValue":"1"}}]}],"links":[{"traceId":"00000000000000000000000000000007","spanId":"0000000000000006","attributes":[{"key":"opentracing.ref_type","value":{"stringValue":"follows_from"}}]},{"traceId":"00000000000000000000000000000008","spanId":"0000000000000009","attributes":[{"key":"opentracing.ref_type","value":{"stringValue":"child_of"}}]}],"status":{"message":"broken","code":2},"flags":1},{"traceId":"00000000000000000000000000000007","spanId":"0000000000000004","name":"get","startTimeUnixNano":"1600000000000000000","endTimeUnixNano":"1600000000001500000","status":{},"flags":1}]}]}]}"#;

fn pair(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    put_message(out, number, |tag| {
        put_bytes(tag, 1, key.as_bytes());
        put_bytes(tag, 3, value.as_bytes());
    });
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_tag(out, field, 0);
    put_varint(out, value);
}

/// Two spans of the batch's process, in two scopes, and one of another process.
fn request() -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |batch| {
        for (id, scope, process) in [(1, "lib", None), (2, "", None), (3, "lib", Some("other"))] {
            put_message(batch, 1, |span| {
                put_bytes(span, 1, &[7; 16]);
                put_bytes(span, 2, &[id; 8]);
                put_bytes(span, 3, b"get");
                put_message(span, 4, |reference| {
                    put_bytes(reference, 1, &[7; 16]);
                    put_bytes(reference, 2, &[9; 8]);
                });
                number(span, 5, 3);
                put_message(span, 6, |time| {
                    number(time, 1, 1_600_000_000);
                    number(time, 2, 5);
                });
                put_message(span, 7, |time| number(time, 1, 2));
                if !scope.is_empty() {
                    pair(span, 8, "otel.scope.name", scope);
                    pair(span, 8, "otel.scope.version", "1");
                }
                pair(span, 8, "w3c.tracestate", "a=b");
                pair(span, 8, "otel.status_code", "ok");
                put_message(span, 9, |log| {
                    put_message(log, 1, |time| number(time, 1, 1));
                    pair(log, 2, "event", "start");
                });
                if let Some(process) = process {
                    put_message(span, 10, |out| put_bytes(out, 1, process.as_bytes()));
                }
            });
        }
        put_message(batch, 2, |process| {
            put_bytes(process, 1, b"shop");
            pair(process, 2, "zone", "a");
        });
    });
    request
}

// === tests ===

#[tokio::test]
async fn thrift_over_http_and_udp_means_the_same() {
    let bench = Bench::start("thrift_http", "").await;
    for (kind, coding) in [("application/x-thrift", ""), ("application/vnd.apache.thrift.binary; a=b", "gzip")] {
        let mut headers = vec![("content-type", kind)];
        let mut body = body(&batch());
        if !coding.is_empty() {
            headers.push(("content-encoding", coding));
            body = Coding::Gzip.compress(&body, None);
        }
        let answer = post(&bench.address, "/api/traces?format=jaeger.thrift", &headers, body.into()).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (202, &b""[..]));
        assert_eq!(bench.json().await, EXPECTED);
    }
    assert_eq!(bench.metric("accepted", "collector_http"), Some(4.0));
    for (protocol, encoding, transport) in [
        ("thrift_binary", Encoding::Binary, "udp_thrift_binary"),
        ("thrift_compact", Encoding::Compact, "udp_thrift_compact"),
    ] {
        let bench = Bench::start(protocol, "socket_buffer_size = \"64KiB\"").await;
        bench.datagram(&call(encoding, "emitBatch", batch())).await;
        assert_eq!(bench.json().await, EXPECTED);
        until(|| bench.metric("accepted", transport) == Some(2.0)).await;
    }
}

#[tokio::test]
async fn what_is_posted_over_grpc_is_grouped_by_process_and_scope() {
    let bench = Bench::start("grpc", "").await;
    for coding in [Coding::Identity, Coding::Gzip] {
        assert_eq!(bench.post_spans(coding, request()).await.unwrap(), "");
        let json: serde_json::Value = serde_json::from_str(&bench.json().await).unwrap();
        let groups = json["resourceSpans"].as_array().unwrap();
        let shape: Vec<String> = groups
            .iter()
            .flat_map(|group| {
                let service = group["resource"]["attributes"][0]["value"]["stringValue"].as_str().unwrap();
                group["scopeSpans"].as_array().unwrap().iter().map(move |scope| {
                    let ids: Vec<_> =
                        scope["spans"].as_array().unwrap().iter().map(|s| s["spanId"].to_string()).collect();
                    format!("{service} {} {}", scope["scope"], ids.concat())
                })
            })
            .collect();
        assert_eq!(
            shape,
            [
                r#"shop {"name":"lib","version":"1"} "0101010101010101""#,
                r#"shop {} "0202020202020202""#,
                r#"other {"name":"lib","version":"1"} "0303030303030303""#
            ]
        );
        assert_eq!(
            groups[0]["scopeSpans"][1]["spans"][0].to_string(),
            serde_json::from_str::<serde_json::Value>(
                r#"{"traceId":"07070707070707070707070707070707","spanId":"0202020202020202","traceState":"a=b","parentSpanId":"0909090909090909","flags":1,"name":"get","startTimeUnixNano":"1600000000000000005","endTimeUnixNano":"1600000002000000005","events":[{"timeUnixNano":"1000000000","name":"start"}],"status":{"code":1}}"#
            )
            .unwrap()
            .to_string()
        );
    }
    assert_eq!(bench.metric("accepted", "grpc"), Some(6.0));
    let other = channel(&bench.address, Coding::Identity);
    let unknown = other.unary("/jaeger.api_v2.CollectorService/Other", vec![Bytes::new()], HeaderMap::new()).await;
    assert_eq!(unknown.unwrap_err().code, Code::Unimplemented);
}

#[tokio::test]
async fn an_empty_request_is_taken_and_troubles_nobody() {
    let bench = Bench::start("grpc", "").await;
    assert!(bench.post_spans(Coding::Identity, Vec::new()).await.is_ok());
    let mut blank = Vec::new();
    put_message(&mut blank, 1, |batch| put_bytes(batch, 1, b""));
    assert!(bench.post_spans(Coding::Identity, blank).await.is_ok());
    assert!(bench.next.batches().is_empty());
}

#[tokio::test]
async fn what_is_no_batch_is_answered_as_the_protocols_do() {
    let bench = Bench::start("grpc", "").await;
    let mut short_id = Vec::new();
    put_message(&mut short_id, 1, |batch| put_message(batch, 1, |span| put_bytes(span, 1, &[1; 5])));
    for (message, why) in [(vec![7], "grpc: error unmarshalling request"), (short_id, "invalid length for TraceID")] {
        let status = bench.post_spans(Coding::Identity, message).await.unwrap_err();
        assert_eq!(status.code, Code::Internal);
        assert!(status.message.contains(why), "{}", status.message);
    }

    let bench = Bench::start("thrift_http", "max_request_body_size = \"1KiB\"").await;
    for (path, kind, body, status, why) in [
        ("/api/traces", "application/json", b"{}".to_vec(), 400, "Unsupported content type: application/json"),
        ("/api/traces", "a/b&c", b"{}".to_vec(), 400, "Unsupported content type: a/b&amp;c"),
        ("/api/traces", "", vec![], 400, "Cannot parse content type: mime: no media type"),
        ("/api/traces", "application/x-thrift", vec![], 400, "unexpected end of the data"),
        ("/api/traces", "application/x-thrift", vec![0], 400, "required field process of Batch is not set"),
        ("/api/traces", "application/x-thrift", [12, 0, 1].repeat(100), 400, "nested more than 64 levels deep"),
        ("/api/traces", "application/x-thrift", vec![0; 2000], 413, "request body too large"),
        ("/api/spans", "application/x-thrift", vec![0], 404, "404 page not found"),
    ] {
        let answer = bench.post(path, kind, body).await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(answer.status == status && text.contains(why), "{path} {kind}: {} {text}", answer.status);
    }
    assert!(bench.next.batches().is_empty());
}

#[tokio::test]
async fn a_refusal_is_the_client_s_to_try_again() {
    let bench = Bench::start("grpc", "").await;
    bench.next.refuse(Some(Refused::retryable("full")));
    assert_eq!(bench.post_spans(Coding::Identity, request()).await.unwrap_err().code, Code::Unavailable);
    assert_eq!(bench.metric("refused", "grpc"), Some(3.0));
    let bench = Bench::start("thrift_http", "").await;
    bench.next.refuse(Some(Refused::retryable("full <x>")));
    let answer = bench.post("/api/traces", "application/x-thrift", body(&batch())).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body, "Cannot submit Jaeger batch: full &lt;x&gt;\n");
    bench.next.refuse(None);
    assert_eq!(bench.post("/api/traces", "application/x-thrift", body(&batch())).await.status, 202);
}

#[tokio::test]
async fn datagrams_that_are_lost_are_counted_with_the_reason() {
    let bench = Bench::start("thrift_compact", "max_packet_size = \"1KiB\"").await;
    let transport = TRANSPORTS[3];
    bench.datagram(&[0; 1025]).await;
    until(|| bench.dropped("too_large", transport) == Some(1.0)).await;
    bench.datagram(b"\x82\x81\x00").await;
    bench.datagram(&call(Encoding::Compact, "emitZipkinBatch", List(vec![]))).await;
    bench.datagram(&call(Encoding::Binary, "emitBatch", batch())).await;
    until(|| bench.dropped("malformed", transport) == Some(3.0)).await;
    bench.datagram(&call(Encoding::Compact, "emitBatch", batch())).await;
    assert_eq!(bench.json().await, EXPECTED);
    bench.next.refuse(Some(Refused::retryable("full")));
    bench.datagram(&call(Encoding::Compact, "emitBatch", batch())).await;
    until(|| bench.metric("refused", transport) == Some(2.0)).await;
}

#[tokio::test]
async fn a_port_in_use_is_unhealthy_and_stops_nothing_else() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let (next, receiver) = Collector::<OtlpBatch>::new();
    let scope = scope([("next", OtelConsumer(receiver).to_value())]);
    let config = format!(
        "protocols {{\n thrift_binary {{\n endpoint = \"{address}\"\n }}\n thrift_compact {{\n endpoint = \"127.0.0.1:0\"\n }}\n}}\n{OUTPUT}"
    );
    let alone = Alone::<Jaeger>::start(&config, &scope).unwrap();
    until(|| {
        alone.health().is_some_and(|(state, why)| {
            state != HealthState::Healthy
                && why.contains(&format!("cannot listen on {address}"))
                && why.contains("names it): stop it or choose another port")
        })
    })
    .await;
    drop(taken);
    until(|| alone.health().is_some_and(|(state, _)| state == HealthState::Healthy)).await;
    assert!(next.batches().is_empty());
}

#[tokio::test]
async fn an_update_starts_anew_only_what_it_changes() {
    let bench = Bench::start("thrift_binary", "").await;
    bench.alone.update(&config("thrift_binary", "127.0.0.1:0", "workers = 10"), &bench.scope).unwrap();
    assert_eq!(listening(&bench.alone).await, bench.address);
    bench.alone.update(&config("thrift_binary", "127.0.0.1:0", "workers = 2"), &bench.scope).unwrap();
    let mut address = bench.address.clone();
    for _ in 0..3000 {
        address = listening(&bench.alone).await;
        if address != bench.address {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_ne!(address, bench.address);
    let again = Bench { address, ..bench };
    again.datagram(&call(Encoding::Binary, "emitBatch", batch())).await;
    assert_eq!(again.json().await, EXPECTED);
}

#[tokio::test]
async fn arguments_that_mean_nothing_are_refused() {
    let scope = scope([("next", OtelConsumer(Collector::<OtlpBatch>::new().1).to_value())]);
    for (config, why) in [
        (format!("protocols {{ }}\n{OUTPUT}"), "at least one protocol must be enabled"),
        (config("grpc", "here", ""), "host:port"),
        (config("thrift_http", "here", ""), "host:port"),
        (config("thrift_binary", "here", ""), "host:port"),
        (config("thrift_compact", "127.0.0.1:0", "workers = 0"), "must be greater than 0"),
        (config("thrift_compact", "127.0.0.1:0", "max_packet_size = \"0\""), "must be greater than 0"),
        (config("thrift_compact", "127.0.0.1:0", "queue_size = -1"), "must not be negative"),
    ] {
        let error = Alone::<Jaeger>::build(&config, &scope).err().unwrap();
        assert!(error.contains(why), "{config}: {error}");
    }
}

#[test]
fn every_cut_of_a_batch_is_refused() {
    let whole = body(&batch());
    assert!(thrift::of_body(&whole.clone().into()).is_ok());
    for end in 0..whole.len() {
        assert!(thrift::of_body(&Bytes::copy_from_slice(&whole[..end])).is_err(), "{end}");
    }
}

#[test]
fn any_bytes_are_spans_or_refused() {
    let checked = |payload: Result<Bytes, String>| {
        if let Ok(payload) = payload {
            sdk_protocols_otlp::check(OtlpSignal::Traces, &payload).unwrap();
        }
    };
    let calls = [Encoding::Binary, Encoding::Compact].map(|encoding| call(encoding, "emitBatch", batch()));
    let words = ["\0", "\u{c}\0\u{1}", "\u{f}\0\u{2}", "\u{7f}\u{7f}\u{7f}\u{7f}", "\u{1c}", "\u{19}"];
    mutate::run(&[body(&batch())], &words, 20_000, |bytes| checked(thrift::of_body(&Bytes::copy_from_slice(bytes))));
    mutate::run(&calls, &words, 20_000, |bytes| {
        for encoding in [Encoding::Binary, Encoding::Compact] {
            checked(thrift::of_datagram(encoding, &Bytes::copy_from_slice(bytes)));
        }
    });
    let words = ["\0", "\u{a}\u{2}", "\u{12}", "\u{7f}", "\u{8}\u{7f}"];
    mutate::run(&[request()], &words, 20_000, |bytes| checked(proto::read(Bytes::copy_from_slice(bytes))));
}
