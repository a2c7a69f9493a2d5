//! A receiver that keeps what it is given.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sdk_signals::{BoxFuture, Consumer, Delivery, Receiver, Refused};
use tokio::sync::Notify;

/// Takes every batch and keeps it; or refuses them all, once told to.
pub struct Collector<B> {
    batches: Mutex<Vec<B>>,
    refusal: Mutex<Option<Refused>>,
    arrived: Notify,
}

impl<B: Clone + Send + 'static> Collector<B> {
    /// A collector and the receiver that leads to it.
    pub fn new() -> (Arc<Collector<B>>, Receiver<B>) {
        let collector =
            Arc::new(Collector { batches: Mutex::default(), refusal: Mutex::default(), arrived: Notify::new() });
        (collector.clone(), Receiver::new("testing.collector", collector))
    }

    /// What has come so far.
    pub fn batches(&self) -> Vec<B> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What has come, which is forgotten.
    pub fn take(&self) -> Vec<B> {
        std::mem::take(&mut *self.batches.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on every batch is refused so; None takes them again.
    pub fn refuse(&self, refusal: Option<Refused>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    /// Waits until so many batches have come in all; fails the test when they do not.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> impl Future<Output = Vec<B>> {
        let caller = std::panic::Location::caller();
        async move {
            let enough = async {
                loop {
                    let arrived = self.arrived.notified();
                    let batches = self.batches();
                    if batches.len() >= count {
                        return batches;
                    }
                    arrived.await;
                }
            };
            match tokio::time::timeout(Duration::from_secs(600), enough).await {
                Ok(batches) => batches,
                Err(_) => panic!("{caller}: {} of {count} batches came", self.batches().len()),
            }
        }
    }
}

impl<B: Clone + Send + 'static> Consumer<B> for Collector<B> {
    fn consume(&self, batch: B) -> BoxFuture<'_, Result<Delivery, Refused>> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let result = match refusal {
            Some(refusal) => Err(refusal),
            None => {
                self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
                self.arrived.notify_waiters();
                Ok(Delivery::delivered())
            }
        };
        Box::pin(async { result })
    }
}
