//! Against recordings of Alloy, and against an endpoint that comes and goes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use language_eval::{FromValue, Scope};
use sdk_labels::Labels;
use sdk_net::server::{Limits, Listener, serve};
use sdk_protocols_loki::{Stream, parse};
use sdk_signals::{LogEntry, LogGroup, Metadata};
use sdk_testing::component::Alone;
use sdk_testing::folder::image;
use sdk_testing::oracle;
use serde_json::Value as Json;

use super::*;
use sdk_testing::patience::until;

/// One request as Loki saw it.
#[derive(Clone, Debug)]
struct Seen {
    headers: BTreeMap<String, String>,
    streams: Vec<Stream>,
    status: u16,
    method: String,
}

/// A Loki that answers as told.
struct Loki {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _scope: base_sys::task::Scope,
}

impl Loki {
    async fn start(answers: Vec<Json>) -> Loki {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.address();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let scope = base_sys::task::Scope::new();
        let (log, next, answers) = (seen.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(answers));
        let service = move |request: Request<Incoming>, _| {
            let (log, next, answers) = (log.clone(), next.clone(), answers.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let answer = answers.get(next.fetch_add(1, SeqCst));
                // A status, or a status and what is said with it.
                let told = answer.map(|answer| answer.get(0).unwrap_or(answer));
                let mut status = told.and_then(Json::as_u64).unwrap_or(204) as u16;
                let words = answer.and_then(|answer| answer.get(1)?.as_str()).unwrap_or_default().to_owned();
                let raw = snap::raw::Decoder::new().decompress_vec(&body).unwrap_or_default();
                let headers = head.headers.iter();
                let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
                let streams = parse(&raw).unwrap();
                // A Loki that refuses a request for one of its lines.
                let bad = streams.iter().flat_map(|stream| &stream.entries).any(|entry| entry.line.starts_with(b"bad"));
                if bad {
                    status = 400;
                }
                let method = head.method.to_string();
                lock(&log).push(Seen { headers: headers.collect(), streams, status, method });
                let mut response = Response::builder().status(status);
                if status == 429 {
                    response = response.header("retry-after", "1");
                }
                if status == 302 {
                    response = response.header("location", "/elsewhere");
                }
                let said = match bad {
                    true => "entry for stream '{}' has timestamp too old: 2020-01-01T00:00:00Z".to_owned(),
                    false => words,
                };
                response.body(Full::new(Bytes::from(said))).unwrap()
            }
        };
        let stop = scope.stopped();
        scope.spawn("loki", serve(listener, None, Limits::default(), service, stop, Duration::ZERO));
        Loki { address, seen, _scope: scope }
    }

    fn url(&self) -> String {
        format!("http://{}/push", self.address)
    }

    /// Waits until `enough` says so.
    async fn wait(&self, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        for _ in 0..2000 {
            let seen = lock(&self.seen).clone();
            if enough(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("Loki did not see what was expected; it saw {:?}", lock(&self.seen))
    }
}

fn receiver(alone: &Alone<Write>) -> Receiver<LogBatch> {
    LogsReceiver::from_value(&alone.export("receiver").unwrap()).unwrap().0
}

fn lines(labels: &[(&str, &str)], lines: &[&str]) -> LogBatch {
    let entries = lines.iter().enumerate().map(|(at, line)| LogEntry::new(at as i64, line.to_string())).collect();
    LogBatch::of(Labels::from_pairs(labels.iter().copied()), entries)
}

fn entries(seen: &[Seen]) -> Vec<String> {
    let accepted = seen.iter().filter(|seen| seen.status == 204);
    let entries = accepted.flat_map(|seen| &seen.streams).flat_map(|stream| &stream.entries);
    entries.map(|entry| String::from_utf8(entry.line.clone()).unwrap()).collect()
}

/// The pushes of a recorded case, each as one batch.
fn batches(case: &Json) -> Vec<LogBatch> {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let entry = |entry: &Json| LogEntry {
        timestamp: entry["ts"].as_str().unwrap().parse().unwrap(),
        line: text(&entry["line"]).into(),
        metadata: entry["structured_metadata"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (text(&pair[0]).into(), text(&pair[1]).into()))
            .collect::<Metadata>(),
    };
    let tenant = case["source_headers"]["X-Scope-OrgID"].as_str();
    let group = |stream: &Json| {
        let mut pairs = parse_labels(stream["labels"].as_str().unwrap());
        pairs.extend(tenant.map(|tenant| ("__tenant_id__".to_owned(), tenant.to_owned())));
        let entries = stream["entries"].as_array().unwrap().iter().map(entry).collect();
        LogGroup { labels: Labels::from_pairs(pairs), entries }
    };
    let batch =
        |push: &Json| LogBatch { groups: push.as_array().unwrap().iter().map(group).collect(), ..LogBatch::default() };
    case["pushes"].as_array().unwrap().iter().map(batch).collect()
}

/// `{a="1", b="2"}`; the values are Go strings, which JSON reads.
fn parse_labels(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches('{');
    while let Some((name, behind)) = rest.split_once('=') {
        let mut end = 1;
        while behind.as_bytes()[end] != b'"' {
            end += if behind.as_bytes()[end] == b'\\' { 2 } else { 1 };
        }
        let value: String = serde_json::from_str(&behind[..=end]).unwrap();
        pairs.push((name.trim_start_matches([',', ' ']).to_owned(), value));
        rest = &behind[end + 1..];
    }
    pairs
}

/// What a request looks like in a recording, streams in one order.
fn recorded(requests: &Json) -> Vec<String> {
    let request = |request: &Json| {
        let mut streams: Vec<String> =
            request["streams"].as_array().into_iter().flatten().map(Json::to_string).collect();
        streams.sort();
        let mut headers = request["headers"].as_object().unwrap().clone();
        // We do not call ourselves Alloy, and have no seed to tell servers apart by.
        headers.retain(|name, _| !["User-Agent", "X-Agent-Id", "X-Alloy-Id", "Referer"].contains(&name.as_str()));
        format!("{} {} {} {streams:?}", request["method"], request["answered"], Json::Object(headers))
    };
    requests.as_array().unwrap().iter().map(request).collect()
}

fn as_recorded(seen: &Seen) -> Json {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stream = |stream: &Stream| {
        let entries = stream.entries.iter().map(|entry| {
            let metadata: Vec<_> = entry.metadata.iter().map(|(name, value)| serde_json::json!([name, value])).collect();
            serde_json::json!({ "ts": entry.timestamp.to_string(), "line": text(&entry.line), "structured_metadata": metadata })
        });
        serde_json::json!({ "labels": stream.labels, "entries": entries.collect::<Vec<_>>() })
    };
    let named = [
        ("authorization", "Authorization"),
        ("content-encoding", "Content-Encoding"),
        ("content-type", "Content-Type"),
        ("x-scope-orgid", "X-Scope-Orgid"),
        ("x-own", "X-Own"),
    ];
    let headers =
        named.iter().filter_map(|(ours, theirs)| Some((theirs.to_string(), seen.headers.get(*ours)?.as_str().into())));
    serde_json::json!({
        "method": seen.method,
        "answered": seen.status,
        "headers": headers.collect::<serde_json::Map<_, _>>(),
        "streams": seen.streams.iter().map(stream).collect::<Vec<_>>(),
    })
}

async fn replay(case: &Json) -> Option<String> {
    let loki = Loki::start(case["answers"].as_array().unwrap().clone()).await;
    let config = case["config"].as_str().unwrap().replace("@url@", &loki.url());
    let inside = &config[config.find('{').unwrap() + 1..config.rfind('}').unwrap()];
    let alone = Alone::<Write>::start(inside, &Scope::new());
    let mut alone = match (alone, case.get("load_error")) {
        (Err(_), Some(_)) => return None,
        (Err(ours), None) => return Some(format!("alloy: loads\nours:  {ours}")),
        (Ok(_), Some(error)) => return Some(format!("alloy: {error}\nours:  loads")),
        (Ok(alone), None) => alone,
    };
    for batch in batches(case) {
        receiver(&alone).consume(batch).await.unwrap().detach();
    }
    let expected = recorded(&case["expected_requests"]);
    for _ in 0..600 {
        if lock(&loki.seen).len() >= expected.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let host = loki.address.to_string();
    for metric in case["metrics"].as_array().unwrap() {
        let labels = metric["labels"].as_object().unwrap();
        let mut labels: Vec<(&str, &str)> =
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        labels.iter_mut().filter(|(name, _)| *name == "host").for_each(|(_, value)| *value = &host);
        labels.extend([("component_id", "loki.write.test"), ("component_path", "/")]);
        let name = metric["name"].as_str().unwrap();
        let (alloy, ours) = (metric["value"].as_str().unwrap(), alone.metric(name, &labels));
        if ours.is_none_or(|ours| ours.to_string() != alloy) {
            return Some(format!("{name} {labels:?}\nalloy: {alloy}\nours:  {ours:?}"));
        }
    }
    alone.stop().await.unwrap();
    let ours: Vec<Json> = lock(&loki.seen).iter().map(as_recorded).collect();
    let mut ours = recorded(&Json::Array(ours));
    let mut alloys = expected;
    if case.get("order").is_some() {
        ours.sort();
        alloys.sort();
    }
    (ours != alloys).then(|| format!("alloy: {alloys:#?}\nours:  {ours:#?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_those_that_alloy_sends() {
    let Some(cases) = oracle::cases::<Json>("pipelines/loki_write/cases.jsonl") else { return };
    let replays: Vec<_> = cases
        .into_iter()
        .map(|case| {
            base_sys::task::spawn("case", async move { (case["id"].as_str().unwrap().to_owned(), replay(&case).await) })
        })
        .collect();
    let mut group = oracle::Group::new("loki.write");
    for replay in replays {
        let (id, difference) = replay.await.returned().expect("a case does not panic");
        group.case(&id, difference);
    }
    group.finish();
}

#[tokio::test]
async fn a_delivery_waits_for_the_endpoint() {
    let loki = Loki::start(vec![500.into(), 204.into(), 400.into()]).await;
    let config =
        format!("endpoint {{\n url = {:?}\n batch_wait = \"10ms\"\n min_backoff_period = \"1ms\"\n}}", loki.url());
    let mut alone = Alone::<Write>::start(&config, &Scope::new()).unwrap();
    let delivered = receiver(&alone).consume(lines(&[("a", "1")], &["one"])).await.unwrap();
    assert_eq!(delivered.await, sdk_signals::Outcome::Delivered);
    assert_eq!(loki.wait(|seen| seen.len() == 2).await[1].status, 204);
    let dropped = receiver(&alone).consume(lines(&[("a", "1")], &["two"])).await.unwrap();
    assert_eq!(dropped.await, sdk_signals::Outcome::Dropped);
    alone.stop().await.unwrap();
    assert!(receiver(&alone).consume(lines(&[], &["three"])).await.unwrap_err().retryable);
}

#[tokio::test]
async fn a_stop_sends_what_is_open_and_an_update_loses_nothing() {
    let first = Loki::start(Vec::new()).await;
    let second = Loki::start(Vec::new()).await;
    let config = |loki: &Loki| format!("endpoint {{\n url = {:?}\n batch_wait = \"1h\"\n}}", loki.url());
    let mut alone = Alone::<Write>::start(&config(&first), &Scope::new()).unwrap();
    receiver(&alone).consume(lines(&[("a", "1")], &["one"])).await.unwrap().detach();
    alone.update(&config(&second), &Scope::new()).unwrap();
    assert_eq!(entries(&first.wait(|seen| !seen.is_empty()).await), ["one"]);
    let waiting = receiver(&alone).consume(lines(&[("a", "1")], &["two"])).await.unwrap();
    alone.stop().await.unwrap();
    assert_eq!(waiting.await, sdk_signals::Outcome::Delivered);
    assert_eq!(entries(&second.wait(|seen| !seen.is_empty()).await), ["two"]);
    assert_eq!(lock(&first.seen).len(), 1);
}

#[tokio::test]
async fn a_dead_endpoint_does_not_keep_entries_from_the_other() {
    let loki = Loki::start(Vec::new()).await;
    let config = format!(
        "endpoint {{\n url = \"http://127.0.0.1:1/push\"\n batch_wait = \"5ms\"\n}}\nendpoint {{\n url = {:?}\n batch_wait = \"5ms\"\n}}",
        loki.url()
    );
    let mut alone = Alone::<Write>::start(&config, &Scope::new()).unwrap();
    let line = "x".repeat(200_000);
    for number in 0..100 {
        let line = format!("{number} {line}");
        receiver(&alone).consume(lines(&[("a", "1")], &[&line])).await.unwrap().detach();
    }
    let seen = loki.wait(|seen| entries(seen).len() == 100).await;
    let numbers: Vec<usize> =
        entries(&seen).iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    let (state, message) = alone.health().unwrap();
    assert_eq!(state, sdk_component::HealthState::Unhealthy);
    assert!(message.contains("cannot connect to http://127.0.0.1:1/push"), "{message}");
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up_on_and_its_health_says_so() {
    // Connections are made, and nobody looks at them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/push", listener.local_addr().unwrap());
    let config = format!("endpoint {{\n url = {url:?}\n batch_wait = \"5ms\"\n remote_timeout = \"50ms\"\n}}");
    let mut alone = Alone::<Write>::start(&config, &Scope::new()).unwrap();
    receiver(&alone).consume(lines(&[("a", "1")], &["one"])).await.unwrap().detach();
    until(|| alone.health().is_some_and(|(state, _)| state == sdk_component::HealthState::Unhealthy)).await;
    let (_, message) = alone.health().unwrap();
    assert!(message.contains("does not take entries") && message.contains(&url), "{message}");
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_is_refused_is_named_until_it_is_let_in_whatever_becomes_of_the_others() {
    use sdk_component::HealthState::{Healthy, Unhealthy};
    let barred = || serde_json::json!([401, "who are you"]);
    let loki = Loki::start(vec![barred(), 204.into(), barred(), barred(), 204.into(), 204.into()]).await;
    let config = format!("endpoint {{\n url = {:?}\n batch_wait = \"5ms\"\n}}", loki.url());
    let mut alone = Alone::<Write>::start(&config, &Scope::new()).unwrap();
    let refused = |tenants: &[&str]| {
        let refused = tenants.iter().map(|tenant| {
            format!(
                "endpoint {}: what is sent of tenant {tenant} is refused and dropped: 401 Unauthorized: who are you",
                loki.url()
            )
        });
        (Unhealthy, refused.collect::<Vec<_>>().join("; "))
    };
    for (tenant, expected) in [
        ("b", refused(&["b"])),
        ("a", refused(&["b"])),
        ("b", refused(&["b"])),
        ("c", refused(&["b", "c"])),
        ("b", refused(&["c"])),
        ("c", (Healthy, "sending".to_owned())),
    ] {
        let labels = [("app", "x"), ("__tenant_id__", tenant)];
        let _ = receiver(&alone).consume(lines(&labels, &["one"])).await.unwrap().await;
        assert_eq!(alone.health(), Some(expected), "{tenant}");
    }
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_lets_nobody_in_is_named_while_the_other_one_takes_everything() {
    use sdk_component::HealthState::Unhealthy;
    let barred = || serde_json::json!([403, "nobody"]);
    let [closed, open] = [Loki::start(vec![barred(), barred(), barred()]).await, Loki::start(Vec::new()).await];
    let endpoint = |loki: &Loki| format!("endpoint {{\n url = {:?}\n batch_wait = \"5ms\"\n}}\n", loki.url());
    let mut alone = Alone::<Write>::start(&(endpoint(&closed) + &endpoint(&open)), &Scope::new()).unwrap();
    let refused = format!("endpoint {}: what is sent is refused and dropped: 403 Forbidden: nobody", closed.url());
    for _ in 0..3 {
        let _ = receiver(&alone).consume(lines(&[("a", "1")], &["one"])).await.unwrap().await;
        assert_eq!(alone.health(), Some((Unhealthy, refused.clone())));
    }
    assert_eq!(lock(&open.seen).len(), 3);
    // Endpoints that are changed begin anew.
    alone.update(&endpoint(&open), &Scope::new()).unwrap();
    until(|| alone.health().is_some_and(|(state, _)| state != Unhealthy)).await;
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_lets_nobody_in_is_unhealthy_and_one_that_refuses_a_request_is_not() {
    use sdk_component::HealthState::{Healthy, Unhealthy};
    let said = |status: u16, words: &str| serde_json::json!([status, words]);
    let loki = Loki::start(vec![
        said(400, "no labels"),
        said(401, "the token has expired"),
        said(429, "too fast"),
        said(404, "no such path"),
        204.into(),
        said(413, "too large"),
    ])
    .await;
    let config = format!("endpoint {{\n url = {:?}\n batch_wait = \"5ms\"\n retry_on_http_429 = false\n}}", loki.url());
    let mut alone = Alone::<Write>::start(&config, &Scope::new()).unwrap();
    let refused =
        |why| Some((Unhealthy, format!("endpoint {}: what is sent is refused and dropped: {why}", loki.url())));
    let well = Some((Healthy, "sending".to_owned()));
    let at_first = alone.health();
    assert!(at_first.as_ref().is_none_or(|(state, _)| *state != Unhealthy), "{at_first:?}");
    for expected in [
        at_first,
        refused("401 Unauthorized: the token has expired"),
        refused("429 Too Many Requests: too fast"),
        refused("404 Not Found: no such path"),
        well.clone(),
        well,
    ] {
        let _ = receiver(&alone).consume(lines(&[("a", "1")], &["one"])).await.unwrap().await;
        assert_eq!(alone.health(), expected);
    }
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn with_a_wal_entries_are_delivered_once_they_are_on_the_disk_and_sent_after_a_restart() {
    let config = |url: &str| {
        format!("wal {{\n enabled = true\n}}\nendpoint {{\n name = \"it\"\n url = {url:?}\n batch_wait = \"5ms\"\n}}")
    };
    let mut alone = Alone::<Write>::start(&config("http://127.0.0.1:1/push"), &Scope::new()).unwrap();
    let delivery = receiver(&alone).consume(lines(&[("a", "1")], &["kept"])).await.unwrap();
    assert_eq!(delivery.await, sdk_signals::Outcome::Delivered);
    let loki = Loki::start(Vec::new()).await;
    alone.update(&config(&loki.url()), &Scope::new()).unwrap();
    assert_eq!(entries(&loki.wait(|seen| !seen.is_empty()).await), ["kept"]);
    // Perhaps twice: once for the endpoint that was not there.
    let read = alone.metric("loki_write_wal_watcher_records_read_total", &[("id", "it")]);
    assert!(read.is_some_and(|read| read >= 1.0), "{read:?}");
    assert_eq!(alone.metric("loki_write_wal_watcher_running", &[]), Some(1.0));
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn of_a_request_that_is_refused_for_some_entries_the_others_arrive_in_order() {
    let loki = Loki::start(Vec::new()).await;
    let config = format!("endpoint {{\n url = {:?}\n batch_wait = \"5ms\"\n}}", loki.url());
    let mut alone = Alone::<Write>::start(&config, &Scope::new()).unwrap();
    let all: Vec<String> =
        (0..20).map(|at| if at % 7 == 3 { format!("bad {at}") } else { format!("good {at}") }).collect();
    let texts: Vec<&str> = all.iter().map(String::as_str).collect();
    let delivery = receiver(&alone).consume(lines(&[("a", "1")], &texts)).await.unwrap();
    assert_eq!(delivery.await, sdk_signals::Outcome::Delivered);
    let good: Vec<&String> = all.iter().filter(|line| line.starts_with("good")).collect();
    assert_eq!(entries(&lock(&loki.seen).clone()).iter().collect::<Vec<_>>(), good);
    let host = loki.address.to_string();
    let labels = |reason| [("host", host.as_str()), ("tenant", ""), ("reason", reason)];
    let rejected = alone.metric("loki_write_rejected_entries_total", &labels("greater_than_max_sample_age"));
    let dropped = alone.metric("loki_write_dropped_entries_total", &labels("ingester_error"));
    assert_eq!((rejected, dropped), (Some(3.0), Some(3.0)));
    assert_eq!(alone.metric("loki_write_sent_entries_total", &labels("")[..2]), Some(17.0));
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_asks_for_patience_gets_it() {
    let loki = Loki::start(vec![429.into()]).await;
    let config =
        format!("endpoint {{\n url = {:?}\n batch_wait = \"5ms\"\n min_backoff_period = \"1ms\"\n}}", loki.url());
    let mut alone = Alone::<Write>::start(&config, &Scope::new()).unwrap();
    let began = tokio::time::Instant::now();
    let delivery = receiver(&alone).consume(lines(&[("a", "1")], &["x"])).await.unwrap();
    assert_eq!(delivery.await, sdk_signals::Outcome::Delivered);
    assert!(began.elapsed() >= Duration::from_millis(990), "{:?}", began.elapsed());
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_proxy_is_asked_for_what_is_behind_it() {
    let proxy = Loki::start(Vec::new()).await;
    let config = format!(
        "endpoint {{\n url = \"http://loki.invalid/push\"\n proxy_url = \"http://{}\"\n batch_wait = \"5ms\"\n}}",
        proxy.address
    );
    let mut alone = Alone::<Write>::start(&config, &Scope::new()).unwrap();
    receiver(&alone).consume(lines(&[("a", "1")], &["x"])).await.unwrap().detach();
    let seen = proxy.wait(|seen| !seen.is_empty()).await;
    assert_eq!(seen[0].headers.get("host").map(String::as_str), Some("loki.invalid"));
    alone.stop().await.unwrap();
}

/// Lines of a client, and lines that are in a file as well, which wait in a request when the collector is killed; a start then,
/// with these arguments. What Loki gets then.
async fn after_a_kill(wal: &str, wal_then: &str) -> Vec<Seen> {
    let config = |wal: &str, url: &str, wait: &str| {
        format!(
            "{wal}external_labels = {{ cluster = \"c\" }}\n\
             endpoint {{\n name = \"it\"\n url = {url:?}\n batch_wait = {wait:?}\n}}"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let text = config(wal, "http://127.0.0.1:1/push", "1h");
    let mut killed = Alone::<Write>::build_in(&text, &Scope::new(), folder.path()).unwrap();
    killed.run();
    let mut pushed = lines(&[("a", "1"), ("__tenant_id__", "t")], &["one", "two"]);
    pushed.groups[0].entries[1].metadata.push(Bytes::from_static(b"trace"), Bytes::from_static(b"7"));
    receiver(&killed).consume(pushed).await.unwrap().detach();
    let read = LogBatch { rereadable: true, ..lines(&[("a", "1")], &["in a file"]) };
    receiver(&killed).consume(read).await.unwrap().detach();
    receiver(&killed).consume(lines(&[("a", "2")], &["three"])).await.unwrap().detach();
    let left = image(folder.path());
    killed.stop().await.unwrap();

    let loki = Loki::start(Vec::new()).await;
    let text = config(wal_then, &loki.url(), "5ms");
    let mut alone = Alone::<Write>::build_in(&text, &Scope::new(), left.path()).unwrap();
    alone.run();
    // What comes now is behind what was there.
    let batch = LogBatch { rereadable: true, ..lines(&[("a", "2")], &["four"]) };
    receiver(&alone).consume(batch).await.unwrap().detach();
    loki.wait(|seen| entries(seen).contains(&"four".to_owned())).await;
    alone.stop().await.unwrap();
    let taken = left.path().join("loki.write.test/taken");
    assert_eq!(std::fs::read_dir(taken).map_or(0, Iterator::count), 0);
    lock(&loki.seen).clone()
}

const WITH_WAL: &str = "wal {\n enabled = true\n}\n";

#[tokio::test]
async fn with_a_wal_what_a_client_was_told_is_taken_survives_a_kill_and_arrives_once() {
    // Also when the user has changed their mind since.
    for then in [WITH_WAL, ""] {
        let seen = after_a_kill(WITH_WAL, then).await;
        let mut all = entries(&seen);
        all.sort();
        assert_eq!(all, ["four", "one", "three", "two"]);
        let of_tenant = seen.iter().find(|seen| seen.headers.get("x-scope-orgid").is_some_and(|tenant| tenant == "t"));
        let stream = &of_tenant.expect("the tenant's own request").streams[0];
        assert_eq!(stream.labels, r#"{a="1", cluster="c"}"#);
        let entry = &stream.entries[1];
        assert_eq!((entry.timestamp, &entry.line[..]), (1, &b"two"[..]));
        assert_eq!(entry.metadata, [("trace".to_owned(), "7".to_owned())]);
        let others: Vec<_> = seen.iter().filter(|seen| !seen.headers.contains_key("x-scope-orgid")).cloned().collect();
        assert_eq!(entries(&others), ["three", "four"]);
    }
}

#[tokio::test]
async fn without_a_wal_nothing_is_written_down_before_it_waits() {
    let seen = after_a_kill("", "").await;
    assert_eq!(entries(&seen), ["four"]);
}

#[tokio::test]
async fn without_a_disk_entries_are_sent_unless_they_must_survive() {
    for (wal, arrives) in [("", true), ("wal {\n  enabled = true\n}", false)] {
        let loki = Loki::start(vec![]).await;
        let folder = tempfile::tempdir().unwrap();
        // As good as a disk that cannot be written to, also for root.
        std::fs::write(folder.path().join("loki.write.test"), "a file").unwrap();
        let text = format!("{wal}\nendpoint {{\n  url = \"{}\"\n  batch_wait = \"10ms\"\n}}\n", loki.url());
        let mut alone = Alone::<Write>::build_in(&text, &Scope::new(), folder.path()).unwrap();
        alone.run();
        let sender = receiver(&alone);
        let sent = sender.consume(lines(&[("a", "b")], &["one"]));
        let outcome = tokio::time::timeout(Duration::from_millis(if arrives { 60_000 } else { 300 }), sent).await;
        assert_eq!(outcome.is_ok(), arrives, "{wal}");
        if let Ok(delivery) = outcome {
            assert_eq!(delivery.unwrap().await, sdk_signals::Outcome::Delivered);
        }
        alone.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_has_arrived_is_forgotten_at_once() {
    let loki = Loki::start(Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{WITH_WAL}endpoint {{\n url = {:?}\n batch_wait = \"5ms\"\n}}", loki.url());
    let mut alone = Alone::<Write>::build_in(&text, &Scope::new(), folder.path()).unwrap();
    alone.run();
    let bytes = || -> u64 {
        let files = std::fs::read_dir(folder.path().join("loki.write.test/taken")).unwrap();
        files.map(|file| file.unwrap().metadata().map_or(0, |file| file.len())).sum()
    };
    for number in 0..3 {
        let batch = lines(&[("a", "1")], &[&number.to_string()]);
        assert_eq!(receiver(&alone).consume(batch).await.unwrap().await, sdk_signals::Outcome::Delivered);
        until(|| bytes() == 0).await;
    }
    alone.stop().await.unwrap();
}
