//! What is said of a remote end that does not take what it is sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base_sys::seldom::Seldom;
use sdk_signals::OtlpSignal;
use tokio::time::Instant;

use super::SendError;

/// The troubles of an exporter, signal by signal: each may have a remote end of its own.
#[derive(Default)]
pub(crate) struct Troubles {
    /// Signals that are in trouble: all that a request that was taken looks at.
    signals: AtomicUsize,
    of: [Mutex<Signal>; 3],
}

#[derive(Default)]
struct Signal {
    trouble: Option<Trouble>,
    told: Seldom,
}

struct Trouble {
    since: Instant,
    /// Items that were given up since then.
    dropped: u64,
    /// Its beginning was said, so that its end is.
    told: bool,
}

/// A request that failed.
pub(crate) struct Failed<'a> {
    pub(crate) signal: OtlpSignal,
    /// Where it was to go, if that is one place.
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) items: u64,
    pub(crate) error: &'a SendError,
    pub(crate) then: Then,
}

/// What becomes of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is tried again.
    Again,
    /// The process stops: the next one sends it.
    Kept,
    /// Who has handed it over hears of it, and has it still.
    Refused,
    /// Nobody has it any more.
    Dropped,
}

// === impl Troubles ===

impl Troubles {
    /// Says that a request failed when that is news; `waiting` are the items in the queue. Whether it was said.
    pub(crate) fn failed(&self, failed: &Failed<'_>, waiting: impl FnOnce() -> Option<u64>) -> bool {
        let mut signal = self.signal(failed.signal);
        let now = Instant::now();
        if signal.trouble.is_none() {
            self.signals.fetch_add(1, Ordering::AcqRel);
        }
        // While it goes on, and also when it comes and goes.
        let lately = !signal.told.is_time();
        let trouble = signal.trouble.get_or_insert(Trouble { since: now, dropped: 0, told: false });
        let first_drop = failed.then == Then::Dropped && trouble.dropped == 0 && trouble.told;
        if failed.then == Then::Dropped {
            trouble.dropped += failed.items;
        }
        if lately && !first_drop {
            return false;
        }
        let again = std::mem::replace(&mut trouble.told, true);
        let (dropped, since) = (trouble.dropped, trouble.since);
        signal.told.say();
        drop(signal);
        let Failed { signal, endpoint, items, error, then } = failed;
        let (signal, error, then, waiting) = (signal.name(), &error.message[..], then.words(), waiting());
        if again {
            let seconds = now.duration_since(since).as_secs();
            tracing::error!(endpoint, signal, error, items, then, dropped, waiting, seconds, "exporting still fails");
        } else {
            tracing::error!(endpoint, signal, error, items, then, waiting, "exporting failed");
        }
        true
    }

    /// A request was taken. Whether that is the end of the last trouble.
    pub(crate) fn taken(
        &self,
        signal: OtlpSignal,
        endpoint: Option<&str>,
        waiting: impl FnOnce() -> Option<u64>,
    ) -> bool {
        if self.signals.load(Ordering::Acquire) == 0 {
            return false;
        }
        let Some(trouble) = self.signal(signal).trouble.take() else { return false };
        let last = self.signals.fetch_sub(1, Ordering::AcqRel) == 1;
        if trouble.told {
            let seconds = trouble.since.elapsed().as_secs_f64();
            let (signal, dropped, waiting) = (signal.name(), trouble.dropped, waiting());
            tracing::info!(endpoint, signal, seconds, waiting, dropped, "exports succeed again");
        }
        last
    }

    fn signal(&self, signal: OtlpSignal) -> MutexGuard<'_, Signal> {
        self.of[signal as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Then ===

impl Then {
    fn words(self) -> &'static str {
        match self {
            Then::Again => "will be tried again",
            Then::Kept => "will be sent after the next start",
            Then::Refused => "the sender is told, and has it still",
            Then::Dropped => "dropping data",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(troubles: &Troubles, signal: OtlpSignal, then: Then) -> bool {
        let error = SendError::retryable("away");
        troubles.failed(&Failed { signal, endpoint: Some("http://a/v1"), items: 7, error: &error, then }, || Some(9))
    }

    fn dropped(troubles: &Troubles) -> u64 {
        troubles.signal(OtlpSignal::Traces).trouble.as_ref().unwrap().dropped
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_the_first_loss_and_each_minute_are_said() {
        let troubles = Troubles::default();
        assert!(fail(&troubles, OtlpSignal::Traces, Then::Again));
        assert!(!fail(&troubles, OtlpSignal::Traces, Then::Again));
        assert!(fail(&troubles, OtlpSignal::Traces, Then::Dropped), "the first loss is news");
        assert!(!fail(&troubles, OtlpSignal::Traces, Then::Dropped));
        assert_eq!(dropped(&troubles), 14);
        tokio::time::advance(Seldom::AGAIN).await;
        assert!(fail(&troubles, OtlpSignal::Traces, Then::Again));
    }

    #[tokio::test(start_paused = true)]
    async fn signals_have_troubles_of_their_own_and_the_last_end_is_the_end() {
        let troubles = Troubles::default();
        assert!(!troubles.taken(OtlpSignal::Logs, None, || None));
        assert!(fail(&troubles, OtlpSignal::Traces, Then::Again));
        assert!(fail(&troubles, OtlpSignal::Logs, Then::Again));
        assert!(!troubles.taken(OtlpSignal::Metrics, None, || None), "it had none");
        assert!(!troubles.taken(OtlpSignal::Logs, None, || None), "traces still fail");
        assert!(troubles.taken(OtlpSignal::Traces, None, || None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_said_once_a_minute() {
        let troubles = Troubles::default();
        assert!(fail(&troubles, OtlpSignal::Traces, Then::Dropped));
        for _ in 0..3 {
            assert!(troubles.taken(OtlpSignal::Traces, None, || None));
            assert!(!fail(&troubles, OtlpSignal::Traces, Then::Dropped));
        }
        tokio::time::advance(Seldom::AGAIN).await;
        assert!(fail(&troubles, OtlpSignal::Traces, Then::Dropped));
    }
}
