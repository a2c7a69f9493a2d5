//! One endpoint: samples become requests, and requests wait in its queue.
//!
//! A sample is written straight into the body of the next request, from labels that are encoded already. A body that is
//! full, or has waited long enough, is compressed and goes to the queue as it will be sent. So what waits is small, and
//! what is on the disk needs no other form. Before a batch counts as taken, what it added stands in the [`Journal`].
//!
//! When there is more than one shard, a series always goes to the same one, and a shard sends one request at a time: that
//! keeps each series in order. The number of shards changes between two generations of requests; the sender lets one
//! generation finish before it begins the next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use base_stdx::GoDuration;
use base_sys::clock;
use base_sys::seldom::Seldom;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use sdk_component::Problem;
use sdk_labels::Labels;
use sdk_net::{Client, Options, address};
use sdk_protocols_remote_write::Version;
use sdk_queue::{Config, Disk, OpenError, Overflow, Queue, Record, Writing, Written};
use sdk_relabel::{NameRule, Rules};
use sdk_series::Series;
use sdk_signals::{Delivery, Refused, SampleBatch, Settle, Times};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use xxhash_rust::xxh64::xxh64;

use super::arguments::{self, QueueConfig, Wal};
use super::discretion::{Discretion, without_password};
use super::forms::{Forms, FormsOf};
use super::identity::Identity;
use super::journal::{Found, Journal};
use super::meta::{Counts, Meta};
use super::metrics::{Limits, Metrics, Watched};
use super::request::{Known, Request};
use crate::rewrite::{Cache, Rewrite};

/// The disk part of a queue: at some 20 bytes a sample, 50 million samples.
const DISK_BYTES: u64 = 1 << 30;
/// What a sample takes in a compressed request, for turning a `capacity` in samples into bytes. Generous: a sample of
/// twelve labels takes 68.
const BYTES_PER_SAMPLE: usize = 70;
/// A queue holds at least so much in memory, whatever `capacity` says.
const LEAST_MEMORY_BYTES: usize = 1 << 20;
/// And at most so much.
const MOST_MEMORY_BYTES: usize = 64 << 20;
/// A sample that was older than this when the endpoint began may not be sent: one that the backend finds too old can make it
/// refuse the whole request. Prometheus takes what is an hour older than its newest; Alloy sends nothing older than itself.
const OLDER_THAN_START: Duration = Duration::from_secs(60 * 60);
/// Series for which the outcome of external labels and rules is remembered.
const REMEMBERED_SERIES: usize = 200_000;

/// An endpoint that does not take the configured version of the protocol is asked again after so long, as it may have been
/// upgraded: that costs one request more.
const ASK_AGAIN: Duration = Duration::from_secs(60 * 60);
/// And when it was away meanwhile.
const ASK_AGAIN_WHEN_BACK: Duration = Duration::from_secs(60);
/// How often a journal that cannot be opened is tried again.
const RETRY_DISK: Duration = Duration::from_secs(5);

/// Where each endpoint has a folder, in the component's own.
pub(crate) const QUEUES: &str = "queue";
pub(crate) const JOURNALS: &str = "taken";

/// An endpoint's configuration, checked; starting it cannot fail but for the disk.
pub(crate) struct Setup {
    pub(crate) name: String,
    /// Where to; none when the url is none.
    pub(crate) address: Option<Uri>,
    /// The url as it may be shown.
    pub(crate) shown_url: String,
    pub(crate) discretion: Discretion,
    pub(crate) client: Client,
    pub(crate) headers: HeaderMap,
    pub(crate) identity: Identity,
    pub(crate) queue: QueueConfig,
    pub(crate) max_age: Option<Duration>,
    /// After so many a request is dropped; 0 for never.
    pub(crate) max_retries: u64,
    /// Counts what happens under the names of another component too.
    pub(crate) watched: Option<Watched>,
    version: Version,
    send_exemplars: bool,
    send_native_histograms: bool,
    rewrite: Option<Rewrite>,
    /// Equal for equal configurations: an endpoint that an update does not change goes on.
    pub(crate) fingerprint: u64,
    /// The folder of its queue: the same after a change of password or time-out, so that what is on the disk is sent with
    /// the new ones.
    pub(crate) folder: String,
}

/// An endpoint at work.
pub(crate) struct Endpoint {
    pub(crate) setup: Setup,
    pub(crate) queue: Queue,
    pub(crate) journal: Journal,
    /// The journal's folder.
    journals: PathBuf,
    pub(crate) metrics: Metrics,
    expired: Seldom,
    pending: Mutex<Pending>,
    /// A request has begun to fill.
    pub(crate) begun: Notify,
    /// How many shards there should be.
    pub(crate) shards: AtomicUsize,
    highest_timestamp: AtomicI64,
    /// In milliseconds since 1970.
    began_at_ms: i64,
    /// Its requests are of another run than those that have been found in the queue.
    first_generation: u32,
    version: std::sync::Mutex<Understood>,
}

/// Which version of the protocol the endpoint takes.
#[derive(Default)]
struct Understood {
    /// Since when it gets the other version, as it has refused the configured one.
    other_since: Option<Instant>,
    /// That was told.
    told: bool,
}

struct Pending {
    shards: Vec<Shard>,
    /// Of the requests that are being filled.
    version: Version,
    generation: u32,
    cache: Option<Cache>,
    forms: Forms,
}

/// The request that is being filled.
struct Shard {
    request: Request,
    /// What the journal knows it by, once it does.
    draft: Option<u64>,
    highest_timestamp: i64,
    settles: Vec<Settle>,
    begun: Instant,
}

/// How far a batch is put into requests.
struct Filled {
    /// Rows that are.
    rows: usize,
    too_old: u64,
    /// The highest timestamp of them.
    highest: i64,
    /// By shard: whether its request has nothing of this batch yet.
    first: Vec<bool>,
}

impl Setup {
    /// Checks what the decoder could not. `external_labels` are the same for all endpoints.
    pub(crate) fn new(config: &arguments::Endpoint, external_labels: &Labels, wal: &Wal) -> Result<Setup, Problem> {
        let rules = Rules::new(config.write_relabel_config.clone(), NameRule::Legacy);
        let rewrite = Rewrite { external_labels: external_labels.clone(), rules };
        let options = Options {
            timeout: config.remote_timeout.to_std().unwrap_or(Duration::ZERO),
            any_address: config.round_robin_dns,
            often: true,
            ..Options::default()
        };
        let client = Client::new(config.client.0.clone(), options);
        let client = client.map_err(|error| Problem::at("endpoint", error.to_string()))?;
        // The debug form of an encoded body names every argument; secrets are in it as such.
        let shape = format!("{:?} {external_labels} {wal:?}", language_eval::Block::encode(config));
        let fingerprint = xxh64(shape.as_bytes(), 0);
        let name = match config.name.as_str() {
            "" => format!("{:06x}", fingerprint & 0xff_ffff),
            name => name.to_owned(),
        };
        let folder = folder_of(config);
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            // The decoder has seen that they are good.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
            {
                headers.insert(name, value);
            }
        }
        Ok(Setup {
            name,
            address: address(&config.url),
            shown_url: without_password(&config.url),
            discretion: Discretion::of(config),
            client,
            headers,
            identity: Identity::new(config)?,
            queue: config.queue_config.clone().unwrap_or_default(),
            max_age: wal.max_keepalive_time.to_std(),
            max_retries: 0,
            watched: None,
            version: Version::of_message(&config.protobuf_message).unwrap_or(Version::V1),
            send_exemplars: config.send_exemplars,
            send_native_histograms: config.send_native_histograms,
            rewrite: (!rewrite.is_empty()).then_some(rewrite),
            fingerprint,
            folder,
        })
    }

    pub(crate) fn min_shards(&self) -> usize {
        usize::try_from(self.queue.min_shards).unwrap_or(1).max(1)
    }

    pub(crate) fn max_shards(&self) -> usize {
        usize::try_from(self.queue.max_shards).unwrap_or(1).max(self.min_shards())
    }

    /// A request that has waited for longer is dropped.
    pub(crate) fn longest_wait(&self) -> Option<Duration> {
        let limit = self.queue.sample_age_limit.to_std().filter(|limit| !limit.is_zero());
        limit.into_iter().chain(self.max_age).min()
    }

    pub(crate) fn samples_per_request(&self) -> usize {
        usize::try_from(self.queue.max_samples_per_send).unwrap_or(1).max(1)
    }

    fn memory_bytes(&self) -> usize {
        let capacity = usize::try_from(self.queue.capacity).unwrap_or(usize::MAX);
        let bytes = capacity.saturating_mul(BYTES_PER_SAMPLE).saturating_mul(self.min_shards());
        bytes.clamp(LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES)
    }
}

/// A name, or what says whose data it is: the address, the headers (a tenant), and who logs in (in Grafana Cloud a tenant).
fn folder_of(config: &arguments::Endpoint) -> String {
    let name = &config.name;
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return name.clone();
    }
    let shape = match name.as_str() {
        "" => {
            let login = config.client.0.basic_auth.as_ref().map(|basic| &basic.username);
            format!("{}\n{:?}\n{login:?}", config.url, config.headers)
        }
        name => name.to_owned(),
    };
    format!("{:016x}", xxh64(shape.as_bytes(), 0))
}

async fn open_journal(folder: PathBuf, name: String) -> Result<(Journal, Vec<Found>), OpenError> {
    let dir = folder.clone();
    let opened = base_sys::task::blocking("journal", move || Journal::open(folder, name)).await;
    let opened = opened.returned().unwrap_or_else(|| Err(io::Error::other("the runtime is shutting down")));
    opened.map_err(|error| OpenError { dir, error })
}

impl Endpoint {
    /// Opens the queue and the journal in their folders below `data`, with what an earlier run left there. Where these cannot
    /// be used, it sends from memory alone, until they [can be](Endpoint::find_disk).
    pub(crate) async fn open(
        mut setup: Setup,
        component: &str,
        data: &Path,
        metrics: &base_metrics::Scope,
    ) -> Result<Arc<Endpoint>, OpenError> {
        let name = format!("{component} endpoint {}", setup.name);
        let config = Config {
            name: name.clone(),
            memory_bytes: setup.memory_bytes(),
            disk: Some(Disk::new(data.join(QUEUES).join(&setup.folder), DISK_BYTES)),
            written: Written::default(),
            overflow: Overflow::DropOldest,
        };
        // It also makes sure that nobody else works here.
        let journals = data.join(JOURNALS).join(&setup.folder);
        let opened = match Queue::open(config.clone()).await {
            Ok(queue) => match open_journal(journals.clone(), name).await {
                Ok((journal, found)) => Ok((queue, journal, found)),
                Err(error) => {
                    queue.close(Duration::ZERO).await;
                    Err(error)
                }
            },
            // That passes, and what waits there is to be sent.
            Err(error) if error.error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(error) => Err(error),
        };
        let (queue, journal, found) = match opened {
            Ok(opened) => opened,
            Err(error) => (Queue::open_without_disk(config, &error).await, Journal::without_disk(), Vec::new()),
        };
        let limits = Limits {
            min_shards: setup.min_shards(),
            max_shards: setup.max_shards(),
            shard_capacity: usize::try_from(setup.queue.capacity).unwrap_or(0),
            max_samples_per_send: setup.samples_per_request(),
        };
        let metrics = Metrics::new(metrics, &setup.name, &setup.shown_url, &limits, setup.watched);
        let cache = setup.rewrite.take().map(|rewrite| Cache::of_size(rewrite, REMEMBERED_SERIES));
        // Requests of an earlier run may still be there; ours are another generation.
        let began_at_ms = clock::now_ms();
        let generation = began_at_ms as u32;
        metrics.samples.pending.add(queue.counters().recovered.items.load(Ordering::Relaxed) as f64);
        let endpoint = Arc::new(Endpoint {
            shards: AtomicUsize::new(limits.min_shards),
            pending: Mutex::new(Pending {
                shards: Vec::new(),
                version: setup.version,
                generation,
                cache,
                forms: Forms::new(),
            }),
            version: std::sync::Mutex::default(),
            begun: Notify::new(),
            highest_timestamp: AtomicI64::new(0),
            began_at_ms,
            first_generation: generation,
            setup,
            queue,
            journal,
            journals,
            metrics,
            expired: Seldom::default(),
        });
        endpoint.take_up(found, generation).await;
        Ok(endpoint)
    }

    /// Waits until an endpoint that sends from memory alone can have its disk, and moves there.
    pub(crate) async fn find_disk(self: Arc<Self>) {
        // From now on nobody else works there.
        let disk = self.queue.find_disk().await;
        let found = loop {
            let (endpoint, folder, name) = (self.clone(), self.journals.clone(), self.queue.name().to_owned());
            match base_sys::task::blocking("journal", move || endpoint.journal.find(folder, name)).await.returned() {
                Some(Ok(found)) => break found,
                Some(Err(_)) => tokio::time::sleep(RETRY_DISK).await,
                None => return,
            }
        };
        self.metrics.samples.pending.add(self.queue.counters().recovered.items.load(Ordering::Relaxed) as f64);
        // The journal knows first which of its requests the queue has as well.
        disk.take_up();
        self.take_up(found, self.first_generation).await;
    }

    /// Sends what was taken before a kill: it is newer than what the queue had written down, and older than what will come.
    async fn take_up(&self, found: Vec<Found>, generation: u32) {
        let max_age = self.setup.max_age.and_then(|age| i64::try_from(age.as_millis()).ok()).unwrap_or(i64::MAX);
        let oldest = clock::now_ms().saturating_sub(max_age);
        let (mut requests, mut items) = (0u64, 0u64);
        let (mut samples, mut histograms) = (0u64, 0u64);
        for Found { draft, version, items: count, counts, highest_timestamp, taken_at_ms, body, .. } in found {
            if taken_at_ms < oldest {
                (samples, histograms) =
                    (samples + u64::from(counts.samples(count)), histograms + u64::from(counts.histograms));
                self.journal.done(draft);
                continue;
            }
            (requests, items) = (requests + 1, items + u64::from(count));
            let meta = Meta { generation, shard: 0, version, counts, highest_timestamp, draft };
            // It cannot be closed yet.
            let _ = self.queue_up(meta, body, count, Vec::new()).await;
        }
        self.expired(samples, histograms);
        if requests > 0 {
            let remote_name = &self.setup.name;
            tracing::info!(remote_name, requests, samples = items, "sending what was taken before the end");
        }
    }

    /// Takes a batch; waits while the queue has no room.
    pub(crate) async fn take(&self, batch: &SampleBatch, settle: &Settle) -> Result<(), Refused> {
        let mut pending = self.pending.lock().await;
        let rewritten;
        let batch = match &mut pending.cache {
            None => batch,
            Some(cache) => {
                rewritten = cache.relabel(batch).0;
                let metrics = &self.metrics;
                metrics.samples_dropped_series.add((batch.len() - rewritten.len()) as u64);
                metrics.exemplars_dropped_series.add((batch.exemplars.len() - rewritten.exemplars.len()) as u64);
                metrics.histograms_dropped_series.add((batch.histograms.len() - rewritten.histograms.len()) as u64);
                &rewritten
            }
        };
        let wanted = self.shards.load(Ordering::Relaxed);
        let version = self.version();
        if pending.shards.len() != wanted || pending.version != version {
            self.flush(&mut pending, |_| true).await?;
            pending.generation = pending.generation.wrapping_add(1);
            pending.version = version;
            pending.shards.clear();
            pending.shards.resize_with(wanted, || Shard::new(version));
        }
        // Version 1 has no place for it.
        let known = if version == Version::V2 { Known::of(batch) } else { Known::default() };

        let (forms, wanted_form) = match (version, wanted) {
            (Version::V1, 1) => pending.forms.of(batch),
            // With several shards a page goes to all of them.
            (Version::V1, _) => Default::default(),
            (Version::V2, _) => (pending.forms.symbols_of(batch, &known), None),
        };

        let full = self.setup.samples_per_request();
        let mut filled = Filled { rows: 0, too_old: 0, highest: i64::MIN, first: vec![true; pending.shards.len()] };
        while let Some(at) = self.fill(&mut pending.shards, batch, &known, &forms, settle, &mut filled) {
            self.send(&mut pending, at).await?;
        }
        let Filled { too_old, mut highest, mut first, .. } = filled;
        let oldest = self.oldest_timestamp();
        if self.setup.send_exemplars {
            for exemplar in &batch.exemplars {
                let at = shard_of(&exemplar.series, wanted);
                let shard = &mut pending.shards[at];
                shard.begin(&mut first[at], settle, &self.begun);
                shard.request.push_exemplar(exemplar, &known);
                if shard.request.len() >= full {
                    first[at] = true;
                    self.send(&mut pending, at).await?;
                }
            }
        }
        if self.setup.send_native_histograms {
            for histogram in &batch.histograms {
                if histogram.timestamp < oldest {
                    self.metrics.too_old(0, 1);
                    continue;
                }
                if version == Version::V1 && histogram.value.has_custom_buckets() {
                    self.metrics.histograms_unsupported.inc();
                    continue;
                }
                let at = shard_of(&histogram.series, wanted);
                let shard = &mut pending.shards[at];
                shard.begin(&mut first[at], settle, &self.begun);
                shard.request.push_histogram(histogram, &known);
                shard.highest_timestamp = shard.highest_timestamp.max(histogram.timestamp);
                highest = highest.max(histogram.timestamp);
                if shard.request.len() >= full {
                    first[at] = true;
                    self.send(&mut pending, at).await?;
                }
            }
        }
        self.write_down(&mut pending.shards);
        drop(pending);
        if let Some(wanted) = wanted_form {
            // Some milliseconds, in which other batches go on.
            let form = wanted.make();
            self.pending.lock().await.forms.made(&wanted, form);
        }

        self.metrics.came(batch);
        self.metrics.too_old(too_old, 0);
        let highest = self.highest_timestamp.fetch_max(highest, Ordering::Relaxed).max(highest);
        self.metrics.highest_timestamp.set((highest / 1000).max(0) as f64);
        Ok(())
    }

    /// Puts samples into requests until one of these is full: the number of its shard.
    fn fill(
        &self,
        shards: &mut [Shard],
        batch: &SampleBatch,
        known: &Known<'_>,
        forms: &FormsOf,
        settle: &Settle,
        filled: &mut Filled,
    ) -> Option<usize> {
        let oldest = self.oldest_timestamp();
        let full = self.setup.samples_per_request();
        let wanted = shards.len();
        if let ([shard], Times::One(timestamp)) = (&mut *shards, &batch.times)
            && *timestamp >= oldest
        {
            while let Some((form, start, left)) = forms.at(filled.rows) {
                shard.begin(&mut filled.first[0], settle, &self.begun);
                let rows = left.min(full.saturating_sub(shard.request.len()));
                let (from, to) = (filled.rows - start, filled.rows - start + rows);
                let Request::V1(request) = &mut shard.request else { break };
                request.push_form(form, &batch.series[start..], &batch.values[start..], from..to, *timestamp);
                shard.highest_timestamp = shard.highest_timestamp.max(*timestamp);
                filled.highest = filled.highest.max(*timestamp);
                filled.rows += rows;
                if shard.request.len() >= full {
                    filled.first[0] = true;
                    return Some(0);
                }
            }
        }
        let done = filled.rows;
        if done == batch.len() {
            return None;
        }
        let (mut too_old, mut highest) = (0, filled.highest);
        let mut full_shard = None;
        filled.rows = batch.len();
        for (row, (series, timestamp, value)) in batch.rows().enumerate().skip(done) {
            if timestamp < oldest {
                too_old += 1;
                continue;
            }
            // A form knows it, and so nothing is fetched from where the series is.
            let has_labels = match forms.symbols() {
                Some(form) => form.has_labels(row),
                None => !series.as_remote_write().is_empty(),
            };
            if !has_labels {
                self.metrics.samples_dropped_series.inc();
                continue;
            }
            let at = shard_of(series, wanted);
            let shard = &mut shards[at];
            shard.begin(&mut filled.first[at], settle, &self.begun);
            match &mut shard.request {
                Request::V1(request) => request.push_sample(series, value, timestamp),
                Request::V2(request) => match forms.symbols() {
                    Some(form) => request.push_row(form, row, value, timestamp, batch.start(row)),
                    None => request.push_sample(series, known, value, timestamp, batch.start(row)),
                },
            }
            shard.highest_timestamp = shard.highest_timestamp.max(timestamp);
            highest = highest.max(timestamp);
            if shard.request.len() >= full {
                filled.first[at] = true;
                filled.rows = row + 1;
                full_shard = Some(at);
                break;
            }
        }
        filled.too_old += too_old;
        filled.highest = highest;
        full_shard
    }

    /// In which version requests are written from now on.
    fn version(&self) -> Version {
        let configured = self.setup.version;
        self.forget_refusal(ASK_AGAIN);
        if self.lock_version().other_since.is_some() { configured.other() } else { configured }
    }

    /// Whether it takes the configured version is asked again, if it did not so long ago or longer.
    fn forget_refusal(&self, after: Duration) {
        self.lock_version().other_since.take_if(|since| since.elapsed() >= after);
    }

    /// The endpoint has taken this version, after it has refused the other one if `instead`.
    pub(crate) fn takes(&self, version: Version, instead: bool) {
        let mut understood = self.lock_version();
        let other = version != self.setup.version;
        if instead {
            understood.other_since = other.then(Instant::now);
        } else if other || !understood.told {
            return;
        }
        if std::mem::replace(&mut understood.told, other) == other {
            return;
        }
        let (remote_name, protobuf_message) = (&self.setup.name, version.message());
        match other {
            true => tracing::warn!(
                remote_name,
                protobuf_message,
                "the endpoint does not take the other protobuf message; it gets this one"
            ),
            false => tracing::info!(remote_name, protobuf_message, "the endpoint takes this protobuf message now"),
        }
    }

    /// The endpoint was away, and may have been replaced by one that knows more.
    pub(crate) fn came_back(&self) {
        self.forget_refusal(ASK_AGAIN_WHEN_BACK);
    }

    fn lock_version(&self) -> MutexGuard<'_, Understood> {
        // Nothing under this lock panics half-way through a change.
        self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Samples from before this are too old, in milliseconds since 1970.
    fn oldest_timestamp(&self) -> i64 {
        let oldest = self.began_at_ms - OLDER_THAN_START.as_millis() as i64;
        match self.setup.queue.sample_age_limit.as_nanos() {
            0 => oldest,
            limit => oldest.max(clock::now_ms() - limit / 1_000_000),
        }
    }

    /// So many have waited for too long, and are dropped.
    pub(crate) fn expired(&self, samples: u64, histograms: u64) {
        if samples + histograms > 0 {
            self.metrics.too_old(samples, histograms);
        }
        self.tell_expired(samples + histograms);
    }

    /// Says that so many more are dropped, and those of which nothing was said yet, once a minute.
    pub(crate) fn tell_expired(&self, more: u64) {
        let Some(samples) = self.expired.more(more) else { return };
        let Setup { name: remote_name, shown_url: url, .. } = &self.setup;
        let longest_wait = self.setup.longest_wait().map(|longest| GoDuration::from(longest).to_string());
        tracing::warn!(
            remote_name,
            url,
            samples,
            longest_wait,
            "samples have waited for longer than they may and are dropped"
        );
    }

    /// A request of so many items waits no longer.
    pub(crate) fn waits_no_longer(&self, meta: &Meta, items: u32) {
        const EARLIER: u32 = 1 << 31;
        let of_this_run = meta.generation.wrapping_sub(self.first_generation) < EARLIER;
        // What was found in the queue is pending as samples: of what kind it is had not been read.
        let counts = if of_this_run { meta.counts } else { Counts::default() };
        self.metrics.pending(items, counts, -1.0);
    }

    /// Sends what has waited for the deadline; says when to look again, if something still waits.
    pub(crate) async fn flush_due(&self) -> Option<Instant> {
        let deadline = self.setup.queue.batch_send_deadline.to_std().unwrap_or(Duration::ZERO);
        let now = Instant::now();
        let mut pending = self.pending.lock().await;
        // The queue is closed only after this has stopped.
        let _ = self.flush(&mut pending, |shard| shard.begun + deadline <= now).await;
        let waiting = pending.shards.iter().filter(|shard| !shard.request.is_empty());
        waiting.map(|shard| shard.begun + deadline).min()
    }

    /// Sends whatever there is.
    pub(crate) async fn flush_all(&self) {
        let _ = self.flush(&mut *self.pending.lock().await, |_| true).await;
    }

    async fn flush(&self, pending: &mut Pending, which: impl Fn(&Shard) -> bool) -> Result<(), Refused> {
        for at in 0..pending.shards.len() {
            if !pending.shards[at].request.is_empty() && which(&pending.shards[at]) {
                self.send(pending, at).await?;
            }
        }
        Ok(())
    }

    /// Gives a shard's request to the queue.
    async fn send(&self, pending: &mut Pending, at: usize) -> Result<(), Refused> {
        let shard = &mut pending.shards[at];
        // Written with the rest of the batch, which counts as taken only then.
        if let Some(mut writing) = self.journal.write() {
            shard.write_to(&mut writing);
        }
        let draft = shard.draft.take().unwrap_or(0);
        let highest_timestamp = std::mem::replace(&mut shard.highest_timestamp, i64::MIN);
        let settles = std::mem::take(&mut shard.settles);
        let items = shard.request.len() as u32;
        let (body, counts) = shard.request.finish();
        let Some(body) = body else {
            return Err(Refused::permanent("a request grew beyond what snappy can hold"));
        };
        let meta = Meta {
            generation: pending.generation,
            shard: at as u32,
            version: pending.version,
            counts,
            highest_timestamp,
            draft,
        };
        self.queue_up(meta, body, items, settles).await
    }

    /// What is new in these requests goes to the journal.
    fn write_down(&self, shards: &mut [Shard]) {
        let Some(mut writing) = self.journal.write() else { return };
        for shard in shards {
            shard.write_to(&mut writing);
        }
        writing.finish();
    }

    /// Gives a request to the queue; whoever waits for it hears from `settles`.
    async fn queue_up(&self, meta: Meta, body: Box<[u8]>, items: u32, mut settles: Vec<Settle>) -> Result<(), Refused> {
        let (settled, settle) = Delivery::pending();
        self.journal.queued(meta.draft, settled);
        settles.push(settle);
        self.metrics.pending(items, meta.counts, 1.0);
        let record = Record { meta: meta.to_bytes(), body: Bytes::from(body).into(), items };
        let pushed = self.queue.push(record, Settle::all(settles)).await;
        pushed.map(drop).map_err(|_| Refused::retryable("the queue is closed"))
    }
}

/// By labels: a series that was forgotten and comes back is another entry of the table, but goes the same way.
fn shard_of(series: &Series, shards: usize) -> usize {
    if shards == 1 { 0 } else { (series.labels().hash() % shards as u64) as usize }
}

impl Shard {
    fn new(version: Version) -> Shard {
        Shard {
            request: Request::new(version),
            draft: None,
            highest_timestamp: i64::MIN,
            settles: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// Writes down what the request has more than last time.
    fn write_to(&mut self, writing: &mut Writing<'_>) {
        if let Some(part) = self.request.part(self.highest_timestamp) {
            let draft = *self.draft.get_or_insert_with(|| writing.new_entry());
            writing.part(draft, |to| part.put(to));
        }
    }

    /// Before the first sample of a batch goes into a request.
    #[inline]
    fn begin(&mut self, first: &mut bool, settle: &Settle, begun: &Notify) {
        if std::mem::take(first) {
            self.join(settle, begun);
        }
    }

    fn join(&mut self, settle: &Settle, begun: &Notify) {
        if self.request.is_empty() {
            self.begun = Instant::now();
            begun.notify_one();
        }
        self.settles.push(settle.clone());
    }
}
