//! From the queue to the endpoint.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base_sys::clock;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{HeaderValue, Request, header};
use sdk_net::USER_AGENT;
use sdk_protocols_remote_write::{CONTENT_TYPE, VERSION};
use sdk_queue::Lease;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::endpoint::{Endpoint, Meta};
use super::health::Health;

/// How often the number of shards is reconsidered.
const RESHARD_INTERVAL: Duration = Duration::from_secs(10);
/// Requests that wait for each shard before there are more shards.
const BEHIND: u64 = 4;
/// So much of an answer is logged.
const SHOWN_ANSWER: usize = 1024;

/// Sends what is in an endpoint's queue until told to stop, and then until the queue is empty or the endpoint fails.
pub(crate) struct Sender {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) health: Arc<Health>,
    /// No more will come.
    pub(crate) stopping: CancellationToken,
}

/// What became of one attempt.
enum Attempt {
    Taken,
    /// Try again, not before the given time if the endpoint has said one.
    Again(String, Option<Duration>),
    /// Trying again cannot help.
    Refused(String),
}

impl Sender {
    pub(crate) async fn run(self) {
        let mut sending = FuturesUnordered::new();
        let mut busy: HashSet<u32> = HashSet::new();
        let mut generation = None;
        let mut held: Option<(Lease, Meta)> = None;
        let mut reshard = tokio::time::interval_at(Instant::now() + RESHARD_INTERVAL, RESHARD_INTERVAL);
        let queue = &self.endpoint.queue;
        loop {
            // One request at a time for each shard, one generation of shards at a time.
            if let Some((lease, meta)) = held.take() {
                let same = generation == Some(meta.generation);
                if sending.is_empty() || (same && !busy.contains(&meta.shard)) {
                    generation = Some(meta.generation);
                    busy.insert(meta.shard);
                    let sender = &self;
                    sending.push(async move { (meta.shard, sender.deliver(lease, meta).await) });
                } else {
                    held = Some((lease, meta));
                }
            }
            let stopping = self.stopping.is_cancelled();
            if stopping && held.is_none() && sending.is_empty() && queue.stats().records == 0 {
                return;
            }
            tokio::select! {
                Some((shard, finished)) = sending.next(), if !sending.is_empty() => {
                    busy.remove(&shard);
                    if !finished {
                        return;
                    }
                }
                lease = queue.next(), if held.is_none() => {
                    let Some(lease) = lease else { return };
                    held = self.accept(lease);
                }
                () = self.stopping.cancelled(), if !stopping => {}
                _ = reshard.tick() => self.reshard(),
            }
        }
    }

    /// Passes over what another version has left.
    fn accept(&self, lease: Lease) -> Option<(Lease, Meta)> {
        let meta = Meta::from_bytes(&lease.record().meta);
        if meta.is_none() {
            tracing::warn!(endpoint = self.endpoint.setup.name, "a request that another version has queued is dropped");
            lease.refuse();
            return None;
        }
        meta.map(|meta| (lease, meta))
    }

    /// More shards when requests pile up although they are taken, fewer when none wait.
    fn reshard(&self) {
        let (endpoint, setup) = (&self.endpoint, &self.endpoint.setup);
        let overflow = endpoint.queue.counters().lost_overflow.items.load(Ordering::Relaxed);
        let counted = endpoint.metrics.samples_overflow.get() as u64;
        endpoint.metrics.samples_overflow.add(overflow.saturating_sub(counted));

        let now = endpoint.shards.load(Ordering::Relaxed);
        let waiting = endpoint.queue.stats().records;
        let wanted = if self.health.is_failing(&setup.name) {
            now
        } else if waiting > BEHIND * now as u64 {
            (now * 2).min(setup.max_shards())
        } else if waiting == 0 {
            (now / 2).max(setup.min_shards())
        } else {
            now
        };
        endpoint.metrics.shards_desired.set_u64(wanted as u64);
        endpoint.metrics.shards.set_u64(wanted as u64);
        endpoint.shards.store(wanted, Ordering::Relaxed);
    }

    /// Sends one request as often as it takes. False when the stop should not wait for it any longer.
    async fn deliver(&self, lease: Lease, meta: Meta) -> bool {
        let setup = &self.endpoint.setup;
        let metrics = &self.endpoint.metrics;
        let samples = u64::from(lease.record().items - meta.exemplars);
        let exemplars = u64::from(meta.exemplars);
        let no_longer_pending = || {
            metrics.samples.pending.sub(samples as f64);
            metrics.exemplars.pending.sub(exemplars as f64);
        };
        let least = setup.queue.min_backoff.to_std().unwrap_or(Duration::ZERO);
        let most = setup.queue.max_backoff.to_std().unwrap_or(Duration::ZERO).max(least);
        let mut backoff = least;
        for attempt in 0u64.. {
            if self.is_too_old(&lease) {
                metrics.samples_too_old.add(samples);
                no_longer_pending();
                lease.refuse();
                return true;
            }
            metrics.samples.total.add(samples);
            metrics.exemplars.total.add(exemplars);
            metrics.bytes.add(lease.record().body.len() as u64);
            let start = Instant::now();
            let outcome = self.attempt(&lease, attempt).await;
            metrics.sent_batch_duration.observe(start.elapsed().as_secs_f64());
            match outcome {
                Attempt::Taken => {
                    self.health.well(&setup.name);
                    let highest = metrics.highest_sent_timestamp.get().max((meta.highest_timestamp / 1000) as f64);
                    metrics.highest_sent_timestamp.set(highest);
                    no_longer_pending();
                    lease.ack();
                    return true;
                }
                Attempt::Refused(reason) => {
                    tracing::error!(
                        remote_name = setup.name,
                        url = setup.url,
                        count = samples,
                        exemplar_count = exemplars,
                        err = reason,
                        "non-recoverable error"
                    );
                    metrics.samples.failed.add(samples);
                    metrics.exemplars.failed.add(exemplars);
                    no_longer_pending();
                    lease.refuse();
                    return true;
                }
                Attempt::Again(reason, at_least) => {
                    metrics.samples.retried.add(samples);
                    metrics.exemplars.retried.add(exemplars);
                    self.health.failing(&setup.name, &setup.url, &reason);
                    let wait = at_least.filter(|wait| !wait.is_zero()).unwrap_or_else(|| jittered(backoff));
                    backoff = (backoff * 2).clamp(least, most);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // What the endpoint does not take now waits on the disk for the next start.
                        () = self.stopping.cancelled() => return false,
                    }
                }
            }
        }
        true
    }

    fn is_too_old(&self, lease: &Lease) -> bool {
        let setup = &self.endpoint.setup;
        let age = Duration::from_millis(clock::now_ms().saturating_sub(lease.taken_at_ms()).max(0) as u64);
        let limit = setup.queue.sample_age_limit.to_std().filter(|limit| !limit.is_zero());
        limit.is_some_and(|limit| age > limit) || setup.max_age.is_some_and(|most| age > most)
    }

    async fn attempt(&self, lease: &Lease, attempt: u64) -> Attempt {
        let setup = &self.endpoint.setup;
        let mut request = Request::new(lease.record().body.clone());
        *request.method_mut() = http::Method::POST;
        match setup.url.parse() {
            Ok(url) => *request.uri_mut() = url,
            Err(error) => return Attempt::Again(format!("{:?} is not an address: {error}", setup.url), None),
        }
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static(VERSION));
        if attempt > 0 {
            headers.insert("retry-attempt", HeaderValue::from(attempt));
        }
        for (name, value) in &setup.headers {
            headers.insert(name, value.clone());
        }
        match setup.client.send(request).await {
            Err(error) => Attempt::Again(error.to_string(), None),
            Ok(response) if response.status.is_success() => Attempt::Taken,
            Ok(response) => {
                let shown = &response.body[..response.body.len().min(SHOWN_ANSWER)];
                let shown = String::from_utf8_lossy(shown);
                let reason = format!("server returned HTTP status {}: {}", response.status, shown.trim_end());
                let throttled = response.status.as_u16() == 429 && setup.queue.retry_on_http_429;
                if response.status.is_server_error() || throttled {
                    Attempt::Again(reason, response.retry_after())
                } else {
                    Attempt::Refused(reason)
                }
            }
        }
    }
}

/// Up to a tenth more or less, so that collectors which failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    wait.mul_f64(0.9 + (random % 1000) as f64 / 5000.0)
}
