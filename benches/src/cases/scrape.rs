//! Scrape to remote write.

use sdk_testing::sink;

use super::{Row, WARM_UP, WINDOW, row, window};
use crate::agent::{Candidate, Kind};
use crate::load;

/// 200 targets of 550 samples every 2 s, to remote write: 55,000 samples/s.
pub async fn run(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    if candidate.kind == Kind::Collector {
        return Ok(None);
    }
    const TARGETS: usize = 200;
    let targets_port = load::targets().await?;
    let (port, tally) = sink::http(sink::Protocol::RemoteWrite).await?;
    let url = format!("http://127.0.0.1:{port}/api/v1/write");
    let folder = tempfile::tempdir()?;
    let config = if candidate.speaks_alloy() {
        let targets: String = (0..TARGETS)
            .map(|n| format!("\t\t{{\"__address__\" = \"127.0.0.1:{targets_port}\", \"__metrics_path__\" = \"/t/{n}\", \"instance\" = \"host-{n}:9100\"}},\n"))
            .collect();
        format!(
            "prometheus.scrape \"bench\" {{\n\ttargets = [\n{targets}\t]\n\tscrape_interval = \"2s\"\n\tscrape_timeout = \"2s\"\n\
             \tforward_to = [prometheus.remote_write.bench.receiver]\n}}\n\
             prometheus.remote_write \"bench\" {{\n\tendpoint {{\n\t\turl = \"{url}\"\n\t}}\n}}\n"
        )
    } else {
        let targets: String = (0..TARGETS)
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
    let note = format!("{:.0} samples/s arrived", seen.1 as f64 / WINDOW.as_secs_f64());
    let row = row(candidate, &agent, "sample", seen, note);
    agent.stop().await?;
    row
}
