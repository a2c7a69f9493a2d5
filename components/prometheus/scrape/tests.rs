//! The component against peers that serve pages, through remote write to one that receives.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use base_stdx::protobuf::{push_varint, zigzag};
use base64::Engine as _;
use language_eval::{Scope, ToValue, Value as AlloyValue};
use sdk_histogram::Counts;
use sdk_protocols_remote_write::{TimeSeries, Version, decode_version, decompress};
use sdk_signals::{MetricsReceiver, STALE, SampleBatch, is_stale};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle;
use sdk_testing::patience::until;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::relabel::Relabel;
use crate::remote_write::RemoteWrite;
use crate::testing::{Answer, Asked, Peer};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scrapes_are_what_alloy_sends() {
    let Some(cases) = oracle::cases::<Json>("pipelines/prometheus_scrape/cases.jsonl") else { return };
    // Each takes some seconds, by the clock of the recording.
    let running: Vec<_> = cases.into_iter().map(|case| base_sys::task::spawn("case", case_difference(case))).collect();
    let mut group = oracle::Group::new("prometheus_scrape");
    for one in running {
        if let Some((id, difference)) = one.await.returned() {
            group.case(&id, difference);
        }
    }
    group.finish();
}

async fn case_difference(case: Json) -> (String, Option<String>) {
    let id = case["id"].as_str().expect("a text").to_owned();
    let difference = match tokio::time::timeout(Duration::from_secs(40), difference(&case)).await {
        Ok(Ok(())) => None,
        Ok(Err(difference)) => Some(difference),
        Err(_) => Some("it does not come to an end".to_owned()),
    };
    (id, difference)
}

/// Blocks at the top of a configuration: name, label, inside.
fn blocks(config: &str) -> Vec<(String, String, String)> {
    let mut blocks = Vec::new();
    let mut lines = config.lines();
    while let Some(header) = lines.next() {
        let Some((name, rest)) = header.split_once(" \"") else { continue };
        let label = rest.split('"').next().unwrap_or("").to_owned();
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
        blocks.push((name.to_owned(), label, inside.join("\n")));
    }
    blocks
}

async fn difference(case: &Json) -> Result<(), String> {
    let expected_scrapes = case["expected_scrapes"].as_array().ok_or("no scrapes")?;
    let mut pages: Vec<Answer> = case["pages"].as_array().ok_or("no pages")?.iter().map(page).collect();
    if let Some(body) = case["redirect_body"].as_str() {
        pages = vec![pages[0].clone(), Answer::page(TEXT, body)];
    }
    let target = Peer::start(pages).await;
    // More than all: receivers of version 2 say how much they have written.
    let written = vec![("X-Prometheus-Remote-Write-Samples-Written".to_owned(), "1000".to_owned())];
    let histograms = vec![("X-Prometheus-Remote-Write-Exemplars-Written".to_owned(), "1000".to_owned())];
    let receiver = Peer::start(vec![Answer { headers: [written, histograms].concat(), ..Answer::status(204) }]).await;
    target.say_own_address();

    let text = case["config"].as_str().ok_or("no configuration")?;
    let text = text.replace("@target_address@", &target.address);
    let text = text.replace("@receiver_url@", &format!("http://{}/api/v1/write", receiver.address));
    let blocks = blocks(&text);
    let mut names = Scope::new();
    let (mut relabels, mut writers, mut scrapers) = (Vec::new(), Vec::new(), Vec::new());
    // The receiving end comes first.
    for family in ["prometheus.remote_write", "prometheus.relabel", "prometheus.scrape"] {
        for (name, label, inside) in blocks.iter().filter(|(name, ..)| name == family) {
            let exports = match name.as_str() {
                "prometheus.scrape" => {
                    scrapers.push(Alone::<Scrape>::start(inside, &names)?);
                    continue;
                }
                "prometheus.relabel" => {
                    relabels.push(Alone::<Relabel>::start(inside, &names)?);
                    relabels.last().map(|one| one.context.exports())
                }
                _ => {
                    writers.push(Alone::<RemoteWrite>::start(inside, &names)?);
                    writers.last().map(|one| one.context.exports())
                }
            };
            let exports = AlloyValue::Object(exports.unwrap_or_default());
            names.set(&format!("{name}.{label}"), exports).map_err(|conflict| conflict.name)?;
        }
    }

    let scrapes = loop {
        let scrapes = scrapes(&receiver.asked());
        if scrapes.len() >= expected_scrapes.len() {
            break scrapes;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for (k, (ours, theirs)) in scrapes.iter().zip(expected_scrapes).enumerate() {
        let label = &blocks.iter().find(|(name, ..)| name == "prometheus.scrape").ok_or("no scrape")?.1;
        let theirs = theirs.to_string().replace("@target_address@", &target.address);
        let theirs = theirs.replace(&format!("prometheus.scrape.{label}"), "prometheus.scrape.test");
        let theirs: Json = serde_json::from_str(&theirs).map_err(|error| error.to_string())?;
        compare(ours, theirs.as_array().ok_or("no samples")?)
            .map_err(|difference| format!("scrape {k}: {difference}"))?;
    }
    check_request(&case["scrape_request"], &target.asked(), true)?;
    check_request(&case["write_request"], &receiver.asked(), false)?;
    for scraper in &mut scrapers {
        scraper.stop().await?;
    }
    Ok(())
}

fn page(page: &Json) -> Answer {
    let mut body = match page["body_b64"].as_str() {
        None if page["proto"] == "native" => native_page(),
        Some(encoded) => base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64"),
        None => page["body"].as_str().unwrap_or("").as_bytes().to_vec(),
    };
    let mut headers = Vec::new();
    match page["ctype"].as_str() {
        Some("") => {}
        content_type => headers.push(("Content-Type".to_owned(), content_type.unwrap_or(TEXT).to_owned())),
    }
    if page["gzip"].as_bool() == Some(true) {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&body).expect("into memory");
        body = encoder.finish().expect("into memory");
        headers.push(("Content-Encoding".to_owned(), "gzip".to_owned()));
    }
    for (name, value) in page["headers"].as_object().into_iter().flatten() {
        headers.push((name.clone(), value.as_str().unwrap_or("").to_owned()));
    }
    let status = page["status"].as_u64().unwrap_or(200) as u16;
    let delay = Duration::from_secs_f64(page["delay"].as_f64().unwrap_or(0.0));
    Answer { status, headers, body, delay }
}

/// A histogram that is native and classic, and a counter.
fn native_page() -> Vec<u8> {
    let bytes = |number: u64, inner: Vec<u8>| {
        let mut field = Vec::new();
        push_varint(&mut field, number << 3 | 2);
        push_varint(&mut field, inner.len() as u64);
        [field, inner].concat()
    };
    let varint = |number: u64, value: u64| {
        let mut field = Vec::new();
        push_varint(&mut field, number << 3);
        push_varint(&mut field, value);
        field
    };
    let double = |number: u8, value: f64| [&[number << 3 | 1][..], &value.to_le_bytes()].concat();
    let text = |number: u64, text: &str| bytes(number, text.as_bytes().to_vec());
    let bucket = |count, le| bytes(3, [varint(1, count), double(2, le)].concat());
    let span = |offset, length| bytes(12, [varint(1, zigzag(offset)), varint(2, length)].concat());
    let deltas: Vec<u8> = [1, 1, -1, 2, -1].into_iter().flat_map(|delta| varint(13, zigzag(delta))).collect();
    let histogram = [
        varint(1, 11),
        double(2, 18.4),
        bucket(4, 1.0),
        bucket(9, 4.0),
        varint(5, zigzag(2)),
        double(6, 0.001),
        varint(7, 2),
        span(0, 2),
        span(1, 3),
        deltas,
    ];
    let label = bytes(1, [text(1, "route"), text(2, "/x")].concat());
    let metric = bytes(4, [label, bytes(7, histogram.concat())].concat());
    let histogram = [text(1, "nat_seconds"), text(2, "How long."), varint(3, 4), metric].concat();
    let counter = [text(1, "plain_total"), varint(3, 0), bytes(4, bytes(3, double(1, 7.0)))].concat();
    let mut page = Vec::new();
    for family in [histogram, counter] {
        push_varint(&mut page, family.len() as u64);
        page.extend(family);
    }
    page
}

/// A histogram in the recording's words.
fn shown(histogram: &sdk_histogram::NativeHistogram) -> Json {
    let Counts::Integer(counts) = &histogram.counts else { return json!("a float histogram") };
    let spans: Vec<_> = histogram.positive_spans.iter().map(|span| json!([span.offset, span.length])).collect();
    json!({
        "count": counts.count,
        "sum": number(histogram.sum),
        "schema": histogram.schema,
        "zero_threshold": histogram.zero_threshold,
        "zero_count": counts.zero,
        "positive_spans": spans,
        "positive_deltas": counts.positive,
    })
}

/// What arrived, scrape by scrape: each ends with its last report series.
fn scrapes(asked: &[Asked]) -> Vec<Vec<(TimeSeries, i64)>> {
    let mut scrapes = vec![Vec::new()];
    let mut closing = false;
    let requests = asked.iter().flat_map(|asked| {
        let content_type = asked.headers.get("content-type").and_then(|value| value.to_str().ok());
        let version = if content_type.is_some_and(|value| value.contains("v2")) { Version::V2 } else { Version::V1 };
        decode_version(version, &decompress(&asked.body, 1 << 20).expect("snappy")).expect("a request")
    });
    for series in requests {
        let name = series
            .labels
            .iter()
            .find(|(name, _)| name == "__name__")
            .map(|(_, value)| value.clone())
            .unwrap_or_default();
        // Exemplars and histograms of a scrape follow its samples.
        let is_report = series.samples.is_empty() || name == "up" || name.starts_with("scrape_");
        if closing && (!is_report || name == "up") {
            scrapes.push(Vec::new());
            closing = false;
        }
        if name == "up" {
            closing = true;
        }
        if let Some(scrape) = scrapes.last_mut() {
            scrape.push((series, 0));
        }
    }
    for scrape in &mut scrapes {
        let up = scrape.iter().find(|(series, _)| series.labels.contains(&("__name__".into(), "up".into())));
        let time = up.map(|(series, _)| series.samples[0].timestamp).unwrap_or(0);
        scrape.iter_mut().for_each(|(_, at)| *at = time);
    }
    if !closing {
        // The last one is not complete.
        scrapes.pop();
    } else if let Some(last) = scrapes.last() {
        let complete =
            last.iter().any(|(series, _)| series.labels.contains(&("__name__".into(), "scrape_series_added".into())));
        if !complete {
            scrapes.pop();
        }
    }
    scrapes
}

fn compare(ours: &[(TimeSeries, i64)], theirs: &[Json]) -> Result<(), String> {
    // By kind and labels; several values of one series in the order of time.
    let mut ours_by: BTreeMap<String, Vec<(Json, bool)>> = BTreeMap::new();
    for (series, time) in ours {
        let labels: BTreeMap<&str, &str> =
            series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let about = series.about.as_ref().map(|[kind, help, unit]| {
            let kind = if kind == "unknown" { "unspecified" } else { kind };
            json!({ "type": kind, "help": help, "unit": unit })
        });
        let told = |key: String| match &about {
            Some(about) if about["type"] != "unspecified" => format!("{key} {about}"),
            _ => key,
        };
        for histogram in &series.histograms {
            let key = told(format!("histogram {}", json!(labels)));
            ours_by.entry(key).or_default().push((shown(&histogram.value), histogram.timestamp != *time));
        }
        for sample in &series.samples {
            let key = told(format!("sample {}", json!(labels)));
            ours_by.entry(key).or_default().push((number(sample.value), sample.timestamp != *time));
        }
        for exemplar in &series.exemplars {
            let own: BTreeMap<_, _> = exemplar.labels.iter().cloned().collect();
            let key = told(format!("exemplar {} {}", json!(labels), json!(own)));
            ours_by.entry(key).or_default().push((number(exemplar.value), exemplar.timestamp != *time));
        }
    }
    let mut theirs_by: BTreeMap<String, Vec<(Json, bool)>> = BTreeMap::new();
    for one in theirs {
        let kind = one["kind"].as_str().unwrap_or("");
        let mut key = format!("{kind} {}", one["labels"]);
        if kind == "exemplar" {
            key += &format!(" {}", one["exemplar_labels"]);
        }
        if let Some(about) = one.get("metadata").filter(|about| about["type"] != "unspecified") {
            key += &format!(" {about}");
        }
        let mut value = one["value"].clone();
        if kind == "histogram" {
            let fields = one.as_object().ok_or("no histogram")?.clone();
            value = fields.into_iter().filter(|(name, _)| !matches!(name.as_str(), "labels" | "kind")).collect();
        }
        theirs_by.entry(key).or_default().push((value, one.get("ts").is_some()));
    }
    let mut wrong = Vec::new();
    let keys: std::collections::BTreeSet<_> = ours_by.keys().chain(theirs_by.keys()).cloned().collect();
    for key in keys {
        let sorted = |by: &BTreeMap<String, Vec<(Json, bool)>>| {
            let mut values = by.get(&key).cloned().unwrap_or_default();
            values.sort_by_key(|(value, timed)| (value.to_string(), *timed));
            values
        };
        let (ours, theirs) = (sorted(&ours_by), sorted(&theirs_by));
        let same = ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(ours, theirs)| ours.1 == theirs.1 && same_value(&ours.0, &theirs.0));
        if !same {
            wrong.push(format!("{key}: ours {ours:?}, Alloy's {theirs:?}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn number(value: f64) -> Json {
    match value {
        value if is_stale(value) => json!("StaleNaN"),
        value if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("+Inf"),
        f64::NEG_INFINITY => json!("-Inf"),
        value => json!(value),
    }
}

fn same_value(ours: &Json, theirs: &Json) -> bool {
    match theirs.as_str() {
        Some("any") => true,
        // A time of the recording, in seconds.
        Some(text) if text.starts_with("@now_s") => ours.is_number(),
        _ => ours == theirs || ours.as_f64().is_some_and(|ours| theirs.as_f64() == Some(ours)),
    }
}

fn check_request(expected: &Json, asked: &[Asked], with_path: bool) -> Result<(), String> {
    let (Some(first), Some(headers)) = (asked.first(), expected["headers"].as_object()) else { return Ok(()) };
    if with_path && expected["path"].as_str().is_some_and(|path| path != first.path) {
        return Err(format!("the path is {}, not {}", first.path, expected["path"]));
    }
    for (name, value) in headers {
        // Who we are is ours to say.
        if ["User-Agent", "X-Agent-Id", "X-Alloy-Id", "Host", "Content-Length"].contains(&name.as_str()) {
            continue;
        }
        let ours = first.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
        if ours != value.as_str() {
            return Err(format!("header {name} is {ours:?}, not {value}"));
        }
    }
    Ok(())
}

/// A scrape component whose batches are collected.
fn scrape(target: &str, more: &str) -> (Arc<Collector<SampleBatch>>, String, Scope) {
    let (collector, receiver) = Collector::new();
    let names = scope([("next", MetricsReceiver(receiver).to_value())]);
    let config = format!(
        "targets = [{target}]\nforward_to = [next]\nscrape_interval = \"1s\"\nscrape_timeout = \"500ms\"\n{more}"
    );
    (collector, config, names)
}

#[tokio::test]
async fn a_target_that_is_gone_is_told_after_a_while_and_a_stop_tells_nothing() {
    let peer = Peer::start(vec![Answer::page(TEXT, "a 1\n")]).await;
    let target = format!("{{ __address__ = \"{}\" }}", peer.address);
    let (collector, config, names) = scrape(&target, "");
    let mut alone = Alone::<Scrape>::start(&config, &names).expect("it starts");
    collector.wait_for(1).await;
    let ends = |batches: &[SampleBatch]| {
        batches.iter().flat_map(|batch| batch.values.clone()).filter(|value| is_stale(*value)).count()
    };
    alone.update(&config.replace(&target, ""), &names).expect("good arguments");
    // Changes are taken up every five seconds; then two more intervals and a tenth.
    let batches = loop {
        let batches = collector.batches();
        if ends(&batches) > 0 {
            break batches;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let last = batches.last().expect("the ends");
    assert_eq!(
        last.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(),
        [STALE.to_bits(); 6],
        "a and the report's five"
    );
    alone.stop().await.expect("it stops");

    let (collector, config, names) = scrape(&target, "");
    let mut alone = Alone::<Scrape>::start(&config, &names).expect("it starts");
    collector.wait_for(1).await;
    alone.stop().await.expect("it stops");
    assert_eq!(ends(&collector.batches()), 0);
}

#[tokio::test]
async fn a_target_that_is_scraped_in_another_way_goes_on() {
    let peer = Peer::start(vec![Answer::page(TEXT, "a 1\n")]).await;
    let target = format!("{{ __address__ = \"{}\", instance = \"one\" }}", peer.address);
    let (collector, config, names) = scrape(&target, "");
    let mut alone = Alone::<Scrape>::start(&config, &names).expect("it starts");
    collector.wait_for(1).await;
    let other = config.replace("\"500ms\"", "\"400ms\"").replace("instance =", "__metrics_path__ = \"/b\", instance =");
    alone.update(&other, &names).expect("good arguments");
    let asked_so = |count: usize| {
        let asked = peer.asked();
        let timeout = |one: &Asked| one.headers["x-prometheus-scrape-timeout-seconds"] == "0.4";
        asked.iter().filter(|one| one.path == "/b" && timeout(one)).count() >= count
    };
    // A loop of its own would be at work now, and the old one would tell the end after two more intervals and a tenth.
    while !asked_so(5) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    alone.stop().await.expect("it stops");
    let batches = collector.batches();
    assert!(batches.iter().all(|batch| !batch.values.iter().any(|value| is_stale(*value))), "{batches:?}");
    let scraped = peer.asked().len();
    assert!(batches.len() >= scraped - 1 && batches.len() <= scraped, "{} of {scraped}", batches.len());
}

/// A target that keeps connections open: how many there were, and how many requests.
async fn keeping_target() -> (String, Arc<[AtomicUsize; 2]>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let counted = counts.clone();
    drop(base_sys::task::spawn("target", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted[0].fetch_add(1, SeqCst);
            let counted = counted.clone();
            drop(base_sys::task::spawn("connection", async move {
                let mut asked = Vec::new();
                while stream.read_buf(&mut asked).await.is_ok_and(|read| read > 0) {
                    if asked.ends_with(b"\r\n\r\n") {
                        asked.clear();
                        counted[1].fetch_add(1, SeqCst);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\na 1\n";
                        let _ = stream.write_all(answer).await;
                    }
                }
            }));
        }
    }));
    (address, counts)
}

#[tokio::test]
async fn targets_that_stay_keep_their_connections_when_others_come() {
    let (address, counts) = keeping_target().await;
    let target = format!("{{ __address__ = \"{address}\" }}");
    let (collector, config, names) = scrape(&target, "");
    let mut alone = Alone::<Scrape>::start(&config, &names).expect("it starts");
    collector.wait_for(1).await;
    let more = config.replace(&target, &format!("{target}, {{ __address__ = \"127.0.0.1:1\" }}"));
    alone.update(&more, &names).expect("good arguments");
    until(|| alone.metric("prometheus_scrape_targets_gauge", &[]) == Some(2.0)).await;
    let asked = counts[1].load(SeqCst);
    until(|| counts[1].load(SeqCst) >= asked + 2).await;
    assert_eq!(counts[0].load(SeqCst), 1, "connections");
    // Another way to ask is another connection.
    alone
        .update(&more.replace("forward_to", "enable_compression = false\nforward_to"), &names)
        .expect("good arguments");
    until(|| counts[0].load(SeqCst) == 2).await;
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_is_wrong_with_a_target_is_seen() {
    let (collector, config, names) =
        scrape("{ __address__ = \"127.0.0.1:1\", env = \"x\" }, { nothing = \"here\" }", "");
    let mut alone = Alone::<Scrape>::start(&config, &names).expect("it starts");
    collector.wait_for(1).await;
    let shown = format!("{:?}", alone.component.describe().debug_info);
    assert!(
        shown.contains("http://127.0.0.1:1/metrics") && shown.contains("down") && shown.contains("cannot connect"),
        "{shown}"
    );
    assert!(shown.contains("no address") && shown.contains("here"), "{shown}");
    assert_eq!(alone.metric("prometheus_target_sync_failed_total", &[]), Some(1.0));
    assert_eq!(alone.metric("prometheus_scrape_targets_gauge", &[]), Some(1.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_page_that_cannot_be_read_is_seen_at_its_target() {
    let text = "text/plain; version=0.0.4";
    for (page, reason) in [
        (Answer::page(text, "good 1\nbad{a=\"b\" 2\n"), "line 2"),
        (Answer::page(text, "good 1\nbad one\n"), "the value is not a number"),
        (Answer::page("application/openmetrics-text; version=1.0.0", "good 1\n"), "EOF"),
        (Answer::status(500), "HTTP status 500"),
    ] {
        let peer = Peer::start(vec![page]).await;
        let (collector, config, names) = scrape(&format!("{{ __address__ = \"{}\" }}", peer.address), "");
        let mut alone = Alone::<Scrape>::start(&config, &names).expect("it starts");
        let batch = collector.wait_for(1).await.remove(0);
        let up = batch.rows().find(|(series, ..)| series.labels().get("__name__") == Some("up"));
        assert_eq!(up.map(|(_, _, value)| value), Some(0.0), "{reason}");
        assert!(batch.rows().all(|(series, ..)| series.labels().get("__name__") != Some("good")), "{reason}");
        let shown = format!("{:?}", alone.component.describe().debug_info);
        assert!(shown.contains("down") && shown.contains(reason), "{reason}: {shown}");
        alone.stop().await.expect("it stops");
    }
}

/// Pages of a peer, each fetched as a scrape does it: how large the page is, or why there is none.
async fn fetched(pages: Vec<Answer>, more: &str) -> (Vec<Result<usize, String>>, usize) {
    let count = pages.len();
    let peer = Peer::start(pages).await;
    let arguments = format!("targets = []\nforward_to = []\nscrape_timeout = \"1m\"\n{more}");
    let arguments: ScrapeArguments = sdk_testing::component::decode(&arguments, &Scope::new()).expect("good arguments");
    let labels = [("__address__", peer.address.as_str())];
    let target = Target::new(&labels.into_iter().collect(), &arguments, "test").expect("a good target");
    let context = Alone::<Scrape>::build("targets = []\nforward_to = []", &Scope::new()).expect("it starts");
    let fetcher = Fetcher::new(&arguments, context.component.context.memory_http().clone()).expect("good arguments");
    let mut asked = fetcher.ask(&target);
    let mut results = Vec::new();
    while peer.asked().len() < count {
        let fetched = fetcher.fetch(&target, &mut asked).await;
        results.push(fetched.map(|page| page.body.len()).map_err(|error| error.reason));
    }
    (results, peer.asked().len())
}

/// A page that is this so often, in as many members of gzip.
fn gzipped(page: &[u8], times: usize) -> Answer {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, page).expect("memory");
    let mut answer = Answer::page(TEXT, encoder.finish().expect("memory").repeat(times));
    answer.headers.push(("Content-Encoding".to_owned(), "gzip".to_owned()));
    answer
}

#[tokio::test]
async fn a_page_without_a_limit_is_kept_when_its_end_has_been_seen() {
    let comments = format!("# {}\n", "x".repeat(97)).repeat(1000);
    let plain = |times: usize| Answer::page(TEXT, comments.repeat(times));
    let compressed = |times: usize| gzipped(comments.as_bytes(), times);
    let pages = vec![
        plain(80),
        // Twice, and once when it is known.
        plain(90),
        plain(90),
        plain(90),
        compressed(90),
        compressed(120),
        compressed(120),
        // In one member, which says how large it is.
        gzipped(comments.repeat(160).as_bytes(), 1),
        gzipped(comments.repeat(160).as_bytes(), 1),
    ];
    let sizes = [8_000_000, 9_000_000, 9_000_000, 9_000_000, 12_000_000, 16_000_000].map(Ok).to_vec();
    assert_eq!(fetched(pages, "").await, (sizes, 9));
    assert_eq!(fetched(vec![plain(90)], "body_size_limit = \"10MB\"").await, (vec![Ok(9_000_000)], 1));
}

#[tokio::test]
async fn a_page_that_is_too_large_costs_no_memory_and_says_why() {
    let lines = "a 1\n".repeat(5 << 10);
    let too_many = "the page has 5242880 lines, and no body_size_limit says that it may be as large".to_owned();
    let pages = vec![Answer::page(TEXT, lines.repeat(1024)), gzipped(lines.as_bytes(), 1024)];
    assert_eq!(fetched(pages, "").await, (vec![Err(too_many.clone()), Err(too_many)], 2));
    let limited = Err("body size limit exceeded".to_owned());
    let pages = vec![Answer::page(TEXT, lines.repeat(1024)), gzipped(lines.as_bytes(), 1024)];
    assert_eq!(fetched(pages, "body_size_limit = \"1KB\"").await, (vec![limited.clone(), limited], 2));
    let mut broken = gzipped(lines.as_bytes(), 1);
    broken.body.truncate(30);
    let (results, _) = fetched(vec![broken], "").await;
    assert!(results[0].as_ref().is_err_and(|error| error.starts_with("the body is not valid gzip")), "{results:?}");
}

#[tokio::test]
async fn failed_scrapes_are_written_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("failures.log");
    let more = format!("scrape_failure_log_file = {:?}", path.display().to_string());
    let (collector, config, names) = scrape("{ __address__ = \"127.0.0.1:1\" }", &more);
    let mut alone = Alone::<Scrape>::start(&config, &names).expect("it starts");
    collector.wait_for(1).await;
    alone.stop().await.expect("it stops");
    let text = std::fs::read_to_string(&path).expect("it was written");
    let line: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["level"], &line["job_name"]), (&"ERROR".into(), &"prometheus.scrape.test".into()));
    assert_eq!(line["target"], "http://127.0.0.1:1/metrics");
    assert!(line["msg"].as_str().is_some_and(|msg| msg.contains("cannot connect")), "{line}");
}

#[tokio::test]
async fn what_cannot_be_done_yet_is_refused_by_name() {
    for (argument, expect) in [
        (
            "scrape_native_histograms = true\nscrape_protocols = [\"PrometheusText0.0.4\"]",
            "PrometheusProto is not in scrape_protocols",
        ),
        ("scrape_protocols = [\"x\"]", "invalid scrape protocol \"x\""),
        ("scrape_timeout = \"2m\"", "greater than scrape_interval"),
        ("metric_name_escaping_scheme = \"allow-utf-8\"", "cannot be set to 'allow-utf-8'"),
    ] {
        let config = format!("targets = []\nforward_to = []\n{argument}");
        let error = Alone::<Scrape>::build(&config, &Scope::new()).err().expect(argument);
        assert!(error.contains(expect), "{argument}: {error}");
    }
}
