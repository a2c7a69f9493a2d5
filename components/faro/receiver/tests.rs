//! Requests over a real socket.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use language_eval::{Scope, Value};
use sdk_component::health::HealthState;
use sdk_signals::{LogBatch, LogsReceiver, OtelConsumer, OtlpBatch, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::mutate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

struct Bench {
    alone: Alone<Receiver>,
    address: SocketAddr,
    logs: Arc<Collector<LogBatch>>,
    traces: Arc<Collector<OtlpBatch>>,
    scope: Scope,
}

/// The inside of a block: what stands in `server`, what beside it.
fn config(server: &str, rest: &str) -> String {
    format!("server {{\nlisten_port = 0\n{server}\n}}\n{rest}\noutput {{\nlogs = logs\ntraces = traces\n}}\n")
}

impl Bench {
    async fn start(server: &str, rest: &str) -> Bench {
        let ((logs, log_receiver), (traces, trace_receiver)) = (Collector::new(), Collector::new());
        let list = |value: Value| Value::Array(vec![value].into());
        let scope = scope([
            ("logs", list(LogsReceiver(log_receiver).to_value())),
            ("traces", list(OtelConsumer(trace_receiver).to_value())),
        ]);
        let alone = Alone::<Receiver>::start(&config(server, rest), &scope).unwrap();
        let address = loop {
            if let Some(address) = alone.component.server.address() {
                break address;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        Bench { alone, address, logs, traces, scope }
    }

    async fn collect(&self, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        self.ask("POST", headers, body).await
    }

    async fn ask(&self, method: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut head = format!("{method} /collect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Transfer-Encoding") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // An answer may come, and the connection end, before all is sent.
        let _ = stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status in {answer:?}")), answer)
    }

    fn lines(&self) -> Vec<String> {
        let batches = self.logs.take();
        let groups = batches.iter().flat_map(|batch| &batch.groups);
        let entries = groups.flat_map(|group| &group.entries);
        entries.map(|entry| String::from_utf8_lossy(&entry.line).into_owned()).collect()
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.alone.metric(&format!("faro_receiver_{name}"), labels).unwrap_or_default()
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

const LOG: &[u8] = br#"{"logs":[{"message":"hello","level":"info","timestamp":"2026-03-04T05:06:07Z"}]}"#;
const LINE: &str = "timestamp=\"2026-03-04 05:06:07 +0000 UTC\" kind=log message=hello level=info browser_mobile=false";

#[tokio::test]
async fn a_payload_is_answered_when_it_is_taken() {
    let bench = Bench::start("", "").await;
    for body in [LOG.to_vec(), [LOG, b" and what follows"].concat()] {
        let (status, answer) = bench.collect(&[], &body).await;
        assert!(status == 202 && answer.ends_with("\r\n\r\nok"), "{answer}");
        assert_eq!(bench.lines(), [LINE]);
    }
    let (status, _) = bench.collect(&[("Content-Encoding", "gzip")], &gzip(LOG)).await;
    assert_eq!((status, bench.lines()), (202, vec![LINE.to_owned()]));
    assert_eq!(bench.metric("logs_total", &[]), 3.0);
    let page = bench.alone.metrics();
    assert!(page.contains(r#"faro_receiver_request_duration_seconds_count{"#), "{page}");
}

#[tokio::test]
async fn a_payload_that_the_pipeline_refuses_may_be_sent_again() {
    let bench = Bench::start("", "").await;
    bench.logs.refuse(Some(Refused::retryable("the queue is full")));
    let (status, answer) = bench.collect(&[], LOG).await;
    assert!(status == 503 && answer.contains("retry-after: 1") && answer.contains("the queue is full"), "{answer}");
    assert_eq!(bench.metric("exporter_errors_total", &[("exporter", "logs exporter")]), 1.0);
    assert_eq!(bench.metric("logs_total", &[]), 0.0);
    bench.logs.refuse(Some(Refused::permanent("never")));
    assert_eq!(bench.collect(&[], LOG).await.0, 500);
    bench.logs.refuse(None);
    assert_eq!(bench.collect(&[], LOG).await.0, 202);
    bench.traces.refuse(Some(Refused::retryable("not now")));
    let traces = br#"{"traces":{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"}]}]}]}}"#;
    assert_eq!(bench.collect(&[], traces).await.0, 503);
    assert_eq!(bench.metric("exporter_errors_total", &[("exporter", "traces exporter")]), 1.0);
}

#[tokio::test]
async fn traces_carry_the_headers_of_their_request() {
    let bench = Bench::start("include_metadata = true", "").await;
    let traces = br#"{"traces":{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"},{"name":"b"}]}]}]}}"#;
    assert_eq!(bench.collect(&[("X-Tenant", "seven")], traces).await.0, 202);
    let batch = bench.traces.take().remove(0);
    assert_eq!(batch.items, 2);
    assert_eq!(batch.origin.unwrap().header("x-tenant"), Some(&["seven".to_owned()][..]));
    assert_eq!(bench.collect(&[], br#"{"traces":{"resourceSpans":[]}}"#).await.0, 202);
    assert!(bench.traces.take().is_empty(), "nothing to hand on");
    for damaged in [r#"{"traces":5}"#, r#"{"traces":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"z"}]}]}]}}"#]
    {
        assert_eq!(bench.collect(&[], damaged.as_bytes()).await.0, 400, "{damaged}");
    }
}

#[tokio::test]
async fn only_who_shows_the_key_may_send() {
    let bench = Bench::start("api_key = \"sesame\"", "").await;
    for key in ["", "sesam", "sesame1", "SESAME"] {
        let (status, answer) = bench.collect(&[("X-API-Key", key)], LOG).await;
        assert!(status == 401 && answer.contains("API key not provided or incorrect"), "{answer}");
    }
    // Nothing is read for a stranger, whatever it is.
    assert_eq!(bench.collect(&[], b"{").await.0, 401);
    assert!(bench.lines().is_empty());
    assert_eq!(bench.collect(&[("x-api-key", "sesame")], LOG).await.0, 202);
    assert!(!bench.alone.metrics().contains("sesame"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let bench = Bench::start("max_allowed_payload_size = \"1KiB\"", "").await;
    let long = [LOG, &vec![b' '; 1024][..]].concat();
    assert_eq!(bench.collect(&[], &long).await.0, 413);
    let chunked = [format!("{:x}\r\n", long.len()).as_bytes(), &long, b"\r\n0\r\n\r\n"].concat();
    assert_eq!(bench.collect(&[("Transfer-Encoding", "chunked")], &chunked).await.0, 413);
    let bomb = gzip(&vec![b' '; 100 << 10]);
    assert!(bomb.len() < 1024);
    assert_eq!(bench.collect(&[("Content-Encoding", "gzip")], &bomb).await.0, 413);
    assert_eq!(bench.collect(&[("Content-Encoding", "gzip")], LOG).await.0, 400);
    assert!(bench.lines().is_empty());
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let bench = Bench::start("", "").await;
    for damaged in ["", "{", "[]", "5", "{\"logs\":[{\"message\":\"a\nb\"}]}", "{\"logs\":[{\"message\":\"x\"}],}"] {
        assert_eq!(bench.collect(&[], damaged.as_bytes()).await.0, 400, "{damaged}");
    }
    assert!(bench.lines().is_empty());
    assert_eq!(bench.collect(&[], br#"{"logs":[{"message":"\ud83d \ud83d\ude00"}]}"#).await.0, 202);
    assert!(bench.lines().remove(0).contains("message=\"\\ufffd \u{1f600}\""));
}

#[tokio::test]
async fn a_small_body_cannot_ask_for_very_much() {
    let bench = Bench::start("", "").await;
    let many = format!(r#"{{"logs":[{}{{}}]}}"#, "{},".repeat(300_000));
    let (status, answer) = bench.collect(&[], many.as_bytes()).await;
    assert!(status == 400 && answer.contains("more than 200000 values"), "{answer}");
    let common = "x".repeat(1 << 20);
    let copied = format!(r#"{{"meta":{{"app":{{"name":"{common}"}}}},"logs":[{}{{}}]}}"#, "{},".repeat(1000));
    let (status, answer) = bench.collect(&[], copied.as_bytes()).await;
    assert!(status == 413 && answer.contains("the lines of the payload have more than"), "{answer}");
    let deep = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert_eq!(bench.collect(&[], deep.as_bytes()).await.0, 202);
    let deep = format!(r#"{{"traces":{}{}}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert_eq!(bench.collect(&[], deep.as_bytes()).await.0, 400);
    assert!(bench.lines().is_empty());
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused() {
    let limits =
        |rest: &str| format!("rate_limiting {{\nrate = 0.000001\nburst_size = 1\nstrategy = \"per_app\"\n{rest}}}");
    let bench = Bench::start(&limits(""), "").await;
    let of = |app: &str| format!(r#"{{"meta":{{"app":{{"name":"{app}"}}}}}}"#);
    let mut statuses = Vec::new();
    for app in ["a", "a", "b", "", ""] {
        statuses.push(bench.collect(&[], of(app).as_bytes()).await.0);
    }
    assert_eq!(statuses, [202, 429, 202, 202, 429]);
    let refused = [("app", "a"), ("env", ""), ("allowed", "false")];
    assert_eq!(bench.metric("rate_limiter_requests_total", &refused), 1.0);
    assert_eq!(bench.metric("rate_limiter_active_app", &[]), 3.0);
    // The buckets stay as they are unless their arguments change.
    bench.alone.update(&config(&limits(""), "log_format = \"json\""), &bench.scope).unwrap();
    assert_eq!(bench.collect(&[], of("a").as_bytes()).await.0, 429);
    bench.alone.update(&config("rate_limiting {\nenabled = false\n}", ""), &bench.scope).unwrap();
    assert_eq!(bench.collect(&[], of("a").as_bytes()).await.0, 202);
}

#[tokio::test]
async fn pages_of_other_origins_ask_first() {
    let bench = Bench::start("cors_allowed_origins = [\"https://*.example\"]", "").await;
    let ask = async |origin: &str, headers: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", headers),
        ];
        bench.ask("OPTIONS", &headers, b"").await
    };
    let (status, answer) = ask("https://a.example", "content-type,x-faro-session-id").await;
    assert!(status == 204 && answer.contains("access-control-allow-origin: https://a.example"), "{answer}");
    assert!(answer.contains("access-control-allow-headers: content-type,x-faro-session-id"), "{answer}");
    for (origin, headers) in [("https://a.org", ""), ("https://a.example", "x-other")] {
        let (status, answer) = ask(origin, headers).await;
        assert!(status == 204 && !answer.contains("access-control-allow"), "{answer}");
    }
    let (status, answer) = bench.collect(&[("Origin", "https://a.example")], LOG).await;
    assert!(status == 202 && answer.contains("access-control-allow-origin: https://a.example"), "{answer}");
    bench.alone.update(&config("cors_allowed_origins = [\"*\"]", ""), &bench.scope).unwrap();
    let (_, answer) = bench.collect(&[("Origin", "https://a.org")], LOG).await;
    assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
    let (status, answer) = bench.ask("OPTIONS", &[], b"").await;
    assert!(status == 400 && answer.contains("EOF"), "{answer}");
}

#[tokio::test]
async fn a_port_that_another_has_is_said_in_health() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let config = format!("server {{\nlisten_port = {port}\n}}\noutput {{ }}");
    let mut alone = Alone::<Receiver>::start(&config, &Scope::new()).unwrap();
    loop {
        if let Some((HealthState::Unhealthy, message)) = alone.health() {
            assert!(
                message.contains(&port.to_string()) && message.contains("another process has this port"),
                "{message}"
            );
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    alone.stop().await.unwrap();
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (config, message) in [
        ("server {\nlisten_port = 70000\n}\noutput { }", "0 to 65535"),
        ("log_format = \"xml\"\noutput { }", "must be one of \"logfmt\" or \"json\""),
        ("server {\nrate_limiting {\nstrategy = \"none\"\n}\n}\noutput { }", "must be one of"),
        ("sourcemaps {\nlocation {\npath = \"{{ .Release\"\nminified_path_prefix = \"\"\n}\n}\noutput { }", "bad path"),
        ("", "output"),
    ] {
        let refused = Alone::<Receiver>::build(config, &Scope::new()).err().unwrap_or_default();
        assert!(refused.contains(message), "{config}: {refused}");
    }
    Alone::<Receiver>::build("log_format = \"\"\noutput { }", &Scope::new()).unwrap();
}

// === source maps ===

const MAP: &str = r#"{"version":3,"sources":["src/a.js"],"names":["run"],"mappings":"AAAA,IACCA"}"#;

fn thrown(file: &str) -> Vec<u8> {
    let frame = format!(r#"{{"function":"f","filename":"{file}","lineno":1,"colno":9}}"#);
    format!(r#"{{"exceptions":[{{"type":"E","value":"v","stacktrace":{{"frames":[{frame},{frame}]}}}}]}}"#).into_bytes()
}

/// Answers every request with the same bytes.
async fn origin(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(base_sys::task::spawn("origin", async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.flush().await;
            // Without an answer the connection stays open, for the slow.
            open.push(stream);
        }
    }));
    address
}

fn page(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn stack_traces_are_translated_by_maps_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.js.map"), MAP).unwrap();
    std::fs::write(folder.path().join("bad.js.map"), "{").unwrap();
    let maps = format!(
        "sourcemaps {{\nlocation {{\npath = {:?}\nminified_path_prefix = \"http://x/\"\n}}\n}}",
        folder.path().display().to_string()
    );
    let bench = Bench::start("", &maps).await;
    for _ in 0..2 {
        assert_eq!(bench.collect(&[], &thrown("http://x/app.js")).await.0, 202);
        let line = bench.lines().remove(0);
        assert!(line.contains(r"E: v\n  at run (http://x/src/a.js:2:1)\n  at run (http://x/src/a.js:2:1)"), "{line}");
    }
    assert_eq!(bench.metric("sourcemap_file_reads_total", &[("origin", "http://x"), ("status", "ok")]), 1.0);
    assert_eq!(bench.metric("sourcemap_cache_size", &[("origin", "http://x")]), 1.0);
    for file in ["http://x/bad.js", "http://x/a..js"] {
        assert_eq!(bench.collect(&[], &thrown(file)).await.0, 202);
        let line = bench.lines().remove(0);
        assert!(line.contains(&format!("at f ({file}:1:9)")), "{line}");
    }
    assert_eq!(bench.metric("sourcemap_file_reads_total", &[("origin", "http://x"), ("status", "invalid_path")]), 1.0);
    // Other arguments for source maps are another cache.
    bench.alone.update(&config("", "sourcemaps {\ndownload = false\n}"), &bench.scope).unwrap();
    assert_eq!(bench.collect(&[], &thrown("http://x/app.js")).await.0, 202);
    assert!(bench.lines().remove(0).contains("at f (http://x/app.js:1:9)"));
}

#[tokio::test]
async fn a_map_may_stand_in_the_script() {
    use base64::Engine as _;
    let inline = base64::engine::general_purpose::STANDARD.encode(MAP);
    let script = format!("x()\n//# sourceMappingURL=data:application/json;base64,{inline}\n");
    let address = origin(page(&script)).await;
    let bench = Bench::start("", "sourcemaps {\ndownload_timeout = \"30s\"\n}").await;
    let file = format!("http://{address}/js/app.js");
    assert_eq!(bench.collect(&[], &thrown(&file)).await.0, 202);
    let line = bench.lines().remove(0);
    assert!(line.contains(&format!("at run (http://{address}/js/src/a.js:2:1)")), "{line}");
    let of = |status| [("origin", format!("http://{address}")), ("http_status", status)];
    let [a, b] = of("200".to_owned());
    assert_eq!(bench.metric("sourcemap_downloads_total", &[(a.0, &a.1), (b.0, &b.1)]), 1.0);
}

#[tokio::test]
async fn an_origin_that_fails_costs_the_translation_only() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Nobody accepts here, and the connection ends as soon as it is made.
        let address = listener.local_addr().unwrap();
        drop(base_sys::task::spawn("closing", async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
            }
        }));
        address
    };
    let silent = origin(Vec::new()).await;
    let huge = origin(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n".to_vec()).await;
    let missing = origin(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    let bench = Bench::start("", "sourcemaps {\ndownload_timeout = \"200ms\"\n}").await;
    for address in [gone, silent, huge, missing] {
        let file = format!("http://{address}/app.js");
        for _ in 0..2 {
            assert_eq!(bench.collect(&[], &thrown(&file)).await.0, 202);
            let line = bench.lines().remove(0);
            assert!(line.contains(&format!("at f ({file}:1:9)")), "{line}");
        }
        let page = bench.alone.metrics();
        let series = page.lines().find(|line| line.contains("downloads_total{") && line.contains(&address.to_string()));
        assert!(series.is_some_and(|series| series.ends_with("} 1")), "asked once: {series:?}");
    }
    let elsewhere = "sourcemaps {\ndownload_from_origins = [\"http://other\"]\n}";
    bench.alone.update(&config("", elsewhere), &bench.scope).unwrap();
    assert_eq!(bench.collect(&[], &thrown(&format!("http://{missing}/app.js"))).await.0, 202);
    let [a, b] = [("origin", format!("http://{missing}")), ("http_status", "404".to_owned())];
    assert_eq!(bench.metric("sourcemap_downloads_total", &[(a.0, &a.1), (b.0, &b.1)]), 1.0, "not asked again");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_used_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.js.map"), MAP).unwrap();
    let block = arguments::LocationBlock {
        path: folder.path().display().to_string(),
        minified_path_prefix: "http://x/".to_owned(),
    };
    let second = base_stdx::duration::GoDuration::from_secs;
    let mut arguments = SourceMapsBlock { download: false, location: vec![block], ..SourceMapsBlock::default() };
    arguments.cache = arguments::CacheBlock {
        ttl: second(60),
        error_cleanup_interval: second(3600),
        cleanup_check_interval: second(30),
    };
    let counters = Counters::new(&base_metrics::Scope::detached());
    let maps = Arc::new(Maps::new(&arguments, &counters).unwrap());
    let payload = |file: &str| payload::Payload::read(&thrown(file), &jiff::tz::TimeZone::UTC).unwrap();
    let (app, none) = (payload("http://x/app.js"), payload("http://x/none.js"));
    let cached = || counters.cached("http://x/").get();
    assert_eq!((maps.of(&app).await.len(), maps.of(&none).await.len(), cached()), (1, 0, 1.0));
    let tidy = maps.tidy();
    tokio::pin!(tidy);
    let mut pass = async |seconds: u64| {
        tokio::select! {
            () = &mut tidy => {}
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        }
    };
    pass(59).await;
    assert_eq!(cached(), 1.0);
    pass(40).await;
    assert_eq!(cached(), 0.0);
    std::fs::write(folder.path().join("none.js.map"), MAP).unwrap();
    assert_eq!(maps.of(&none).await.len(), 0, "the failure is remembered");
    pass(3600).await;
    assert_eq!(maps.of(&none).await.len(), 1, "and tried again in time");
}

// === any bytes ===

#[test]
fn any_bytes_are_a_payload_or_refused() {
    let whole = br#"{"meta":{"sdk":{"name":"s","integrations":[{"name":"i","version":"1"},null]},"app":{"name":"a","release":"r"},
        "user":{"attributes":{"k":"v"}},"browser":{"mobile":true},"view":null},"exceptions":[{"type":"E","value":"v",
        "stacktrace":{"frames":[{"filename":"f","lineno":1,"colno":-2}]},"timestamp":"2026-03-04T05:06:07.5+01:00"}],
        "measurements":[{"values":{"a":1.5e3,"kind":0}}],"events":[{"name":"e","attributes":{"<":"\u2028"}}],
        "traces":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10"}]}]}]}}"#;
    let seeds = vec![whole.to_vec(), LOG.to_vec(), br#"{"LOGS":[{"Message":"\ud800"}]}"#.to_vec()];
    let words = ["{", "}", "[", "]", ",", ":", "\"", "null", "\\ud83d", "\\n", "1e999", "-0", "\u{e9}", "\"logs\":"];
    mutate::run(&seeds, &words, 5_000, fuzz::payload);
}

#[test]
fn any_bytes_are_a_source_map_or_refused() {
    let sections = format!(r#"{{"version":3,"sections":[{{"offset":{{"line":1,"column":2}},"map":{MAP}}}]}}"#);
    let seeds = vec![MAP.as_bytes().to_vec(), sections.into_bytes()];
    let words = ["AAAA", ";", ",", "gggggggB", "D", "/", "null", "3", "\"sourceRoot\":\"../x\",", "{", "}"];
    mutate::run(&seeds, &words, 5_000, fuzz::source_map);
}
