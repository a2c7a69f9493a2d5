//! What `prometheus.remote_write` and `prometheus.write.queue` have in common: samples come in, and go to each endpoint.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_metrics::{Counter, Gauge};
use base_sys::task::Scope;
use sdk_component::{Context, Problem, Stop, Stopped, Tap, Update};
use sdk_net::why_no_address;
use sdk_queue::{Folders, LEFT_BEHIND, LEFT_BEHIND_HELP, hand_over};
use sdk_signals::{BoxFuture, Consumer, Delivery, MetricsReceiver, Receiver, Refused, SampleBatch, Times};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::arguments::Wal;
use super::endpoint::{Endpoint, JOURNALS, QUEUES, Setup};
use super::exemplars::Exemplars;
use super::health::Health;
use super::seen::{Seen, SeenMetrics};
use super::sender::Sender;
use crate::look;

/// How long an endpoint that an update removes may take to write down what it has.
const REMOVAL_GRACE: Duration = Duration::from_secs(5);
/// What remains of the grace for writing queues to the disk, after the senders had theirs.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// What arguments ask for.
pub(crate) struct Plan {
    setups: Vec<Setup>,
    /// After so long without a sample a series is no longer active.
    period: Duration,
}

/// Makes a plan of arguments, as often as asked: what a plan holds is used up.
pub(crate) type Planner = Arc<dyn Fn() -> Result<Plan, Problem> + Send + Sync>;

/// Takes samples and sends them to endpoints.
pub(crate) struct Writer {
    context: Context,
    fan_in: Arc<FanIn>,
    /// What should be, since the last build or update. It has made a plan once, so it succeeds.
    wanted: watch::Sender<Planner>,
    /// Samples on the disk for endpoints that are gone.
    left_behind: Gauge,
}

/// The consumer behind the exported receiver.
struct FanIn {
    component: String,
    tap: Tap,
    state: watch::Sender<State>,
    samples_in: Counter,
    exemplars_in: Counter,
    histograms_in: Counter,
    appended: Counter,
    exemplars_appended: Counter,
    metadata_updates: Counter,
    seen: Mutex<Seen>,
    exemplars: Mutex<Exemplars>,
    highest_timestamp: AtomicI64,
    highest: Gauge,
}

#[derive(Clone)]
enum State {
    /// The queues are being opened; batches wait.
    Opening,
    Running(Arc<Endpoints>),
    Stopped,
}

struct Endpoints {
    all: Vec<Arc<Endpoint>>,
    /// After so long without a sample a series is no longer active.
    period: Duration,
}

/// An endpoint and its tasks.
struct Running {
    endpoint: Arc<Endpoint>,
    stopping: CancellationToken,
    scope: Scope,
}

// === impl Plan ===

impl Plan {
    /// No endpoint may be there twice.
    pub(crate) fn of(setups: impl Iterator<Item = Result<Setup, Problem>>, wal: &Wal) -> Result<Plan, Problem> {
        let mut plan = Plan { setups: Vec::new(), period: wal.truncate_frequency.to_std().unwrap_or(Duration::MAX) };
        for setup in setups {
            let setup = setup?;
            if plan.setups.iter().any(|other| other.fingerprint == setup.fingerprint) {
                let url = &setup.shown_url;
                let message = format!("duplicate remote write configs are not allowed, found duplicate for URL: {url}");
                return Err(Problem::at("endpoint", message));
            }
            plan.setups.push(setup);
        }
        Ok(plan)
    }

    /// Whether this machine has them: as in Alloy nothing begins without.
    fn check_certificates(&self) -> Result<(), Problem> {
        let mut setups = self.setups.iter().enumerate();
        setups.try_for_each(|(index, setup)| setup.client.config().check_certificates(&format!("endpoint[{index}].")))
    }
}

// === impl Writer ===

impl Writer {
    /// A writer that does nothing before it runs, and the receiver to export.
    pub(crate) fn new(context: &Context, wanted: Planner) -> Result<(Writer, MetricsReceiver), Problem> {
        wanted()?.check_certificates()?;
        let metrics = context.metrics();
        let storage = |name: &str, help: &str| metrics.counter(&format!("prometheus_remote_storage_{name}"), help);
        let wal = |name: &str, help: &str| metrics.counter(&format!("prometheus_remote_write_wal_{name}"), help);
        let fan_in = Arc::new(FanIn {
            component: context.local_id().to_owned(),
            tap: context.tap(),
            state: watch::Sender::new(State::Opening),
            samples_in: storage("samples_in_total", "Samples in to remote storage, compare to samples out for queue managers."),
            exemplars_in: storage("exemplars_in_total", "Exemplars in to remote storage, compare to exemplars out for queue managers."),
            histograms_in: storage("histograms_in_total", "HistogramSamples in to remote storage, compare to histograms out for queue managers."),
            appended: wal("samples_appended_total", "Total number of samples appended to the WAL"),
            exemplars_appended: wal("exemplars_appended_total", "Total number of exemplars appended to the WAL"),
            metadata_updates: wal("metadata_updates_total", "Total number of metadata updates sent through the WAL"),
            seen: Mutex::new(Seen::new(SeenMetrics {
                active: metrics.gauge("prometheus_remote_write_wal_storage_active_series", "Current number of active series being tracked by the WAL storage"),
                created: wal("storage_created_series_total", "Total number of created series appended to the WAL"),
                removed: wal("storage_removed_series_total", "Total number of created series removed from the WAL"),
            })),
            exemplars: Mutex::new(Exemplars::new()),
            highest_timestamp: AtomicI64::new(0),
            highest: metrics.gauge(
                "prometheus_remote_storage_highest_timestamp_in_seconds",
                "Highest timestamp that has come into the remote storage via the Appender interface, in seconds since epoch. Initialized to 0 when no data has been received yet.",
            ),
        });
        let receiver = MetricsReceiver(Receiver::new(context.id(), fan_in.clone()));
        let left_behind = metrics.gauge(LEFT_BEHIND, LEFT_BEHIND_HELP);
        Ok((Writer { context: context.clone(), fan_in, wanted: watch::Sender::new(wanted), left_behind }, receiver))
    }

    /// Another plan, once it is committed.
    pub(crate) fn update(&self, planner: Planner) -> Result<Update, Problem> {
        planner()?.check_certificates()?;
        let wanted = self.wanted.clone();
        Ok(Update::then(move || {
            wanted.send_replace(planner);
        }))
    }

    /// Until told to stop.
    pub(crate) async fn run(&self, stop: Stop) -> Result<(), Stopped> {
        let health = Arc::new(Health::new(self.context.clone()));
        let mut wanted = self.wanted.subscribe();
        let mut running: Vec<Running> = Vec::new();
        loop {
            let planned = wanted.borrow_and_update().clone();
            let Plan { setups, period } = planned().map_err(|problem| Stopped(problem.to_string()))?;
            running = self.reconcile(running, setups, &health).await?;
            let all = running.iter().map(|one| one.endpoint.clone()).collect();
            self.fan_in.state.send_replace(State::Running(Arc::new(Endpoints { all, period })));
            tokio::select! {
                () = stop.stopped() => break,
                changed = wanted.changed() => if changed.is_err() { break },
            }
        }
        self.fan_in.state.send_replace(State::Stopped);
        let grace = stop.grace().saturating_sub(CLOSE_GRACE);
        futures_util::future::join_all(running.into_iter().map(|one| one.end(grace))).await;
        Ok(())
    }

    /// Ends endpoints that are not wanted any more, begins new ones, and lets go on what has not changed.
    async fn reconcile(
        &self,
        running: Vec<Running>,
        wanted: Vec<Setup>,
        health: &Arc<Health>,
    ) -> Result<Vec<Running>, Stopped> {
        let is_wanted = |one: &Running| wanted.iter().any(|setup| setup.fingerprint == one.endpoint.setup.fingerprint);
        let (mut kept, ended): (Vec<_>, Vec<_>) = running.into_iter().partition(is_wanted);
        if !ended.is_empty() {
            // An endpoint that was only changed finds its directory again, so the old queue must have closed it first.
            self.fan_in.state.send_replace(State::Opening);
            for one in &ended {
                health.forget(&one.endpoint.setup.name);
            }
            futures_util::future::join_all(ended.into_iter().map(|one| one.end(REMOVAL_GRACE))).await;
        }
        let mut folders: Vec<String> = kept.iter().map(|one| one.endpoint.setup.folder.clone()).collect();
        let mut new = Vec::new();
        for mut setup in wanted {
            if kept.iter().any(|one| one.endpoint.setup.fingerprint == setup.fingerprint) {
                continue;
            }
            if folders.contains(&setup.folder) {
                // Another one goes by the same name, or sends to the same address.
                setup.folder = format!("{:016x}", setup.fingerprint);
            }
            folders.push(setup.folder.clone());
            new.push(setup);
        }
        let data = self.context.data_path();
        let roots = vec![data.join(QUEUES), data.join(JOURNALS)];
        self.left_behind.set_u64(hand_over(Folders { roots, wanted: folders }).await);
        for setup in new {
            kept.push(self.begin(setup, health).await?);
        }
        Ok(kept)
    }

    /// Opens an endpoint's queue and starts to send.
    async fn begin(&self, setup: Setup, health: &Arc<Health>) -> Result<Running, Stopped> {
        let context = &self.context;
        let opened = Endpoint::open(setup, context.local_id(), context.data_path(), context.metrics()).await;
        let endpoint = opened.map_err(|error| Stopped(error.to_string()))?;
        if endpoint.setup.address.is_none() {
            health.cannot(&endpoint.setup.name, &endpoint.setup.shown_url, &why_no_address(&endpoint.setup.shown_url));
        }

        let (scope, stopping) = (Scope::new(), CancellationToken::new());
        let sender = Sender { endpoint: endpoint.clone(), health: health.clone(), stopping: stopping.clone() };
        scope.spawn("remote_write sender", sender.run().instrument(self.context.span().clone()));
        let flushed = endpoint.clone();
        let until = stopping.clone();
        scope.spawn("remote_write flush", async move { until.run_until_cancelled(flush(flushed)).await });
        if endpoint.queue.is_without_disk() {
            let (finding, until) = (endpoint.clone().find_disk(), stopping.clone());
            scope.spawn("remote_write disk", async move { until.run_until_cancelled(finding).await });
        }
        Ok(Running { endpoint, stopping, scope })
    }
}

/// Sends requests that have waited long enough; sleeps while there is none.
async fn flush(endpoint: Arc<Endpoint>) {
    loop {
        endpoint.begun.notified().await;
        while let Some(due) = endpoint.flush_due().await {
            tokio::time::sleep_until(due).await;
        }
    }
}

// === impl Running ===

impl Running {
    /// Sends what can be sent within `grace`; the rest waits on the disk.
    async fn end(self, grace: Duration) {
        self.endpoint.flush_all().await;
        self.stopping.cancel();
        self.scope.close(grace).await;
        self.endpoint.queue.close(CLOSE_GRACE).await;
        self.endpoint.journal.close();
    }
}

// === impl FanIn ===

impl FanIn {
    async fn endpoints(&self) -> Result<Arc<Endpoints>, Refused> {
        let mut state = self.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Running(endpoints) => return Ok(endpoints.clone()),
                State::Stopped => return Err(Refused::stopped(&self.component)),
                State::Opening => {}
            }
            if state.changed().await.is_err() {
                return Err(Refused::stopped(&self.component));
            }
        }
    }

    async fn take(&self, batch: SampleBatch) -> Result<Delivery, Refused> {
        let endpoints = self.endpoints().await?;
        if endpoints.all.is_empty() {
            // Nowhere to send: the block says so.
            return Ok(Delivery::dropped());
        }
        let batch = match batch.exemplars.is_empty() {
            true => batch,
            false => self.exemplars.lock().unwrap_or_else(PoisonError::into_inner).only_new(batch, endpoints.period),
        };
        let (delivery, settle) = Delivery::pending();
        for endpoint in &endpoints.all {
            endpoint.take(&batch, &settle).await?;
        }
        settle.settle(sdk_signals::Outcome::Delivered);
        look::at_batch(&self.tap, &batch);

        let (samples, exemplars) = (batch.len() as u64, batch.exemplars.len() as u64);
        let histograms = batch.histograms.len() as u64;
        self.samples_in.add(samples);
        self.histograms_in.add(histograms);
        self.appended.add(samples + histograms);
        self.exemplars_in.add(exemplars);
        self.exemplars_appended.add(exemplars);
        self.metadata_updates.add(batch.metadata.len() as u64);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).hear_batch(&batch, endpoints.period);
        let rows = match &batch.times {
            Times::One(time) => std::slice::from_ref(time),
            Times::Each(times) => times,
        };
        let rows = rows.iter().copied().take(batch.len());
        let highest = rows.chain(batch.histograms.iter().map(|histogram| histogram.timestamp)).max().unwrap_or(0);
        let highest = self.highest_timestamp.fetch_max(highest, Ordering::Relaxed).max(highest);
        self.highest.set((highest / 1000) as f64);
        Ok(delivery)
    }
}

impl Consumer<SampleBatch> for FanIn {
    fn consume(&self, batch: SampleBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(self.take(batch))
    }
}
