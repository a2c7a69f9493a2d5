//! Our own lines as log entries for `loki.*` components (`write_to`).

use base_metrics::Counter;
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry, LogsReceiver};
use tokio::sync::mpsc;

/// So many lines wait for the receivers; further ones are dropped and counted. Logging never waits.
const MAX_WAITING: usize = 4096;

/// So many lines go in one batch.
const MAX_BATCH: usize = 256;

tokio::task_local! {
    static FORWARDING: ();
}

/// Where lines go in.
#[derive(Clone)]
pub(crate) struct Forward {
    lines: mpsc::Sender<LogEntry>,
    dropped: Counter,
}

/// Where they come out.
pub(crate) struct Inbox(mpsc::Receiver<LogEntry>);

/// A way from the log to its receivers; what is dropped is counted there.
pub(crate) fn pair(dropped: Counter) -> (Forward, Inbox) {
    let (lines, inbox) = mpsc::channel(MAX_WAITING);
    (Forward { lines, dropped }, Inbox(inbox))
}

/// Whether this code runs on behalf of a line that is being forwarded. What it logs is not forwarded, or a single line
/// could go round for ever.
pub(crate) fn is_forwarding() -> bool {
    FORWARDING.try_with(|()| ()).is_ok()
}

// === impl Forward ===

impl Forward {
    pub fn send(&self, at: i64, line: String) {
        if self.lines.try_send(LogEntry::new(at, line)).is_err() {
            self.dropped.inc();
        }
    }
}

// === impl Inbox ===

impl Inbox {
    /// The next lines, as one batch.
    pub async fn next(&mut self) -> LogBatch {
        let mut entries = Vec::new();
        if self.0.recv_many(&mut entries, MAX_BATCH).await == 0 {
            // The log has other receivers by now, or none.
            std::future::pending::<()>().await;
        }
        LogBatch::of(Labels::from_pairs([("component", "alloy")]), entries)
    }
}

/// Hands a batch to every receiver, one after the other; whoever refuses it goes without.
pub(crate) async fn hand_over(batch: LogBatch, receivers: &[LogsReceiver], dropped: &Counter) {
    FORWARDING
        .scope((), async {
            for LogsReceiver(receiver) in receivers {
                match receiver.consume(batch.clone()).await {
                    Ok(delivery) => delivery.detach(),
                    Err(_) => dropped.add(batch.len() as u64),
                }
            }
        })
        .await;
}
