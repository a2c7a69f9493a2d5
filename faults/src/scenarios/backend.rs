//! A sink that is down, or answers as real ones do when they are in trouble.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use sdk_testing::sink::Answer;

use super::RATE;
use crate::config::{self, Keeping};
use crate::load::Load;
use crate::pushes::Kind;
use crate::site::{Site, Source};
use crate::{Outcome, Settings};

/// Within this, a sink that is back is sent to.
const SOON: Duration = Duration::from_secs(5);

/// Down for the whole time, with a SIGTERM in the middle, then back.
pub async fn outage<W: Source>(site: impl Future<Output = Result<Site<W>, String>>) -> Result<Outcome, String> {
    let site = site.await?;
    site.tally.mood.answer(503);
    let load = site.log.load(RATE);
    let collector = site.start().await?;
    tokio::time::sleep(site.settings.time / 2).await;
    collector.stop().await?;
    let _collector = site.start().await?;
    tokio::time::sleep(site.settings.time / 2).await;
    Ok(back(&site, load).await.noting(format!("down for {} s, with a restart", site.settings.time.as_secs())))
}

/// Down for the whole time, with a kill in the middle, then back.
pub async fn outage_with_kill<W: Source>(
    site: impl Future<Output = Result<Site<W>, String>>,
) -> Result<Outcome, String> {
    let site = site.await?;
    site.tally.mood.answer(503);
    let load = site.log.load(RATE);
    let collector = site.start().await?;
    tokio::time::sleep(site.settings.time / 2).await;
    site.kill(collector).await?;
    let _collector = site.start().await?;
    tokio::time::sleep(site.settings.time / 2).await;
    Ok(back(&site, load).await.noting(format!("down for {} s, with a kill", site.settings.time.as_secs())))
}

/// The sink is well again: when that is noticed, and when all has arrived.
async fn back<W: Source>(site: &Site<W>, load: Load) -> Outcome {
    let before = site.tally.items.load(Relaxed);
    let start = Instant::now();
    site.tally.mood.answer(0);
    let noticed = site.tally.wait_for(before + 1, site.settings.patience).await.map(|()| start.elapsed());
    load.stop();
    let outcome = site.all_arrive().await;
    let (noticed, all) = (noticed.unwrap_or(site.settings.patience), start.elapsed());
    let soon = noticed < SOON || !site.settings.is_long();
    outcome
        .noting(format!(
            "noticed after {:.1} s, all had arrived after {:.1} s",
            noticed.as_secs_f64(),
            all.as_secs_f64()
        ))
        .nothing_lost()
        .nothing_repeated()
        .promised(soon, format!("it took {noticed:?} to notice that the sink is back"))
}

/// Of an older version of the protocol than what it is sent, which it says with 415; with a SIGTERM in the middle.
pub async fn older(settings: Settings) -> Result<Outcome, String> {
    let site = Site::pushed(settings, Kind::Samples, Keeping::Batches).await?;
    let version = "\t\tprotobuf_message = \"io.prometheus.write.v2.Request\"\n";
    site.configure(&config::samples(Keeping::Batches, &[site.port], version))?;
    site.tally.mood.set(Answer::RefusesVersion2);
    let load = site.log.load(RATE);
    for _ in 0..2 {
        let collector = site.start().await?;
        tokio::time::sleep(site.settings.time / 2).await;
        collector.stop().await?;
    }
    let _collector = site.start().await?;
    load.stop();
    Ok(site.all_arrive().await.nothing_lost().nothing_repeated())
}

/// Well and unwell by turns.
pub async fn moods<W: Source>(
    site: impl Future<Output = Result<Site<W>, String>>,
    mood: Answer,
) -> Result<Outcome, String> {
    let site = site.await?;
    let load = site.log.load(RATE);
    let _collector = site.start().await?;
    let turn = site.settings.time / 6;
    // Single entries are bad whenever they come.
    let well = if matches!(mood, Answer::RefusesEach(_)) { mood } else { Answer::Well };
    for round in 0..6 {
        site.tally.mood.set(if round % 2 == 0 { well } else { mood });
        tokio::time::sleep(turn).await;
    }
    load.stop();
    site.tally.mood.set(well);
    let outcome = site.all_arrive().await.nothing_lost().nothing_repeated();
    let refused = site.verdict().refused;
    Ok(match mood {
        Answer::RefusesEach(_) | Answer::RefusesAll => {
            let refuses = refused > 0;
            outcome
                .noting(format!("and {refused} refused by the sink for good, as it said"))
                .promised(refuses, "the sink refused nothing, so nothing was tried")
        }
        _ => outcome,
    })
}
