//! SIGTERM.

use std::time::Duration;

use sdk_testing::sink::Answer;

use super::RATE;
use crate::Outcome;
use crate::site::{Site, Source, a_moment};

pub async fn stops<W: Source>(
    site: impl Future<Output = Result<Site<W>, String>>,
    mood: Answer,
) -> Result<Outcome, String> {
    let site = site.await?;
    let load = site.log.load(RATE);
    let mut longest = Duration::ZERO;
    site.tally.mood.set(mood);
    for _ in 0..site.settings.kills {
        let collector = site.start().await?;
        a_moment(Duration::from_millis(1200)).await;
        longest = longest.max(collector.stop().await?);
    }
    load.stop();
    site.tally.mood.set(Answer::Well);
    let _collector = site.start().await?;
    let note = format!("{} stops, the longest took {:.1} s", site.settings.kills, longest.as_secs_f64());
    Ok(site.all_arrive().await.noting(note).nothing_lost().nothing_repeated())
}
