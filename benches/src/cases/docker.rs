//! Lines of containers to Loki, through the engine's API: what the many do who run us beside Docker.

use std::time::Duration;

use sdk_testing::sink;

use super::{Row, WARM_UP, WINDOW, row, window};
use crate::agent::Candidate;
use crate::load::Engine;

const LINES_PER_SECOND: u64 = 20_000;

/// Bytes of a line, as files have them in the other cases.
const LINE: f64 = 300.0;

/// 20 containers, 1,000 lines of each a second.
pub async fn run(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let (port, tally) = sink::http(sink::Protocol::Loki).await?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("docker.sock");
    let engine = Engine::start(&socket)?;
    let host = socket.display();
    let config = format!(
        "discovery.docker \"bench\" {{\n\thost = \"unix://{host}\"\n}}\n\
         loki.source.docker \"bench\" {{\n\thost = \"unix://{host}\"\n\ttargets = discovery.docker.bench.targets\n\tlabels = {{ job = \"bench\" }}\n\tforward_to = [loki.write.bench.receiver]\n}}\n\
         loki.write \"bench\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/loki/api/v1/push\"\n\t}}\n}}\n"
    );
    let agent = candidate.start(folder.path(), &config, "").await?;
    agent.ready().await?;
    // Containers are found, and their logs followed.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let written = engine.write(LINES_PER_SECOND, WARM_UP + WINDOW);
    tokio::time::sleep(WARM_UP).await;
    let seen = window(&agent, &tally, WINDOW - Duration::from_secs(2)).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (lost, repeated) = tally.lost_and_repeated(written);
    let note = format!(
        "{:.0} MB per CPU-second, {written} written, {lost} lost, {repeated} repeated",
        seen.1 as f64 * LINE / 1e6 / seen.0.as_secs_f64()
    );
    let row = row(candidate, &agent, "line", seen, note);
    agent.stop().await?;
    row
}
