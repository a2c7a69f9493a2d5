//! The component against peers that serve pages, through remote write to one that receives.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use language_eval::{Scope, ToValue, Value as AlloyValue};
use sdk_protocols_remote_write::{TimeSeries, decode, decompress};
use sdk_signals::{MetricsReceiver, STALE, SampleBatch, is_stale};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle;
use serde_json::{Value as Json, json};

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
    let receiver = Peer::start(vec![Answer::status(204)]).await;
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

/// What arrived, scrape by scrape: each ends with its last report series.
fn scrapes(asked: &[Asked]) -> Vec<Vec<(TimeSeries, i64)>> {
    let mut scrapes = vec![Vec::new()];
    let mut closing = false;
    for series in
        asked.iter().flat_map(|asked| decode(&decompress(&asked.body, 1 << 20).expect("snappy")).expect("a request"))
    {
        let name = series
            .labels
            .iter()
            .find(|(name, _)| name == "__name__")
            .map(|(_, value)| value.clone())
            .unwrap_or_default();
        let is_report = name == "up" || name.starts_with("scrape_");
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
        for sample in &series.samples {
            let key = format!("sample {}", json!(labels));
            ours_by.entry(key).or_default().push((number(sample.value), sample.timestamp != *time));
        }
        for exemplar in &series.exemplars {
            let own: BTreeMap<_, _> = exemplar.labels.iter().cloned().collect();
            let key = format!("exemplar {} {}", json!(labels), json!(own));
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
        theirs_by.entry(key).or_default().push((one["value"].clone(), one.get("ts").is_some()));
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
    assert_eq!(alone.metric("prometheus_target_sync_failed_total", &[]), Some(1.0));
    assert_eq!(alone.metric("prometheus_scrape_targets_gauge", &[]), Some(1.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_cannot_be_done_yet_is_refused_by_name() {
    for (argument, expect) in [
        ("scrape_native_histograms = true", "scrape_native_histograms"),
        ("honor_metadata = true", "honor_metadata"),
        ("scrape_protocols = [\"PrometheusProto\"]", "PrometheusProto is not supported yet"),
        ("scrape_protocols = [\"x\"]", "invalid scrape protocol \"x\""),
        ("scrape_timeout = \"2m\"", "greater than scrape_interval"),
        ("metric_name_escaping_scheme = \"allow-utf-8\"", "cannot be set to 'allow-utf-8'"),
    ] {
        let config = format!("targets = []\nforward_to = []\n{argument}");
        let error = Alone::<Scrape>::build(&config, &Scope::new()).err().expect(argument);
        assert!(error.contains(expect), "{argument}: {error}");
    }
}
