//! Ten thousand log files that nobody writes to.

use std::time::Duration;

use sdk_testing::sink;

use super::{Row, row, window};
use crate::agent::Candidate;

const FILES: usize = 10_000;

/// Lines in each, which are sent first.
const LINES: usize = 10;

/// What they cost while nothing happens; the item is one second.
pub async fn run(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    const SECONDS: u32 = 60;
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let (port, tally) = sink::http(sink::Protocol::Loki).await?;
    let folder = tempfile::tempdir()?;
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs)?;
    for file in 0..FILES {
        let lines =
            (0..LINES).map(|line| format!("file {file} line {line}: nothing has happened since the last one\n"));
        std::fs::write(logs.join(format!("app-{file:05}.log")), lines.collect::<String>())?;
    }
    let config = format!(
        "local.file_match \"bench\" {{\n\tpath_targets = [{{\"__path__\" = \"{}/*.log\", \"job\" = \"bench\"}}]\n}}\n\
         loki.source.file \"bench\" {{\n\ttargets = local.file_match.bench.targets\n\tforward_to = [loki.write.bench.receiver]\n}}\n\
         loki.write \"bench\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/loki/api/v1/push\"\n\t}}\n}}\n",
        logs.display()
    );
    let agent = candidate.start(folder.path(), &config, "").await?;
    agent.ready().await?;
    tokio::time::sleep(Duration::from_secs(40)).await;
    let read = tally.items.load(std::sync::atomic::Ordering::Relaxed);
    let (cpu, _, bytes) = window(&agent, &tally, Duration::from_secs(1) * SECONDS).await?;
    let memory = agent.memory()?;
    let note = format!(
        "{FILES} files, {read} of {} lines sent before, {:.2} % of a core, {:.0} MiB in all",
        FILES * LINES,
        cpu.as_secs_f64() * 100.0 / f64::from(SECONDS),
        (memory.anonymous + memory.file) as f64 / 1024.0
    );
    let row = row(candidate, &agent, "second", (cpu, u64::from(SECONDS), bytes), note);
    agent.stop().await?;
    row
}
