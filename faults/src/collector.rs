//! The binary under test, from its start to its end.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::Settings;

/// One that runs. It dies with this value.
pub struct Collector {
    child: Child,
    http: u16,
    patience: Duration,
    told: PathBuf,
    /// Where in that file its own log begins.
    begins: u64,
}

/// What a process holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holdings {
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub files: u64,
    /// Resident memory.
    pub kilobytes: u64,
    /// Of this, what is no file: the program itself is one, and a debug build a large one.
    pub anonymous: u64,
}

impl std::fmt::Display for Holdings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} threads, {} files, {} MiB", self.threads, self.files, self.kilobytes / 1024)
    }
}

// === impl Collector ===

impl Collector {
    /// Starts it on `config.alloy` and `data` of a folder, and waits until it is ready.
    pub async fn start(folder: &Path, settings: &Settings) -> Result<Collector, String> {
        let told = folder.join("collector.log");
        let log = std::fs::OpenOptions::new().append(true).create(true).open(&told).map_err(said)?;
        let before = log.metadata().map_err(said)?.len();
        let child = Command::new(&settings.binary)
            .arg("run")
            .arg(folder.join("config.alloy"))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg("--server.http.listen-addr=127.0.0.1:0")
            .arg("--disable-reporting")
            // Durable queues of spans and version 2 of remote write are that young in Alloy.
            .arg("--stability.level=experimental")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .env("NO_COLOR", "1")
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", settings.binary.display()))?;
        let mut collector = Collector { child, http: 0, patience: settings.patience, told, begins: before };
        let start = Instant::now();
        while !collector.is_ready().await {
            if let Ok(Some(status)) = collector.child.try_wait() {
                return Err(format!("it ended at its start with {status}:\n{}", collector.last_words()));
            }
            if start.elapsed() > settings.patience {
                return Err(format!("not ready after {:?}:\n{}", settings.patience, collector.last_words()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(collector)
    }

    async fn is_ready(&mut self) -> bool {
        if self.http == 0 {
            let log = std::fs::read(&self.told).unwrap_or_default();
            let log = String::from_utf8_lossy(log.get(self.begins as usize..).unwrap_or_default()).into_owned();
            let line = log.lines().find(|line| line.contains("now listening for http traffic"));
            let Some(port) = line.and_then(port_in) else { return false };
            self.http = port;
        }
        self.request("GET /-/ready").await.is_some_and(|answer| answer.contains(" 200 "))
    }

    /// The port on which a component of it listens, as it has said.
    pub async fn port_of(&self, id: &str) -> Result<u16, String> {
        let start = Instant::now();
        while start.elapsed() < self.patience {
            let log = std::fs::read(&self.told).map_err(said)?;
            let log = String::from_utf8_lossy(log.get(self.begins as usize..).unwrap_or_default()).into_owned();
            let said = log.lines().find(|line| line.contains("msg=listening") && line.contains(id));
            if let Some(port) = said.and_then(port_in) {
                return Ok(port);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("{id} does not say where it listens:\n{}", self.last_words()))
    }

    /// How much it has told.
    pub fn told(&self) -> usize {
        std::fs::metadata(&self.told).map_or(0, |log| log.len() as usize)
    }

    /// Waits until it tells this behind what it [had told](Collector::told), for so long at most.
    pub async fn tells(&self, words: &str, had_told: usize, at_most: Duration) {
        let tells = async {
            loop {
                let log = std::fs::read(&self.told).unwrap_or_default();
                if String::from_utf8_lossy(log.get(had_told..).unwrap_or_default()).contains(words) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(at_most, tells).await;
    }

    /// kill -9.
    pub async fn kill(mut self) -> Result<(), String> {
        self.child.kill().await.map_err(said)
    }

    /// SIGTERM; how long it took to end well.
    pub async fn stop(mut self) -> Result<Duration, String> {
        let start = Instant::now();
        let id = self.child.id().ok_or("it has ended by itself")?;
        kill(Pid::from_raw(id as i32), Signal::SIGTERM).map_err(said)?;
        let Ok(status) = tokio::time::timeout(self.patience * 2, self.child.wait()).await else {
            return Err(format!("it does not stop:\n{}", self.last_words()));
        };
        match status.map_err(said)?.code() {
            Some(0) => Ok(start.elapsed()),
            code => Err(format!("it ended with {code:?}:\n{}", self.last_words())),
        }
    }

    /// Reads its configuration again; whether it took it.
    pub async fn reload(&self) -> Result<bool, String> {
        let answer = self.request("POST /-/reload").await.ok_or("it does not answer")?;
        Ok(answer.split(' ').nth(1) == Some("200"))
    }

    /// What one of its own counters says, summed over its series; only for notes.
    pub async fn metric(&self, name: &str) -> f64 {
        let page = self.request("GET /metrics").await.unwrap_or_default();
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        page.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// What it holds now.
    pub fn holdings(&self) -> Result<Holdings, String> {
        let id = self.child.id().ok_or("it has ended by itself")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).map_err(said)?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("the kernel does not tell {name}"))
        };
        let files = std::fs::read_dir(format!("/proc/{id}/fd")).map_err(said)?.count() as u64;
        Ok(Holdings {
            threads: number("Threads:")?,
            files,
            kilobytes: number("VmRSS:")?,
            anonymous: number("RssAnon:")?,
        })
    }

    /// Does something, and looks meanwhile how much memory it holds; the most, in KiB, without files.
    pub async fn watched<T>(&self, work: impl Future<Output = T>) -> Result<(T, u64), String> {
        let mut work = std::pin::pin!(work);
        let mut most = self.holdings()?.anonymous;
        loop {
            tokio::select! {
                done = &mut work => return Ok((done, most.max(self.holdings()?.anonymous))),
                () = tokio::time::sleep(Duration::from_millis(20)) => most = most.max(self.holdings()?.anonymous),
            }
        }
    }

    /// Waits until it has a file open: what is gone before anybody could open it, nobody can read.
    pub async fn opens(&self, path: &Path) -> Result<(), String> {
        let identity = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        let folder = format!("/proc/{}/fd", self.child.id().ok_or("it has ended by itself")?);
        let start = Instant::now();
        while start.elapsed() < self.patience {
            let open = std::fs::read_dir(&folder).map_err(said)?.flatten();
            if open.map(|entry| identity(&entry.path())).any(|one| one.is_some() && one == identity(path)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(format!("{} is not opened:\n{}", path.display(), self.last_words()))
    }

    async fn request(&self, line: &str) -> Option<String> {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.http)).await.ok()?;
        stream.write_all(format!("{line} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.told).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// The port of the address of this machine that stands in a line.
fn port_in(line: &str) -> Option<u16> {
    let digits = line.rsplit("127.0.0.1:").next()?.chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().ok()
}

/// An error as its text.
pub fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
