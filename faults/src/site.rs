//! What is written, a sink, and a folder for a collector between them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sdk_testing::sink::{self, Protocol, Tally, Verdict};
use tempfile::TempDir;

use crate::collector::{Collector, said};
use crate::config::{self, Config, Keeping, Otlp};
use crate::load::Load;
use crate::log::{Log, Rotation};
use crate::pushes::{Kind, Pushes};
use crate::targets::Numbered;
use crate::{Outcome, Settings};

/// Everything a scenario works with. `W` is what is written.
pub struct Site<W = Log> {
    folder: TempDir,
    /// How hard to try.
    pub settings: Settings,
    /// What arrived.
    pub tally: Arc<Tally>,
    /// Where the sink listens.
    pub port: u16,
    /// What is written.
    pub log: Arc<W>,
}

/// What numbers items, which must arrive.
pub trait Source: Send + Sync + Sized + 'static {
    /// So many items a second from now on.
    fn load(self: &Arc<Self>, rate: u64) -> Load;

    /// So many more items at once.
    fn write(&self, items: u64) -> Result<(), String>;

    /// The numbers that must arrive.
    fn numbers(&self) -> Vec<u64>;

    /// What it has to say.
    fn note(&self) -> String;

    /// Which of the collector's counters tells how many were sent.
    fn sent(&self) -> &'static str;

    /// A collector has started.
    async fn started(&self, collector: &Collector) -> Result<(), String>;
}

/// Without a new line for so long, no more will come.
const STILL: Duration = Duration::from_secs(15);

/// After everything has arrived: what comes now is a repeat.
const AFTERMATH: Duration = Duration::from_millis(700);

impl Source for Log {
    fn load(self: &Arc<Log>, rate: u64) -> Load {
        Log::load(self, rate)
    }

    fn write(&self, lines: u64) -> Result<(), String> {
        Log::write(self, lines).map_err(said)
    }

    fn sent(&self) -> &'static str {
        "loki_write_sent_entries_total"
    }

    fn numbers(&self) -> Vec<u64> {
        (0..self.written()).collect()
    }

    fn note(&self) -> String {
        String::new()
    }

    async fn started(&self, _: &Collector) -> Result<(), String> {
        Ok(())
    }
}

impl Source for Pushes {
    fn load(self: &Arc<Pushes>, rate: u64) -> Load {
        Pushes::load(self, rate)
    }

    fn write(&self, items: u64) -> Result<(), String> {
        self.push(items);
        Ok(())
    }

    fn sent(&self) -> &'static str {
        match self.protocol() {
            Protocol::RemoteWrite => "prometheus_remote_storage_samples_total",
            Protocol::Loki => "loki_write_sent_entries_total",
            Protocol::Otlp | Protocol::Spans => "otelcol_exporter_sent_spans_total",
        }
    }

    fn numbers(&self) -> Vec<u64> {
        self.taken()
    }

    fn note(&self) -> String {
        match self.refused() {
            0 => String::new(),
            refused => format!("{refused} were not taken, and the client was told so"),
        }
    }

    async fn started(&self, collector: &Collector) -> Result<(), String> {
        self.aim(collector.port_of(self.receiver()).await?);
        Ok(())
    }
}

impl Site {
    /// With an empty log and a sink that is well, configured with one endpoint.
    pub async fn new(settings: Settings, wal: bool, rotation: Option<Rotation>) -> Result<Site, String> {
        let folder = folder()?;
        let (port, tally) = sink::http(Protocol::Loki).await.map_err(said)?;
        let logs = folder.path().join("logs");
        std::fs::create_dir(&logs).map_err(said)?;
        let log = Log::create(&logs.join("app.log"), rotation).map_err(said)?;
        let site = Site { folder, settings, tally, port, log };
        site.configure(&Config::to(port, wal).text(site.log.path()))?;
        Ok(site)
    }

    /// The same for the lines with these numbers, which somebody else has written.
    pub async fn these_arrive(&self, numbers: &[u64]) -> Outcome {
        self.arrive(|| numbers.to_vec(), STILL.max(self.settings.patience)).await;
        outcome(self.tally.verdict(numbers.iter().copied()), numbers.len() as u64)
    }
}

impl Site<Numbered> {
    /// With a target that behaves, and a sink that is well.
    pub async fn scraped(settings: Settings) -> Result<Site<Numbered>, String> {
        let (port, tally) = sink::http(Protocol::RemoteWrite).await.map_err(said)?;
        Ok(Site { folder: folder()?, settings, tally, port, log: Numbered::start().await? })
    }
}

impl Site<Pushes> {
    /// With a client that pushes, and a sink that is well.
    pub async fn pushed(settings: Settings, kind: Kind, keeping: Keeping) -> Result<Site<Pushes>, String> {
        let log = Pushes::new(kind);
        let (port, tally) = sink::http(log.protocol()).await.map_err(said)?;
        let site = Site { folder: folder()?, settings, tally, port, log };
        site.configure(&config::relay(kind, keeping, port))?;
        Ok(site)
    }

    /// The same for OTLP that is passed on as `otlp` says. The exporter sends to the port that `through` makes of the sink's.
    pub async fn otlp(
        settings: Settings,
        log: Arc<Pushes>,
        otlp: &Otlp,
        through: impl AsyncFnOnce(u16) -> Result<u16, String>,
    ) -> Result<Site<Pushes>, String> {
        let (port, tally) = match otlp.grpc {
            true => sink::grpc_numbered().await,
            false => sink::http(Protocol::Otlp).await,
        }
        .map_err(said)?;
        let site = Site { folder: folder()?, settings, tally, port, log };
        site.configure(&otlp.text(through(port).await?))?;
        Ok(site)
    }
}

impl<W: Source> Site<W> {
    /// The collector's state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes so many items.
    pub fn write(&self, items: u64) -> Result<(), String> {
        self.log.write(items)
    }

    /// From the next start or reload on.
    pub fn configure(&self, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.path().join("config.alloy"), text).map_err(said)
    }

    /// A collector on this configuration and state.
    pub async fn start(&self) -> Result<Collector, String> {
        let collector = Collector::start(self.folder.path(), &self.settings).await?;
        self.log.started(&collector).await?;
        Ok(collector)
    }

    /// kill -9.
    pub async fn kill(&self, collector: Collector) -> Result<(), String> {
        collector.kill().await?;
        self.tally.killed();
        Ok(())
    }

    /// Waits until everything that was written has arrived, or nothing arrives any more, and judges.
    pub async fn all_arrive(&self) -> Outcome {
        self.all_arrive_or_still(STILL.max(self.settings.patience)).await
    }

    /// The same; `still` is how long without a new line is taken for the end.
    pub async fn all_arrive_or_still(&self, still: Duration) -> Outcome {
        self.arrive(|| self.log.numbers(), still).await;
        self.judge()
    }

    async fn arrive(&self, numbers: impl Fn() -> Vec<u64>, still: Duration) {
        let mut last = (u64::MAX, Instant::now());
        loop {
            let start = Instant::now();
            let lost = self.tally.verdict(numbers().into_iter()).lost;
            // To look for each of a million numbers keeps the sink from its work.
            let pause = (start.elapsed() * 10).clamp(Duration::from_millis(50), Duration::from_secs(5));
            if lost == 0 || (lost == last.0 && last.1.elapsed() > still) {
                break;
            }
            if lost != last.0 {
                last = (lost, Instant::now());
            }
            tokio::time::sleep(pause).await;
        }
        tokio::time::sleep(AFTERMATH).await;
    }

    /// What has become of the lines by now.
    pub fn judge(&self) -> Outcome {
        outcome(self.verdict(), self.log.numbers().len() as u64).noting(self.log.note())
    }

    /// What the sink says of them.
    pub fn verdict(&self) -> Verdict {
        self.tally.verdict(self.log.numbers().into_iter())
    }
}

fn folder() -> Result<TempDir, String> {
    let mut folder = tempfile::tempdir().map_err(said)?;
    // To look at afterwards.
    folder.disable_cleanup(std::env::var_os("FAULTS_KEEP").is_some());
    Ok(folder)
}

fn outcome(verdict: Verdict, written: u64) -> Outcome {
    let Verdict { lost, first_lost, repeated, reordered, strange, .. } = verdict;
    let outcome = Outcome { written, lost, repeated, reordered, ..Outcome::default() };
    let first_lost = first_lost.map(|number| format!("the first that is lost is line {number}"));
    let outcome = outcome.noting(first_lost.unwrap_or_default());
    outcome.promised(strange == 0, format!("{strange} lines were never written so"))
}

/// A number below `below`, another one each time.
pub fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0u8) % below.max(1)
}

/// A moment of at most this length.
pub async fn a_moment(at_most: Duration) {
    tokio::time::sleep(Duration::from_millis(random(at_most.as_millis() as u64))).await;
}
