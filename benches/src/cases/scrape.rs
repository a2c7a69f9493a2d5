//! Scrape to remote write.

use sdk_testing::sink;

use super::{Row, WARM_UP, WINDOW, row, window};
use crate::agent::{Candidate, Kind};
use crate::load::{self, Page};

/// What is scraped, and how it is sent on.
pub struct Scrape {
    targets: usize,
    page: Page,
    gzip: bool,
    /// By remote write 2, which not all peers speak.
    version_2: bool,
}

/// 200 pages of 550 samples every 2 s: 55,000 samples/s.
pub const NODE: Scrape = Scrape { targets: 200, page: Page::Node, gzip: false, version_2: false };
/// The same pages compressed, as exporters send them.
pub const GZIP: Scrape = Scrape { gzip: true, ..NODE };
/// 50 compressed pages of 2,000 samples with 12 labels: 50,000 samples/s.
pub const LABELS: Scrape = Scrape { targets: 50, page: Page::Labels, ..GZIP };
/// The compressed pages by remote write 2.
pub const VERSION_2: Scrape = Scrape { version_2: true, ..GZIP };

/// Every 2 s, to remote write.
pub async fn run(candidate: &Candidate, case: &Scrape) -> std::io::Result<Option<Row>> {
    let speaks = candidate.speaks_alloy() || (candidate.kind != Kind::Collector && !case.version_2);
    if !speaks {
        return Ok(None);
    }
    let count = case.targets;
    let targets_port = load::targets(case.page, case.gzip).await?;
    let (port, tally) = sink::http(sink::Protocol::RemoteWrite).await?;
    let url = format!("http://127.0.0.1:{port}/api/v1/write");
    let folder = tempfile::tempdir()?;
    let config = if candidate.speaks_alloy() {
        let targets: String = (0..count)
            .map(|n| format!("\t\t{{\"__address__\" = \"127.0.0.1:{targets_port}\", \"__metrics_path__\" = \"/t/{n}\", \"instance\" = \"host-{n}:9100\"}},\n"))
            .collect();
        let message = match case.version_2 {
            true => "\n\t\tprotobuf_message = \"io.prometheus.write.v2.Request\"",
            false => "",
        };
        format!(
            "prometheus.scrape \"bench\" {{\n\ttargets = [\n{targets}\t]\n\tjob_name = \"bench\"\n\tscrape_interval = \"2s\"\n\tscrape_timeout = \"2s\"\n\
             \tforward_to = [prometheus.remote_write.bench.receiver]\n}}\n\
             prometheus.remote_write \"bench\" {{\n\tendpoint {{\n\t\turl = \"{url}\"{message}\n\t}}\n}}\n"
        )
    } else {
        let targets: String = (0..count)
            .map(|n| {
                format!(
                    "      - targets: ['127.0.0.1:{targets_port}']\n        labels: {{__metrics_path__: '/t/{n}', instance: 'host-{n}:9100'}}\n"
                )
            })
            .collect();
        let remote =
            if candidate.kind == Kind::Prometheus { format!("remote_write:\n  - url: {url}\n") } else { String::new() };
        format!(
            "global:\n  scrape_interval: 2s\n  scrape_timeout: 2s\n{remote}scrape_configs:\n  - job_name: bench\n    static_configs:\n{targets}"
        )
    };
    let agent = candidate.start(folder.path(), &config, &url).await?;
    tokio::time::sleep(WARM_UP).await;
    let seen = window(&agent, &tally, WINDOW).await?;
    let served = (case.targets * case.page.samples()) as f64 / 2.0;
    let note = format!("{:.0} samples/s arrived, {served:.0} on the pages", seen.1 as f64 / WINDOW.as_secs_f64());
    let row = row(candidate, &agent, "sample", seen, note);
    agent.stop().await?;
    row
}
