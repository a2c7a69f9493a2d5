//! From the queue to the endpoint.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base_sys::chance::Chance;
use base_sys::clock;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, HeaderValue, Request, header};
use sdk_net::client::{may_refuse_one, retry_after};
use sdk_net::{Streaming, USER_AGENT, why_no_address};
use sdk_protocols_remote_write::{Version, transcode};
use sdk_queue::Lease;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::health::Health;
use super::meta::{Counts, Meta};

/// How often the number of shards is reconsidered.
const RESHARD_INTERVAL: Duration = Duration::from_secs(10);
/// Requests that wait for each shard before there are more shards.
const BEHIND: u64 = 4;
/// Shards that what waits in an outage is divided among, at most: so many requests at once go out when it is over.
const SHARDS_IN_OUTAGE: usize = 8;
/// So much of an answer is read, and for so long.
const MOST_ANSWER: usize = 64 << 10;
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// A request is not turned into another version when it is larger, decompressed; ours are far smaller.
const MOST_TRANSCODED: usize = 64 << 20;

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
    /// Not all of it; trying again would send the rest twice.
    InPart(Counted),
    /// The endpoint does not know this version of the protocol.
    Unknown(String),
    /// Try again, not before the given time if the endpoint has said one.
    Again(String, Option<Duration>),
    /// Trying again cannot help; some of it may have been taken.
    Refused(String, Option<Counted>),
    /// Whatever is sent there is refused: the credentials or the address are wrong.
    Barred(String),
}

/// What an endpoint says that it has taken.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counted {
    samples: u64,
    histograms: u64,
    exemplars: u64,
}

/// A request as it is sent at the moment.
struct Sent {
    version: Version,
    body: Bytes,
    items: u32,
    counts: Counts,
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
            self.endpoint.metrics.pending(lease.record().items, Counts::default(), -1.0);
            lease.refuse();
            return None;
        }
        let (meta, endpoint) = (meta?, &self.endpoint);
        if endpoint.journal.is_repeat(meta.draft) {
            endpoint.waits_no_longer(&meta, lease.record().items);
            lease.refuse();
            return None;
        }
        Some((lease, meta))
    }

    /// More shards when requests pile up, fewer when none wait.
    fn reshard(&self) {
        let (endpoint, setup) = (&self.endpoint, &self.endpoint.setup);
        let overflow = endpoint.queue.counters().lost_overflow.items.load(Ordering::Relaxed);
        let counted = endpoint.metrics.samples_overflow.get() as u64;
        let dropped = overflow.saturating_sub(counted);
        endpoint.metrics.samples_overflow.add(dropped);
        endpoint.metrics.samples.pending.add(-(dropped as f64));
        endpoint.tell_expired(0);

        let now = endpoint.shards.load(Ordering::Relaxed);
        let waiting = endpoint.queue.stats().records;
        let full = setup.samples_per_request() as u64;
        let is_behind = waiting > BEHIND * now as u64;
        let wanted = if self.health.is_failing(&setup.name) {
            // More shards make smaller requests, unless these are full.
            let is_full = endpoint.metrics.samples.pending.get() * 2.0 > (waiting * full) as f64;
            let most = if is_behind && is_full { SHARDS_IN_OUTAGE.min(setup.max_shards()) } else { now };
            (now * 2).min(most).max(now)
        } else if is_behind {
            (now * 2).min(setup.max_shards())
        } else if waiting == 0 {
            (now / 2).max(setup.min_shards())
        } else {
            now
        };
        endpoint.metrics.shards(wanted);
        endpoint.shards.store(wanted, Ordering::Relaxed);
    }

    /// Sends one request as often as it takes. False when the stop should not wait for it any longer.
    async fn deliver(&self, lease: Lease, meta: Meta) -> bool {
        let setup = &self.endpoint.setup;
        let metrics = &self.endpoint.metrics;
        let (items, counts) = (lease.record().items, meta.counts);
        let mut sent = Sent { version: meta.version, body: lease.record().body.joined(), items, counts };
        let mut has_switched = false;
        let settled = || {
            self.endpoint.waits_no_longer(&meta, items);
            // Before the next request of this shard is on its way: after a kill, this one must not follow it.
            self.endpoint.journal.done(meta.draft);
        };
        let least = setup.queue.min_backoff.to_std().unwrap_or(Duration::ZERO);
        let most = setup.queue.max_backoff.to_std().unwrap_or(Duration::ZERO).max(least);
        let mut backoff = least;
        for attempt in 0u64.. {
            if self.is_too_old(&lease) {
                self.endpoint.expired(counts.samples(items).into(), counts.histograms.into());
                settled();
                lease.refuse();
                return true;
            }
            metrics.attempted(sent.items, sent.counts, sent.body.len());
            let start = Instant::now();
            let mut outcome = self.attempt(&sent, attempt).await;
            metrics.tried(start.elapsed());
            if let Attempt::Unknown(reason) = outcome {
                if !has_switched && let Some(other) = self.in_other_version(&sent) {
                    has_switched = true;
                    sent = other;
                    continue;
                }
                outcome = Attempt::Barred(reason);
            }
            if let Attempt::Again(reason, _) = &outcome
                && (1..=attempt).contains(&setup.max_retries)
            {
                let retries = setup.max_retries;
                outcome = Attempt::Refused(format!("given up after {retries} retries: {reason}"), None);
            }
            // An endpoint that was in trouble is not well because it refuses now for another reason.
            if let Attempt::Barred(reason) | Attempt::Refused(reason, _) = &outcome
                && (matches!(outcome, Attempt::Barred(_)) || self.health.is_failing(&setup.name))
            {
                self.health.refuses(&setup.name, reason);
            }
            if let Attempt::Barred(reason) = outcome {
                outcome = Attempt::Refused(reason, None);
            }
            match outcome {
                Attempt::Taken | Attempt::InPart(_) => {
                    if let Attempt::InPart(taken) = outcome {
                        self.missed(&sent, taken);
                    }
                    self.endpoint.takes(sent.version, has_switched);
                    if attempt > 0 {
                        self.endpoint.came_back();
                    }
                    self.health.well(&setup.name);
                    metrics.reached(meta.highest_timestamp);
                    settled();
                    lease.ack();
                    return true;
                }
                Attempt::Refused(reason, taken) => {
                    tracing::error!(
                        remote_name = setup.name,
                        url = setup.shown_url,
                        count = sent.counts.samples(sent.items),
                        exemplar_count = sent.counts.exemplars,
                        histogram_count = sent.counts.histograms,
                        err = reason,
                        "non-recoverable error"
                    );
                    match taken {
                        Some(taken) if sent.version == Version::V2 => self.missed(&sent, taken),
                        _ => metrics.failed(sent.items, sent.counts),
                    }
                    settled();
                    lease.refuse();
                    return true;
                }
                Attempt::Again(reason, at_least) => {
                    metrics.retried(sent.items, sent.counts);
                    self.health.failing(&setup.name, &setup.shown_url, &reason);
                    let wait = at_least.filter(|wait| !wait.is_zero()).unwrap_or_else(|| jittered(backoff));
                    backoff = (backoff * 2).clamp(least, most);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // What the endpoint does not take now waits on the disk for the next start.
                        () = self.stopping.cancelled() => return false,
                    }
                }
                Attempt::Unknown(_) | Attempt::Barred(_) => unreachable!("it was refused above"),
            }
        }
        true
    }

    /// The same in the other version of the protocol; None if it cannot be had.
    fn in_other_version(&self, sent: &Sent) -> Option<Sent> {
        let other = transcode(sent.version, &sent.body, MOST_TRANSCODED)?;
        let left_out = other.left_out as u32;
        self.endpoint.metrics.histograms_unsupported.add(left_out.into());
        let histograms = sent.counts.histograms.saturating_sub(left_out);
        let counts = Counts { histograms, metadata: 0, ..sent.counts };
        let (version, items) = (sent.version.other(), other.entries as u32);
        Some(Sent { version, body: Bytes::from(other.body), items, counts })
    }

    /// Counts what the endpoint says it has not taken.
    fn missed(&self, sent: &Sent, taken: Counted) {
        let metrics = &self.endpoint.metrics;
        let (samples, Counts { exemplars, histograms, .. }) = (sent.counts.samples(sent.items), sent.counts);
        let missing = |sent: u32, taken: u64| u64::from(sent).saturating_sub(taken);
        let samples = missing(samples, taken.samples);
        let exemplars = missing(exemplars, taken.exemplars);
        let histograms = missing(histograms, taken.histograms);
        metrics.samples.failed.add(samples);
        metrics.exemplars.failed.add(exemplars);
        metrics.histograms.failed.add(histograms);
        let (remote_name, url) = (&self.endpoint.setup.name, &self.endpoint.setup.shown_url);
        tracing::error!(
            remote_name,
            url,
            samples,
            exemplars,
            histograms,
            "the endpoint has not taken all of a request"
        );
    }

    fn is_too_old(&self, lease: &Lease) -> bool {
        let setup = &self.endpoint.setup;
        let age = Duration::from_millis(clock::now_ms().saturating_sub(lease.taken_at_ms()).max(0) as u64);
        setup.longest_wait().is_some_and(|longest| age > longest)
    }

    async fn attempt(&self, sent: &Sent, attempt: u64) -> Attempt {
        let setup = &self.endpoint.setup;
        let mut request = Request::new(sent.body.clone());
        *request.method_mut() = http::Method::POST;
        match &setup.address {
            Some(address) => *request.uri_mut() = address.clone(),
            None => return Attempt::Again(why_no_address(&setup.shown_url), None),
        }
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sent.version.content_type()));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static(sent.version.header()));
        if attempt > 0 {
            headers.insert("retry-attempt", HeaderValue::from(attempt));
        }
        for (name, value) in &setup.headers {
            headers.insert(name, value.clone());
        }
        if let Err(reason) = setup.identity.sign(&mut request).await {
            return Attempt::Again(reason, None);
        }
        let answer = setup.client.open(request).await;
        let status = answer.as_ref().ok().map(|response| response.status);
        self.endpoint.metrics.answered(sent.items, sent.counts, status);
        match answer {
            Err(error) => Attempt::Again(error.to_string(), None),
            Ok(mut response) if response.status.is_success() => {
                // What it says besides is of no interest, but the connection can be used again once it has been heard.
                body_of(&mut response).await;
                taken(sent, Counted::of(&response.headers))
            }
            Ok(mut response) => {
                let body = body_of(&mut response).await;
                let shown = setup.discretion.shown(&body);
                let reason = format!("server returned HTTP status {}: {shown}", response.status);
                let throttled = response.status.as_u16() == 429 && setup.queue.retry_on_http_429;
                if response.status.is_server_error() || throttled {
                    Attempt::Again(reason, retry_after(&response.headers))
                } else if response.status == http::StatusCode::UNSUPPORTED_MEDIA_TYPE {
                    Attempt::Unknown(reason)
                } else if may_refuse_one(response.status) {
                    Attempt::Refused(reason, Counted::of(&response.headers))
                } else {
                    Attempt::Barred(reason)
                }
            }
        }
    }
}

/// What an answer says, as far as it is listened to. An answer that breaks off, or never ends, is one by its status alone.
async fn body_of(response: &mut Streaming) -> Vec<u8> {
    let mut body = Vec::new();
    let all = async {
        while body.len() < MOST_ANSWER
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
    };
    let _ = tokio::time::timeout(ANSWER_PATIENCE, all).await;
    body
}

/// What a success means, by the counts that came with it.
fn taken(sent: &Sent, counted: Option<Counted>) -> Attempt {
    let Counts { exemplars, histograms, .. } = sent.counts;
    let all = Counted {
        samples: sent.counts.samples(sent.items).into(),
        histograms: histograms.into(),
        exemplars: exemplars.into(),
    };
    match counted {
        // A receiver that knows version 1 alone finds nothing in a request of version 2, and is content.
        None if sent.version == Version::V2 => {
            Attempt::Unknown("the endpoint does not say what it has written, as receivers of version 2 must".to_owned())
        }
        // Receivers of version 1 need not count, and those that do so count in their own ways.
        Some(counted) if sent.version == Version::V2 => {
            let short = counted.samples < all.samples
                || counted.histograms < all.histograms
                || counted.exemplars < all.exemplars;
            if short { Attempt::InPart(counted) } else { Attempt::Taken }
        }
        _ => Attempt::Taken,
    }
}

impl Counted {
    /// None when there is no such header at all.
    fn of(headers: &HeaderMap) -> Option<Counted> {
        let header = |what: &str| {
            let value = headers.get(format!("x-prometheus-remote-write-{what}-written"))?;
            value.to_str().ok()?.trim().parse::<u64>().ok()
        };
        let (samples, histograms, exemplars) = (header("samples"), header("histograms"), header("exemplars"));
        if samples.is_none() && histograms.is_none() && exemplars.is_none() {
            return None;
        }
        let or_none = |count: Option<u64>| count.unwrap_or(0);
        Some(Counted { samples: or_none(samples), histograms: or_none(histograms), exemplars: or_none(exemplars) })
    }
}

/// Up to a tenth more or less, so that collectors which failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.9 + Chance::new().part() / 5.0)
}
