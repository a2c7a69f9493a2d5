//! The component against peers that take, refuse, and close the door.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use language_eval::Scope;
use sdk_component::HealthState;
use sdk_histogram::{Classic, NativeHistogram, ResetHint};
use sdk_labels::Labels;
use sdk_protocols_remote_write::{TimeSeries, Version, decode, decode_version, decompress};
use sdk_series::Series;
use sdk_signals::{
    About, Delivery, Exemplar, HistogramSample, MetricMetadata, MetricsReceiver, Outcome, STALE, Sample, SampleBatch,
    Samples, Times,
};
use sdk_testing::component::Alone;
use sdk_testing::folder::image;
use sdk_testing::oracle;
use sdk_testing::patience::until;
use serde_json::Value as Json;

use super::*;
use crate::testing::{Answer, Asked, Peer};

pub(super) fn batch(values: impl IntoIterator<Item = (usize, f64)>) -> SampleBatch {
    let sample = |(i, value): (usize, f64)| Sample {
        series: Series::of(&Labels::from_pairs([("__name__", "m"), ("i", i.to_string().as_str())])),
        timestamp: base_sys::clock::now_ms(),
        value,
    };
    values.into_iter().map(sample).collect()
}

fn sent(asked: &Asked) -> Vec<TimeSeries> {
    decode(&decompress(&asked.body, 1 << 20).expect("snappy")).expect("a request")
}

pub(super) fn receiver(alone: &Alone<RemoteWrite>) -> MetricsReceiver {
    match alone.export("receiver") {
        Some(language_eval::Value::Capsule(capsule)) => capsule.downcast_ref::<MetricsReceiver>().expect("it").clone(),
        other => panic!("no receiver: {:?}", other.map(|other| other.kind())),
    }
}

pub(super) async fn push(alone: &Alone<RemoteWrite>, batch: SampleBatch) -> Delivery {
    receiver(alone).0.consume(batch).await.expect("it is taken")
}

#[tokio::test]
async fn retries_and_refusals_are_alloys() {
    let Some(cases) = oracle::cases::<Json>("pipelines/prometheus_remote_write/cases.jsonl") else { return };
    let mut group = oracle::Group::new("prometheus_remote_write");
    for case in &cases {
        let id = case["id"].as_str().expect("a text");
        group.case(id, difference(case).await);
    }
    group.finish();
}

fn answer(answer: &Json) -> Option<Answer> {
    match answer {
        Json::Array(pair) => {
            let headers = pair[1].as_object()?.iter();
            let headers = headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()));
            Some(Answer { status: pair[0].as_u64()? as u16, headers: headers.collect(), ..Answer::default() })
        }
        Json::String(slow) if slow == "slow" => {
            Some(Answer { status: 204, delay: Duration::from_millis(800), ..Answer::default() })
        }
        status => Some(Answer::status(status.as_u64()? as u16)),
    }
}

async fn difference(case: &Json) -> Option<String> {
    let mut script: Vec<Answer> = case["answers"].as_array()?.iter().filter_map(answer).collect();
    script.push(Answer::status(204));
    let peer = Peer::start(script).await;

    let config = case["config"].as_str()?.replace("@url@", &format!("http://{}/api/v1/write", peer.address));
    // What stands between the outermost braces.
    let inside = config[config.find('{')? + 1..config.rfind('}')?].to_owned();
    let mut alone = match Alone::<RemoteWrite>::start(&inside, &Scope::new()) {
        Ok(alone) => alone,
        Err(error) => return Some(error),
    };
    let delivery = push(&alone, batch((0..5).map(|i| (i, 1.5)))).await;
    let outcome = tokio::time::timeout(Duration::from_secs(20), delivery).await;
    let attempts = case["attempts"].as_u64()? as usize;
    let asked = peer.wait_for(attempts).await;

    let mut wrong = Vec::new();
    if outcome.is_err() {
        wrong.push("the delivery does not resolve".to_owned());
    }
    if asked.len() != attempts {
        wrong.push(format!("{} attempts, not {attempts}", asked.len()));
    }
    for (i, (ours, theirs)) in asked.iter().zip(case["requests_seen"].as_array()?).enumerate() {
        for (name, value) in theirs["headers"].as_object()? {
            // Who we are is ours to say.
            if ["User-Agent", "X-Agent-Id", "X-Alloy-Id"].contains(&name.as_str()) {
                continue;
            }
            let sent = ours.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
            if sent != value.as_str() {
                wrong.push(format!("request {i}: {name} is {sent:?}, not {value}"));
            }
        }
    }
    let metric = |name: &str| alone.metric(name, &[("component_id", "prometheus.remote_write.test")]);
    for expected in case["metrics"].as_array()? {
        let name = expected["name"].as_str()?;
        let value = expected["value"].as_str()?.parse::<f64>().ok();
        if metric(name) != value {
            wrong.push(format!("{name} is {:?}, not {value:?}", metric(name)));
        }
    }
    if let Err(error) = alone.stop().await {
        wrong.push(error);
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

#[tokio::test]
async fn samples_are_sent_with_external_labels_and_rules() {
    let peer = Peer::start(vec![Answer::status(204)]).await;
    let config = format!(
        r#"
        external_labels = {{ cluster = "test", i = "never" }}
        endpoint {{
            url     = "http://{}/write"
            headers = {{ "X-Scope-OrgID" = "me" }}
            basic_auth {{
                username = "u"
                password = "p"
            }}
            write_relabel_config {{
                source_labels = ["i"]
                regex         = "1"
                action        = "drop"
            }}
            queue_config {{
                batch_send_deadline = "50ms"
            }}
        }}
        "#,
        peer.address
    );
    let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    let delivery = push(&alone, batch([(0, 0.5), (1, 1.0), (2, STALE)])).await;
    let asked = peer.wait_for(1).await;
    let series = sent(&asked[0]);
    let labels = |i: &str| -> Vec<(String, String)> {
        [("__name__", "m"), ("cluster", "test"), ("i", i)].map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec()
    };
    assert_eq!(series.iter().map(|one| one.labels.clone()).collect::<Vec<_>>(), [labels("0"), labels("2")]);
    assert_eq!(series[1].samples[0].value.to_bits(), STALE.to_bits(), "the end of a series is told bit for bit");
    assert_eq!(asked[0].path, "/write");
    assert_eq!(asked[0].headers["x-scope-orgid"], "me");
    assert!(asked[0].headers["authorization"].to_str().expect("a text").starts_with("Basic "));
    assert_eq!(delivery.await, Outcome::Delivered);
    let dropped = alone.metric("prometheus_remote_storage_samples_dropped_total", &[("reason", "dropped_series")]);
    assert_eq!(dropped, Some(1.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn each_series_stays_in_order_over_many_shards() {
    let peer = Peer::start(vec![Answer { delay: Duration::from_millis(5), ..Answer::status(204) }]).await;
    let config = format!(
        "endpoint {{\nurl = \"http://{}/\"\nqueue_config {{\nmin_shards = 4\nmax_samples_per_send = 3\nbatch_send_deadline = \"20ms\"\n}}\n}}",
        peer.address
    );
    let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    let mut deliveries = Vec::new();
    for round in 0..50 {
        deliveries.push(push(&alone, batch((0..7).map(|i| (i, f64::from(round))))).await);
    }
    assert_eq!(Delivery::all(deliveries).await, Outcome::Delivered);
    // On a busy machine the queue may have written some of it down, which is a delivery too.
    let all_arrived = async {
        while peer.asked().iter().map(|asked| sent(asked).len()).sum::<usize>() < 7 * 50 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_arrived).await.expect("everything arrives");
    let mut last = std::collections::BTreeMap::new();
    let mut count = 0;
    for series in peer.asked().iter().flat_map(sent) {
        let value = series.samples[0].value;
        let before = last.insert(series.labels.clone(), value);
        assert!(before.is_none_or(|before| before < value), "{:?}: {value} after {before:?}", series.labels);
        count += 1;
    }
    assert_eq!(count, 7 * 50);
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_waits_in_an_outage_is_divided_among_shards_if_its_requests_are_full() {
    for (samples_per_request, shards) in [(3, 8.0), (30, 1.0)] {
        let peer = Peer::start(vec![Answer::status(503)]).await;
        let queue = format!("max_samples_per_send = {samples_per_request}\nbatch_send_deadline = \"10ms\"");
        let config = format!("endpoint {{\nurl = \"http://{}/\"\nqueue_config {{\n{queue}\n}}\n}}", peer.address);
        let alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
        push(&alone, batch((0..3).map(|i| (i, 0.0)))).await.detach();
        until(|| alone.health().is_some_and(|(state, _)| state == HealthState::Unhealthy)).await;
        tokio::time::pause();
        for round in 1..40 {
            push(&alone, batch((0..3).map(|i| (i, f64::from(round))))).await.detach();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(alone.metric("prometheus_remote_storage_shards", &[]), Some(shards), "{samples_per_request}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn an_update_keeps_an_endpoint_that_has_not_changed() {
    let (first, second) = (Peer::start(vec![Answer::status(204)]).await, Peer::start(vec![Answer::status(204)]).await);
    let endpoint = |peer: &Peer| {
        format!(
            "endpoint {{\nurl = \"http://{}/\"\nqueue_config {{\nbatch_send_deadline = \"20ms\"\n}}\n}}\n",
            peer.address
        )
    };
    let mut alone = Alone::<RemoteWrite>::start(&endpoint(&first), &Scope::new()).expect("it starts");
    push(&alone, batch([(0, 1.0)])).await.detach();
    first.wait_for(1).await;
    let total = |alone: &Alone<RemoteWrite>, peer: &Peer| {
        let url = format!("http://{}/", peer.address);
        alone.metric("prometheus_remote_storage_samples_total", &[("url", url.as_str())])
    };
    alone.update(&(endpoint(&first) + &endpoint(&second)), &Scope::new()).expect("good arguments");
    // The update is applied by the component's task.
    while total(&alone, &second).is_none() {
        tokio::task::yield_now().await;
    }
    let delivery = push(&alone, batch([(0, 2.0)])).await;
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!((total(&alone, &first), total(&alone, &second)), (Some(2.0), Some(1.0)));
    let error = alone.update(&endpoint(&first).repeat(2), &Scope::new()).expect_err("it is refused");
    assert!(error.contains("duplicate remote write configs are not allowed"), "{error}");
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_an_endpoint_did_not_take_is_sent_after_a_restart() {
    let peer = Peer::start(vec![Answer::status(503)]).await;
    let config = |address: &str| {
        format!(
            "endpoint {{\nname = \"one\"\nurl = \"http://{address}/\"\nqueue_config {{\nbatch_send_deadline = \"20ms\"\n}}\n}}"
        )
    };
    let mut alone = Alone::<RemoteWrite>::start(&config(&peer.address), &Scope::new()).expect("it starts");
    push(&alone, batch([(0, 1.0)])).await.detach();
    peer.wait_for(2).await;
    let (state, message) = alone.health().expect("it has said something");
    assert_eq!(state, HealthState::Unhealthy);
    assert!(message.contains("endpoint one: server returned HTTP status 503"), "{message}");
    alone.stop().await.expect("it stops");

    let better = Peer::start(vec![Answer::status(204)]).await;
    alone.update(&config(&better.address), &Scope::new()).expect("good arguments");
    alone.run();
    let asked = better.wait_for(1).await;
    assert_eq!(sent(&asked[0])[0].samples[0].value, 1.0);
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn an_endpoint_that_lets_nobody_in_is_unhealthy_and_one_that_refuses_a_request_is_not() {
    let answer = |status, body: &str| Answer { body: body.into(), ..Answer::status(status) };
    let peer = Peer::start(vec![
        answer(400, "out of order sample"),
        answer(401, "the token has expired"),
        answer(400, "out of order sample"),
        answer(404, "no such tenant"),
        Answer::status(204),
    ])
    .await;
    let config = format!(
        "endpoint {{\nname = \"one\"\nurl = \"http://{}/\"\nqueue_config {{\nbatch_send_deadline = \"10ms\"\n}}\n}}",
        peer.address
    );
    let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    let dropped = "endpoint one: what is sent is refused and dropped: server returned HTTP status";
    for expected in [
        None,
        Some((HealthState::Unhealthy, format!("{dropped} 401 Unauthorized: the token has expired"))),
        Some((HealthState::Unhealthy, format!("{dropped} 400 Bad Request: out of order sample"))),
        Some((HealthState::Unhealthy, format!("{dropped} 404 Not Found: no such tenant"))),
        Some((HealthState::Healthy, "all endpoints take requests".to_owned())),
    ] {
        let _ = push(&alone, batch([(0, 1.0)])).await.await;
        assert_eq!(alone.health(), expected);
    }
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn without_a_disk_samples_are_sent_from_memory() {
    let peer = Peer::start(vec![Answer::status(503), Answer::status(204)]).await;
    let folder = tempfile::tempdir().expect("a folder");
    // As good as a disk that cannot be written to, also for root.
    std::fs::write(folder.path().join("prometheus.remote_write.test"), "a file").expect("written");
    let queue = "queue_config {\nmax_samples_per_send = 2\nbatch_send_deadline = \"10ms\"\n}";
    let mut alone = start(&format!("endpoint {{\nurl = \"http://{}/\"\n{queue}\n}}", peer.address), folder.path());
    for value in [1.0, 2.0] {
        let delivery = push(&alone, batch((0..5).map(|i| (i, value)))).await;
        assert_eq!(delivery.await, Outcome::Delivered);
    }
    let arrived: Vec<f64> = peer.asked()[1..].iter().flat_map(sent).map(|one| one.samples[0].value).collect();
    assert_eq!(arrived, [[1.0; 5], [2.0; 5]].concat());
    assert_eq!(alone.metric("prometheus_remote_storage_samples_pending", &[]), Some(0.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_can_be_used_later_keeps_what_waits_in_memory() {
    let down = Peer::start(vec![Answer::status(503)]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let blocked = folder.path().join("prometheus.remote_write.test");
    std::fs::write(&blocked, "a file").expect("written");
    let config = |peer: &Peer| {
        let queue = "queue_config {\nbatch_send_deadline = \"10ms\"\n}";
        format!("endpoint {{\nname = \"one\"\nurl = \"http://{}/\"\n{queue}\n}}", peer.address)
    };
    let alone = start(&config(&down), folder.path());
    let first = push(&alone, batch([(0, 1.0), (1, 1.0)])).await;
    std::fs::remove_file(&blocked).expect("removed");
    assert_eq!(first.await, Outcome::Delivered, "it is on the disk");
    // And what is taken from now on stands in the journal at once.
    let second = push(&alone, batch([(0, 2.0)])).await;
    let left = image(folder.path());
    drop((second, alone));
    tokio::time::resume();

    let peer = Peer::start(vec![Answer::status(204)]).await;
    let mut alone = start(&config(&peer), left.path());
    until(|| peer.asked().iter().flat_map(sent).count() == 3).await;
    let mut arrived: Vec<f64> = peer.asked().iter().flat_map(sent).map(|one| one.samples[0].value).collect();
    arrived.sort_by(f64::total_cmp);
    assert_eq!(arrived, [1.0, 1.0, 2.0]);
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_folder_that_somebody_else_uses_is_waited_for() {
    let peer = Peer::start(vec![Answer::status(204)]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("endpoint {{\nurl = \"http://{}/\"\n}}", peer.address);
    let mut first = start(&config, folder.path());
    assert_eq!(push(&first, batch([(0, 1.0)])).await.await, Outcome::Delivered);
    let mut second = start(&config, folder.path());
    let error = second.stop().await.expect_err("not without what is there");
    assert!(error.contains("another process uses this queue directory"), "{error}");
    first.stop().await.expect("it stops");
}

/// Bytes in the journal's files.
fn journal_bytes(data: &Path) -> u64 {
    let files = std::fs::read_dir(data.join("prometheus.remote_write.test/taken/one")).expect("a folder");
    files.map(|file| file.expect("a file").metadata().map_or(0, |metadata| metadata.len())).sum()
}

/// One that runs, with what it finds in its folder.
fn start(config: &str, data: &Path) -> Alone<RemoteWrite> {
    let mut alone = Alone::<RemoteWrite>::build_in(config, &Scope::new(), data).expect("it is built");
    alone.run();
    alone
}

#[tokio::test]
async fn what_was_taken_survives_a_kill() {
    for version in [Version::V1, Version::V2] {
        let config = |address: &str, deadline: &str| {
            format!(
                "endpoint {{\nname = \"one\"\nurl = \"http://{address}/\"\nprotobuf_message = \"{}\"\nqueue_config {{\nbatch_send_deadline = \"{deadline}\"\nmax_samples_per_send = 1000\n}}\n}}",
                version.message()
            )
        };
        let folder = tempfile::tempdir().expect("a folder");
        let peer = Peer::start(vec![Answer::status(503)]).await;
        let mut alone = start(&config(&peer.address, "1h"), folder.path());
        // One request is full, and tried in vain; the other one waits for more. Pages are large and small.
        for numbers in [0..3, 3..700, 700..1200, 1200..1207] {
            push(&alone, batch(numbers.map(|i| (i, i as f64)))).await.detach();
        }
        peer.wait_for(1).await;
        let left = image(folder.path());
        alone.stop().await.expect("it stops");

        let better = Peer::start(vec![written(204, 1000, 0, 0), written(204, 207, 0, 0), written(204, 1, 0, 0)]).await;
        let mut alone = start(&config(&better.address, "20ms"), left.path());
        let delivery = push(&alone, batch([(0, 9.0)])).await;
        assert_eq!(delivery.await, Outcome::Delivered);
        let values: Vec<f64> = better
            .wait_for(3)
            .await
            .iter()
            .flat_map(|asked| {
                let plain = decompress(&asked.body, 1 << 20).expect("snappy");
                decode_version(version, &plain).expect("a request").into_iter().map(|one| one.samples[0].value)
            })
            .collect();
        let expected: Vec<f64> = (0..1207).map(f64::from).chain([9.0]).collect();
        assert_eq!(values, expected, "each once, and in order");
        let empty = async {
            while journal_bytes(left.path()) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), empty).await.expect("what has arrived is forgotten");
        alone.stop().await.expect("it stops");
        assert_eq!(
            std::fs::read_dir(left.path().join("prometheus.remote_write.test/taken/one")).expect("a folder").count(),
            0
        );
    }
}

/// A page of so many series that hands the very same list on each time.
fn page(rows: usize) -> impl Fn(i64) -> SampleBatch {
    let row = |row: usize| {
        let row = row.to_string();
        Series::of(&Labels::from_pairs([("__name__", "page_total"), ("instance", "host-1:9100"), ("row", &row)]))
    };
    let series: Arc<[Series]> = (0..rows).map(row).collect();
    let began = base_sys::clock::now_ms();
    move |round| {
        let values = (0..series.len()).map(|row| (row as i64 % 7 * round) as f64).collect();
        let (series, times) = (series.clone(), Times::One(began + round));
        SampleBatch::new(Samples { series, times, values, ..Samples::default() })
    }
}

/// Name, row, time and value of all that has arrived, in order.
fn rows_of(asked: &[Asked]) -> Vec<(String, i64, f64)> {
    let row = |series: TimeSeries| {
        let name = series.labels.iter().find(|(name, _)| name == "row").map(|(_, row)| row.clone());
        (name.expect("a row"), series.samples[0].timestamp, series.samples[0].value)
    };
    asked.iter().flat_map(sent).map(row).collect()
}

fn rows_in(batch: &SampleBatch) -> Vec<(String, i64, f64)> {
    let row = |(series, time, value): (&Series, i64, f64)| {
        (series.labels().get("row").expect("a row").to_owned(), time, value)
    };
    batch.rows().map(row).collect()
}

#[tokio::test]
async fn a_page_that_comes_again_and_again_arrives_each_time() {
    for (rows, full) in [(500, 2000), (500, 500), (500, 333), (2500, 2000), (500, 7)] {
        let peer = Peer::start(vec![Answer::status(204)]).await;
        let config = format!(
            "endpoint {{\nurl = \"http://{}/\"\nqueue_config {{\nmax_samples_per_send = {full}\nbatch_send_deadline = \"20ms\"\n}}\n}}",
            peer.address
        );
        let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
        let page = page(rows);
        let (mut expect, mut deliveries) = (Vec::new(), Vec::new());
        for round in 0..8 {
            let batch = page(round);
            expect.extend(rows_in(&batch));
            deliveries.push(push(&alone, batch).await);
        }
        assert_eq!(Delivery::all(deliveries).await, Outcome::Delivered);
        until(|| peer.asked().iter().map(|asked| sent(asked).len()).sum::<usize>() >= expect.len()).await;
        assert!(rows_of(&peer.asked()) == expect, "{rows} rows in requests of {full}");
        assert!(peer.asked().iter().all(|asked| sent(asked).len() <= full));
        alone.stop().await.expect("it stops");
    }
}

#[tokio::test]
async fn a_page_that_comes_again_survives_a_kill() {
    let config = |address: &str, deadline: &str| {
        format!(
            "endpoint {{\nname = \"one\"\nurl = \"http://{address}/\"\nqueue_config {{\nbatch_send_deadline = \"{deadline}\"\nmax_samples_per_send = 3000\n}}\n}}"
        )
    };
    let folder = tempfile::tempdir().expect("a folder");
    let peer = Peer::start(vec![Answer::status(503)]).await;
    let mut alone = start(&config(&peer.address, "1h"), folder.path());
    let (page, small) = (page(700), page(3));
    let mut expect = Vec::new();
    for round in 0..8 {
        for batch in [page(round), small(round)] {
            expect.extend(rows_in(&batch));
            push(&alone, batch).await.detach();
        }
    }
    peer.wait_for(1).await;
    let left = image(folder.path());
    alone.stop().await.expect("it stops");

    let better = Peer::start(vec![Answer::status(204)]).await;
    let mut alone = start(&config(&better.address, "20ms"), left.path());
    until(|| better.asked().iter().map(|asked| sent(asked).len()).sum::<usize>() >= expect.len()).await;
    assert!(rows_of(&better.asked()) == expect);
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_the_queue_had_written_down_at_the_kill_is_sent_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let peer = Peer::start(vec![Answer::status(503)]).await;
    let config = |address: &str| {
        format!(
            "endpoint {{\nname = \"one\"\nurl = \"http://{address}/\"\nqueue_config {{\nmax_samples_per_send = 1\n}}\n}}"
        )
    };
    let mut alone = start(&config(&peer.address), folder.path());
    push(&alone, batch([(0, 1.0)])).await.detach();
    let before = image(folder.path());
    // A stop in good order lets the queue write it down; the kill comes before the journal hears of that.
    alone.stop().await.expect("it stops");
    assert!(journal_bytes(before.path()) > 0);
    for file in std::fs::read_dir(before.path().join("prometheus.remote_write.test/taken/one")).expect("a folder") {
        let file = file.expect("a file").path();
        std::fs::copy(
            &file,
            folder.path().join("prometheus.remote_write.test/taken/one").join(file.file_name().expect("a name")),
        )
        .expect("copied");
    }
    let better = Peer::start(vec![Answer::status(204)]).await;
    alone.update(&config(&better.address), &Scope::new()).expect("good arguments");
    alone.run();
    better.wait_for(1).await;
    let delivery = push(&alone, batch([(0, 2.0)])).await;
    assert_eq!(delivery.await, Outcome::Delivered);
    let values: Vec<f64> = better.asked().iter().flat_map(sent).map(|one| one.samples[0].value).collect();
    assert_eq!(values, [1.0, 2.0]);
    alone.stop().await.expect("it stops");
}

/// A sample, an exemplar, and three histograms, the last with buckets of its own.
fn mixed() -> SampleBatch {
    let now = base_sys::clock::now_ms();
    let series = |name: &str| Series::of(&Labels::from_pairs([("__name__", name)]));
    let mut classic = Classic::default();
    classic.bucket(0.5, 1.0);
    let custom = classic.native(ResetHint::Unknown).expect("it is coherent");
    let plain = NativeHistogram { schema: 3, custom_values: Vec::new(), ..custom.clone() };
    let histogram = |name: &str, value: &NativeHistogram| HistogramSample {
        series: series(name),
        timestamp: now,
        start: now - 1000,
        value: Arc::new(value.clone()),
    };
    let about =
        Arc::new(About { family: "c".into(), kind: "counter".into(), help: "How often.".into(), unit: "".into() });
    // Each time another one: what was sent is not sent again.
    static TRACES: AtomicU64 = AtomicU64::new(0);
    let trace = TRACES.fetch_add(1, Ordering::Relaxed).to_string();
    let trace = Labels::from_pairs([("trace_id", trace.as_str())]);
    SampleBatch::new(Samples {
        series: [series("c_total")].into(),
        times: Times::One(now),
        values: vec![7.0],
        starts: vec![now - 5000],
        histograms: vec![histogram("h", &plain), histogram("i", &plain), histogram("j", &custom)],
        exemplars: vec![Exemplar { series: series("c_total"), labels: trace, value: 1.0, timestamp: now }],
        metadata: [MetricMetadata { series: series("c_total"), about }].into(),
    })
}

fn version_2(address: &str) -> String {
    format!(
        "endpoint {{\nurl = \"http://{address}/\"\nprotobuf_message = \"io.prometheus.write.v2.Request\"\nsend_native_histograms = true\nqueue_config {{\nbatch_send_deadline = \"20ms\"\n}}\n}}"
    )
}

fn written(status: u16, samples: u32, histograms: u32, exemplars: u32) -> Answer {
    let header = |what: &str, count: u32| (format!("X-Prometheus-Remote-Write-{what}-Written"), count.to_string());
    let headers = vec![header("Samples", samples), header("Histograms", histograms), header("Exemplars", exemplars)];
    Answer { headers, ..Answer::status(status) }
}

#[tokio::test]
async fn version_2_sends_all_there_is_and_counts_what_was_not_written() {
    let peer = Peer::start(vec![written(204, 1, 3, 1), written(204, 1, 2, 0), written(400, 0, 3, 1)]).await;
    let mut alone = Alone::<RemoteWrite>::start(&version_2(&peer.address), &Scope::new()).expect("it starts");
    for _ in 0..3 {
        // What was taken in part is over, too.
        let _ = push(&alone, mixed()).await.await;
    }
    let asked = peer.wait_for(3).await;
    assert_eq!(asked.len(), 3, "nothing is sent twice");
    assert_eq!(asked[0].headers["content-type"], "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    assert_eq!(asked[0].headers["x-prometheus-remote-write-version"], "2.0.0");
    let plain = decompress(&asked[0].body, 1 << 20).expect("snappy");
    let series = decode_version(Version::V2, &plain).expect("a request");
    let sample = &series[0].samples[0];
    assert_eq!((sample.value, sample.timestamp - sample.start), (7.0, 5000));
    assert_eq!(series[0].about, Some(["counter", "How often.", ""].map(str::to_owned)));
    assert_eq!(series[1].exemplars.len(), 1);
    let histograms: Vec<_> = series[2..].iter().flat_map(|one| &one.histograms).collect();
    assert_eq!((histograms.len(), &*histograms[2].value.custom_values), (3, &[0.5][..]));
    assert_eq!(histograms[0].timestamp - histograms[0].start, 1000);
    let metric = |name: &str| alone.metric(&format!("prometheus_remote_storage_{name}"), &[]);
    assert_eq!((metric("samples_total"), metric("samples_failed_total")), (Some(3.0), Some(1.0)));
    assert_eq!((metric("histograms_total"), metric("histograms_failed_total")), (Some(9.0), Some(1.0)));
    assert_eq!((metric("exemplars_total"), metric("exemplars_failed_total")), (Some(3.0), Some(1.0)));
    assert_eq!((metric("metadata_total"), metric("histograms_pending")), (Some(6.0), Some(0.0)));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn an_endpoint_that_does_not_know_version_2_gets_version_1_from_then_on() {
    // One says so, the other takes what it does not understand and is content.
    for first in [Answer::status(415), Answer::status(204)] {
        let peer = Peer::start(vec![first, Answer::status(204)]).await;
        let mut alone = Alone::<RemoteWrite>::start(&version_2(&peer.address), &Scope::new()).expect("it starts");
        for _ in 0..2 {
            assert_eq!(push(&alone, mixed()).await.await, Outcome::Delivered);
        }
        let asked = peer.wait_for(3).await;
        let versions: Vec<_> =
            asked.iter().map(|asked| asked.headers["x-prometheus-remote-write-version"].clone()).collect();
        assert_eq!(versions, ["2.0.0", "0.1.0", "0.1.0"]);
        for asked in &asked[1..] {
            assert_eq!(asked.headers["content-type"], "application/x-protobuf");
            let series = sent(asked);
            assert_eq!(series.iter().map(|one| one.samples.len()).sum::<usize>(), 1);
            assert_eq!(series.iter().map(|one| one.histograms.len()).sum::<usize>(), 2, "without custom buckets");
        }
        let reason = [("reason", "nhcb_in_rw1_not_supported")];
        assert_eq!(alone.metric("prometheus_remote_storage_histograms_dropped_total", &reason), Some(2.0));
        alone.stop().await.expect("it stops");
    }
}

#[tokio::test]
async fn an_endpoint_that_was_upgraded_gets_the_configured_version_again() {
    let (old, new) = ([Answer::status(415), Answer::status(204)], written(204, 1, 3, 1));
    let away = Answer::status(503);
    let peer = Peer::start(old.into_iter().chain([away.clone(), away, Answer::status(204), new]).collect()).await;
    let mut alone = Alone::<RemoteWrite>::start(&version_2(&peer.address), &Scope::new()).expect("it starts");
    assert_eq!(push(&alone, mixed()).await.await, Outcome::Delivered);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    // It comes back a minute later, and may be another one.
    for _ in 0..3 {
        assert_eq!(push(&alone, mixed()).await.await, Outcome::Delivered);
    }
    let asked = peer.asked();
    let versions: Vec<_> = asked.iter().map(|asked| &asked.headers["x-prometheus-remote-write-version"]).collect();
    assert_eq!(versions, ["2.0.0", "0.1.0", "0.1.0", "0.1.0", "0.1.0", "2.0.0", "2.0.0"]);
    alone.stop().await.expect("it stops");
}

/// The first sample's value of each request.
fn values(peer: &Peer) -> Vec<f64> {
    peer.asked().iter().flat_map(sent).map(|one| one.samples[0].value).collect()
}

#[tokio::test]
async fn what_piled_up_is_sent_to_the_endpoint_as_it_is_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let sick = Peer::start(vec![Answer::status(503)]).await;
    let well = Peer::start(vec![Answer::status(204)]).await;
    let config = |address: &str, more: &str| {
        let queue = "queue_config {\nmax_samples_per_send = 1\nmax_backoff = \"100ms\"\n}";
        format!("endpoint {{\nurl = \"http://{address}/\"\n{queue}\n{more}\n}}")
    };
    let login = "basic_auth {\nusername = \"u\"\npassword = \"p\"\n}";
    let build = |config: &str| Alone::<RemoteWrite>::build_in(config, &Scope::new(), folder.path()).expect("built");
    let mut alone = build(&config(&sick.address, "remote_timeout = \"3s\""));
    alone.run();
    push(&alone, batch([(0, 1.0)])).await.detach();
    sick.wait_for(1).await;
    // Whatever changes, as a reload or between two runs: there is one endpoint, and what it sends is meant for it.
    alone.update(&config(&sick.address, login), &Scope::new()).expect("good arguments");
    push(&alone, batch([(0, 2.0)])).await.detach();
    alone.stop().await.expect("it stops");
    drop(alone);

    let mut alone = build(&config(&well.address, ""));
    alone.run();
    well.wait_for(2).await;
    assert_eq!(push(&alone, batch([(0, 3.0)])).await.await, Outcome::Delivered);
    assert_eq!(values(&well), [1.0, 2.0, 3.0]);
    let metric = |name: &str| alone.metric(name, &[]);
    assert_eq!(metric("ferroalloy_queue_left_behind_items"), Some(0.0));
    assert_eq!(metric("prometheus_remote_storage_samples_pending"), Some(0.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_may_be_meant_for_another_tenant_is_kept_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let sick = Peer::start(vec![Answer::status(503)]).await;
    let well = Peer::start(vec![Answer::status(204)]).await;
    let endpoint = |address: &str, tenant: &str| {
        let queue = "queue_config {\nmax_samples_per_send = 1\n}";
        format!(
            "endpoint {{\nurl = \"http://{address}/\"\nheaders = {{ \"X-Scope-OrgID\" = \"{tenant}\" }}\n{queue}\n}}\n"
        )
    };
    let build = |config: &str| Alone::<RemoteWrite>::build_in(config, &Scope::new(), folder.path()).expect("built");
    let mut alone = build(&(endpoint(&sick.address, "a") + &endpoint(&sick.address, "b")));
    alone.run();
    push(&alone, batch([(0, 1.0)])).await.detach();
    sick.wait_for(2).await;
    alone.stop().await.expect("it stops");
    drop(alone);

    // Two have gone, one has come.
    let mut alone = build(&endpoint(&well.address, "a"));
    alone.run();
    assert_eq!(push(&alone, batch([(0, 2.0)])).await.await, Outcome::Delivered);
    assert_eq!(values(&well), [2.0]);
    assert_eq!(alone.metric("ferroalloy_queue_left_behind_items", &[]), Some(2.0));
    alone.stop().await.expect("it stops");
    drop(alone);

    // In another order: each tenant has its own.
    let again = Peer::start(vec![Answer::status(204)]).await;
    let mut alone = build(&(endpoint(&sick.address, "b") + &endpoint(&again.address, "c")));
    alone.run();
    assert_eq!(push(&alone, batch([(0, 3.0)])).await.now_or_never(), None);
    again.wait_for(1).await;
    assert_eq!(values(&again)[0], 1.0, "the only one that is gone is a's");
    assert_eq!(alone.metric("ferroalloy_queue_left_behind_items", &[]), Some(0.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_sample_from_long_ago_does_not_cost_the_others_their_request() {
    let peer = Peer::start(vec![Answer::status(204)]).await;
    let config = format!("endpoint {{\nurl = \"http://{}/\"\n}}", peer.address);
    let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    let now = base_sys::clock::now_ms();
    let minutes = |minutes: i64| Sample {
        series: Series::of(&Labels::from_pairs([("__name__", "m"), ("minutes", minutes.to_string().as_str())])),
        timestamp: now - minutes * 60_000,
        value: minutes as f64,
    };
    let delivery = push(&alone, [0, 59, 61, 60 * 24 * 365].map(minutes).into_iter().collect()).await;
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!(values(&peer), [0.0, 59.0]);
    let reason = [("reason", "too_old")];
    assert_eq!(alone.metric("prometheus_remote_storage_samples_dropped_total", &reason), Some(2.0));
    alone.stop().await.expect("it stops");
}

/// Keeps the lines that say what is dropped.
#[derive(Clone, Default)]
struct Said(Arc<std::sync::Mutex<Vec<String>>>);

impl tracing::Subscriber for Said {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            line += &format!("{field}={value:?} ");
        });
        if line.contains("dropped") {
            self.0.lock().expect("no panic").push(line);
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn what_has_waited_for_too_long_is_told_once() {
    let said = Said::default();
    let _guard = tracing::subscriber::set_default(said.clone());
    let peer = Peer::start(vec![Answer::status(503)]).await;
    let config = format!(
        "wal {{\nmin_keepalive_time = \"0s\"\nmax_keepalive_time = \"1ms\"\n}}\n\
         endpoint {{\nname = \"one\"\nurl = \"http://{}/\"\nqueue_config {{\nbatch_send_deadline = \"10ms\"\n}}\n}}",
        peer.address
    );
    let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    for count in [3, 2] {
        let delivery = push(&alone, batch((0..count).map(|i| (i, 1.0)))).await;
        assert_eq!(delivery.await, Outcome::Dropped);
    }
    let reason = [("reason", "too_old")];
    assert_eq!(alone.metric("prometheus_remote_storage_samples_dropped_total", &reason), Some(5.0));
    let lines = said.0.lock().expect("no panic").clone();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    for expect in ["remote_name=\"one\"", &peer.address.to_string(), "samples=3 ", "longest_wait=\"1ms\""] {
        assert!(line.contains(expect), "{expect}: {line}");
    }
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_a_backend_answers_is_shown_without_secrets() {
    let body = "who is \"hunter22\"?\r\nAuthorization: Basic dTpodW50ZXIyMg==\x1b[2J";
    let peer = Peer::start(vec![Answer { body: body.into(), ..Answer::status(503) }]).await;
    let config = format!(
        "endpoint {{\nurl = \"http://{}/\"\nbasic_auth {{\nusername = \"u\"\npassword = \"hunter22\"\n}}\n\
         queue_config {{\nbatch_send_deadline = \"10ms\"\n}}\n}}",
        peer.address
    );
    let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    push(&alone, batch([(1, 1.0)])).await.detach();
    peer.wait_for(2).await;
    let (_, said) = alone.health().expect("it has said something");
    let expected = "503 Service Unavailable: who is \"<secret>\"?\\r\\nAuthorization: Basic <secret>\\u{1b}[2J";
    assert!(said.ends_with(expected), "{said}");
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_cannot_be_sent_is_in_the_components_health() {
    let folder = tempfile::tempdir().expect("a folder");
    let password = folder.path().join("password");
    let peer = Peer::start(vec![Answer::status(204)]).await;
    let with_password = format!(
        "url = \"http://{}/\"\nbasic_auth {{\nusername = \"u\"\npassword_file = {password:?}\n}}",
        peer.address
    );
    let config = |endpoint: &str| {
        format!(
            "endpoint {{\nname = \"one\"\n{endpoint}\nqueue_config {{\nbatch_send_deadline = \"20ms\"\nmax_backoff = \"20ms\"\n}}\n}}"
        )
    };
    for (endpoint, expect) in [
        ("url = \"\"", "endpoint one: the url is empty; set the environment variable that it is taken from"),
        (&with_password, "/password: No such file or directory"),
    ] {
        let mut alone = Alone::<RemoteWrite>::start(&config(endpoint), &Scope::new()).expect("it starts, as in Alloy");
        let delivery = push(&alone, batch([(0, 1.0)])).await;
        until(|| alone.health().is_some_and(|(_, said)| said.contains(expect))).await;
        assert_eq!(alone.health().expect("it has said something").0, HealthState::Unhealthy);
        if endpoint == with_password {
            // It is read for each request.
            std::fs::write(&password, "secret").expect("written");
            assert_eq!(delivery.await, Outcome::Delivered);
            until(|| alone.health().is_some_and(|(state, _)| state == HealthState::Healthy)).await;
        } else {
            delivery.detach();
        }
        alone.stop().await.expect("it stops");
    }
}

#[tokio::test]
async fn what_is_no_address_and_a_certificate_that_is_not_there_are_refused() {
    for (endpoint, expect) in [
        ("url = \"127.0.0.1:9090/api/v1/write\"", "is not a URL"),
        (
            "url = \"https://h/\"\ntls_config {\nca_file = \"/does/not/exist\"\n}",
            "cannot read ca_file /does/not/exist: ",
        ),
    ] {
        let config = format!("endpoint {{\n{endpoint}\n}}");
        let error = Alone::<RemoteWrite>::build(&config, &Scope::new()).err().expect(endpoint);
        assert!(error.contains(expect), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_yet_is_refused_by_name() {
    for (argument, expect) in [
        ("sigv4 {\naccess_key = \"x\"\n}", "access key and secret key"),
        ("sigv4 {\nregion = \"r\"\nexternal_id = \"x\"\n}", "external_id can only be used with role_arn"),
        ("azuread {\ncloud = \"AzurePublic\"\n}", "must provide an Azure Managed Identity"),
        ("azuread {\nsdk {\ntenant_id = \"x\"\n}\n}", "sdk"),
        ("azuread {\nmanaged_identity {\nclient_id = \"x\"\n}\n}", "client_id is invalid"),
        ("google_iam { }\nsigv4 { }", "at most one of sigv4, azuread, google_iam"),
        ("protobuf_message = \"x\"", "invalid protobuf_message \"x\""),
        ("queue_config {\nmax_shards = 0\n}", "max_shards must be at least 1"),
    ] {
        let config = format!("endpoint {{\nurl = \"http://127.0.0.1:1/\"\n{argument}\n}}");
        let error = Alone::<RemoteWrite>::build(&config, &Scope::new()).err().expect(argument);
        assert!(error.contains(expect), "{argument}: {error}");
    }
}
