//! When data is somebody else's responsibility.
//!
//! [`Delivery`] is the end that waits: a source with a position saves it only past deliveries that have resolved.
//! [`Settle`] is the end that answers: a queue or a sender holds it until the remote end has acknowledged, the record
//! is committed to a durable queue, or the data is finally dropped *and counted*.
//!
//! Merging batches keeps every `Settle` of what was merged; splitting one clones its `Settle`, and the delivery
//! resolves when the last clone has spoken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// What became of a batch, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Acknowledged by the remote end, or committed to a durable queue.
    Delivered,
    /// Given up for good and counted, with component and reason.
    Dropped,
    /// Nobody answered: whoever held it went away (a panic, a stop without grace). Do not save positions past it.
    Abandoned,
}

/// A future of what became of a batch.
#[derive(Debug)]
#[must_use = "a source must not save its position before the delivery resolves; use `.detach()` to say that nobody waits"]
pub struct Delivery(State);

#[derive(Debug)]
enum State {
    Known(Outcome),
    One(oneshot::Receiver<Outcome>),
    All { waiting: Vec<Delivery>, worst: Outcome },
}

/// The answering end of a [`Delivery`]. A clone answers for a part of the batch: the delivery resolves when every part
/// has spoken, with the worst outcome. Dropping a part without an answer counts as [`Outcome::Abandoned`].
#[derive(Debug)]
pub struct Settle(Option<Arc<Answer>>);

/// Shared by the parts of one batch; speaks when the last of them is gone.
#[derive(Debug)]
struct Answer {
    worst: AtomicU8,
    delivery: Option<oneshot::Sender<Outcome>>,
    merged: Vec<Settle>,
}

// === impl Delivery ===

impl Delivery {
    /// A delivery and its answering end.
    pub fn pending() -> (Delivery, Settle) {
        let (sender, receiver) = oneshot::channel();
        (Delivery(State::One(receiver)), Settle::new(Some(sender), Vec::new()))
    }

    /// Already somebody else's: printed on the console, handed to a receiver that keeps nothing.
    pub fn delivered() -> Delivery {
        Delivery(State::Known(Outcome::Delivered))
    }

    /// Already dropped, and counted by whoever says so.
    pub fn dropped() -> Delivery {
        Delivery(State::Known(Outcome::Dropped))
    }

    /// Resolves when all have, with the worst of their outcomes.
    pub fn all(deliveries: impl IntoIterator<Item = Delivery>) -> Delivery {
        let mut worst = Outcome::Delivered;
        let mut waiting = Vec::new();
        for delivery in deliveries {
            match delivery.0 {
                State::Known(outcome) => worst = worst.max(outcome),
                _ => waiting.push(delivery),
            }
        }
        match waiting.len() {
            0 => Delivery(State::Known(worst)),
            1 if worst == Outcome::Delivered => waiting.remove(0),
            _ => Delivery(State::All { waiting, worst }),
        }
    }

    /// Nobody waits for this one: a network receiver that answers when the batch is taken.
    pub fn detach(self) {}
}

impl Future for Delivery {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.0 {
            State::Known(outcome) => Poll::Ready(*outcome),
            State::One(receiver) => Pin::new(receiver).poll(cx).map(|answer| answer.unwrap_or(Outcome::Abandoned)),
            State::All { waiting, worst } => {
                waiting.retain_mut(|delivery| match Pin::new(delivery).poll(cx) {
                    Poll::Ready(outcome) => {
                        *worst = (*worst).max(outcome);
                        false
                    }
                    Poll::Pending => true,
                });
                if waiting.is_empty() { Poll::Ready(*worst) } else { Poll::Pending }
            }
        }
    }
}

// === impl Settle ===

impl Settle {
    fn new(delivery: Option<oneshot::Sender<Outcome>>, merged: Vec<Settle>) -> Settle {
        Settle(Some(Arc::new(Answer { worst: AtomicU8::new(Outcome::Delivered as u8), delivery, merged })))
    }

    /// One answer for many batches that were merged into one.
    pub fn all(mut settles: Vec<Settle>) -> Settle {
        if settles.len() == 1 { settles.remove(0) } else { Settle::new(None, settles) }
    }

    /// For a batch that nobody waits for.
    pub fn nobody() -> Settle {
        Settle(None)
    }

    /// The answer for this part.
    pub fn settle(mut self, outcome: Outcome) {
        if let Some(answer) = self.0.take() {
            answer.note(outcome);
        }
    }

    /// Answers as a delivery further down the pipeline does, once that resolves.
    pub async fn follow(self, delivery: Delivery) {
        self.settle(delivery.await);
    }
}

impl Clone for Settle {
    fn clone(&self) -> Settle {
        Settle(self.0.clone())
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer.note(Outcome::Abandoned);
        }
    }
}

// === impl Answer ===

impl Answer {
    fn note(&self, outcome: Outcome) {
        self.worst.fetch_max(outcome as u8, Ordering::AcqRel);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let outcome = match self.worst.load(Ordering::Acquire) {
            0 => Outcome::Delivered,
            1 => Outcome::Dropped,
            _ => Outcome::Abandoned,
        };
        if let Some(delivery) = self.delivery.take() {
            // The source may have gone; then nobody wants to know.
            let _ = delivery.send(outcome);
        }
        for settle in self.merged.drain(..) {
            settle.settle(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_split_batch_is_delivered_when_its_last_part_is() {
        let (mut delivery, first) = Delivery::pending();
        let second = first.clone();
        first.settle(Outcome::Delivered);
        assert!(futures_util::poll!(&mut delivery).is_pending());
        second.settle(Outcome::Dropped);
        assert_eq!(delivery.await, Outcome::Dropped);
    }

    #[tokio::test]
    async fn a_part_that_is_lost_abandons_the_whole() {
        let (delivery, settle) = Delivery::pending();
        drop(settle.clone());
        settle.settle(Outcome::Delivered);
        assert_eq!(delivery.await, Outcome::Abandoned);
    }

    #[tokio::test]
    async fn merged_batches_share_one_answer() {
        let (first, one) = Delivery::pending();
        let (second, two) = Delivery::pending();
        Settle::all(vec![one, two]).settle(Outcome::Delivered);
        assert_eq!((first.await, second.await), (Outcome::Delivered, Outcome::Delivered));
    }

    #[tokio::test]
    async fn a_fan_out_waits_for_all_branches_and_reports_the_worst() {
        let (slow, settle) = Delivery::pending();
        let mut all = Delivery::all([Delivery::delivered(), Delivery::dropped(), slow]);
        assert!(futures_util::poll!(&mut all).is_pending());
        settle.settle(Outcome::Delivered);
        assert_eq!(all.await, Outcome::Dropped);
    }
}
