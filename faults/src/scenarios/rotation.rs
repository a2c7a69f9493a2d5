//! Log files that are given up for new ones faster than anybody would.

use std::time::Duration;

use tokio::time::Instant;

use super::RATE;
use crate::collector::said;
use crate::log::Rotation;
use crate::site::Site;
use crate::{Outcome, Settings};

pub async fn storm(settings: Settings, wal: bool, rotation: Rotation) -> Result<Outcome, String> {
    let site = Site::new(settings, wal, Some(rotation)).await?;
    let every = match rotation {
        Rotation::CopyTruncate | Rotation::CopyTruncateRace => Duration::from_secs(1),
        _ => Duration::from_millis(100),
    };
    let collector = site.start().await?;
    // A file that vanishes before it was ever seen is nobody's.
    site.write(1)?;
    site.tally.wait_for(1, site.settings.patience).await?;
    let load = site.log.load(RATE);
    let until = Instant::now() + site.settings.time;
    let mut rotations = 0u64;
    while Instant::now() < until {
        tokio::time::sleep(every).await;
        collector.opens(site.log.path()).await?;
        let log = site.log.clone();
        tokio::task::spawn_blocking(move || log.rotate(rotation)).await.map_err(said)?.map_err(said)?;
        rotations += 1;
    }
    load.stop();
    let outcome = site.all_arrive().await.noting(format!("{rotations} rotations"));
    if rotation == Rotation::CopyTruncateRace {
        let (lost, gone) = (outcome.lost, site.log.gone());
        let note =
            format!("{gone} lines were written between a copy and its truncation: who was not quick has lost them");
        return Ok(outcome.noting(note).nothing_repeated().promised(lost <= gone, "more than those are lost"));
    }
    Ok(outcome.nothing_lost().nothing_repeated())
}
