//! Pages that are scraped again and again: what the receiver reads is what they said, whatever the way it was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use language_eval::{Scope, Value};
use sdk_protocols_remote_write::{Malformed, SeriesView, Version, decompress, visit};
use sdk_signals::STALE;
use sdk_testing::component::Alone;

use crate::remote_write::RemoteWrite;
use crate::scrape::Scrape;
use crate::testing::{Answer, Asked, Peer};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TARGETS: usize = 3;
/// Each target says so many pages; then the last one again.
const PAGES: usize = 9;
const ROWS: usize = 700;
/// What a scrape tells about itself.
const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Values by series, a NaN and a zero as what they are sent as.
type Page = BTreeMap<String, u64>;

/// Rows of a page: most are always there, some begin or end in between.
fn rows(target: usize, page: usize) -> impl Iterator<Item = usize> {
    let gone = if page == 5 { 100..140 } else { 0..0 };
    let first = if page == 7 { 1 } else { 0 };
    let more = if page >= 6 { 30 } else { 0 };
    (first..ROWS + 10 * target + more).filter(move |row| !gone.contains(row))
}

fn value(row: usize, page: usize) -> f64 {
    match row {
        _ if row.is_multiple_of(7) => 0.0,
        _ if row.is_multiple_of(11) && page % 2 == 1 => f64::NAN,
        _ if row.is_multiple_of(13) => f64::INFINITY,
        _ if row.is_multiple_of(17) => -1.0 / (page + row) as f64,
        _ if row.is_multiple_of(5) => row as f64,
        _ => 0.37 * (row * 1000 + page) as f64,
    }
}

fn labels(row: usize) -> String {
    format!("disk=\"disk-{}\",mode=\"größe {}\",number=\"{row}\"", row % 10, row % 3)
}

/// The page as a target says it: each hundredth counter has an exemplar.
fn text(target: usize, page: usize) -> String {
    let mut text = String::new();
    let mut family = usize::MAX;
    for row in rows(target, page) {
        if row / 20 != family {
            family = row / 20;
            writeln!(text, "# TYPE node_family_{family} counter").expect("a String can be written to");
        }
        let value = match value(row, page) {
            value if value.is_nan() => "NaN".to_owned(),
            value if value.is_infinite() => "+Inf".to_owned(),
            value => value.to_string(),
        };
        write!(text, "node_family_{family}_total{{{}}} {value}", labels(row)).expect("a String can be written to");
        if row % 100 == 0 {
            write!(text, " # {{trace_id=\"{target}-{row}-{page}\"}} {}", row + page)
                .expect("a String can be written to");
        }
        text.push('\n');
    }
    text + "# EOF\n"
}

fn series(row: usize) -> String {
    format!("__name__=\"node_family_{}_total\",{}", row / 20, labels(row))
}

fn sent_as(value: f64) -> u64 {
    // The NaN that Prometheus reads.
    if value.is_nan() { 0x7ff8_0000_0000_0001 } else { value.to_bits() }
}

/// What a scrape sends: the page, and what has ended since the one before.
fn expected(target: usize, page: usize) -> Page {
    let now: BTreeSet<usize> = rows(target, page).collect();
    let before: BTreeSet<usize> = page.checked_sub(1).map(|page| rows(target, page).collect()).unwrap_or_default();
    let there = now.iter().map(|row| (series(*row), sent_as(value(*row, page))));
    there.chain(before.difference(&now).map(|row| (series(*row), STALE.to_bits()))).collect()
}

/// What has arrived: by target and time, and exemplars.
#[derive(Default)]
struct Arrived {
    pages: BTreeMap<(String, i64), Page>,
    exemplars: BTreeSet<(String, u64)>,
    /// Samples that came twice, and labels that could not be read.
    faults: Vec<String>,
    /// Zeros that are written out: those of forms of version 1.
    zeros: usize,
}

fn arrived(version: Version, requests: &[Asked]) -> Arrived {
    let mut arrived = Arrived::default();
    for request in requests {
        assert_eq!(request.headers["content-type"], version.content_type());
        let plain = decompress(&request.body, 16 << 20).expect("a snappy block");
        arrived.zeros += plain.windows(12).filter(|bytes| bytes == b"\x12\x10\x09\0\0\0\0\0\0\0\0\x10").count();
        let read = visit(version, &plain, |view: &mut SeriesView<'_>| {
            arrived.faults.extend(view.fault.take());
            let own: Vec<_> = view.labels.iter().filter(|(name, _)| !["instance", "job"].contains(name)).collect();
            let instance = view.labels.iter().find(|(name, _)| *name == "instance").map_or("", |(_, value)| value);
            let name: Vec<String> = own.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            for sample in &view.samples {
                let page = arrived.pages.entry((instance.to_owned(), sample.timestamp)).or_default();
                if page.insert(name.join(","), sample.value.to_bits()).is_some() {
                    arrived.faults.push(format!("{name:?} is there twice"));
                }
            }
            for exemplar in &view.exemplars {
                let labels = exemplar.labels.as_ref().expect("they can be read");
                arrived.exemplars.insert((labels[0].1.to_owned(), exemplar.value.to_bits()));
            }
            Ok::<_, Malformed>(())
        });
        read.expect("a request");
    }
    arrived
}

async fn check(version: Version, queue: &str, relabel: &str) {
    // Receivers of version 2 say how much they have written, or they are taken for such of version 1.
    let headers =
        ["Samples", "Exemplars"].map(|what| (format!("X-Prometheus-Remote-Write-{what}-Written"), "9999".into()));
    let receiver = Peer::start(vec![Answer { headers: headers.into(), ..Answer::status(204) }]).await;
    let mut targets = Vec::new();
    for target in 0..TARGETS {
        let pages = (0..PAGES).map(|page| Answer::page(OPEN_METRICS, text(target, page))).collect();
        targets.push(Peer::start(pages).await);
    }
    let config = format!(
        "endpoint {{\nurl = \"http://{}/\"\nsend_exemplars = true\nprotobuf_message = \"{}\"\n\
         queue_config {{\nbatch_send_deadline = \"50ms\"\n{queue}\n}}\n{relabel}\n}}",
        receiver.address,
        version.message()
    );
    let mut writer = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    let mut names = Scope::new();
    names.set("write", Value::Object(writer.context.exports())).expect("a name");
    let addresses: Vec<String> =
        targets.iter().map(|target| format!("{{ __address__ = \"{}\" }}", target.address)).collect();
    let config = format!(
        "targets = [{}]\nforward_to = [write.receiver]\nscrape_interval = \"2s\"\nscrape_timeout = \"2s\"",
        addresses.join(", ")
    );
    let mut scraper = Alone::<Scrape>::start(&config, &names).expect("it starts");
    for target in &targets {
        target.wait_for(PAGES + 1).await;
    }
    // Who asks once more has taken what was said before.
    scraper.stop().await.expect("it stops");
    writer.stop().await.expect("it stops");

    let arrived = arrived(version, &receiver.asked());
    let up = "__name__=\"up\"";
    assert_eq!(arrived.faults, Vec::<String>::new());
    let reported: BTreeSet<String> = REPORT.iter().map(|name| format!("__name__=\"{name}\"")).collect();
    for (target, peer) in targets.iter().enumerate() {
        let pages: Vec<&Page> =
            arrived.pages.iter().filter(|((instance, _), _)| *instance == peer.address).map(|(_, page)| page).collect();
        assert!(pages.len() >= PAGES, "{} pages of target {target} have arrived", pages.len());
        for (page, found) in pages.into_iter().take(PAGES).enumerate() {
            let (report, found): (Page, Page) =
                found.clone().into_iter().partition(|(series, _)| reported.contains(series));
            assert_eq!(report.len(), REPORT.len(), "target {target}, page {page}");
            assert_eq!(f64::from_bits(report[up]), 1.0, "target {target}, page {page}");
            let expected = expected(target, page);
            let wrong: Vec<_> = expected.iter().filter(|(series, value)| found.get(*series) != Some(value)).collect();
            assert!(wrong.is_empty(), "target {target}, page {page}, of {} series: {wrong:?}", found.len());
            assert_eq!(found.len(), expected.len(), "target {target}, page {page}");
        }
        for page in 0..PAGES {
            for row in rows(target, page).filter(|row| row % 100 == 0) {
                let exemplar = (format!("{target}-{row}-{page}"), ((row + page) as f64).to_bits());
                assert!(arrived.exemplars.contains(&exemplar), "{exemplar:?}");
            }
        }
    }
    let forms_write_zeros = version == Version::V1;
    assert_eq!(arrived.zeros > 0, forms_write_zeros, "{} zeros are written out", arrived.zeros);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_pages_say_arrives() {
    let rules = "write_relabel_config {\nsource_labels = [\"number\"]\nregex = \"never\"\naction = \"drop\"\n}";
    let mut checks = Vec::new();
    for version in [Version::V1, Version::V2] {
        // Requests that begin and end anywhere in a page, several pages in one, and series that a rule has looked at.
        checks.push(check(version, "max_samples_per_send = 333\nmax_shards = 1", ""));
        checks.push(check(version, "max_shards = 1", ""));
        checks.push(check(version, "max_samples_per_send = 1000\nmax_shards = 1", rules));
    }
    futures_util::future::join_all(checks).await;
}
