//! One batch to several receivers.
//!
//! What one receiver refuses is offered again to that one alone: the others have it already. A receiver that takes nothing
//! for [`PATIENCE`] while others take is left behind, so that a dead end of the pipeline does not stop the living ones;
//! what it misses is counted and said, and it is asked again every [`PROBE_EVERY`].

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use base_metrics::{CounterVec, Scope};
use tokio::time::Instant;

use crate::consumer::{BoxFuture, Consumer, Receiver, Refused};
use crate::delivery::Delivery;

/// How long the receivers that have taken a batch wait for one that has not. A component that is changed by a reload
/// closes its queues within a few seconds and takes again.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How often a receiver that was left behind is asked again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long it may take then; together, a hundredth of the time of the others.
const PROBE_PATIENCE: Duration = Duration::from_millis(10);

/// The pause before what was refused is offered again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What can be handed to several receivers, and counted.
pub trait Batch: Clone + Send + 'static {
    /// Lines, samples, spans, points or records.
    fn items(&self) -> u64;
}

/// Hands every batch to each receiver of a `forward_to` list.
///
/// One receiver that is slow slows its source, but does not keep the batch from the others.
pub struct FanOut<B> {
    receivers: Arc<[Receiver<B>]>,
    /// One for each receiver.
    lags: Arc<[Lag]>,
    dropped: Option<CounterVec>,
}

/// Whether a receiver was left behind.
#[derive(Default)]
struct Lag {
    behind: AtomicBool,
    next_probe: Mutex<Option<Instant>>,
}

/// What one receiver says to the batch.
enum Offer<'a> {
    Waiting(BoxFuture<'a, Result<Delivery, Refused>>),
    Taken(Delivery),
    /// To be offered again at this time, or never.
    Refused(Refused, Option<Instant>),
    /// It goes without.
    Lost,
}

// === impl FanOut ===

impl<B: Batch> FanOut<B> {
    /// To all of these, in this order.
    pub fn new(receivers: impl IntoIterator<Item = Receiver<B>>) -> FanOut<B> {
        let receivers: Arc<[Receiver<B>]> = receivers.into_iter().collect();
        let lags = receivers.iter().map(|_| Lag::default()).collect();
        FanOut { receivers, lags, dropped: None }
    }

    /// Counts there what a receiver goes without.
    #[must_use]
    pub fn counted(self, metrics: &Scope) -> FanOut<B> {
        let dropped = metrics.counter_vec(
            "ferroalloy_forward_dropped_items_total",
            "Lines, samples, spans, points or records that one of several receivers did not take and goes without.",
            &["to"],
        );
        FanOut { dropped: Some(dropped), ..self }
    }

    /// Whom it reaches.
    pub fn receivers(&self) -> &[Receiver<B>] {
        &self.receivers
    }

    /// Taken when every receiver has taken it (or one was left behind, see the module); delivered when all branches are.
    /// Refused when none has taken it. With no receiver at all the batch is dropped: whoever built the list has said so,
    /// as Alloy does with `forward_to = []`.
    pub async fn consume(&self, batch: B) -> Result<Delivery, Refused> {
        match &*self.receivers {
            [] => Ok(Delivery::dropped()),
            [only] => only.consume(batch).await,
            _ => self.consume_by_all(batch).await,
        }
    }

    async fn consume_by_all(&self, batch: B) -> Result<Delivery, Refused> {
        let branches = self.receivers.iter().zip(&*self.lags);
        let mut offers: Vec<Offer<'_>> = branches
            .map(|(receiver, lag)| match lag.is_passed_over() {
                true => Offer::Lost,
                false => Offer::Waiting(receiver.consume(batch.clone())),
            })
            .collect();
        let mut taken_at = None;
        let mut pause = FIRST_PAUSE;
        answers(&mut offers, pause).await;
        loop {
            let waiting = offers.iter().any(|offer| matches!(offer, Offer::Waiting(_)));
            let taken = offers.iter().any(|offer| matches!(offer, Offer::Taken(_)));
            if !taken {
                if waiting {
                    // Nobody has it yet, so nobody waits for the slow ones.
                    answers(&mut offers, pause).await;
                    continue;
                }
                return match refusal(&mut offers) {
                    Some(refused) => Err(refused),
                    None => Ok(self.finish(&batch, offers)),
                };
            }
            let since = *taken_at.get_or_insert_with(Instant::now);
            let wakes = offers.iter().zip(&*self.lags).filter_map(|(offer, lag)| offer.wakes(since, lag));
            let Some(wake) = wakes.min() else { return Ok(self.finish(&batch, offers)) };
            tokio::select! {
                biased;
                () = answers(&mut offers, pause), if waiting => continue,
                () = tokio::time::sleep_until(wake) => {}
            }
            let now = Instant::now();
            for ((offer, lag), receiver) in offers.iter_mut().zip(&*self.lags).zip(&*self.receivers) {
                match offer {
                    Offer::Waiting(_) | Offer::Refused(_, Some(_)) if now >= since + lag.patience() => {
                        *offer = Offer::Lost;
                        lag.fall_behind(receiver.component());
                    }
                    Offer::Refused(_, Some(again)) if now >= *again => {
                        *offer = Offer::Waiting(receiver.consume(batch.clone()));
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Some have it; the others go without, which is counted.
    fn finish(&self, batch: &B, offers: Vec<Offer<'_>>) -> Delivery {
        let branches = offers.into_iter().zip(&*self.receivers).zip(&*self.lags);
        Delivery::all(branches.map(|((offer, receiver), lag)| match offer {
            Offer::Taken(delivery) => {
                lag.catch_up(receiver.component());
                delivery
            }
            Offer::Refused(..) | Offer::Waiting(_) | Offer::Lost => {
                if let Offer::Refused(refused, _) = offer {
                    tracing::error!(
                        to = receiver.component(),
                        reason = refused.reason,
                        items = batch.items(),
                        "a receiver refuses for good; it goes without"
                    );
                }
                if let Some(dropped) = &self.dropped {
                    dropped.with(&[receiver.component()]).add(batch.items());
                }
                Delivery::dropped()
            }
        }))
    }
}

impl<B> Clone for FanOut<B> {
    fn clone(&self) -> FanOut<B> {
        FanOut { receivers: self.receivers.clone(), lags: self.lags.clone(), dropped: self.dropped.clone() }
    }
}

impl<B: Batch> Consumer<B> for FanOut<B> {
    fn consume(&self, batch: B) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(FanOut::consume(self, batch))
    }
}

/// Why nobody has taken it: it is worth trying again if one of them says so, when all that say so can be tried.
fn refusal(offers: &mut Vec<Offer<'_>>) -> Option<Refused> {
    let refusals = offers.drain(..).filter_map(|offer| match offer {
        Offer::Refused(refused, _) => Some(refused),
        _ => None,
    });
    refusals.max_by_key(|refused| (refused.retryable, refused.retry_after))
}

/// Resolves when somebody has answered, or nobody is left who could. All answers that are there are taken in.
async fn answers(offers: &mut [Offer<'_>], pause: Duration) {
    poll_fn(|context| {
        let (mut answered, mut waiting) = (false, false);
        for offer in offers.iter_mut() {
            let Offer::Waiting(taking) = offer else { continue };
            match taking.as_mut().poll(context) {
                Poll::Pending => waiting = true,
                Poll::Ready(answer) => {
                    answered = true;
                    *offer = match answer {
                        Ok(delivery) => Offer::Taken(delivery),
                        Err(refused) => {
                            let after = refused.retry_after.unwrap_or(pause);
                            let again = refused.retryable.then(|| Instant::now() + after);
                            Offer::Refused(refused, again)
                        }
                    };
                }
            }
        }
        if answered || !waiting { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

// === impl Offer ===

impl Offer<'_> {
    /// When something must be done about it, since others have taken the batch.
    fn wakes(&self, since: Instant, lag: &Lag) -> Option<Instant> {
        match self {
            Offer::Waiting(_) => Some(since + lag.patience()),
            Offer::Refused(_, Some(again)) => Some((*again).min(since + lag.patience())),
            Offer::Taken(_) | Offer::Refused(_, None) | Offer::Lost => None,
        }
    }
}

// === impl Lag ===

impl Lag {
    fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// It was left behind, and this batch is not the one to ask it again with.
    fn is_passed_over(&self) -> bool {
        if !self.is_behind() {
            return false;
        }
        let now = Instant::now();
        let mut next_probe = self.next_probe.lock().unwrap_or_else(PoisonError::into_inner);
        if next_probe.is_some_and(|next| now < next) {
            return true;
        }
        *next_probe = Some(now + PROBE_EVERY);
        false
    }

    fn patience(&self) -> Duration {
        if self.is_behind() { PROBE_PATIENCE } else { PATIENCE }
    }

    fn fall_behind(&self, component: &str) {
        *self.next_probe.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + PROBE_EVERY);
        if !self.behind.swap(true, Ordering::Relaxed) {
            tracing::error!(
                to = component,
                "a receiver has taken nothing for {PATIENCE:?}; it goes without what comes, so that the others get it"
            );
        }
    }

    fn catch_up(&self, component: &str) {
        if self.is_behind() && self.behind.swap(false, Ordering::Relaxed) {
            tracing::info!(to = component, "a receiver that was left behind takes data again");
        }
    }
}

#[cfg(test)]
mod tests;
