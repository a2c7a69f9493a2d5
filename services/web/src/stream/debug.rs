//! `/debug/{id}`: the data that passes a component, as text.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use sdk_component::host::Host;
use sdk_component::{Passed, Tap, Watcher};
use tokio::sync::mpsc;

use super::{END, parameter, streamed};
use crate::livedebugging::LiveDebugging;
use crate::text;

/// How often what was seen is sent.
const FLUSH: Duration = Duration::from_secs(1);

/// Records from one flush to the next.
const MAX_RECORDS: usize = 1000;

/// Bytes from one flush to the next.
const MAX_BYTES: usize = 4 << 20;

/// A longer record is shown in part.
const MAX_RECORD_BYTES: usize = 256 << 10;

/// Streams what passes component `id`.
pub(crate) fn debug(host: Arc<dyn Host>, live: &LiveDebugging, id: &str, query: &str) -> Response<Bytes> {
    let share = match parameter(query, "sampleProb").filter(|share| !share.is_empty()) {
        None => 1.0,
        Some(share) => match share.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => share,
            _ => return text(StatusCode::BAD_REQUEST, "Invalid sample probability\n"),
        },
    };
    let refuse = |sentence: String| text(StatusCode::INTERNAL_SERVER_ERROR, sentence);
    if !live.is_enabled() {
        return refuse(
            "the live debugging service is disabled. Check the documentation to find out how to enable it\n".to_owned(),
        );
    }
    let Some(tap) = host.tap(id) else {
        return refuse(match host.component(id) {
            None => "component not found\n".to_owned(),
            Some(info) => format!("the component {:?} does not support live debugging\n", info.name),
        });
    };
    let (id, live) = (id.to_owned(), live.clone());
    streamed("debug stream", |chunks| async move {
        tokio::select! {
            () = stream(host, id, tap, share, chunks) => {}
            () = live.disabled() => {}
        }
    })
}

async fn stream(host: Arc<dyn Host>, id: String, tap: Tap, share: f64, chunks: mpsc::Sender<Bytes>) {
    let records = Arc::new(Records { share, seen: Mutex::default() });
    let mut watching = tap.watch(records.clone());
    let mut warned = false;
    let mut flushes = tokio::time::interval_at(tokio::time::Instant::now() + FLUSH, FLUSH);
    loop {
        flushes.tick().await;
        let (seen, left_out) = records.take();
        if left_out > 0 && !warned {
            warned = true;
            tracing::warn!(
                component_id = id,
                left_out,
                "data throughput is very high, not all debugging data can be sent to the live debugging stream"
            );
        }
        if !seen.is_empty() && chunks.send(seen.into()).await.is_err() {
            return;
        }
        // A reload may have made another of it, or none.
        let Some(tap) = host.tap(&id) else { return };
        if !tap.is(watching.tap()) {
            watching = tap.watch(records.clone());
        }
    }
}

/// What was seen since the last flush.
struct Records {
    /// Of all records, this part is shown.
    share: f64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    text: String,
    records: usize,
    /// For want of room.
    left_out: u64,
    /// Grows by the share with each record; a record is shown when it reaches one.
    due: f64,
}

impl Records {
    fn take(&self) -> (String, u64) {
        let mut seen = self.lock();
        seen.records = 0;
        (std::mem::take(&mut seen.text), std::mem::take(&mut seen.left_out))
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Records {
    fn passed(&self, _: &Passed<'_>) {}

    fn shown(&self, text: &dyn Fn() -> String) {
        let mut seen = self.lock();
        seen.due += self.share;
        if seen.due < 1.0 {
            return;
        }
        seen.due -= 1.0;
        if seen.records >= MAX_RECORDS || seen.text.len() >= MAX_BYTES {
            seen.left_out += 1;
            return;
        }
        // Made without the lock: it may take a while, and the stream wants to flush.
        drop(seen);
        let mut record = text();
        if record.len() > MAX_RECORD_BYTES {
            let bytes = record.len();
            record.truncate(record.floor_char_boundary(MAX_RECORD_BYTES));
            record.push_str(&format!("… ({bytes} bytes)"));
        }
        // The mark in the data would cut the record in two.
        let record = record.replace(END, "|\\;|");
        let mut seen = self.lock();
        seen.records += 1;
        seen.text.push_str(&record);
        seen.text.push_str(END);
    }

    fn wants_text(&self) -> bool {
        self.share > 0.0
    }
}
