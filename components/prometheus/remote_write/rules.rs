//! What the texts of the protocol ask of a sender (Remote-Write 1.0 and 2.0 of prometheus.io), rule by rule: what is in a
//! request, and what an answer means. Each case names the rules that it shows.

use std::time::Duration;

use language_eval::Scope;
use sdk_protocols_remote_write::{Histogram, TimeSeries, Version, decode_version, decompress};
use sdk_testing::component::{Alone, scope};
use tokio::time::Instant;

use super::RemoteWrite;
use super::tests::{batch, push, receiver};
use crate::scrape::Scrape;
use crate::testing::{Answer, Asked, Peer};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Taken, and more than there can be in any request.
fn taken() -> Answer {
    let headers = ["Samples", "Histograms", "Exemplars"]
        .map(|what| (format!("X-Prometheus-Remote-Write-{what}-Written"), "1000000".to_owned()));
    Answer { headers: headers.into(), ..Answer::status(204) }
}

fn config(address: &str, version: Version, more: &str) -> String {
    format!(
        "endpoint {{\nname = \"e\"\nurl = \"http://{address}/\"\nprotobuf_message = \"{}\"\nsend_native_histograms = true\nqueue_config {{\nbatch_send_deadline = \"20ms\"\nmin_backoff = \"10ms\"\nmax_backoff = \"40ms\"\n{more}\n}}\n}}",
        version.message()
    )
}

/// A page may say that its samples are of a time that long ago.
const EARLIER_S: i64 = 30 * 60;

/// The first request that a page leads to.
async fn request_of(page: &str, version: Version) -> (Asked, Vec<TimeSeries>, String) {
    let earlier = base_sys::clock::now_ms() / 1000 - EARLIER_S - 1;
    let page = page.replace("@eof@", "# EOF\n").replace("@earlier@", &earlier.to_string());
    let target = Peer::start(vec![Answer::page(OPEN_METRICS, page)]).await;
    let peer = Peer::start(vec![taken()]).await;
    let mut writer =
        Alone::<RemoteWrite>::start(&config(&peer.address, version, ""), &Scope::new()).expect("it starts");
    let names = scope([("next", language_eval::ToValue::to_value(&receiver(&writer)))]);
    let scrape = format!(
        "targets = [{{ __address__ = \"{}\", job = \"j\", instance = \"i\" }}]\nforward_to = [next]\nscrape_interval = \"1s\"\nscrape_timeout = \"1s\"\nhonor_metadata = true\nscrape_protocols = [\"OpenMetricsText1.0.0\"]",
        target.address
    );
    let mut scraper = Alone::<Scrape>::start(&scrape, &names).expect("it starts");
    let asked = peer.wait_for(1).await.remove(0);
    scraper.stop().await.expect("it stops");
    writer.stop().await.expect("it stops");
    let plain = decompress(&asked.body, 1 << 24).expect("a snappy block");
    let series = decode_version(version, &plain).expect("a request");
    (asked, series, target.address.clone())
}

/// A series as one line: its labels as sent, then what it holds. Times of now are left out.
fn shown(series: &TimeSeries) -> String {
    let labels: Vec<String> = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut text = labels.join(",");
    let ago = |time: i64| (base_sys::clock::now_ms() - time) / 1000;
    let time = |time: i64| match time {
        0..1_000_000_000_000 => format!("@{time}"),
        time if ago(time) >= EARLIER_S => format!("@earlier.{:03}", time % 1000),
        _ => String::new(),
    };
    for sample in &series.samples {
        text += &format!(" {:?}{}", sample.value, time(sample.timestamp));
        if sample.start != 0 {
            text += &format!(" since {}", sample.start);
        }
    }
    for Histogram { value, timestamp, .. } in &series.histograms {
        text += &format!(" histogram {:?} {:?}{}", value.schema, value.sum, time(*timestamp));
    }
    for exemplar in &series.exemplars {
        text += &format!(" exemplar {:?} {:?}{}", exemplar.labels, exemplar.value, time(exemplar.timestamp));
    }
    if let Some([kind, help, unit]) = &series.about {
        text += &format!(" [{kind}|{help}|{unit}]");
    }
    text
}

struct Payload {
    rules: &'static [&'static str],
    page: &'static str,
    /// Lines that are there, in this order.
    expect: &'static [&'static str],
}

/// What 2.0 sends of a page.
const PAYLOADS: &[Payload] = &[
    Payload {
        rules: &[
            "float",
            "integer",
            "zero",
            "negative",
            "+Inf",
            "-Inf",
            "NaN",
            "large",
            "small",
            "scientific",
            "precision",
        ],
        page: "# TYPE v gauge\nv{n=\"a\"} 1.5\nv{n=\"b\"} 42\nv{n=\"c\"} 0\nv{n=\"d\"} -7\nv{n=\"e\"} +Inf\nv{n=\"f\"} -Inf\nv{n=\"g\"} NaN\nv{n=\"h\"} 1.7976931348623157e308\nv{n=\"i\"} 5e-324\nv{n=\"j\"} 1.23e-4\nv{n=\"k\"} 0.1234567890123456\n@eof@",
        expect: &[
            "__name__=v,instance=i,job=j,n=a 1.5 [gauge||]",
            "__name__=v,instance=i,job=j,n=b 42.0 [gauge||]",
            "__name__=v,instance=i,job=j,n=c 0.0 [gauge||]",
            "__name__=v,instance=i,job=j,n=d -7.0 [gauge||]",
            "__name__=v,instance=i,job=j,n=e inf [gauge||]",
            "__name__=v,instance=i,job=j,n=f -inf [gauge||]",
            "__name__=v,instance=i,job=j,n=g NaN [gauge||]",
            "__name__=v,instance=i,job=j,n=h 1.7976931348623157e308 [gauge||]",
            "__name__=v,instance=i,job=j,n=i 5e-324 [gauge||]",
            "__name__=v,instance=i,job=j,n=j 0.000123 [gauge||]",
            "__name__=v,instance=i,job=j,n=k 0.1234567890123456 [gauge||]",
        ],
    },
    Payload {
        rules: &[
            "job and instance",
            "up",
            "sorted labels",
            "name first by order",
            "empty label left out",
            "unicode value",
            "special characters",
            "colons",
            "up of a page without samples",
        ],
        page: "# TYPE z gauge\nz{Z=\"1\",a=\"\",b=\"ü→\",c=\"q\\\"\\\\n\\n\"} 1\n# TYPE a:b:c gauge\na:b:c 2\n@eof@",
        expect: &[
            "Z=1,__name__=z,b=ü→,c=q\"\\n\n,instance=i,job=j 1.0 [gauge||]",
            "__name__=a:b:c,instance=i,job=j 2.0 [gauge||]",
            "__name__=up,instance=i,job=j 1.0",
        ],
    },
    Payload {
        rules: &[
            "types",
            "help",
            "unit",
            "help with newline",
            "help with special characters",
            "empty help",
            "metadata beside samples",
        ],
        page: "# TYPE c counter\n# HELP c How \\\"often\\\" \\\\ and\\nhow ü.\nc_total 5\n# TYPE t_seconds gauge\n# UNIT t_seconds seconds\nt_seconds 1\n# TYPE s summary\ns_count 3\ns_sum 6\ns{quantile=\"0.5\"} 2\n@eof@",
        expect: &[
            "__name__=c_total,instance=i,job=j 5.0 [counter|How \"often\" \\ and\nhow ü.|]",
            "__name__=t_seconds,instance=i,job=j 1.0 [gauge||seconds]",
            "__name__=s_count,instance=i,job=j 3.0 [summary||]",
            "__name__=s_sum,instance=i,job=j 6.0 [summary||]",
            "__name__=s,instance=i,job=j,quantile=0.5 2.0 [summary||]",
        ],
    },
    Payload {
        rules: &[
            "exemplar",
            "trace_id",
            "span_id",
            "exemplar's time",
            "exemplar on a bucket",
            "custom labels of an exemplar",
            "classic histogram whole",
        ],
        page: "# TYPE c counter\nc_total 5 # {trace_id=\"t\",span_id=\"s\"} 0.5 123.5\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 2 # {own=\"x\"} 0.25\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 4.5\n@eof@",
        expect: &[
            "__name__=c_total,instance=i,job=j 5.0 [counter||]",
            "__name__=h_bucket,instance=i,job=j,le=1.0 2.0 [histogram||]",
            "__name__=h_bucket,instance=i,job=j,le=+Inf 3.0 [histogram||]",
            "__name__=h_count,instance=i,job=j 3.0 [histogram||]",
            "__name__=h_sum,instance=i,job=j 4.5 [histogram||]",
            "__name__=c_total,instance=i,job=j exemplar [(\"span_id\", \"s\"), (\"trace_id\", \"t\")] 0.5@123500 [counter||]",
        ],
    },
    Payload {
        rules: &["time in milliseconds", "start of a counter", "time of the page"],
        page: "# TYPE c counter\nc_total 5 @earlier@.456\nc_created 100.5\n@eof@",
        expect: &["__name__=c_total,instance=i,job=j 5.0@earlier.456"],
    },
];

#[tokio::test]
async fn a_request_of_version_2_holds_what_the_protocol_asks_for() {
    for Payload { rules, page, expect } in PAYLOADS {
        let (asked, series, _) = request_of(page, Version::V2).await;
        let lines: Vec<String> = series.iter().map(shown).collect();
        let mut rest = lines.iter();
        for expected in *expect {
            let found = rest.any(|line| line.starts_with(expected));
            assert!(found, "{rules:?}: not there, or out of order: {expected}\n{}", lines.join("\n"));
        }
        keeps_the_general_rules(&asked, &series);
    }
}

/// Rules that hold for each request of version 2: its headers, and the table of symbols.
fn keeps_the_general_rules(asked: &Asked, series: &[TimeSeries]) {
    let header = |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("content-type"), "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    assert_eq!(header("content-encoding"), "snappy");
    assert_eq!(header("x-prometheus-remote-write-version"), "2.0.0");
    assert!(header("user-agent").starts_with("Ferroalloy/"));
    let plain = decompress(&asked.body, 1 << 24).expect("a snappy block, not the framed form");
    let mut rest = &plain[..];
    let mut symbols = Vec::new();
    while !rest.is_empty() {
        let (number, value) = base_stdx::protobuf::take_field(&mut rest).expect("a message");
        if let (4, base_stdx::protobuf::Value::Bytes(symbol)) = (number, value) {
            symbols.push(symbol);
        }
    }
    assert_eq!(symbols.first(), Some(&&b""[..]), "the first symbol is the empty one");
    let count = symbols.len();
    symbols.sort_unstable();
    symbols.dedup();
    assert_eq!(symbols.len(), count, "each symbol stands once");
    for one in series {
        let names: Vec<&str> = one.labels.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "sorted, and none twice: {names:?}");
        assert!(names.contains(&"__name__") && !names.contains(&""), "{names:?}");
        let kinds = [one.samples.len(), one.histograms.len()];
        assert!(kinds.contains(&0), "samples and histograms do not stand in one series");
        assert!(one.samples.is_sorted_by_key(|sample| sample.timestamp));
    }
}

struct Answered {
    rules: &'static [&'static str],
    /// What the receiver answers; the last repeats.
    answers: &'static [u16],
    /// How often it is asked before the request is over.
    attempts: usize,
    arrives: bool,
}

/// What answers mean, in both versions.
const ANSWERS: &[Answered] = &[
    Answered { rules: &["200", "ignore body on success"], answers: &[200], attempts: 1, arrives: true },
    Answered { rules: &["204"], answers: &[204], attempts: 1, arrives: true },
    Answered { rules: &["no retry on 400"], answers: &[400], attempts: 1, arrives: false },
    Answered { rules: &["no retry on 401"], answers: &[401], attempts: 1, arrives: false },
    Answered { rules: &["no retry on 404"], answers: &[404], attempts: 1, arrives: false },
    Answered { rules: &["no retry on 413"], answers: &[413], attempts: 1, arrives: false },
    Answered { rules: &["retry on 429"], answers: &[429, 204], attempts: 2, arrives: true },
    Answered {
        rules: &["retry on 500", "continues after errors"],
        answers: &[500, 500, 204],
        attempts: 3,
        arrives: true,
    },
    Answered { rules: &["retry on 502"], answers: &[502, 204], attempts: 2, arrives: true },
    Answered { rules: &["retry on 503"], answers: &[503, 204], attempts: 2, arrives: true },
    Answered { rules: &["retry on 504"], answers: &[504, 204], attempts: 2, arrives: true },
    Answered { rules: &["no answer at all"], answers: &[0, 204], attempts: 2, arrives: true },
    Answered { rules: &["invalid status"], answers: &[299], attempts: 1, arrives: true },
    Answered { rules: &["415 is tried once in the other version"], answers: &[415, 204], attempts: 2, arrives: true },
    Answered { rules: &["415 for both versions is the end"], answers: &[415], attempts: 2, arrives: false },
];

#[tokio::test]
async fn an_answer_means_what_the_protocol_says() {
    for Answered { rules, answers, attempts, arrives } in ANSWERS {
        for version in [Version::V1, Version::V2] {
            let script = answers.iter().map(|status| {
                let headers = if *status < 300 { taken().headers } else { Vec::new() };
                Answer { status: *status, headers, body: vec![b'x'; 100_000], ..Answer::default() }
            });
            let peer = Peer::start(script.collect()).await;
            let config = config(&peer.address, version, "");
            let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
            let outcome = push(&alone, batch([(0, 1.0)])).await.await;
            assert_eq!(outcome == sdk_signals::Outcome::Delivered, *arrives, "{rules:?} {version:?}");
            assert_eq!(peer.asked().len(), *attempts, "{rules:?} {version:?}");
            let failed = alone.metric("prometheus_remote_storage_samples_failed_total", &[]);
            assert_eq!(failed, Some(f64::from(u8::from(!arrives))), "{rules:?} {version:?}");
            // Whatever came of it, the next one is sent.
            push(&alone, batch([(0, 2.0)])).await.detach();
            peer.wait_for(attempts + 1).await;
            alone.stop().await.expect("it stops");
        }
    }
}

#[tokio::test]
async fn waits_grow_to_a_bound_and_are_never_the_same() {
    let peer = Peer::start(vec![Answer::status(500)]).await;
    let config = config(&peer.address, Version::V2, "");
    let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    let start = Instant::now();
    push(&alone, batch([(0, 1.0)])).await.detach();
    peer.wait_for(12).await;
    // 10, 20, 40, 40 … milliseconds, a tenth less at most.
    assert!(start.elapsed() > Duration::from_millis(300), "{:?}", start.elapsed());
    let attempts: Vec<String> = peer
        .asked()
        .iter()
        .skip(1)
        .take(11)
        .map(|asked| {
            asked.headers.get("retry-attempt").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        })
        .collect();
    assert_eq!(attempts, (1..12).map(|attempt: u32| attempt.to_string()).collect::<Vec<_>>());
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn version_1_has_no_symbols_and_no_metadata() {
    let (asked, series, _) = request_of(PAYLOADS[2].page, Version::V1).await;
    assert_eq!(asked.headers["content-type"], "application/x-protobuf");
    assert_eq!(asked.headers["x-prometheus-remote-write-version"], "0.1.0");
    let lines: Vec<String> = series.iter().map(shown).collect();
    assert!(lines.iter().any(|line| line == "__name__=c_total,instance=i,job=j 5.0"), "{lines:?}");
    assert!(series.iter().all(|one| one.about.is_none() && one.samples.iter().all(|sample| sample.start == 0)));
}
