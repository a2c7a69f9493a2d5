//! A backend that takes half of what comes.

use std::sync::Arc;
use std::time::Duration;

use sdk_testing::push;
use sdk_testing::sink::Answer;

use super::RATE;
use crate::config::Otlp;
use crate::pushes::{Kind, Pushes};
use crate::site::Site;
use crate::{Outcome, Settings};

/// Bytes of each request besides its spans.
const PADDING: usize = 20 << 10;

/// What the process may hold beyond its queue, in bytes.
const BESIDE: u64 = 64 << 20;

/// A refusal that takes longer is no early one.
const EARLY: Duration = Duration::from_secs(1);

/// For the whole time; `batch` puts a batch processor in front of the queue.
pub async fn twice(settings: Settings, batch: bool) -> Result<Outcome, String> {
    let long = settings.is_long();
    // A busy machine offers less: there the backend is slower still, so that it is too much in any case.
    let (queue, slower): (u64, u32) = if long { (16 << 20, 1) } else { (1 << 20, 5) };
    let (consumers, each) = if batch { (1, Duration::from_millis(400)) } else { (10, Duration::from_millis(200)) };
    let otlp = Otlp {
        batch: batch.then_some("\tsend_batch_size = 400\n\tsend_batch_max_size = 400\n"),
        queue: format!("\t\tsizer = \"bytes\"\n\t\tqueue_size = {queue}\n\t\tnum_consumers = {consumers}\n"),
        ..Otlp::default()
    };
    let pushes: Arc<Pushes> = Pushes::heavy(Kind::Spans, push::padding(PADDING));
    let site = Site::otlp(settings, pushes, &otlp, async |port| Ok(port)).await?;
    let collector = site.start().await?;
    site.tally.mood.set(Answer::Slow(each * slower));
    let load = site.log.load(RATE);
    let ((), most) = collector.watched(tokio::time::sleep(site.settings.time)).await?;
    load.stop();
    site.tally.mood.set(Answer::Well);
    let outcome = site.all_arrive().await;
    let (refused, unkind, longest) = (site.log.refused(), site.log.unkind(), site.log.longest_refusal());
    let (most, queue) = (most / 1024, queue >> 20);
    Ok(outcome
        .noting(format!(
            "a queue of {queue} MiB; {most} MiB at most; the longest refusal took {:.2} s",
            longest.as_secs_f64()
        ))
        .nothing_lost()
        .nothing_repeated()
        .promised(refused > 0, "nothing was refused, so it was not too much")
        .promised(unkind == 0, format!("{unkind} spans were refused for good"))
        .promised(longest < EARLY || !long, format!("a refusal took {longest:?}"))
        .promised(most <= queue + (BESIDE >> 20), format!("{most} MiB of memory")))
}
