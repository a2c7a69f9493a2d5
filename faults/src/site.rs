//! A log, a sink, and a folder for a collector between them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sdk_testing::sink::{self, Protocol, Tally, Verdict};
use tempfile::TempDir;

use crate::collector::{Collector, said};
use crate::config::Config;
use crate::log::{Log, Rotation};
use crate::{Outcome, Settings};

/// Everything a scenario works with.
pub struct Site {
    folder: TempDir,
    /// How hard to try.
    pub settings: Settings,
    /// What arrived.
    pub tally: Arc<Tally>,
    /// Where the sink listens.
    pub port: u16,
    /// What is written.
    pub log: Arc<Log>,
}

/// Without a new line for so long, no more will come.
const STILL: Duration = Duration::from_secs(15);

/// After everything has arrived: what comes now is a repeat.
const AFTERMATH: Duration = Duration::from_millis(700);

impl Site {
    /// With an empty log and a sink that is well, configured with one endpoint.
    pub async fn new(settings: Settings, wal: bool, rotation: Option<Rotation>) -> Result<Site, String> {
        let mut folder = tempfile::tempdir().map_err(said)?;
        // To look at afterwards.
        folder.disable_cleanup(std::env::var_os("FAULTS_KEEP").is_some());
        let (port, tally) = sink::http(Protocol::Loki).await.map_err(said)?;
        let logs = folder.path().join("logs");
        std::fs::create_dir(&logs).map_err(said)?;
        let log = Log::create(&logs.join("app.log"), rotation).map_err(said)?;
        let site = Site { folder, settings, tally, port, log };
        site.configure(&Config::to(port, wal).text(site.log.path()))?;
        Ok(site)
    }

    /// The collector's state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// From the next start or reload on.
    pub fn configure(&self, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.path().join("config.alloy"), text).map_err(said)
    }

    /// A collector on this configuration and state.
    pub async fn start(&self) -> Result<Collector, String> {
        Collector::start(self.folder.path(), &self.settings).await
    }

    /// Writes so many lines.
    pub fn write(&self, lines: u64) -> Result<(), String> {
        self.log.write(lines).map_err(said)
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
        let written = self.log.written();
        self.arrive(|| 0..written, still).await;
        self.judge()
    }

    /// The same for the lines with these numbers, which somebody else has written.
    pub async fn these_arrive(&self, numbers: &[u64]) -> Outcome {
        self.arrive(|| numbers.iter().copied(), STILL.max(self.settings.patience)).await;
        outcome(self.tally.verdict(numbers.iter().copied()), numbers.len() as u64)
    }

    async fn arrive<N: Iterator<Item = u64>>(&self, numbers: impl Fn() -> N, still: Duration) {
        let mut last = (u64::MAX, Instant::now());
        loop {
            let lost = self.tally.verdict(numbers()).lost;
            if lost == 0 || (lost == last.0 && last.1.elapsed() > still) {
                break;
            }
            if lost != last.0 {
                last = (lost, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(AFTERMATH).await;
    }

    /// What has become of the lines by now.
    pub fn judge(&self) -> Outcome {
        let written = self.log.written();
        outcome(self.tally.verdict(0..written), written)
    }
}

fn outcome(verdict: Verdict, written: u64) -> Outcome {
    let Verdict { lost, repeated, reordered, strange, .. } = verdict;
    let outcome = Outcome { written, lost, repeated, reordered, ..Outcome::default() };
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
