//! Log files that are given up for new ones faster than anybody would.

use std::time::Duration;

use tokio::time::Instant;

use super::RATE;
use crate::collector::said;
use crate::log::Rotation;
use crate::site::{Site, a_moment, random};
use crate::{Outcome, Settings};

/// So long after the last line, all of a round has been seen by whoever runs.
const ROUND: Duration = Duration::from_millis(400);

/// Rotations between two lives: what a restart has to look for.
const ROTATIONS_DOWN: u64 = 3;

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
        rotate(&site, rotation).await?;
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

/// The log is rotated while nobody reads it: after a stop in good order, what was not read is found, and nothing else.
pub async fn while_down(settings: Settings, rotation: Rotation) -> Result<Outcome, String> {
    let site = Site::new(settings, false, Some(rotation)).await?;
    for _ in 0..site.settings.kills {
        let collector = site.start().await?;
        let load = site.log.load(RATE);
        a_moment(ROUND).await;
        collector.stop().await?;
        for _ in 0..=random(ROTATIONS_DOWN) {
            tokio::time::sleep(ROUND / 4).await;
            rotate(&site, rotation).await?;
        }
        a_moment(ROUND).await;
        load.stop();
    }
    let _collector = site.start().await?;
    let outcome = site
        .all_arrive()
        .await
        .noting(format!("{} stops, rotated up to {ROTATIONS_DOWN} times in each", site.settings.kills));
    Ok(outcome.nothing_lost().nothing_repeated())
}

/// kill -9 while the log is rotated ten times a second, which goes on without us.
pub async fn killed(settings: Settings, wal: bool, rotation: Rotation) -> Result<Outcome, String> {
    let site = Site::new(settings, wal, Some(rotation)).await?;
    let load = site.log.load(RATE);
    let mut rotations = 0u64;
    for round in 0..site.settings.kills {
        site.tally.mood.answer(if round % 4 == 3 { 503 } else { 0 });
        let collector = site.start().await?;
        for _ in 0..=random(8) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // As above. What had the name while nobody ran is looked for at the next start.
            collector.opens(site.log.path()).await?;
            rotate(&site, rotation).await?;
            rotations += 1;
        }
        a_moment(Duration::from_millis(100)).await;
        site.kill(collector).await?;
        for _ in 0..random(ROTATIONS_DOWN + 1) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            rotate(&site, rotation).await?;
            rotations += 1;
        }
    }
    load.stop();
    site.tally.mood.answer(0);
    let _collector = site.start().await?;
    let outcome = site.all_arrive().await.nothing_lost();
    let kills = site.settings.kills;
    Ok(outcome.noting(format!("{kills} kills, {rotations} rotations")))
}

async fn rotate(site: &Site, rotation: Rotation) -> Result<(), String> {
    let log = site.log.clone();
    tokio::task::spawn_blocking(move || log.rotate(rotation)).await.map_err(said)?.map_err(said)
}
