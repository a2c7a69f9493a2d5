//! A sink that is down, or answers as real ones do when they are in trouble.

use sdk_testing::sink::Answer;

use super::RATE;
use crate::Outcome;
use crate::site::{Site, Source};

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
    site.tally.mood.answer(0);
    load.stop();
    let note = format!("down for {} s, with a restart", site.settings.time.as_secs());
    Ok(site.all_arrive().await.noting(note).nothing_lost().nothing_repeated())
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
    site.tally.mood.answer(0);
    load.stop();
    let note = format!("down for {} s, with a kill", site.settings.time.as_secs());
    Ok(site.all_arrive().await.noting(note).nothing_lost().nothing_repeated())
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
