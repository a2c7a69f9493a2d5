//! Whether Prometheus answers the same when we scrape for it as when it scrapes itself: ten pages, through five steps in which
//! numbers change, counters begin anew, series vanish and come back, a page is away and another is broken.
//!
//! Nothing is compared before both have what the step brought, and what is compared does not depend on who looked when: pages
//! change with steps only, and rates are asked of the page that has timestamps of its own.

mod pages;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{PATIENCE, Running, Started, run};
use pages::{AWAY, AWAY_IN, BROKEN, BROKEN_IN, PAGES, Pages, STEPS};

/// The scrapers, as they are told apart in paths: Prometheus itself, and we.
const SCRAPERS: [&str; 2] = ["direct", "through"];

const QUERIES: &[&str] = &[
    "up",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "{job=\"pages\",__name__!~\"scrape_.*|seen_.*|many\"}",
    "count by (instance) ({job=\"pages\"})",
    "count by (__name__) ({job=\"pages\"})",
    "sum by (code) (http_requests_total)",
    "http_requests_total > 1",
    "changes(http_requests_total[1h])",
    "resets(http_requests_total[1h])",
    "max_over_time(temperature[1h])",
    "min_over_time(temperature[1h])",
    "last_over_time(special[1h])",
    "histogram_quantile(0.9, duration_seconds_bucket)",
    "duration_seconds_sum / duration_seconds_count",
    "sum without (instance) (rpc_seconds)",
    "jobs_total + on (queue) jobs_created",
    "up * on (instance) group_left (version) build_info",
    "timestamp(ticks_total)",
    "rate(ticks_total[1h])",
    "increase(ticks_total[1h])",
    "irate(ticks_total[1h])",
    "deriv(ticks_total[1h])",
    "ticks_total offset 1s",
    "count(many)",
    "sum by (group) (many)",
    "topk(3, many)",
    "quantile(0.5, many)",
    "stddev(many)",
    "changes(many{number=~\"1|2\"}[1h])",
    "fragile",
    "absent(fragile{instance=\"page 7\"})",
    "max_over_time(fragile[1h])",
    "odd{word=~\"größe.*\"}",
    "{exported_instance!=\"\"}",
    "label_replace(mine, \"who\", \"$1\", \"exported_job\", \"(.*)s\")",
];

/// A Prometheus.
struct Prometheus {
    child: Child,
    address: String,
}

#[test]
fn prometheus_answers_the_same_when_we_scrape_for_it() {
    if Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        eprintln!("skipped: PromQL equality, there is no `prometheus` (Debian has it in the package of this name)");
        return;
    }
    let pages = Pages::serve();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let direct = Prometheus::start(&folder.path().join("direct"), &scraping(&pages));
    let through = Prometheus::start(&folder.path().join("through"), "global: {}\n");
    let ours = folder.path().join("ours");
    std::fs::create_dir(&ours).expect("a folder can be made");
    std::fs::write(ours.join("config.alloy"), forwarding(&pages, &through.address)).expect("a file can be written");
    let Started::Running(mut running) = run(&ours, &[], "config.alloy") else { panic!("it does not run") };
    let sides = [&direct, &through];
    let mut compared = 0;
    for step in 0..STEPS {
        if step > 0 {
            pages.begin(step);
        }
        for (scraper, prometheus) in SCRAPERS.iter().zip(sides) {
            for page in 0..PAGES {
                arrives(&pages, scraper, prometheus, page, step);
            }
        }
        for query in QUERIES {
            same(sides, query, step);
            compared += 1;
        }
    }
    // The whole curve of what has timestamps of its own, also where there was nothing yet.
    let now = base_sys::clock::now_ms() / 1000;
    let path = format!("/api/v1/query_range?query=ticks_total&start={}&end={now}&step=1", now - 600);
    assert_eq!(direct.ask(&path), through.ask(&path));
    eprintln!("PromQL equality: {compared} answers are the same, over {PAGES} pages");
    assert_eq!(running.stop("TERM"), Some(0));
}

/// Waits until a Prometheus has what a page says in this step, or that it says nothing.
fn arrives(pages: &Pages, scraper: &str, prometheus: &Prometheus, page: usize, step: usize) {
    let is_down = (page, step) == (AWAY, AWAY_IN) || (page, step) == (BROKEN, BROKEN_IN);
    let query = match is_down {
        true => format!("up{{instance=\"page {page}\"}} == 0"),
        false => format!("seen_times_total{{instance=\"page {page}\"}}"),
    };
    let until = Instant::now() + 2 * PATIENCE;
    loop {
        let seen = pages.seen(scraper, page);
        // Of two looks in this step the second shows that all of the first has arrived.
        let is_there = seen.times >= seen.before + 2
            && prometheus.query(&query, base_sys::clock::now_ms()).as_array().is_some_and(|found| {
                let times = found.first().and_then(|sample| sample["value"][1].as_str()?.parse::<u64>().ok());
                times.is_some_and(|times| is_down || times >= seen.before + 2)
            });
        if is_there {
            return;
        }
        assert!(Instant::now() < until, "page {page} does not arrive {scraper} in step {step}: {seen:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Both answer the same at one moment. A scrape that this machine was too busy for is repeated, and then they do.
fn same([direct, through]: [&Prometheus; 2], query: &str, step: usize) {
    let until = Instant::now() + PATIENCE;
    loop {
        let at = base_sys::clock::now_ms();
        let (expected, found) = (direct.query(query, at), through.query(query, at));
        if expected == found {
            return;
        }
        assert!(Instant::now() < until, "step {step}, {query}:\n direct {expected}\nthrough {found}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn scraping(pages: &Pages) -> String {
    let mut config =
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: pages\n  static_configs:\n"
            .to_owned();
    for page in 0..PAGES {
        writeln!(
            config,
            "  - targets: ['{}']\n    labels: {{__metrics_path__: /direct/{page}, instance: page {page}}}",
            pages.address
        )
        .expect("a String can be written to");
    }
    config
}

fn forwarding(pages: &Pages, to: &str) -> String {
    let mut targets = String::new();
    for page in 0..PAGES {
        writeln!(
            targets,
            "\t\t{{__address__ = \"{}\", __metrics_path__ = \"/through/{page}\", instance = \"page {page}\"}},",
            pages.address
        )
        .expect("a String can be written to");
    }
    format!(
        "prometheus.scrape \"pages\" {{\n\ttargets = [\n{targets}\t]\n\tjob_name = \"pages\"\n\tscrape_interval = \"1s\"\n\tscrape_timeout = \"1s\"\n\tforward_to = [prometheus.remote_write.there.receiver]\n}}\n\
         prometheus.remote_write \"there\" {{\n\tendpoint {{\n\t\turl = \"http://{to}/api/v1/write\"\n\t\tqueue_config {{\n\t\t\tmax_shards = 1\n\t\t\tbatch_send_deadline = \"100ms\"\n\t\t}}\n\t}}\n}}\n"
    )
}

// === impl Prometheus ===

impl Prometheus {
    fn start(folder: &Path, config: &str) -> Prometheus {
        std::fs::create_dir(folder).expect("a folder can be made");
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).expect("a file can be written");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was there a moment ago");
        let stderr = child.stderr.take().expect("it is piped");
        let (sender, addresses) = sync_channel(1);
        std::thread::spawn(move || {
            // Its log is read to the end, so that it never waits for a reader.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("\"Listening on\" address=") {
                    drop(sender.try_send(address.trim_matches('"').to_owned()));
                }
            }
        });
        let mut prometheus = Prometheus { child, address: String::new() };
        prometheus.address = addresses.recv_timeout(2 * PATIENCE).expect("it says where it listens");
        let until = Instant::now() + 2 * PATIENCE;
        while Running::stream(&prometheus.address, "/-/ready", PATIENCE).0 != 200 {
            assert!(Instant::now() < until, "it does not get ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        prometheus
    }

    fn ask(&self, path: &str) -> Value {
        let (_, body) = Running::stream(&self.address, path, PATIENCE);
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
        assert_eq!(answer["status"], "success", "{path}: {body}");
        answer["data"]["result"].take()
    }

    /// The samples that a query finds at a moment, in milliseconds since 1970; in an order that is always the same.
    fn query(&self, query: &str, at: i64) -> Value {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let mut found = self.ask(&format!("/api/v1/query?query={query}&time={}.{:03}", at / 1000, at % 1000));
        if let Some(samples) = found.as_array_mut() {
            samples.sort_by_cached_key(|sample| sample["metric"].to_string());
        }
        found
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
