//! The `logging` block.

use std::sync::{Arc, Mutex, PoisonError};

use base_metrics::{Counter, Scope};
use language_eval::{Block, Invalid, Validate, Word};
use sdk_component::host::Host;
use sdk_component::{Problem, Service, Stop, Stopped, Update};
use sdk_signals::LogsReceiver;
use tokio::sync::watch;

use crate::forward::{Forward, Inbox, hand_over, pair};
use crate::layer::Log;

/// What is logged, how, and where to.
#[derive(Block, Clone, Debug)]
#[block(validate)]
pub struct Arguments {
    /// The least important lines to write.
    #[attr(default = Level::Info)]
    pub level: Level,
    /// How a line is written.
    #[attr(default = Format::Logfmt)]
    pub format: Format,
    /// Where lines go.
    #[attr(default = Destination::Stderr)]
    pub destination: Destination,
    /// Receivers of log entries that get every line as well, under the label `component="alloy"`. What they are too slow
    /// for is dropped and counted.
    #[attr(optional)]
    pub write_to: Vec<LogsReceiver>,
}

/// How important a line is, the least important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Word)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Format {
    /// `ts=… level=info msg="…"`
    Logfmt,
    /// `{"ts":"…","level":"info","msg":"…"}`
    Json,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Destination {
    /// Standard error.
    Stderr,
    /// The event log of Windows.
    WindowsEventLog,
}

/// The service that the block configures.
pub struct Logging {
    log: Log,
    forward: Forward,
    inbox: Mutex<Option<Inbox>>,
    receivers: Arc<watch::Sender<Vec<LogsReceiver>>>,
    dropped: Counter,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        match self.destination {
            Destination::Stderr => Ok(()),
            Destination::WindowsEventLog => {
                Err(Invalid::field("destination", "the event log of Windows can not be written to yet; use \"stderr\""))
            }
        }
    }
}

// === impl Level ===

impl Level {
    /// Of an event; `trace` is below everything that is written.
    pub(crate) fn of(level: &tracing::Level) -> Option<Level> {
        Some(match *level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => return None,
        })
    }

    pub(crate) fn from_u8(level: u8) -> Level {
        [Level::Debug, Level::Info, Level::Warn].into_iter().find(|known| *known as u8 == level).unwrap_or(Level::Error)
    }
}

// === impl Logging ===

impl Logging {
    /// Of the process's log; counts what receivers are too slow for.
    pub fn new(log: Log, metrics: &Scope) -> Logging {
        let dropped = metrics.counter(
            "ferroalloy_logging_dropped_lines_total",
            "Own log lines that no receiver in write_to took in time.",
        );
        let (forward, inbox) = pair(dropped.clone());
        let receivers = Arc::new(watch::Sender::new(Vec::new()));
        Logging { log, forward, inbox: Mutex::new(Some(inbox)), receivers, dropped }
    }
}

impl Service for Logging {
    const NAME: &'static str = "logging";

    type Arguments = Arguments;

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let (log, forward, receivers) = (self.log.clone(), self.forward.clone(), self.receivers.clone());
        Ok(Update::then(move || {
            log.set_forward((!arguments.write_to.is_empty()).then_some(forward));
            receivers.send_replace(arguments.write_to);
            log.configure(arguments.level, arguments.format);
        }))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut inbox = inbox.ok_or_else(|| Stopped("the log is forwarded already".to_owned()))?;
        loop {
            tokio::select! {
                batch = inbox.next() => {
                    let receivers = self.receivers.borrow().clone();
                    tokio::select! {
                        () = hand_over(batch, &receivers, &self.dropped) => {}
                        () = stop.stopped() => return Ok(()),
                    }
                }
                () = stop.stopped() => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
