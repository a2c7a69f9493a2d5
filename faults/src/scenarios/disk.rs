//! A state directory without room.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::RATE;
use crate::Outcome;
use crate::site::{Site, Source};

/// A small disk that can be filled. It is gone with this value.
struct SmallDisk(PathBuf);

/// When the process is killed.
#[derive(Clone, Copy, PartialEq)]
pub enum Kill {
    Never,
    WhileFull,
    /// When there is room again, and before the sink is back.
    WithRoomAgain,
}

const BYTES: usize = 8 << 20;

/// What a journal tells when all is written that the disk has not taken.
const WRITTEN_AGAIN: &str = "what is taken can be written down again";
/// Who has none, or has not noticed, writes what waits for longer than two seconds, and tries a disk that was full each second.
const WRITTEN_WITHIN: Duration = Duration::from_secs(4);

// === impl SmallDisk ===

impl SmallDisk {
    fn on(folder: &Path) -> Result<SmallDisk, String> {
        let size = format!("size={BYTES}");
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))
            .map_err(|error| format!("a small disk cannot be mounted here ({error})"))?;
        Ok(SmallDisk(folder.to_owned()))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(self.0.join("filler")) {
            for size in [64 << 10, 4 << 10, 1] {
                while file.write_all(&vec![0; size]).is_ok() {}
            }
        }
    }

    fn free(&self) {
        let _ = std::fs::remove_file(self.0.join("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Filled while the sink is down, and freed when it is back, or before that, several times.
pub async fn full<W: Source>(
    site: impl Future<Output = Result<Site<W>, String>>,
    kill: Kill,
) -> Result<Outcome, String> {
    let site = site.await?;
    let disk = match SmallDisk::on(&site.state()) {
        Ok(disk) => disk,
        Err(why) => return Ok(Outcome::skipped(why)),
    };
    let mut collector = site.start().await?;
    let load = site.log.load(RATE);
    let rounds = site.settings.kills.clamp(1, 20);
    // A request is written down when it has waited for five seconds.
    let round = (site.settings.time / rounds).max(Duration::from_secs(6));
    for _ in 0..rounds {
        tokio::time::sleep(round / 6).await;
        site.tally.mood.answer(503);
        disk.fill();
        tokio::time::sleep(round).await;
        if kill == Kill::WithRoomAgain {
            let told = collector.told();
            disk.free();
            collector.tells(WRITTEN_AGAIN, told, WRITTEN_WITHIN).await;
        }
        if kill != Kill::Never {
            site.kill(collector).await?;
            collector = site.start().await?;
        }
        site.tally.mood.answer(0);
        tokio::time::sleep(round / 6).await;
        disk.free();
    }
    load.stop();
    let answers = collector.metric(site.log.sent()).await;
    collector.stop().await?;
    let _collector = site.start().await?;
    let outcome = site.all_arrive().await.noting(format!("filled {rounds} times")).nothing_lost();
    let outcome = outcome.promised(kill != Kill::Never || answers > 0.0, "it did not show its counters");
    Ok(if kill == Kill::Never { outcome.nothing_repeated() } else { outcome })
}
