//! Sending requests until they are accepted, or will never be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base_sys::chance::Chance;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use sdk_net::client::may_refuse_one;
use sdk_net::{Client, Response, SendError, address, shown_url, why_no_address};
use sdk_queue::Queue;
use tokio::time::Instant;

use super::arguments::{self, duration};
use super::arrivals::Arrivals;
use super::health::Health;
use super::lock;
use super::metrics::{Metrics, Reason, TenantMetrics, WalMetrics};
use super::refusal::{self, Entries};

/// What lanes and senders of one endpoint share.
pub struct Endpoint {
    pub name: String,
    /// Or why nothing can be sent.
    address: Result<Uri, String>,
    /// The same, as it may be shown.
    shown: String,
    pub batch_bytes: usize,
    pub batch_wait: Duration,
    pub max_streams: usize,
    pub arrivals: Arrivals,
    client: Client,
    headers: HeaderMap,
    host: String,
    metrics: Metrics,
    wal: Option<WalMetrics>,
    tenants: Mutex<HashMap<String, TenantMetrics>>,
    attempts: Option<u32>,
    attempts_on_refusal: Option<u32>,
    retry_on_429: bool,
    backoff: (Duration, Duration),
    /// That of all endpoints, and the how manieth this is.
    health: (Arc<Health>, usize),
    /// The last attempt failed, or nothing was taken.
    is_in_trouble: AtomicBool,
    /// What waits for it.
    queues: Mutex<Vec<Queue>>,
}

/// What one attempt came to.
enum Attempt {
    Accepted,
    Final {
        reason: Reason,
        /// Loki's word, when only some entries are to blame.
        of_entries: Option<&'static str>,
        /// Whatever is sent there is refused: the credentials or the address are wrong.
        is_barred: bool,
        why: String,
    },
    /// Worth another attempt; `own_fault` when the endpoint itself fails on this request.
    Again {
        why: String,
        own_fault: bool,
        retry_after: Option<Duration>,
    },
}

/// Entries that will not arrive.
struct GivenUp {
    reason: Reason,
    /// Loki's word, when only some of them are to blame.
    of_entries: Option<&'static str>,
}

/// A request that is refused for some of its entries is sent in at most so many parts.
const MAX_PARTS: u32 = 256;

const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// A server that asks for more patience than this gets this much.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// As much of an answer's text as is told.
const SHOWN_BYTES: usize = 1024;

// === impl Endpoint ===

impl Endpoint {
    pub fn new(
        health: (Arc<Health>, usize),
        metrics: &Metrics,
        arguments: &arguments::Endpoint,
        max_streams: usize,
        has_wal: bool,
    ) -> Result<Endpoint, SendError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &arguments.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        Ok(Endpoint {
            name: arguments.identity(),
            shown: shown_url(&arguments.url),
            address: address(&arguments.url).ok_or_else(|| why_no_address(&arguments.url)),
            batch_bytes: arguments.batch_size.to_usize().unwrap_or_default(),
            batch_wait: duration(arguments.batch_wait),
            max_streams,
            arrivals: Arrivals::default(),
            client: arguments.client()?,
            headers,
            host: arguments.host(),
            wal: has_wal.then(|| metrics.wal(&arguments.identity())),
            metrics: metrics.clone(),
            tenants: Mutex::default(),
            attempts: arguments.attempts(),
            attempts_on_refusal: arguments.attempts_on_refusal(),
            retry_on_429: arguments.retry_on_http_429,
            backoff: (duration(arguments.min_backoff_period), duration(arguments.max_backoff_period)),
            health,
            is_in_trouble: AtomicBool::new(false),
            queues: Mutex::default(),
        })
    }

    /// The counters of a tenant.
    pub fn tenant(&self, tenant: &str) -> TenantMetrics {
        let mut tenants = lock(&self.tenants);
        if let Some(metrics) = tenants.get(tenant) {
            return metrics.clone();
        }
        let metrics = self.metrics.tenant(&self.host, tenant);
        tenants.insert(tenant.to_owned(), metrics.clone());
        metrics
    }

    /// Sends what the queue holds, one request at a time and in order; ends when the queue is closed.
    pub async fn send_all(self: Arc<Self>, queue: Queue) {
        lock(&self.queues).push(queue.clone());
        while let Some(lease) = queue.next().await {
            let tenant = String::from_utf8_lossy(&lease.record().meta).into_owned();
            let metrics = self.tenant(&tenant);
            let (entries, bytes) = (u64::from(lease.record().items), lease.record().body.len() as u64);
            let body = lease.record().body.joined();
            if let Some(wal) = &self.wal {
                wal.records_read.inc();
                wal.last_read.set((lease.taken_at_ms() / 1000) as f64);
            }
            let arrivals = self.arrivals.take(&body, entries);
            let sent = match self.deliver(&body, entries, &tenant, &metrics).await {
                Ok(()) => {
                    metrics.sent_bytes.add(bytes);
                    metrics.sent_entries.add(entries);
                    entries
                }
                Err(GivenUp { of_entries: Some(_), .. }) if entries > 1 => {
                    self.deliver_the_good(&body, &tenant, &metrics).await
                }
                Err(given_up) => {
                    given_up.count(&metrics, entries, bytes);
                    0
                }
            };
            if sent == 0 {
                lease.refuse();
                continue;
            }
            // Of those that were sent in parts nobody knows which ones are missing.
            match arrivals.filter(|_| sent == entries) {
                Some(arrivals) => arrivals.into_iter().for_each(|(at, entries)| metrics.propagated(at, entries.into())),
                None => metrics.propagated(lease.taken_at_ms(), sent),
            }
            lease.ack();
        }
    }

    /// Sends a request that was refused for some of its entries again, in halves, in order. How many entries
    /// arrived.
    async fn deliver_the_good(&self, body: &Bytes, tenant: &str, metrics: &TenantMetrics) -> u64 {
        let Some(all) = Entries::of(body) else { return 0 };
        let half = all.len() / 2;
        let mut waiting = vec![half..all.len(), 0..half];
        let mut requests = 0;
        let (mut sent, mut lost) = (0, 0);
        while let Some(part) = waiting.pop() {
            let part_body = all.body(part.clone());
            let (entries, bytes) = (part.len() as u64, part_body.len() as u64);
            requests += 1;
            match self.deliver(&part_body, entries, tenant, metrics).await {
                Ok(()) => {
                    metrics.sent_bytes.add(bytes);
                    metrics.sent_entries.add(entries);
                    sent += entries;
                }
                // So many bad entries are no accident: the rest goes as it would have gone without us.
                Err(given_up) if entries == 1 || given_up.of_entries.is_none() || requests > MAX_PARTS => {
                    given_up.count(metrics, entries, bytes);
                    lost += entries;
                }
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    waiting.extend([middle..part.end, part.start..middle]);
                }
            }
        }
        tracing::info!(
            endpoint = self.shown,
            tenant,
            sent,
            lost,
            requests,
            "a refused request was sent again in parts"
        );
        sent
    }

    /// Tries until the request is accepted or given up.
    async fn deliver(&self, body: &Bytes, entries: u64, tenant: &str, metrics: &TenantMetrics) -> Result<(), GivenUp> {
        let mut attempts = 0u32;
        let mut wait = self.backoff.0;
        loop {
            let started = Instant::now();
            let answer = match self.request(body, tenant) {
                Ok(request) => self.client.send(request).await,
                Err(error) => Err(error),
            };
            let status = answer.as_ref().map_or(-1, |answer| i32::from(answer.status.as_u16()));
            metrics.request(status, started.elapsed().as_secs_f64());
            metrics.request_bytes.observe(body.len() as f64);
            match self.judge(answer) {
                Attempt::Accepted => {
                    self.well(tenant);
                    return Ok(());
                }
                // The endpoint works, and says so.
                Attempt::Final { reason, of_entries: Some(word), why, .. } if entries > 1 => {
                    tracing::debug!(endpoint = self.shown, tenant, entries, why, "some entries are refused");
                    return Err(GivenUp { reason, of_entries: Some(word) });
                }
                Attempt::Final { reason, of_entries, is_barred, why } => {
                    // An endpoint that was in trouble is not well because it refuses now for another reason.
                    if is_barred || self.health.0.is_failing(self.health.1, tenant) {
                        self.refuses(tenant, &why);
                    }
                    tracing::error!(
                        endpoint = self.shown,
                        tenant,
                        entries,
                        why,
                        "entries are dropped: the endpoint will not take them"
                    );
                    return Err(GivenUp { reason, of_entries });
                }
                Attempt::Again { why, own_fault, retry_after } => {
                    attempts += 1;
                    metrics.retries.inc();
                    self.troubled(tenant, &why);
                    let limit = if own_fault { self.attempts_on_refusal } else { self.attempts };
                    if limit.is_some_and(|limit| attempts >= limit) {
                        tracing::error!(
                            endpoint = self.shown,
                            tenant,
                            entries,
                            attempts,
                            why,
                            "entries are dropped after the allowed attempts"
                        );
                        return Err(GivenUp { reason: Reason::IngesterError, of_entries: None });
                    }
                    let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
                    tokio::time::sleep(jittered(wait, self.backoff.1).max(asked)).await;
                    wait = (wait * 2).min(self.backoff.1);
                }
            }
        }
    }

    fn request(&self, body: &Bytes, tenant: &str) -> Result<Request<Bytes>, SendError> {
        let mut request = Request::new(body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address.clone().map_err(SendError::Config)?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        if !tenant.is_empty()
            && let Ok(tenant) = HeaderValue::try_from(tenant)
        {
            headers.insert(TENANT, tenant);
        }
        // What the protocol needs is not the user's to change.
        for (name, value) in &self.headers {
            if !headers.contains_key(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Ok(request)
    }

    fn judge(&self, answer: Result<Response, SendError>) -> Attempt {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Attempt::Again { why: error.to_string(), own_fault: false, retry_after: None },
        };
        let status = answer.status;
        if status.is_success() {
            return Attempt::Accepted;
        }
        let said = String::from_utf8_lossy(&answer.body[..answer.body.len().min(SHOWN_BYTES)]).into_owned();
        let why = format!("{status}: {}", said.lines().next().unwrap_or_default());
        if status == StatusCode::TOO_MANY_REQUESTS && !self.retry_on_429 {
            return Attempt::Final { reason: Reason::RateLimited, of_entries: None, is_barred: false, why };
        }
        if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS {
            let of_entries = if status == StatusCode::BAD_REQUEST { refusal::reason_of(&said) } else { None };
            let is_barred = !may_refuse_one(status);
            return Attempt::Final { reason: Reason::IngesterError, of_entries, is_barred, why };
        }
        // These come from a gateway, or from an endpoint that is busy: the request is not to blame.
        let own_fault = !matches!(status.as_u16(), 429 | 502 | 503 | 504);
        Attempt::Again { why, own_fault, retry_after: answer.retry_after() }
    }

    /// The last attempt failed, or nothing is taken.
    pub fn is_in_trouble(&self) -> bool {
        self.is_in_trouble.load(Relaxed)
    }

    fn troubled(&self, tenant: &str, why: &str) {
        let reason = format!("endpoint {} does not take entries{}: {why}", self.shown, self.of(tenant));
        self.is_in_trouble.store(true, Relaxed);
        if self.health.0.fails(self.health.1, tenant, reason) {
            let tenant = self.has_several_tenants().then_some(tenant);
            tracing::warn!(
                endpoint = self.shown,
                tenant,
                why,
                "cannot send; the queue keeps what arrives, and it is tried again"
            );
        }
    }

    /// It answers, and takes nothing. The log has a line for each request that is lost to it.
    fn refuses(&self, tenant: &str, why: &str) {
        let of = self.of(tenant);
        let reason = format!("endpoint {}: what is sent{of} is refused and dropped: {why}", self.shown);
        self.is_in_trouble.store(true, Relaxed);
        self.health.0.fails(self.health.1, tenant, reason);
    }

    fn well(&self, tenant: &str) {
        self.is_in_trouble.store(false, Relaxed);
        let Some(failed_for) = self.health.0.well(self.health.1, tenant) else { return };
        let waiting = lock(&self.queues)
            .iter()
            .map(Queue::stats)
            .fold((0, 0), |(requests, bytes), queue| (requests + queue.records, bytes + queue.bytes));
        let tenant = self.has_several_tenants().then_some(tenant);
        tracing::info!(
            endpoint = self.shown,
            tenant,
            seconds = failed_for.as_secs_f64(),
            waiting_requests = waiting.0,
            waiting_bytes = waiting.1,
            "the endpoint takes entries again"
        );
    }

    fn has_several_tenants(&self) -> bool {
        lock(&self.tenants).len() > 1
    }

    /// Whose, where there are several.
    fn of(&self, tenant: &str) -> String {
        match (self.has_several_tenants(), tenant) {
            (false, _) => String::new(),
            (true, "") => " without a tenant".to_owned(),
            (true, tenant) => format!(" of tenant {tenant}"),
        }
    }
}

// === impl GivenUp ===

impl GivenUp {
    fn count(&self, metrics: &TenantMetrics, entries: u64, bytes: u64) {
        metrics.dropped(self.reason, entries, bytes);
        if let Some(word) = self.of_entries {
            metrics.rejected(word, entries);
        }
    }
}

/// Between `wait` and twice of it, and not above `most`: senders that failed together do not come back together.
fn jittered(wait: Duration, most: Duration) -> Duration {
    wait.mul_f64(1.0 + Chance::new().part()).min(most.max(wait))
}
