//! `prometheus.scrape`: gets pages of metrics from targets.

mod arguments;
mod failures;
mod fetch;
mod listed;
mod metrics;
mod page;
mod page_size;
mod scraper;
mod target;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use language_eval::{BodyNode, Value};
use sdk_component::{Component, Context, Description, Problem, Stability, Stop, Stopped, Tap, Update};
use sdk_labels::Labels;
use tokio::sync::watch;
use xxhash_rust::xxh64::xxh64;

use crate::forward::Forward;
use arguments::ScrapeArguments;
use failures::FailureLog;
use fetch::Fetcher;
use metrics::Metrics;
use page::Rules;
use scraper::{Manner, Order, Outages, Scraper, Status};
use target::Target;

/// New sets of targets are taken up at most this often; the first one at once.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
/// Targets that are looked at, and told, when the configuration is read. Who writes them down makes the same mistake in all.
const MOST_LOOKED_AT: usize = 100;
const MOST_DOUBTED: usize = 3;
/// Targets that are refused and shown; the log has all of them.
const MOST_REFUSED_SHOWN: usize = 100;
/// Nothing longer is read as the name of this host.
const MAX_HOST_NAME: usize = 4096;

/// The component.
pub struct Scrape {
    context: Context,
    forward: Arc<Forward>,
    tap: Tap,
    metrics: Arc<Metrics>,
    outages: Arc<Outages>,
    wanted: watch::Sender<Arc<ScrapeArguments>>,
    loops: Mutex<BTreeMap<u64, Loop>>,
    /// Targets that cannot be scraped at all, as they are shown.
    refused: Mutex<Vec<BodyNode>>,
}

/// A target and its task.
struct Loop {
    target: Arc<Target>,
    orders: watch::Sender<Order>,
    status: Arc<Mutex<Status>>,
    retired: bool,
}

/// How the targets of these arguments are scraped.
struct Before {
    /// Without targets and receivers.
    arguments: ScrapeArguments,
    manner: Arc<Manner>,
}

impl Component for Scrape {
    const NAME: &'static str = "prometheus.scrape";

    type Arguments = ScrapeArguments;
    type Exports = ();

    fn build(context: &Context, arguments: ScrapeArguments) -> Result<Scrape, Problem> {
        check_stability(context, &arguments)?;
        manner(context, &arguments)?;
        let job = job(context, &arguments);
        Ok(Scrape {
            context: context.clone(),
            forward: Arc::new(Forward::new(context.metrics(), arguments.forward_to.clone())),
            tap: context.tap(),
            metrics: Arc::new(Metrics::new(context.metrics(), &job)),
            outages: Arc::new(Outages::new()),
            wanted: watch::Sender::new(Arc::new(arguments)),
            loops: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    fn doubts(arguments: &ScrapeArguments) -> Vec<Problem> {
        let certificates = arguments.client.check_certificates("").err();
        let targets = arguments.targets.iter().take(MOST_LOOKED_AT);
        let targets = targets.filter_map(|found| target::doubt(found, arguments)).take(MOST_DOUBTED);
        certificates.into_iter().chain(arguments.client.doubts("")).chain(targets).collect()
    }

    fn update(&self, arguments: ScrapeArguments) -> Result<Update, Problem> {
        check_stability(&self.context, &arguments)?;
        manner(&self.context, &arguments)?;
        let (wanted, forward) = (self.wanted.clone(), self.forward.clone());
        Ok(Update::then(move || {
            forward.replace(arguments.forward_to.clone());
            wanted.send_replace(Arc::new(arguments));
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let seed = seed(&self.context);
        let mut wanted = self.wanted.subscribe();
        let mut before = None;
        loop {
            let arguments = wanted.borrow_and_update().clone();
            self.sync(&arguments, &mut before, &stop, seed)?;
            let next = async {
                tokio::time::sleep(SYNC_INTERVAL).await;
                wanted.changed().await
            };
            tokio::select! {
                () = stop.stopped() => break,
                changed = next => if changed.is_err() { break },
            }
        }
        Ok(())
    }

    fn describe(&self) -> Description {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let mut targets: Vec<_> = loops.values().filter(|one| !one.retired).map(Loop::describe).collect();
        targets.extend(self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        Description { debug_info: targets }
    }
}

impl Scrape {
    /// Starts tasks for targets that are new, tells all others what has changed, and retires those that are gone.
    fn sync(
        &self,
        arguments: &Arc<ScrapeArguments>,
        before: &mut Option<Before>,
        stop: &Stop,
        seed: u64,
    ) -> Result<(), Stopped> {
        let job = job(&self.context, arguments);
        let mut targets: HashMap<u64, Target> = HashMap::new();
        let mut refused = Vec::new();
        for found in &arguments.targets {
            match Target::new(found, arguments, &job) {
                Ok(target) => {
                    targets.insert(target.hash, target);
                }
                Err(error) => {
                    self.metrics.sync_failed.inc();
                    tracing::error!(err = error, target = ?found, "creating target failed");
                    if refused.len() < MOST_REFUSED_SHOWN {
                        let status = Status { health: "unknown", last_error: error, ..Status::default() };
                        refused.push(described(&job, "", found.iter(), &status));
                    }
                }
            }
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
        let mut forbidden = None;
        if arguments.target_limit > 0 && targets.len() as u64 > arguments.target_limit {
            self.metrics.exceeded_target_limit.inc();
            let (count, limit) = (targets.len(), arguments.target_limit);
            forbidden = Some(format!("target_limit exceeded (number of targets: {count}, limit: {limit})"));
        }
        self.metrics.syncs.inc();
        self.metrics.reloads.inc();
        self.metrics.targets.set_u64(targets.len() as u64);
        self.metrics.pool_targets.set_u64(targets.len() as u64);
        self.metrics.pool_limit.set_u64(arguments.target_limit);

        let same = arguments.manner();
        let manner = match before.take() {
            // Other targets alone: those that stay keep their connections.
            Some(before) if before.arguments == same && before.manner.forbidden == forbidden => before.manner,
            _ => {
                let manner = manner(&self.context, arguments).map_err(|problem| Stopped(problem.to_string()))?;
                Arc::new(Manner { forbidden, ..manner })
            }
        };
        *before = Some(Before { arguments: same, manner: manner.clone() });
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.retain(|_, one| !one.orders.is_closed());
        let mut without = Vec::new();
        for (hash, one) in loops.iter_mut() {
            match targets.remove(hash) {
                Some(target) => one.scrape(target, &manner),
                None => without.push(*hash),
            }
        }
        // The same series by another way: another address, path, interval or timeout. A loop of its own would begin them anew
        // while the old one still tells their end.
        let mut heirs: HashMap<Labels, u64> =
            targets.iter().map(|(hash, target)| (target.labels.clone(), *hash)).collect();
        for hash in without {
            let Some(mut one) = loops.remove(&hash) else { continue };
            let heir = heirs.remove(&one.target.labels);
            let heir = heir.and_then(|heir| Some((heir, targets.remove(&heir)?)));
            let hash = heir.as_ref().map_or(hash, |(heir, _)| *heir);
            match heir {
                Some((_, target)) => one.scrape(target, &manner),
                None if one.retired => {}
                None => {
                    one.retired = true;
                    one.orders.send_replace(Order::Retire);
                }
            }
            loops.insert(hash, one);
        }
        for (hash, target) in targets {
            let target = Arc::new(target);
            let (orders, receiver) = watch::channel(Order::Scrape(manner.clone(), target.clone()));
            let status = Arc::new(Mutex::new(Status { health: "unknown", ..Status::default() }));
            let scraper = Scraper {
                target: target.clone(),
                orders: receiver,
                forward: self.forward.clone(),
                tap: self.tap.clone(),
                metrics: self.metrics.clone(),
                outages: self.outages.clone(),
                status: status.clone(),
                seed,
            };
            drop(self.context.spawn(stop, scraper.run()));
            loops.insert(hash, Loop { target, orders, status, retired: false });
        }
        Ok(())
    }
}

impl Loop {
    /// The target is there, perhaps again.
    fn scrape(&mut self, target: Target, manner: &Arc<Manner>) {
        if *self.target != target {
            self.target = Arc::new(target);
        }
        self.retired = false;
        self.orders.send_replace(Order::Scrape(manner.clone(), self.target.clone()));
    }

    fn describe(&self) -> BodyNode {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Target { labels, url, .. } = &*self.target;
        described(labels.get("job").unwrap_or(""), url, labels.iter(), &status)
    }
}

/// A target as Alloy shows it.
fn described<'a>(job: &str, url: &str, labels: impl Iterator<Item = (&'a str, &'a str)>, status: &Status) -> BodyNode {
    let text = |name: &str, value: &str| BodyNode::Attribute { name: name.to_owned(), value: Value::from(value) };
    let labels = labels.map(|(name, value)| (name, Value::from(value)));
    BodyNode::Block {
        name: "target".to_owned(),
        label: None,
        body: vec![
            text("job", job),
            text("url", url),
            text("health", status.health),
            BodyNode::Attribute { name: "labels".to_owned(), value: Value::Object(labels.collect()) },
            text("last_error", &status.last_error),
            text("last_scrape", &rfc3339(status.last_scrape)),
            text("last_scrape_duration", &base_stdx::GoDuration::from(status.last_duration).to_string()),
        ],
    }
}

/// Some of it is not for everyone yet.
fn check_stability(context: &Context, arguments: &ScrapeArguments) -> Result<(), Problem> {
    for (is_set, argument) in [
        (arguments.honor_metadata, "honor_metadata"),
        (arguments.enable_type_and_unit_labels, "enable_type_and_unit_labels"),
        (arguments.start_timestamp_zero_ingestion, "start_timestamp_zero_ingestion"),
    ] {
        if is_set {
            context.require(Stability::Experimental, argument)?;
        }
    }
    Ok(())
}

/// How all targets are scraped; fails on what only this component can check.
fn manner(context: &Context, arguments: &ScrapeArguments) -> Result<Manner, Problem> {
    Ok(Manner {
        fetcher: Fetcher::new(arguments, context.memory_http().clone())?,
        rules: Rules {
            target: Labels::empty(),
            honor_labels: arguments.honor_labels,
            honor_timestamps: arguments.honor_timestamps,
            track_timestamps: arguments.track_timestamps_staleness,
            utf8_names: arguments.metric_name_validation_scheme == "utf8",
            sample_limit: arguments.sample_limit,
            label_limit: arguments.label_limit,
            label_name_length_limit: arguments.label_name_length_limit,
            label_value_length_limit: arguments.label_value_length_limit,
            wanted: arguments.wanted(),
            zero_at_start: arguments.start_timestamp_zero_ingestion,
            bucket_limit: arguments.native_histogram_bucket_limit,
            finest_schema: arguments.finest_schema(),
        },
        extra_metrics: arguments.extra_metrics,
        forbidden: None,
        failures: FailureLog::new(&arguments.scrape_failure_log_file, job(context, arguments)),
    })
}

fn job(context: &Context, arguments: &ScrapeArguments) -> String {
    match arguments.job_name.as_str() {
        "" => context.local_id().to_owned(),
        name => name.to_owned(),
    }
}

/// Two collectors that scrape the same targets do it at different times.
fn seed(context: &Context) -> u64 {
    let host = base_sys::fs::read_text_bounded(Path::new("/proc/sys/kernel/hostname"), MAX_HOST_NAME);
    xxh64(format!("{} {}", host.unwrap_or_default(), context.id()).as_bytes(), 0)
}

/// The time as the web API prints times; that of the year 1 means never, as in Go.
fn rfc3339(ns: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(ns)) {
        Ok(time) if ns > 0 => time.to_string(),
        _ => "0001-01-01T00:00:00Z".to_owned(),
    }
}
