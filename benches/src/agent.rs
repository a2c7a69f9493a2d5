//! A collector under test: started with a configuration of its own language, measured from outside.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::apart::Apart;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Us.
    Ferroalloy,
    /// `$ALLOY_BIN`.
    Alloy,
    /// `$OTELCOL_BIN`: an OpenTelemetry Collector with the receiver and exporter `otlp` and the processors `batch` and `attributes`.
    Collector,
    /// Prometheus in agent mode.
    Prometheus,
    /// VictoriaMetrics' agent.
    Vmagent,
}

/// A collector and where its binary is.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Which.
    pub kind: Kind,
    /// The binary.
    pub binary: PathBuf,
    /// Whether it gets a core of its own.
    pub apart: bool,
}

/// One that runs.
pub struct Agent {
    child: Child,
    clock: ClockId,
    /// Its address for `/-/ready`, if it has one.
    pub http_port: u16,
}

/// Memory now, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Anonymous.
    pub anonymous: u64,
    /// Backed by files: the binary, mostly.
    pub file: u64,
}

// === impl Candidate ===

impl Candidate {
    /// Ferroalloy's release build, or the one in `$FERROALLOY_BIN`.
    pub fn ours() -> Candidate {
        let binary = std::env::var_os("FERROALLOY_BIN")
            .map_or_else(|| PathBuf::from("target/release/ferroalloy"), PathBuf::from);
        Candidate { kind: Kind::Ferroalloy, binary, apart: false }
    }

    /// Ours, then each peer that is installed.
    pub fn all() -> Vec<Candidate> {
        let mut all = vec![Candidate::ours()];
        if let Some(alloy) = std::env::var_os("ALLOY_BIN") {
            all.push(Candidate { kind: Kind::Alloy, binary: alloy.into(), apart: false });
        }
        if let Some(collector) = std::env::var_os("OTELCOL_BIN") {
            all.push(Candidate { kind: Kind::Collector, binary: collector.into(), apart: false });
        }
        for (kind, name) in [(Kind::Prometheus, "prometheus"), (Kind::Vmagent, "vmagent")] {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .map(|folder| folder.join(name))
                .find(|path| path.is_file());
            all.extend(found.map(|binary| Candidate { kind, binary, apart: false }));
        }
        all
    }

    /// Whether it reads Alloy's language.
    pub fn speaks_alloy(&self) -> bool {
        matches!(self.kind, Kind::Ferroalloy | Kind::Alloy)
    }

    /// Starts it on a configuration; `remote_write` is the URL for those that take it as a flag.
    pub async fn start(&self, folder: &Path, config: &str, remote_write: &str) -> std::io::Result<Agent> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = folder.join(if self.speaks_alloy() { "config.alloy" } else { "config.yml" });
        std::fs::write(&file, config)?;
        let listen = format!("127.0.0.1:{port}");
        let storage = folder.join("data");
        let mut command: Command =
            if self.apart { Apart::command(&self.binary).into() } else { Command::new(&self.binary) };
        match self.kind {
            Kind::Ferroalloy | Kind::Alloy => command
                .arg("run")
                .arg(&file)
                .arg(format!("--server.http.listen-addr={listen}"))
                .arg(format!("--storage.path={}", storage.display()))
                .arg("--disable-reporting")
                .arg("--stability.level=experimental"),
            Kind::Collector => command.arg(format!("--config={}", file.display())),
            Kind::Prometheus => command
                .arg("--enable-feature=agent")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.agent.path={}", storage.display()))
                .arg(format!("--web.listen-address={listen}")),
            Kind::Vmagent => command
                .arg(format!("-promscrape.config={}", file.display()))
                .arg(format!("-remoteWrite.url={remote_write}"))
                .arg(format!("-remoteWrite.tmpDataPath={}", storage.display()))
                .arg(format!("-httpListenAddr={listen}")),
        };
        let log = std::fs::File::create(folder.join("log"))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true).spawn()?;
        let pid = Pid::from_raw(child.id().expect("just started") as i32);
        Ok(Agent { child, clock: clock_getcpuclockid(pid)?, http_port: port })
    }
}

// === impl Agent ===

impl Agent {
    /// CPU time so far, user and system, all threads.
    pub fn cpu(&self) -> std::io::Result<Duration> {
        Ok(self.clock.now()?.into())
    }

    /// Memory now.
    pub fn memory(&self) -> std::io::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap_or_default()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_start_matches(':')
                .split_whitespace()
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or_default()
        };
        Ok(Memory { anonymous: field("RssAnon"), file: field("RssFile") })
    }

    /// Waits until `/-/ready` answers 200; how long that took.
    pub async fn ready(&self) -> std::io::Result<Duration> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let start = Instant::now();
        loop {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(std::io::Error::other("not ready after 60 s"));
            }
            if let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", self.http_port)).await {
                stream.write_all(b"GET /-/ready HTTP/1.0\r\nHost: x\r\n\r\n").await?;
                let mut answer = [0; 16];
                let length = stream.read(&mut answer).await.unwrap_or_default();
                if answer[..length].windows(3).any(|window| window == b"200") {
                    return Ok(start.elapsed());
                }
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// SIGTERM, and how long it took to end.
    pub async fn stop(mut self) -> std::io::Result<Duration> {
        let start = Instant::now();
        if let Some(id) = self.child.id() {
            let _ = nix::sys::signal::kill(Pid::from_raw(id as i32), nix::sys::signal::Signal::SIGTERM);
        }
        if tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(start.elapsed())
    }
}
