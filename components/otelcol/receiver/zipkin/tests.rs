//! Over a real socket, and on any bytes. What spans become is told by the spec.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use language_eval::{Scope, ToValue as _};
use sdk_component::HealthState;
use sdk_protocols_compression::Coding;
use sdk_protocols_otlp::wire::{put_bytes, put_message, put_tag};
use sdk_protocols_thrift::Encoding;
use sdk_signals::{OtelConsumer, OtlpBatch, OtlpSignal, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};

use super::{Form, Zipkin};
use crate::testing::{Answer, Thrift, post};

struct Bench {
    alone: Alone<Zipkin>,
    next: Arc<Collector<OtlpBatch>>,
    scope: Scope,
    address: String,
}

const OUTPUT: &str = "output {\n traces = [next]\n}\n";

impl Bench {
    async fn start(arguments: &str) -> Bench {
        let (next, receiver) = Collector::new();
        let scope = scope([("next", OtelConsumer(receiver).to_value())]);
        let config = format!("endpoint = \"127.0.0.1:0\"\n{arguments}\n{OUTPUT}");
        let alone = Alone::<Zipkin>::start(&config, &scope).unwrap();
        let address = listening(&alone).await;
        Bench { alone, next, scope, address }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        post(&self.address, path, headers, body.into()).await
    }

    fn metric(&self, what: &str, transport: &str) -> Option<f64> {
        let name = format!("otelcol_receiver_{what}_spans_total");
        self.alone.metric(&name, &[("receiver", "zipkin/otelcol.receiver.zipkin.test"), ("transport", transport)])
    }
}

async fn listening(alone: &Alone<Zipkin>) -> String {
    for _ in 0..3000 {
        if let Some((HealthState::Healthy, message)) = alone.health() {
            return message.rsplit_once(" on ").map(|(_, address)| address.to_owned()).unwrap_or_default();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", alone.health());
}

const ONE: &str = r#"[{"traceId":"1","id":"2","name":"get","localEndpoint":{"serviceName":"shop"}}]"#;

fn proto() -> Vec<u8> {
    let mut list = Vec::new();
    put_message(&mut list, 1, |span| {
        put_bytes(span, 1, &[7; 16]);
        put_bytes(span, 3, &[8; 8]);
        put_tag(span, 4, 0);
        span.push(2);
        put_bytes(span, 5, b"get");
        put_tag(span, 6, 1);
        span.extend_from_slice(&5u64.to_le_bytes());
        put_message(span, 8, |endpoint| {
            put_bytes(endpoint, 1, b"shop");
            put_bytes(endpoint, 2, &[10, 0, 0, 1]);
        });
        put_message(span, 11, |tag| {
            put_bytes(tag, 1, b"k");
            put_bytes(tag, 2, b"1");
        });
    });
    list
}

/// Spans of version 1 as Thrift.
fn thrift(spans: Vec<Vec<(i16, Thrift)>>) -> Vec<u8> {
    let mut body = Vec::new();
    Thrift::List(spans.into_iter().map(Thrift::Struct).collect()).write(Encoding::Binary, &mut body);
    body
}

fn host() -> Thrift {
    let fields = vec![
        (1, Thrift::I32(0x7f00_0001)),
        (2, Thrift::I16(80)),
        (3, "shop".into()),
        (4, Thrift::Bytes([[0x20, 1].repeat(4), vec![0; 8]].concat())),
    ];
    Thrift::Struct(fields)
}

fn thrift_span() -> Vec<(i16, Thrift)> {
    let annotation =
        |at, value: &str, host| Thrift::Struct([vec![(1, Thrift::I64(at)), (2, value.into())], host].concat());
    let tag = |key: &str, kind, value: &[u8]| {
        Thrift::Struct(vec![(1, key.into()), (2, Thrift::Bytes(value.to_vec())), (3, Thrift::I32(kind))])
    };
    vec![
        (1, Thrift::I64(7)),
        (3, "get".into()),
        (4, Thrift::I64(3)),
        (5, Thrift::I64(2)),
        (
            6,
            Thrift::List(vec![
                annotation(1000, "sr", vec![(3, host())]),
                annotation(1001, "x", vec![]),
                annotation(1002, "", vec![]),
            ]),
        ),
        (
            8,
            Thrift::List(vec![
                tag("t", 0, &[1]),
                tag("raw", 1, &[0, 255]),
                tag("i16", 2, &[255, 255]),
                tag("i32", 3, &[0, 0, 1, 0]),
                tag("i64", 4, &[255; 8]),
                tag("f", 5, &1.5f64.to_be_bytes()),
                tag("s", 6, b"x"),
                tag("short", 4, &[1]),
                tag("odd", 9, &[]),
                tag("lc", 6, b"part"),
                tag("http.status_code", 6, b"500"),
            ]),
        ),
        (9, Thrift::Bool(true)),
        (10, Thrift::I64(2000)),
        (11, Thrift::I64(5)),
        (12, Thrift::I64(1)),
    ]
}

#[test]
fn thrift_is_read_with_its_types() {
    let payload = Form::V1Thrift.read(&thrift(vec![thrift_span()]).into(), true).unwrap();
    let json = String::from_utf8(sdk_protocols_otlp::json::to_json(OtlpSignal::Traces, &payload)).unwrap();
    assert_eq!(
        json,
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"ipv4","value":{"stringValue":"127.0.0.1"}},{"key":"ipv6","value":{"stringValue":"2001:2001:2001:2001::"}},{"key":"port","value":{"stringValue":"80"}}]},"scopeSpans":[{"scope":{},"spans":[{"traceId":"00000000000000010000000000000007","spanId":"0000000000000003","parentSpanId":"0000000000000002","name":"get","kind":2,"startTimeUnixNano":"2000000","endTimeUnixNano":"2005000","attributes":[{"key":"t","value":{"boolValue":true}},{"key":"raw","value":{"stringValue":"AP8="}},{"key":"i16","value":{"intValue":"65535"}},{"key":"i32","value":{"intValue":"256"}},{"key":"i64","value":{"intValue":"-1"}},{"key":"f","value":{"doubleValue":1.5}},{"key":"s","value":{"stringValue":"x"}},{"key":"short","value":{"stringValue":"<not enough bytes representing the number>"}},{"key":"odd","value":{"stringValue":"<unknown zipkin v1 binary annotation type (9)>"}},{"key":"component","value":{"stringValue":"part"}},{"key":"http.status_code","value":{"stringValue":"500"}}],"events":[{"timeUnixNano":"1001000","name":"x"}],"status":{"code":2}}]}]}]}"#
    );
    for (body, why) in [
        (thrift(vec![vec![(3, "a long enough name".into())]]), "required field trace_id of Span is not set"),
        ([vec![12, 0, 0, 0, 100], vec![0; 100]].concat(), "unexpected end"),
        (vec![12, 0, 0, 0, 1], "unexpected end"),
        ([15, 0, 0, 0, 1].repeat(100), "elements of type List"),
    ] {
        let error = Form::V1Thrift.read(&body.into(), false).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn every_form_is_taken_plain_and_compressed() {
    let bench = Bench::start("").await;
    let v1 = r#"[{"traceId":"0000000000000001","id":"0000000000000002","name":"get"}]"#;
    for (path, kind, body, transport) in [
        ("/api/v2/spans", "application/json", ONE.as_bytes().to_vec(), "http_v2_json"),
        ("/", "text/plain", ONE.as_bytes().to_vec(), "http_v2_json"),
        ("/api/v2/spans", "application/x-protobuf", proto(), "http_v2_proto"),
        ("/api/v1/spans", "application/json", v1.as_bytes().to_vec(), "http_v1_json"),
        ("/api/v1/spans", "application/x-thrift", thrift(vec![thrift_span()]), "http_v1_thrift"),
    ] {
        let before = bench.metric("accepted", transport).unwrap();
        let answer = bench.post(path, &[("content-type", kind)], body.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (202, &b""[..]));
        let packed = Coding::Gzip.compress(&body, None);
        let answer = bench.post(path, &[("content-type", kind), ("content-encoding", "gzip")], packed).await;
        assert_eq!(answer.status, 202);
        let batches = bench.next.take();
        assert_eq!(batches.iter().map(|batch| batch.items).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(bench.metric("accepted", transport), Some(before + 2.0));
    }
}

#[tokio::test]
async fn what_is_no_span_is_refused_and_what_holds_none_is_not_handed_on() {
    let bench = Bench::start("max_request_body_size = \"1KiB\"").await;
    for body in
        ["", "{}", "[{\"traceId\":\"1\"}]", "[{\"traceId\":\"\",\"id\":\"1\"}]", "[{\"traceId\":\"x\",\"id\":\"1\"}]"]
    {
        assert_eq!(bench.post("/api/v2/spans", &[], body).await.status, 400, "{body}");
    }
    let bomb = Coding::Gzip.compress(&vec![b' '; 1 << 20], None);
    assert_eq!(bench.post("/", &[("content-encoding", "gzip")], bomb).await.status, 400);
    assert_eq!(bench.post("/", &[("content-encoding", "br")], "[]").await.status, 400);
    let thrift = bench.post("/api/v1/spans", &[("content-type", "application/x-thrift")], "").await;
    assert_eq!(thrift.status, 400);
    for body in ["[]", "null", "[null]"] {
        assert_eq!(bench.post("/api/v2/spans", &[], body).await.status, 202, "{body}");
    }
    assert!(bench.next.batches().is_empty());
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_a_server_s_error() {
    for (refused, status) in [(Refused::retryable("full"), 500), (Refused::permanent("no"), 400)] {
        let bench = Bench::start("").await;
        bench.next.refuse(Some(refused));
        assert_eq!(bench.post("/api/v2/spans", &[], ONE).await.status, status);
        assert_eq!(bench.metric("refused", "http_v2_json"), Some(1.0));
        bench.next.refuse(None);
        assert_eq!(bench.post("/api/v2/spans", &[], ONE).await.status, 202);
    }
}

#[tokio::test]
async fn an_update_keeps_the_port_unless_the_server_is_another() {
    let bench = Bench::start("").await;
    bench.alone.update(&format!("endpoint = \"127.0.0.1:0\"\n\n{OUTPUT}"), &bench.scope).unwrap();
    assert_eq!(bench.post("/", &[], ONE).await.status, 202);
    let config = format!("endpoint = \"127.0.0.1:0\"\nparse_string_tags = true\n{OUTPUT}");
    bench.alone.update(&config, &bench.scope).unwrap();
    for _ in 0..3000 {
        if listening(&bench.alone).await != bench.address {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still on {}", bench.address);
}

#[test]
fn an_endpoint_without_a_port_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let scope = scope([("next", OtelConsumer(Collector::<OtlpBatch>::new().1).to_value())]);
    let error = Alone::<Zipkin>::build(&format!("endpoint = \"here\"\n{OUTPUT}"), &scope).err().unwrap();
    assert!(error.contains("host:port"), "{error}");
}

#[test]
fn any_bytes_are_spans_or_refused() {
    let v1 = r#"[{"traceId":"0000000000000001","id":"0000000000000002","timestamp":9223372036854775807,"duration":9223372036854775807,
        "annotations":[{"timestamp":-1,"value":"sr","endpoint":{"serviceName":"a","port":-1}}],"binaryAnnotations":[{"key":"error","value":""}]}]"#;
    let v2 = r#"[{"traceId":"1","id":"2","timestamp":18446744073709551615,"duration":18446744073709551615,"kind":"CLIENT",
        "annotations":[{"timestamp":1,"value":"a|{\"b\":1e99}|1"}],"tags":{"otlp.link.0":"|||{}|1","a":"-1.5","b":"-99999999999999999999"}}]"#;
    // A small generator of its own: the same bytes in each run.
    let mut state = 7u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (form, seed) in [
        (Form::V1Json, v1.as_bytes().to_vec()),
        (Form::V2Json, v2.as_bytes().to_vec()),
        (Form::V2Proto, proto()),
        (Form::V1Thrift, thrift(vec![thrift_span()])),
    ] {
        assert!(form.read(&seed.clone().into(), true).is_ok(), "{}", String::from_utf8_lossy(&seed));
        for _ in 0..20_000 {
            let mut bytes = seed.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b"\"{}[],:0\xff\x80"[random(10)]),
                }
            }
            if let Ok(payload) = form.read(&bytes.into(), true) {
                sdk_protocols_otlp::check(OtlpSignal::Traces, &payload).unwrap();
            }
        }
    }
}
