//! Files of the state directory that are not what was written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::collector::said;
use crate::site::{Site, Source, random};
use crate::{Outcome, Settings};

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Emptied,
    Cut,
    /// One bit of it.
    Flipped,
    /// All of it.
    Random,
    /// Something stands behind its end.
    Longer,
}

const KINDS: [Damage; 5] = [Damage::Flipped, Damage::Cut, Damage::Random, Damage::Emptied, Damage::Longer];

/// Lines of one request of a round.
const LINES: u64 = 400;

/// Without a new line for so long, the rest is lost.
const STILL: Duration = Duration::from_secs(6);

impl Damage {
    fn befalls(self, file: &Path) -> Result<(), String> {
        let mut bytes = std::fs::read(file).map_err(said)?;
        let length = bytes.len() as u64;
        match self {
            Damage::Emptied => bytes.clear(),
            Damage::Cut => bytes.truncate(random(length) as usize),
            Damage::Flipped if bytes.is_empty() => {}
            Damage::Flipped => bytes[random(length) as usize] ^= 1 << random(8),
            Damage::Random => bytes.iter_mut().for_each(|byte| *byte = random(256) as u8),
            Damage::Longer => bytes.extend((0..random(200)).map(|_| random(256) as u8)),
        }
        std::fs::write(file, bytes).map_err(said)
    }
}

/// Stopped, damaged, and started again, each time.
pub async fn positions(settings: Settings) -> Result<Outcome, String> {
    let site = Site::new(settings, false, None).await?;
    let mut damages = 0;
    for _ in 0..site.settings.kills.div_ceil(KINDS.len() as u32) {
        for kind in KINDS {
            let collector = site.start().await?;
            site.write(LINES)?;
            let so_far = site.all_arrive().await;
            collector.stop().await?;
            if so_far.lost > 0 {
                return Ok(so_far.noting(format!("before {kind:?}, after {damages}")).nothing_lost());
            }
            // What is written while nobody reads shows a position that has jumped.
            site.write(LINES)?;
            for file in files(&site.state())?.iter().filter(|file| file.ends_with("positions.yml")) {
                kind.befalls(file)?;
                damages += 1;
            }
        }
    }
    let collector = site.start().await?;
    let outcome = site.all_arrive().await.noting(format!("{damages} times")).nothing_lost();
    collector.stop().await?;
    Ok(outcome.promised(damages > 0, "no file was damaged"))
}

/// Each file in turn, while it holds what the sink could not take. A record that is damaged costs itself.
pub async fn queue<W: Source>(site: impl Future<Output = Result<Site<W>, String>>) -> Result<Outcome, String> {
    let site = site.await?;
    let (mut damages, mut held, mut lost_by) = (0, 0, Vec::new());
    'all: for round in 0.. {
        for kind in KINDS {
            let before = site.judge();
            site.tally.mood.answer(503);
            let collector = site.start().await?;
            // Some requests, one after the other.
            for _ in 0..4 {
                site.write(LINES / 4)?;
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            collector.stop().await?;
            let files: Vec<PathBuf> = files(&site.state())?
                .into_iter()
                // Positions have a scenario of their own; nothing that arrives is in the others, nor in what was set aside.
                .filter(|file| {
                    let others = ["positions.yml", "positions.yml.before", "lock", "alloy_seed.json"];
                    !others.iter().any(|name| file.ends_with(name))
                })
                .filter(|file| file.extension().is_none_or(|extension| extension != "damaged"))
                .filter(|file| file.metadata().is_ok_and(|metadata| metadata.len() > 0))
                .collect();
            let Some(file) = files.get(round % files.len().max(1)) else { return Err("nothing is kept".to_owned()) };
            kind.befalls(file)?;
            damages += 1;
            held += LINES;
            site.tally.mood.answer(0);
            let collector = site.start().await?;
            let after = site.all_arrive_or_still(STILL).await;
            collector.stop().await?;
            let lost = after.lost - before.lost;
            if lost > LINES {
                let name = file.strip_prefix(site.state()).unwrap_or(file).display().to_string();
                return Ok(after.promised(false, format!("{kind:?} of {name} lost {lost} items")));
            }
            if lost > 0 {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                lost_by.push(format!("{kind:?} {name} {lost}"));
            }
            if damages >= site.settings.kills {
                break 'all;
            }
        }
    }
    let outcome = site.judge();
    let kept_order = outcome.reordered == 0;
    Ok(outcome
        .noting(format!(
            "{damages} files damaged that held {held} items; lost is what the damaged records held: {}",
            lost_by.join(", ")
        ))
        .promised(kept_order, "they came out of order"))
}

/// All files below a folder, in a fixed order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(said)? {
            let path = entry.map_err(said)?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}
