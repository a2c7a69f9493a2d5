//! The real binary under faults of the first kind, judged by what was written and what arrived, never by our own counters.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sdk_testing::sink::{self, Protocol, Tally};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(30);

/// A log file with numbered lines, and the configuration that ships it.
struct Pipeline {
    folder: tempfile::TempDir,
    written: u64,
}

impl Pipeline {
    fn new(port: u16) -> Pipeline {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipeline = Pipeline { folder, written: 0 };
        std::fs::write(pipeline.log(), "").expect("a log file");
        pipeline.configure(&config(&pipeline.log(), port));
        pipeline
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("app.log")
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.folder.path().join("config.alloy"), text).expect("a configuration");
    }

    fn write(&mut self, lines: u64) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.log()).expect("the log file");
        let text: String =
            (self.written..self.written + lines).map(|number| format!("seq={number} something happened\n")).collect();
        file.write_all(text.as_bytes()).expect("room for the log");
        self.written += lines;
    }

    async fn start(&self) -> (Child, u16) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let child = Command::new(env!("CARGO_BIN_EXE_ferroalloy"))
            .arg("run")
            .arg(self.folder.path().join("config.alloy"))
            .arg(format!("--storage.path={}", self.folder.path().join("data").display()))
            .arg(format!("--server.http.listen-addr=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let start = tokio::time::Instant::now();
        while request(port, "GET /-/ready").await.is_none_or(|answer| !answer.contains(" 200 ")) {
            assert!(start.elapsed() < PATIENCE, "not ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (child, port)
    }

    async fn all_arrive(&self, tally: &Tally) {
        let start = tokio::time::Instant::now();
        while tally.lost_and_repeated(self.written).0 > 0 && start.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (lost, repeated) = tally.lost_and_repeated(self.written);
        eprintln!("{} written, {lost} lost, {repeated} repeated", self.written);
        assert_eq!(lost, 0, "of {} lines, {repeated} came more than once", self.written);
    }
}

fn config(log: &Path, port: u16) -> String {
    format!(
        "local.file_match \"a\" {{\n\tpath_targets = [{{\"__path__\" = \"{}\"}}]\n}}\n\
         loki.source.file \"a\" {{\n\ttargets = local.file_match.a.targets\n\tforward_to = [loki.write.a.receiver]\n}}\n\
         loki.write \"a\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/loki/api/v1/push\"\n\t\tbatch_wait = \"100ms\"\n\t\tmin_backoff_period = \"100ms\"\n\t\tmax_backoff_period = \"500ms\"\n\t\tmax_backoff_retries = 0\n\t}}\n}}\n",
        log.display()
    )
}

async fn request(port: u16, line: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(format!("{line} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_while_tailing_loses_no_line() {
    let (port, tally) = sink::http(Protocol::Loki).await.expect("a sink");
    let mut pipeline = Pipeline::new(port);
    for _ in 0..4 {
        let (mut child, _) = pipeline.start().await;
        for _ in 0..20 {
            pipeline.write(250);
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        child.kill().await.expect("it runs");
        pipeline.write(250);
    }
    let (_child, _) = pipeline.start().await;
    pipeline.all_arrive(&tally).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_was_down_gets_everything_afterwards() {
    let (port, tally) = sink::http(Protocol::Loki).await.expect("a sink");
    tally.mood.answer(503);
    let mut pipeline = Pipeline::new(port);
    let (mut child, _) = pipeline.start().await;
    for _ in 0..20 {
        pipeline.write(500);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(tally.items.load(Relaxed), 0);
    // A restart in the middle of the outage must not cost anything either.
    child.kill().await.expect("it runs");
    let (_child, _) = pipeline.start().await;
    pipeline.write(500);
    tally.mood.answer(0);
    pipeline.all_arrive(&tally).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_nothing_behind() {
    let (port, tally) = sink::http(Protocol::Loki).await.expect("a sink");
    let mut pipeline = Pipeline::new(port);
    let (mut child, _) = pipeline.start().await;
    pipeline.write(5000);
    tally.wait_for(1, PATIENCE).await.expect("lines arrive");
    let id = child.id().expect("it runs");
    assert!(std::process::Command::new("kill").arg(id.to_string()).status().is_ok_and(|status| status.success()));
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it stops").expect("it ran");
    assert_eq!(status.code(), Some(0));
    let (_child, _) = pipeline.start().await;
    pipeline.all_arrive(&tally).await;
    assert_eq!(tally.lost_and_repeated(pipeline.written).1, 0, "a normal stop repeats nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_reloads_loses_no_line_and_a_bad_one_changes_nothing() {
    let (port, tally) = sink::http(Protocol::Loki).await.expect("a sink");
    let mut pipeline = Pipeline::new(port);
    let (_child, http) = pipeline.start().await;
    let good = config(&pipeline.log(), port);
    for round in 0..30 {
        pipeline.write(100);
        let (text, status) = match round % 3 {
            0 => (good.replace("batch_wait = \"100ms\"", &format!("batch_wait = \"{}ms\"", 50 + round)), " 200 "),
            1 => (format!("{good}\nloki.wriet \"b\" {{ }}\n"), " 400 "),
            _ => (good.clone(), " 200 "),
        };
        pipeline.configure(&text);
        let answer = request(http, "POST /-/reload").await.expect("it answers");
        assert!(answer.contains(status), "round {round}: {answer}");
    }
    pipeline.all_arrive(&tally).await;
}

/// How a log file is given up for a new one.
#[derive(Clone, Copy, Debug)]
enum Rotation {
    /// Renamed; a new one gets the name.
    Rename,
    /// Deleted; a new one gets the name.
    Delete,
}

/// Waits until a process has a file open: what is gone before anybody could open it, nobody can read.
async fn is_open(process: &Child, path: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    let folder = format!("/proc/{}/fd", process.id().expect("it runs"));
    let start = tokio::time::Instant::now();
    loop {
        let open = std::fs::read_dir(&folder).expect("it runs").flatten();
        if open.map(|entry| identity(&entry.path())).any(|one| one.is_some() && one == identity(path)) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{} is not opened", path.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Ten rotations a second, each right behind the last line, which is the worst moment.
async fn storm(rotation: Rotation) {
    let (port, tally) = sink::http(Protocol::Loki).await.expect("a sink");
    let mut pipeline = Pipeline::new(port);
    let (child, _) = pipeline.start().await;
    pipeline.write(1);
    tally.wait_for(1, PATIENCE).await.expect("the file is followed");
    for round in 0..60 {
        for _ in 0..5 {
            pipeline.write(20);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        is_open(&child, &pipeline.log()).await;
        match rotation {
            Rotation::Rename => {
                let old = pipeline.log().with_file_name(format!("app.log.{round}"));
                std::fs::rename(pipeline.log(), old).expect("it has another name");
            }
            Rotation::Delete => std::fs::remove_file(pipeline.log()).expect("it is gone"),
        }
        std::fs::write(pipeline.log(), "").expect("a new file");
    }
    pipeline.all_arrive(&tally).await;
    assert_eq!(tally.lost_and_repeated(pipeline.written).1, 0, "{rotation:?} repeats nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_renames_loses_no_line() {
    storm(Rotation::Rename).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_deletions_loses_no_line() {
    storm(Rotation::Delete).await;
}

/// A port that nobody listens on.
fn dead_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Every line arrives once at the living sink, while the other is dead all the time.
async fn the_living_sink_gets_everything_once(with_dead: impl Fn(&str, u16) -> String) {
    let (port, tally) = sink::http(Protocol::Loki).await.expect("a sink");
    let mut pipeline = Pipeline::new(port);
    let text = with_dead(&config(&pipeline.log(), port), port);
    pipeline.configure(&text);
    let (_child, _) = pipeline.start().await;
    for _ in 0..40 {
        pipeline.write(500);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pipeline.all_arrive(&tally).await;
    assert_eq!(tally.lost_and_repeated(pipeline.written).1, 0, "nothing comes twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_beside_a_living_one_costs_that_one_nothing() {
    let dead = dead_port();
    the_living_sink_gets_everything_once(|text, port| {
        let (before, endpoint) = text.split_once("\tendpoint {").expect("there is an endpoint");
        let endpoint = endpoint.strip_suffix("}\n").expect("loki.write comes last");
        let other = endpoint.replace(&format!(":{port}/"), &format!(":{dead}/"));
        format!("{before}\tendpoint {{{other}\tendpoint {{{endpoint}}}\n")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_component_beside_a_living_one_costs_that_one_nothing() {
    let dead = dead_port();
    the_living_sink_gets_everything_once(|text, port| {
        let both = text.replace("[loki.write.a.receiver]", "[loki.write.dead.receiver, loki.write.a.receiver]");
        let (_, write) = text.split_once("loki.write \"a\"").expect("it is there");
        format!("{both}\nloki.write \"dead\"{}", write.replace(&format!(":{port}/"), &format!(":{dead}/")))
    })
    .await;
}

/// What a process holds: threads, open files, and resident memory in kilobytes.
fn holdings(id: u32) -> (u64, usize, u64) {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    let files = std::fs::read_dir(format!("/proc/{id}/fd")).expect("it is ours").count();
    (number("Threads:"), files, number("VmRSS:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_reloads_leave_nothing_behind() {
    let (port, _tally) = sink::http(Protocol::Loki).await.expect("a sink");
    let pipeline = Pipeline::new(port);
    let (child, http) = pipeline.start().await;
    let id = child.id().expect("it runs");
    let good = config(&pipeline.log(), port);
    let free = dead_port();
    let reload = async |round: usize| {
        // Arguments change, components come and go with their ports and queues, and every tenth text is wrong.
        let text = match round % 10 {
            9 => format!("{good}\nloki.wriet \"b\" {{ }}\n"),
            even if even % 2 == 0 => format!(
                "{}\notelcol.receiver.otlp \"r\" {{\n\thttp {{\n\t\tendpoint = \"127.0.0.1:{free}\"\n\t}}\n\toutput {{ }}\n}}\nloki.write \"b\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/\"\n\t}}\n}}\n",
                good.replace("batch_wait = \"100ms\"", &format!("batch_wait = \"{}ms\"", 50 + round))
            ),
            _ => good.clone(),
        };
        pipeline.configure(&text);
        let answer = request(http, "POST /-/reload").await.expect("it answers");
        assert!(answer.contains(if round % 10 == 9 { " 400 " } else { " 200 " }), "round {round}: {answer}");
    };
    for round in 0..40 {
        reload(round).await;
    }
    let before = holdings(id);
    for round in 40..240 {
        reload(round).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = holdings(id);
    eprintln!("threads, files, kB: {before:?} before 200 reloads, {after:?} after");
    // Blocking threads come and go by themselves; one for each reload would be 200.
    assert!(after.0 <= before.0 + 8, "threads: {before:?} to {after:?}");
    assert!(after.1 <= before.1 + 8, "files: {before:?} to {after:?}");
    assert!(after.2 <= before.2 + 16_000, "memory: {before:?} to {after:?}");
}
