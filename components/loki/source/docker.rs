//! `loki.source.docker`: follows the logs of containers.

mod follower;
mod streams;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base_metrics::Counter;
use base_stdx::duration::GoDuration;
use base_sys::fs::Sync;
use language_eval::{Arguments, Target};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_docker::{Engine, Host};
use sdk_net::ClientConfig;
use sdk_net::client::Identity;
use sdk_relabel::{NameRule, Rules};
use sdk_signals::{FanOut, LogBatch, LogsReceiver};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::source::place::Place;
use crate::source::positions::{self, Positions, SAVE_EVERY, SAVES_PER_SYNC};
use follower::Follower;
use streams::{CONTAINER_ID, Streams};

/// How long a stop waits for what is on its way; what is not delivered by then is read again after the next start.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// Follows the logs of Docker containers.
///
/// Takes targets as `discovery.docker` finds them, one container each, and sends every line that the container prints,
/// with the engine's own time. Positions are kept to the line, so that a restart neither loses nor repeats one. The log
/// driver must be one that the engine can read from (`json-file`, `local`, `journald`).
#[derive(Arguments)]
pub struct DockerArguments {
    /// Address of the Docker engine: `unix:///var/run/docker.sock`, `tcp://host:2375`, `https://…`.
    #[attr]
    host: String,
    /// Containers to follow: targets with `__meta_docker_container_id`.
    #[attr]
    targets: Vec<Target>,
    /// Who gets the entries.
    #[attr]
    forward_to: Vec<LogsReceiver>,
    /// Labels for every entry; they win over the target's.
    #[attr(optional)]
    labels: BTreeMap<String, String>,
    /// Rules for the labels of each entry, which see the target's `__meta_*` labels and
    /// `__meta_docker_container_log_stream` (stdout or stderr).
    #[attr(optional)]
    relabel_rules: Option<Rules>,
    /// For an engine that is reached over the network.
    #[block(optional)]
    http_client_config: ClientConfig,
    /// How long the engine may take to answer.
    #[attr(default = GoDuration::from_secs(60))]
    refresh_interval: GoDuration,
}

/// The component.
pub struct Docker {
    context: Context,
    entries: Counter,
    parsing_errors: Counter,
    wanted: watch::Sender<Arc<Wanted>>,
}

/// Checked arguments.
struct Wanted {
    engine: Engine,
    /// By container id.
    containers: HashMap<String, Streams>,
    forward_to: FanOut<LogBatch>,
}

/// A follower that runs.
struct Following {
    streams: watch::Sender<Streams>,
    place: watch::Receiver<Option<Place>>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<Option<()>>,
}

/// A follower ends with whoever follows it, also when that one panics.
impl Drop for Following {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Component for Docker {
    const NAME: &'static str = "loki.source.docker";

    type Arguments = DockerArguments;
    type Exports = ();

    fn build(context: &Context, arguments: DockerArguments) -> Result<Docker, Problem> {
        let wanted = Arc::new(check(context, arguments)?);
        let metrics = context.metrics();
        Ok(Docker {
            context: context.clone(),
            entries: metrics.counter(
                "loki_source_docker_target_entries_total",
                "Total number of successful entries sent to the Docker target",
            ),
            parsing_errors: metrics.counter(
                "loki_source_docker_target_parsing_errors_total",
                "Total number of parsing errors while receiving Docker messages",
            ),
            wanted: watch::Sender::new(wanted),
        })
    }

    fn update(&self, arguments: DockerArguments) -> Result<Update, Problem> {
        let wanted = Arc::new(check(&self.context, arguments)?);
        let sender = self.wanted.clone();
        Ok(Update::then(move || {
            sender.send_replace(wanted);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let file = self.context.data_path().join("positions.yml");
        let mut positions = positions::load(file).await?;
        let mut following: HashMap<String, Following> = HashMap::new();
        let mut wanted = self.wanted.subscribe();
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut saves = 0;
        let mut engine = None;
        loop {
            let now = wanted.borrow_and_update().clone();
            // Another engine has other containers, even under the same ids.
            if engine.as_ref().is_some_and(|host| host != now.engine.host()) {
                self.end(following.drain(), &mut positions).await;
            }
            engine = Some(now.engine.host().clone());
            self.reconcile(&now, &mut following, &mut positions, &stop).await;
            loop {
                tokio::select! {
                    () = stop.stopped() => {
                        self.end(following.drain(), &mut positions).await;
                        positions::save(&mut positions).await;
                        return Ok(());
                    }
                    changed = wanted.changed() => {
                        if changed.is_ok() {
                            break;
                        }
                    }
                    _ = save.tick() => {
                        let moved = following.iter_mut().filter(|(_, follower)| follower.place.has_changed().unwrap_or(false));
                        for (id, follower) in moved {
                            follower.place.mark_unchanged();
                            note(&mut positions, id, follower);
                        }
                        saves = (saves + 1) % SAVES_PER_SYNC;
                        positions::save_to(&mut positions, if saves == 0 { Sync::Disk } else { Sync::Kernel }).await;
                    }
                }
            }
        }
    }
}

impl Docker {
    /// Starts what is new, ends what is gone, tells the rest its labels.
    async fn reconcile(
        &self,
        wanted: &Arc<Wanted>,
        following: &mut HashMap<String, Following>,
        positions: &mut Positions,
        stop: &Stop,
    ) {
        let gone: Vec<String> = following.keys().filter(|id| !wanted.containers.contains_key(*id)).cloned().collect();
        let gone: Vec<_> = gone.into_iter().filter_map(|id| following.remove_entry(&id)).collect();
        for (id, key) in self.end(gone, positions).await {
            positions.remove(&format!("cursor-{id}"), &key);
            positions.remove(&precise_key(&id), "{}");
        }
        for (id, streams) in &wanted.containers {
            let streams = streams.clone().forwarding(wanted.forward_to.clone());
            if let Some(known) = following.get(id) {
                // Also when a task has ended: the next scrape of the targets may find the container running again.
                if !known.task.is_finished() {
                    known.streams.send_if_modified(|present| std::mem::replace(present, streams.clone()) != streams);
                    continue;
                }
                note(positions, id, known);
            }
            let start = saved(positions, id, &streams.position_labels);
            let (cancel_stop, cancel) = stop.child();
            let (streams, receiver) = watch::channel(streams);
            let (report, place) = watch::channel(start);
            let follower = Follower {
                container: id.clone(),
                engine: wanted.engine.clone(),
                streams: receiver,
                start,
                report,
                entries: self.entries.clone(),
                parsing_errors: self.parsing_errors.clone(),
                last_deliveries: LAST_DELIVERIES,
            };
            // The task ends by its own stop, after its last deliveries: it is not cut off with the component's.
            let (outer, _keep) = Stop::new(CancellationToken::new(), stop.grace()).child();
            let task = self.context.spawn(&outer, follower.run(cancel_stop));
            following.insert(id.clone(), Following { streams, place, cancel, task });
        }
    }

    /// Stops followers and notes where they are; gives ids and position labels back.
    async fn end(
        &self,
        ended: impl IntoIterator<Item = (String, Following)>,
        positions: &mut Positions,
    ) -> Vec<(String, String)> {
        let mut ended: Vec<_> = ended.into_iter().collect();
        for (_, follower) in &ended {
            follower.cancel.cancel();
        }
        let mut keys = Vec::new();
        for (id, follower) in &mut ended {
            let _ = (&mut follower.task).await;
            note(positions, id, follower);
            keys.push((id.clone(), follower.streams.borrow().position_labels.clone()));
        }
        keys
    }
}

fn check(context: &Context, arguments: DockerArguments) -> Result<Wanted, Problem> {
    let tls = arguments.http_client_config.tls_config.has_certificate();
    let host = Host::parse(&arguments.host, tls).map_err(|error| Problem::at("host", error.to_string()))?;
    let identity = Identity::new(&arguments.http_client_config)
        .map_err(|error| Problem::at("http_client_config", error.to_string()))?;
    let timeout = arguments.refresh_interval.to_std().unwrap_or(Duration::from_secs(60));
    let rules = arguments.relabel_rules.map(|rules| rules.with_names(NameRule::Legacy));
    let mut containers: HashMap<String, Streams> = HashMap::new();
    for target in &arguments.targets {
        let Some(id) = target.get(CONTAINER_ID).filter(|id| !id.is_empty()) else {
            tracing::debug!(target = ?target, "this target names no container ({CONTAINER_ID}); it is left out");
            continue;
        };
        let streams = Streams::new(target, &arguments.labels, rules.clone());
        // A container with several ports is several targets: one of them speaks for it, always the same.
        match containers.entry(id.to_owned()) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(streams);
            }
            std::collections::hash_map::Entry::Occupied(mut place) if streams.rank < place.get().rank => {
                place.insert(streams);
            }
            std::collections::hash_map::Entry::Occupied(_) => {}
        }
    }
    Ok(Wanted {
        engine: Engine::new(host, Some(identity), timeout),
        containers,
        forward_to: FanOut::new(arguments.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
    })
}

/// Alloy's key holds whole seconds; ours beside it the nanosecond and how many lines of it are done, which Alloy ignores.
fn note(positions: &mut Positions, id: &str, follower: &Following) {
    let Some(place) = *follower.place.borrow() else { return };
    let labels = follower.streams.borrow().position_labels.clone();
    positions.set(&format!("cursor-{id}"), &labels, place.seconds().to_string());
    positions.set(&precise_key(id), "{}", place.to_string());
}

fn precise_key(id: &str) -> String {
    format!("cursor-precise-{id}")
}

/// The precise place, unless somebody else (Alloy) has read on since.
fn saved(positions: &Positions, id: &str, labels: &str) -> Option<Place> {
    let seconds: Option<i64> = positions.get(&format!("cursor-{id}"), labels).and_then(|text| text.parse().ok());
    let precise: Option<Place> = positions.get(&precise_key(id), "{}").and_then(|text| text.parse().ok());
    match (seconds, precise) {
        (Some(seconds), Some(precise)) if precise.seconds() >= seconds => Some(precise),
        (Some(seconds), _) => Some(Place::at_second(seconds)),
        (None, precise) => precise,
    }
}

#[cfg(test)]
mod tests;
