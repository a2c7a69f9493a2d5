//! Answers that go on: `/api/v0/web/graph` and `/api/v0/web/debug/{id}`.
//!
//! Records end with `|;|`, as Alloy's web pages expect. A stream looks at taps, which never wait for it: what it has no
//! room for is left out, and said once in the log.

mod debug;
mod graph;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use sdk_component::BodyStream;
use tokio::sync::mpsc;

pub(crate) use debug::debug;
pub(crate) use graph::graph;

use crate::{answer, text};

/// What ends a record.
const END: &str = "|;|";

/// So many may look at once.
const MAX_STREAMS: usize = 64;

/// Chunks on their way to a client.
const CHUNKS: usize = 1;

static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// Counts as one of those who look, until it is dropped.
struct Seat;

impl Seat {
    fn take() -> Option<Seat> {
        let taken = STREAMS.fetch_update(Ordering::AcqRel, Ordering::Acquire, |streams| {
            (streams < MAX_STREAMS).then_some(streams + 1)
        });
        taken.ok().map(|_| Seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Answers 200 and goes on with what `work` sends, until that ends or the client leaves.
fn streamed<F>(name: &'static str, work: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> Response<Bytes>
where
    F: Future<Output = ()> + Send + 'static,
{
    let Some(seat) = Seat::take() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "too many clients look already\n");
    };
    let (chunks, body) = mpsc::channel(CHUNKS);
    let work = work(chunks.clone());
    let task = base_sys::task::spawn(name, async move {
        let _seat = seat;
        tokio::select! {
            () = work => {}
            () = chunks.closed() => {}
        }
    });
    drop(task); // it ends with its client
    let mut response = answer(StatusCode::OK, "text/plain; charset=utf-8", Bytes::new());
    response.extensions_mut().insert(BodyStream::new(body));
    response
}

/// The value of a parameter of the query.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}
