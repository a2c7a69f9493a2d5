//! Log lines of a file to Loki: raw, CRI, and what people do to them.

use std::time::Duration;

use sdk_testing::sink;

use super::{Row, WARM_UP, WINDOW, row, window};
use crate::agent::Candidate;
use crate::load::{self, Line};

/// Bytes written per second, whatever the lines are.
const BYTES_PER_SECOND: u64 = 10_000_000;

/// What the lines look like and what is done to them.
pub struct Tail {
    line: Line,
    stages: &'static str,
    /// In `loki.write`.
    queue: &'static str,
}

/// 300-byte lines as they are.
pub const RAW: Tail = Tail { line: Line::Json, stages: "", queue: "" };
/// The same, each on the disk before it is sent.
pub const WAL: Tail = Tail { queue: "wal {\n\t\tenabled = true\n\t}", ..RAW };
/// 300-byte lines of a container runtime.
pub const CRI: Tail = Tail { line: Line::Cri, stages: "stage.cri { }", queue: "" };
/// The same, with three JSON keys made labels.
pub const JSON: Tail = Tail {
    line: Line::Cri,
    stages: "stage.cri { }
	stage.json {
		expressions = { level = \"\", method = \"\", status = \"\" }
	}
	stage.labels {
		values = { level = \"\", method = \"\", status = \"\" }
	}",
    queue: "",
};
/// 157-byte lines of a web server, taken apart by a regular expression of nine groups.
pub const REGEX: Tail = Tail {
    line: Line::Access,
    stages: "stage.regex {
		expression = `^(?P<ip>\\S+) (?P<identd>\\S+) (?P<user>\\S+) \\[(?P<time>[\\w:/]+\\s[+\\-]\\d{4})\\] \"(?P<action>\\S+) (?P<path>\\S+) (?P<protocol>\\S+)\" (?P<status>\\d{3}) (?P<size>\\d+)`
	}
	stage.labels {
		values = { action = \"\", status = \"\" }
	}",
    queue: "",
};
/// 40-byte lines as they are.
pub const SHORT: Tail = Tail { line: Line::Short, stages: "", queue: "" };

/// One file, 10 MB/s.
pub async fn run(candidate: &Candidate, tail: &Tail) -> std::io::Result<Option<Row>> {
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let (port, tally) = sink::http(sink::Protocol::Loki).await?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("pod.log");
    std::fs::write(&log, "")?;
    let next = if tail.stages.is_empty() { "loki.write" } else { "loki.process" };
    let process = match tail.stages {
        "" => String::new(),
        stages => {
            format!("loki.process \"bench\" {{\n\t{stages}\n\tforward_to = [loki.write.bench.receiver]\n}}\n")
        }
    };
    let config = format!(
        "local.file_match \"bench\" {{\n\tpath_targets = [{{\"__path__\" = \"{}\", \"job\" = \"bench\"}}]\n}}\n\
         loki.source.file \"bench\" {{\n\ttargets = local.file_match.bench.targets\n\tforward_to = [{next}.bench.receiver]\n}}\n{process}\
         loki.write \"bench\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/loki/api/v1/push\"\n\t}}\n\t{}\n}}\n",
        log.display(),
        tail.queue
    );
    let agent = candidate.start(folder.path(), &config, "").await?;
    agent.ready().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (line, rate) = (tail.line, BYTES_PER_SECOND / tail.line.bytes() as u64);
    let writer = tokio::spawn(async move { load::write_lines(&log, line, rate, WARM_UP + WINDOW).await });
    tokio::time::sleep(WARM_UP).await;
    let seen = window(&agent, &tally, WINDOW - Duration::from_secs(2)).await?;
    let written = writer.await.map_err(std::io::Error::other)??;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (lost, repeated) = tally.lost_and_repeated(written);
    let note = format!(
        "{:.0} MB per CPU-second, {written} written, {lost} lost, {repeated} repeated",
        seen.1 as f64 * line.bytes() as f64 / 1e6 / seen.0.as_secs_f64()
    );
    let row = row(candidate, &agent, "line", seen, note);
    agent.stop().await?;
    row
}
