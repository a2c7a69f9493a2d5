//! Positions of batches that are on their way: only what is delivered, without a gap, may be saved.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use crate::{Delivery, Outcome};

/// A bounded list of (position, delivery), oldest first.
#[derive(Debug)]
pub struct Window<P> {
    waiting: VecDeque<(P, Delivery)>,
    limit: usize,
}

/// What a window has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress<P> {
    /// Everything up to here is somebody else's responsibility, or dropped and counted.
    Delivered(P),
    /// The batch that ended here was lost on its way: read again from the last saved position.
    Abandoned,
}

impl<P> Window<P> {
    /// Holds at most `limit` batches; a source that finds it full waits for [`Window::progress`].
    pub fn new(limit: usize) -> Window<P> {
        Window { waiting: VecDeque::new(), limit }
    }

    /// No batch may be added now.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.limit
    }

    /// Nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A batch was taken; `position` is where it ends.
    pub fn push(&mut self, position: P, delivery: Delivery) {
        self.waiting.push_back((position, delivery));
    }

    /// Gives back the memory of what has arrived: nothing is expected soon.
    pub fn give_back(&mut self) {
        self.waiting.shrink_to_fit();
    }

    /// Forgets what is on its way, to read it again.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Resolves when the delivered prefix has grown, with its end. Never while the window is empty. May be dropped at any
    /// time without losing anything.
    pub async fn progress(&mut self) -> Progress<P> {
        poll_fn(|cx| {
            let mut end = None;
            while let Some((_, delivery)) = self.waiting.front_mut() {
                match Pin::new(delivery).poll(cx) {
                    Poll::Ready(Outcome::Delivered | Outcome::Dropped) => {
                        end = self.waiting.pop_front().map(|(position, _)| position);
                    }
                    // What was delivered before it counts first; the loss is found again by the next call.
                    Poll::Ready(Outcome::Abandoned) if end.is_none() => {
                        self.waiting.pop_front();
                        return Poll::Ready(Progress::Abandoned);
                    }
                    Poll::Ready(Outcome::Abandoned) => {
                        let (position, _) = self.waiting.pop_front().expect("it was just looked at");
                        let (lost, settle) = Delivery::pending();
                        drop(settle);
                        self.waiting.push_front((position, lost));
                        break;
                    }
                    Poll::Pending => break,
                }
            }
            end.map_or(Poll::Pending, |position| Poll::Ready(Progress::Delivered(position)))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_position_is_reported_only_when_all_before_it_are_delivered() {
        let mut window = Window::new(8);
        let (first, settle_first) = Delivery::pending();
        let (second, settle_second) = Delivery::pending();
        window.push(1, first);
        window.push(2, second);
        settle_second.settle(Outcome::Delivered);
        assert!(futures_util::poll!(Box::pin(window.progress())).is_pending());
        settle_first.settle(Outcome::Dropped);
        assert_eq!(window.progress().await, Progress::Delivered(2));
        assert!(window.is_empty());
    }

    #[tokio::test]
    async fn what_was_lost_stops_the_position_before_it() {
        let mut window = Window::new(8);
        window.push(1, Delivery::delivered());
        let (lost, settle) = Delivery::pending();
        window.push(2, lost);
        window.push(3, Delivery::delivered());
        drop(settle);
        assert_eq!(window.progress().await, Progress::Delivered(1));
        assert_eq!(window.progress().await, Progress::Abandoned);
    }
}
