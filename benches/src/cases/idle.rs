//! A host that watches itself.

use std::time::Duration;

use sdk_testing::sink;

use super::{Row, row, window};
use crate::agent::Candidate;

/// This host's own metrics every 15 s, to remote write; the item is one scrape.
pub async fn run(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    const SCRAPES: u32 = 4;
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let (port, tally) = sink::http(sink::Protocol::RemoteWrite).await?;
    let folder = tempfile::tempdir()?;
    let config = format!(
        "prometheus.exporter.unix \"bench\" {{ }}\n\
         prometheus.scrape \"bench\" {{\n\ttargets = prometheus.exporter.unix.bench.targets\n\tscrape_interval = \"15s\"\n\
         \tforward_to = [prometheus.remote_write.bench.receiver]\n}}\n\
         prometheus.remote_write \"bench\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/api/v1/write\"\n\t}}\n}}\n"
    );
    let agent = candidate.start(folder.path(), &config, "").await?;
    agent.ready().await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (cpu, samples, bytes) = window(&agent, &tally, Duration::from_secs(15) * SCRAPES).await?;
    let note = format!("{} samples per scrape", samples / u64::from(SCRAPES));
    let row = row(candidate, &agent, "scrape", (cpu, u64::from(SCRAPES), bytes), note);
    agent.stop().await?;
    row
}
