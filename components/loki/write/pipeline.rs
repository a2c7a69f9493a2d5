//! All endpoints of one set of arguments.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base_metrics::Gauge;
use base_sys::task::{Scope, Task};
use sdk_component::Context;
use sdk_labels::Labels;
use sdk_protocols_loki::stream_labels;
use sdk_queue::{Config, Disk, Folders, Overflow, Queue, Written, hand_over};
use sdk_signals::{Delivery, LogBatch, Outcome, Refused, Settle};
use tokio::time::Instant;
use tracing::Instrument;

use super::arguments::{self, WriteArguments, duration};
use super::health::Health;
use super::lane::Lane;
use super::metrics::Metrics;
use super::sender::Endpoint;
use super::taken::Taken;

/// Lanes, and the tasks that empty them.
pub struct Pipeline {
    endpoints: Vec<Lanes>,
    external: Labels,
    health: Arc<Health>,
    calls: AtomicU64,
    /// Of the latest entry that was written down, where that is what taking means.
    last_written: Option<Gauge>,
    /// The copy of what cannot be read again, and the task that keeps it.
    taken: Option<(Arc<Taken>, Mutex<Option<Task<()>>>)>,
    /// Cut last: what sends and what keeps the time.
    tasks: Scope,
}

struct Lanes {
    lanes: Vec<Arc<Lane>>,
    /// Queues of lanes that a former configuration had; they are only emptied.
    left_over: Vec<Queue>,
    tenant_id: String,
    drain: Duration,
}

/// The label that names the tenant.
const TENANT: &str = "__tenant_id__";

/// How long several endpoints wait for one of them that takes nothing and whose queue is full.
const PATIENCE: Duration = Duration::from_secs(15);

/// With `wal`, a request that has not been acknowledged after this long is written down, while it is still being sent. A living
/// endpoint has answered by then, so that only what waits costs the disk anything.
const WAL_WAIT: Duration = Duration::from_millis(100);

/// How soon what a kill has left is offered again to endpoints that are being closed.
const LEFT_RETRY: Duration = Duration::from_secs(1);

/// How long it may take to note at the end what has become of the last batches.
const LAST_NOTES: Duration = Duration::from_secs(1);

/// What one endpoint may keep on the disk.
const MAX_DISK_BYTES: u64 = 1 << 30;

// === impl Pipeline ===

impl Pipeline {
    /// Opens the queues and begins to send what they hold.
    pub async fn open(context: &Context, metrics: &Metrics, arguments: &WriteArguments) -> Result<Pipeline, String> {
        let mut pipeline = Pipeline {
            endpoints: Vec::new(),
            external: Labels::from_pairs(&arguments.external_labels),
            health: Arc::new(Health::new(context.clone())),
            calls: AtomicU64::new(1),
            last_written: arguments.has_wal().then(|| metrics.wal_last_written()),
            taken: None,
            tasks: Scope::new(),
        };
        let name = context.id().to_owned();
        if let Some(taken) = Taken::open(context.data_path().join("taken"), name, arguments.has_wal()).await? {
            let keeper =
                pipeline.tasks.spawn("loki.write journal", taken.clone().keep().instrument(context.span().clone()));
            pipeline.taken = Some((taken, Mutex::new(Some(keeper))));
        }
        let mut directories: Vec<String> = Vec::new();
        for endpoint in &arguments.endpoint {
            let mut directory = endpoint.directory();
            // Two endpoints with one address but, say, other headers: the second has a directory of its own.
            while directories.contains(&directory) {
                directory.push_str("-2");
            }
            directories.push(directory);
        }
        let root = context.data_path().join("queue");
        let folders = Folders { roots: vec![root.clone()], wanted: directories.clone() };
        metrics.left_behind.set_u64(hand_over(folders).await);
        for (endpoint, directory) in arguments.endpoint.iter().zip(directories) {
            let directory = root.join(directory);
            let lanes = pipeline.open_endpoint(context, metrics, arguments, endpoint, &directory).await?;
            pipeline.endpoints.push(lanes);
        }
        if arguments.has_wal() {
            metrics.wal_running(pipeline.endpoints.len());
        }
        Ok(pipeline)
    }

    async fn open_endpoint(
        &self,
        context: &Context,
        metrics: &Metrics,
        arguments: &WriteArguments,
        endpoint: &arguments::Endpoint,
        directory: &Path,
    ) -> Result<Lanes, String> {
        let max_streams = usize::try_from(arguments.max_streams).unwrap_or_default();
        let health = (self.health.clone(), self.endpoints.len());
        let shared = Endpoint::new(health, metrics, endpoint, max_streams, arguments.has_wal())
            .map_err(|error| error.to_string())?;
        let shared = Arc::new(shared);
        shared.tenant(&endpoint.tenant_id);
        let queue_config = &endpoint.queue_config;
        let shards = usize::try_from(queue_config.min_shards).unwrap_or(1).max(1);
        let memory_bytes = queue_config.capacity.to_usize().unwrap_or_default() / shards;
        let mut lanes = Lanes {
            lanes: Vec::new(),
            left_over: Vec::new(),
            tenant_id: endpoint.tenant_id.clone(),
            drain: duration(queue_config.drain_timeout),
        };
        for shard in 0..shards.max(shards_on_disk(directory)) {
            let config = Config {
                name: format!("{} endpoint {}", context.id(), shared.name),
                memory_bytes,
                disk: Some(Disk::new(directory.join(shard.to_string()), MAX_DISK_BYTES / shards as u64)),
                written: if arguments.has_wal() { Written::Within(WAL_WAIT) } else { Written::default() },
                overflow: match queue_config.block_on_overflow {
                    // A dead endpoint must not stop the living ones.
                    true if arguments.endpoint.len() > 1 => Overflow::WaitForTheLiving(PATIENCE),
                    true => Overflow::Wait,
                    false => Overflow::DropNewest,
                },
            };
            let queue = match arguments.has_wal() {
                true => Queue::open(config).await.map_err(|error| error.to_string())?,
                false => Queue::open_anyhow(config).await,
            };
            let sender = shared.clone().send_all(queue.clone()).instrument(context.span().clone());
            self.tasks.spawn("loki.write sender", sender);
            if shard >= shards {
                lanes.left_over.push(queue);
                continue;
            }
            let lane = Arc::new(Lane::new(shared.clone(), queue));
            let keeper = lane.clone();
            self.tasks.spawn("loki.write batch_wait", async move { keeper.keep_time().await });
            lanes.lanes.push(lane);
        }
        Ok(lanes)
    }

    /// What a kill has left in memory alone, and clients were told is taken, is taken once more, before anything new. Those that
    /// it does not come to stay where they are.
    pub async fn take_what_was_left(&self) {
        let Some((taken, _)) = self.taken.as_ref().filter(|_| !self.endpoints.is_empty()) else { return };
        let mut entries = 0;
        while let Some(batches) = taken.next_found().await {
            for (number, batch) in batches {
                let (delivery, settle) = Delivery::pending();
                while self.take(&batch, &settle).await.is_err() {
                    tokio::time::sleep(LEFT_RETRY).await;
                }
                settle.settle(Outcome::Delivered);
                taken.follow(number, delivery);
                entries += batch.len();
            }
        }
        if entries > 0 {
            tracing::info!(entries, "what was taken before the end, and had not arrived, is sent now");
        }
    }

    /// Taken when every endpoint's request or queue has it and, with `wal`, when no kill can take it away.
    pub async fn consume(&self, batch: LogBatch) -> Result<Delivery, Refused> {
        if self.endpoints.is_empty() {
            return Ok(Delivery::dropped());
        }
        let taken = self.taken.as_ref().map(|(taken, _)| taken).filter(|taken| taken.concerns(&batch));
        let (delivery, mut settle) = Delivery::pending();
        let mut copy = None;
        if let Some(taken) = taken {
            let (fate, told) = Delivery::pending();
            settle = Settle::all(vec![settle, told]);
            copy = Some((taken, fate));
        }
        self.take(&batch, &settle).await?;
        if let Some(last_written) = &self.last_written {
            let times = batch.groups.iter().flat_map(|group| &group.entries).map(|entry| entry.timestamp);
            if let Some(latest) = times.max() {
                last_written.set((latest / 1_000_000_000) as f64);
            }
        }
        // Our own part is done; those in requests and queues still count.
        settle.settle(Outcome::Delivered);
        if let Some((taken, fate)) = copy
            && taken.write(&batch, fate)
        {
            self.endpoints.iter().flat_map(|endpoint| &endpoint.lanes).for_each(|lane| lane.send_early());
        }
        Ok(delivery)
    }

    async fn take(&self, batch: &LogBatch, settle: &Settle) -> Result<(), Refused> {
        let call = self.calls.fetch_add(1, Relaxed);
        for group in &batch.groups {
            let labels = stream_labels(&group.labels, &self.external);
            for endpoint in &self.endpoints {
                let tenant = group.labels.get(TENANT).filter(|tenant| !tenant.is_empty());
                let tenant = tenant.unwrap_or(&endpoint.tenant_id);
                endpoint.lane_of(&labels).add(tenant, &labels, group, settle, call).await?;
            }
        }
        Ok(())
    }

    /// Sources are about to stop, and wait until what they have handed on is safe.
    pub fn hurry(&self) {
        self.endpoints.iter().flat_map(|endpoint| &endpoint.lanes).for_each(|lane| lane.hurry());
    }

    /// Sends what is open, waits for the queues to empty themselves, and writes the rest to the disk.
    pub async fn close(&self, grace: Duration) {
        let started = Instant::now();
        let all = self.endpoints.iter().map(|endpoint| endpoint.close(grace));
        let mut closing: Vec<_> = all.map(Box::pin).collect();
        // Side by side: a dead endpoint takes nothing of another one's time.
        let each = std::future::poll_fn(|context| {
            closing.retain_mut(|closing| closing.as_mut().poll(context).is_pending());
            if closing.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        each.await;
        if let Some((taken, keeper)) = &self.taken {
            taken.close();
            let keeper = super::lock(keeper).take();
            if let Some(keeper) = keeper {
                let _ = tokio::time::timeout(LAST_NOTES, keeper).await;
            }
        }
        self.tasks.close(Duration::ZERO).await;
        self.health.end();
        tracing::debug!(seconds = started.elapsed().as_secs_f64(), "endpoints are closed");
    }
}

// === impl Lanes ===

impl Lanes {
    fn lane_of(&self, labels: &Labels) -> &Lane {
        &self.lanes[(labels.hash() % self.lanes.len() as u64) as usize]
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.lanes.iter().map(|lane| &lane.queue).chain(&self.left_over)
    }

    async fn close(&self, grace: Duration) {
        let started = Instant::now();
        // The last answer and the disk need some of the time.
        let mut drain = self.drain.min(grace.mul_f64(0.6));
        let in_trouble = || self.lanes.iter().any(|lane| lane.endpoint.is_in_trouble());
        // An endpoint that takes nothing now is not waited for: the disk keeps what it should get.
        if in_trouble() {
            drain = drain.min(Duration::from_secs(1));
        }
        let emptied = async {
            for lane in &self.lanes {
                lane.finish().await;
            }
            while !in_trouble() && self.queues().any(|queue| queue.stats().records > 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(drain, emptied).await;
        if !in_trouble() {
            let answered = async {
                for queue in self.queues() {
                    queue.finish_leases().await;
                }
            };
            let _ = tokio::time::timeout(grace.mul_f64(0.2), answered).await;
        }
        for queue in self.queues() {
            let left = queue.close(grace.saturating_sub(started.elapsed())).await;
            if left != Default::default() {
                tracing::info!(
                    requests = left.saved,
                    lost = left.lost,
                    "requests are kept on the disk, to be sent after the next start"
                );
            }
        }
    }
}

/// How many lanes a former configuration left behind.
fn shards_on_disk(directory: &Path) -> usize {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse::<usize>().ok())
        .filter(|shard| *shard < 1024)
        .map(|shard| shard + 1)
        .max()
        .unwrap_or(0)
}
