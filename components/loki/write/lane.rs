//! A lane: open requests (one for each tenant) in front of a queue. One endpoint has one lane, or as many as the user
//! wants requests at the same time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sdk_labels::Labels;
use sdk_protocols_loki::{Add, Push, entry_size};
use sdk_queue::{Queue, Record, Taken};
use sdk_signals::{LogGroup, Outcome, Refused, Settle};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::arrivals::{self, Arrival};
use super::metrics::Reason;
use super::sender::Endpoint;

/// Entries on their way into requests.
pub struct Lane {
    pub endpoint: Arc<Endpoint>,
    pub queue: Queue,
    /// A request was begun: its time runs.
    begun: Notify,
    /// What is open shall go now.
    early: Notify,
    /// Requests are not waited for any more.
    hurried: CancellationToken,
    open: Mutex<Open>,
}

struct Open {
    requests: Vec<Request>,
    /// A request that waits for room in the queue. Whoever brought its last entries may give up meanwhile, and is not alone in
    /// it.
    full: Option<(Record, Settle)>,
    closed: bool,
}

/// Which requests go.
#[derive(Clone, Copy, PartialEq)]
enum Due {
    /// Those that have waited for `batch_wait`.
    InTime,
    /// All.
    Early,
    /// All, and nothing more is taken.
    AtTheEnd,
}

/// A request that is being filled.
struct Request {
    tenant: Arc<str>,
    push: Push,
    settles: Vec<Settle>,
    arrivals: Vec<Arrival>,
    /// The call that the last of `settles` is of.
    last_call: u64,
    since: Instant,
}

// === impl Lane ===

impl Lane {
    pub fn new(endpoint: Arc<Endpoint>, queue: Queue) -> Lane {
        let open = Mutex::new(Open { requests: Vec::new(), full: None, closed: false });
        Lane { endpoint, queue, begun: Notify::new(), early: Notify::new(), hurried: CancellationToken::new(), open }
    }

    /// Adds a group's entries to the tenant's request; full requests go to the queue, and that is where it waits.
    /// `labels` are those that are sent, `settle` is told once what became of each request that `call` has a part in.
    pub async fn add(
        &self,
        tenant: &str,
        labels: &Labels,
        group: &LogGroup,
        settle: &Settle,
        call: u64,
    ) -> Result<(), Refused> {
        let endpoint = &self.endpoint;
        let mut open = self.open.lock().await;
        if open.closed {
            return Err(Refused::retryable("the endpoint is closing"));
        }
        self.send_full(&mut open.full).await?;
        let index = open.request_of(tenant);
        let Open { requests, full, .. } = &mut *open;
        let request = &mut requests[index];
        if request.push.is_empty() {
            request.since = Instant::now();
            self.begun.notify_one();
        }
        // Made with its first entry, so that no request holds a stream without any.
        let mut stream = None;
        let mut limited = (0, 0);
        // Since the last time that they were noted.
        let mut added = 0;
        let now_ms = base_sys::clock::now_ms();
        for entry in &group.entries {
            let size = entry_size(entry);
            if !request.push.is_empty() && request.push.bytes() + size > endpoint.batch_bytes {
                arrivals::add(&mut request.arrivals, now_ms, std::mem::take(&mut added));
                request.since = Instant::now();
                stream = None;
                self.send(request, full).await?;
            }
            match *stream.get_or_insert_with(|| request.push.stream(labels, endpoint.max_streams)) {
                Add::Stream(id) => {
                    if request.last_call != call {
                        request.last_call = call;
                        request.settles.push(settle.clone());
                    }
                    added += 1;
                    request.push.add(id, entry);
                }
                Add::TooMany => limited = (limited.0 + 1, limited.1 + size as u64),
            }
        }
        arrivals::add(&mut request.arrivals, now_ms, added);
        if limited.0 > 0 {
            endpoint.tenant(tenant).dropped(Reason::StreamLimited, limited.0, limited.1);
            settle.clone().settle(Outcome::Dropped);
        }
        Ok(())
    }

    /// Hands a request to the queue and begins the next one.
    async fn send(&self, request: &mut Request, full: &mut Option<(Record, Settle)>) -> Result<(), Refused> {
        let entries = request.push.entries();
        let body = request.push.finish();
        self.endpoint.arrivals.note(&body, entries, std::mem::take(&mut request.arrivals));
        let settle = Settle::all(std::mem::take(&mut request.settles));
        request.last_call = 0;
        let record =
            Record { meta: Bytes::copy_from_slice(request.tenant.as_bytes()), body: body.into(), items: entries };
        *full = Some((record, settle));
        self.send_full(full).await
    }

    /// Waits until the queue has it; cut off, it is still there.
    async fn send_full(&self, full: &mut Option<(Record, Settle)>) -> Result<(), Refused> {
        let Some((record, _)) = full else { return Ok(()) };
        let (tenant, entries, bytes) = (record.meta.clone(), record.items, record.body.len());
        match self.queue.push_from(full).await {
            Ok(Taken::Queued) => Ok(()),
            Ok(Taken::Dropped) => {
                let metrics = self.endpoint.tenant(&String::from_utf8_lossy(&tenant));
                metrics.dropped(Reason::QueueIsFull, u64::from(entries), bytes as u64);
                Ok(())
            }
            Err(_closed) => Err(Refused::retryable("the endpoint is closing")),
        }
    }

    /// Sends each request whose time has come; runs until it is cut.
    pub async fn keep_time(&self) {
        loop {
            // Waits for the lock only while a full queue makes the adders wait; then there is nothing to hurry.
            let next = self.open.lock().await.next_due(self.batch_wait());
            match next {
                None => {
                    let quiet = tokio::time::timeout(QUIET, self.begun.notified()).await.is_err();
                    if quiet && !self.forget_quiet().await {
                        self.begun.notified().await;
                    }
                }
                Some(due) => {
                    // Many small ticks are worse than a little lateness: Alloy looks ten times per batch_wait.
                    let due = due.max(Instant::now() + Duration::from_millis(1));
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => self.send_due(Due::InTime).await,
                        () = self.early.notified() => self.send_due(Due::Early).await,
                        () = self.hurried.cancelled(), if !self.hurried.is_cancelled() => {}
                    }
                }
            }
        }
    }

    /// Those who add entries wait until they are safe: requests are short, and written down at once.
    pub fn hurry(&self) {
        self.hurried.cancel();
        self.queue.save_at_once();
    }

    /// What is open goes now, as others wait until it has gone.
    pub fn send_early(&self) {
        self.early.notify_one();
    }

    fn batch_wait(&self) -> Duration {
        match self.hurried.is_cancelled() {
            true => self.endpoint.batch_wait.min(HURRIED_WAIT),
            false => self.endpoint.batch_wait,
        }
    }

    /// Sends what is due, in spite of a queue that has closed meanwhile.
    async fn send_due(&self, when: Due) {
        let mut open = self.open.lock().await;
        open.closed |= when == Due::AtTheEnd;
        let Open { requests, full, .. } = &mut *open;
        if self.send_full(full).await.is_err() {
            return;
        }
        let now = Instant::now();
        for request in requests {
            let due = when != Due::InTime || now >= request.since + self.batch_wait();
            if due && !request.push.is_empty() && self.send(request, full).await.is_err() {
                return;
            }
        }
    }

    /// A tenant that has gone quiet needs no buffers. True when there are others.
    async fn forget_quiet(&self) -> bool {
        let mut open = self.open.lock().await;
        open.requests.retain(|request| !request.push.is_empty());
        !open.requests.is_empty()
    }

    /// Takes nothing more and hands everything to the queue.
    pub async fn finish(&self) {
        self.send_due(Due::AtTheEnd).await;
    }
}

/// After this long without entries a tenant's buffers are given back.
const QUIET: Duration = Duration::from_secs(60);

/// How long a request is filled when everything is about to stop.
const HURRIED_WAIT: Duration = Duration::from_millis(20);

// === impl Open ===

impl Open {
    fn request_of(&mut self, tenant: &str) -> usize {
        if let Some(index) = self.requests.iter().position(|request| *request.tenant == *tenant) {
            return index;
        }
        self.requests.push(Request {
            tenant: tenant.into(),
            push: Push::new(),
            settles: Vec::new(),
            arrivals: Vec::new(),
            last_call: 0,
            since: Instant::now(),
        });
        self.requests.len() - 1
    }

    fn next_due(&self, batch_wait: Duration) -> Option<Instant> {
        if self.full.is_some() {
            return Some(Instant::now());
        }
        let filling = self.requests.iter().filter(|request| !request.push.is_empty());
        filling.map(|request| request.since + batch_wait).min()
    }
}
