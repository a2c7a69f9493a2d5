//! kill -9.

use std::time::Duration;

use super::RATE;
use crate::Outcome;
use crate::site::{Site, Source, a_moment};

/// A line that had arrived so long before the kill is not sent again. Positions are saved five times a second; a machine
/// that is busy elsewhere needs longer to get there.
const LONG_DELIVERED: Duration = Duration::from_secs(10);

pub async fn under_load<W: Source>(site: impl Future<Output = Result<Site<W>, String>>) -> Result<Outcome, String> {
    let site = site.await?;
    let load = site.log.load(RATE);
    for round in 0..site.settings.kills {
        let collector = site.start().await?;
        // In some of them much has long arrived.
        a_moment(Duration::from_millis(if round % 10 == 3 { 12_000 } else { 1200 })).await;
        site.kill(collector).await?;
    }
    load.stop();
    finish(&site).await
}

/// Also while the sink is down, and when it has just come back.
pub async fn in_outages<W: Source>(site: impl Future<Output = Result<Site<W>, String>>) -> Result<Outcome, String> {
    let site = site.await?;
    let load = site.log.load(RATE);
    for round in 0..site.settings.kills {
        site.tally.mood.answer(if round % 3 == 2 { 0 } else { 503 });
        let collector = site.start().await?;
        // Some of them longer than a request waits in memory alone.
        a_moment(Duration::from_millis(if round % 5 == 1 { 8000 } else { 1200 })).await;
        site.kill(collector).await?;
    }
    load.stop();
    site.tally.mood.answer(0);
    finish(&site).await
}

async fn finish<W: Source>(site: &Site<W>) -> Result<Outcome, String> {
    let _collector = site.start().await?;
    let outcome = site.all_arrive().await.nothing_lost();
    let age = site.verdict().oldest_repeat;
    let kills = site.settings.kills;
    let each = outcome.repeated / u64::from(kills).max(1);
    let note = match outcome.repeated {
        0 => format!("{kills} kills"),
        _ => format!(
            "{kills} kills; {each} repeated for each, the oldest had arrived {:.1} s before its kill",
            age.as_secs_f64()
        ),
    };
    Ok(outcome.noting(note).promised(
        age < LONG_DELIVERED || !site.settings.is_long(),
        format!("a line that had arrived {age:?} before the kill came again"),
    ))
}
