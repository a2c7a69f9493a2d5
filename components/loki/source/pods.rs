//! The logs of containers through the Kubernetes API, as `loki.source.kubernetes` and `loki.source.podlogs` read them.

mod follower;
mod lines;
mod target;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_stdx::timestamp::Rfc3339;
use base_sys::fs::Sync;
use language_eval::{BodyNode, Value};
use sdk_component::{Context, Problem, Stop, Stopped};
use sdk_kubernetes::{AccessError, ClientArguments, Cluster};
use sdk_labels::Labels;
use sdk_signals::{FanOut, LogBatch};
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::source::place::Place;
use crate::source::positions::{self, Positions, SAVES_PER_SYNC};
pub use follower::Patience;
use follower::{Follower, Report, Wish};
pub use target::{Container, Target};

/// A container that is not wanted any more may be wanted again: discovery starts anew, a rule is mended. Its position is
/// kept so long.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// How often it is looked which positions nobody wants.
const LOOK_FOR_FORGOTTEN: Duration = Duration::from_secs(60);

/// So many pods are asked for at once.
const LOOKS_AT_ONCE: usize = 16;

/// Whose logs to follow, and how.
#[derive(Clone)]
pub struct Wanted {
    pub cluster: Cluster,
    pub targets: Vec<Target>,
    pub forward_to: FanOut<LogBatch>,
    /// Containers without a position begin at the end of their logs.
    pub from_end: bool,
}

/// The containers that are followed. One task owns it.
pub struct Followers {
    context: Context,
    patience: Patience,
    positions: Positions,
    following: BTreeMap<Container, Following>,
    cluster: Option<Cluster>,
    gate: Arc<Semaphore>,
    follows_rotation: Arc<OnceCell<bool>>,
    /// Keys of positions that nobody wants, since when.
    unwanted: HashMap<String, Instant>,
    looked_for_forgotten: Instant,
    saves: u32,
    shown: Shown,
}

/// What the web interface shows; filled by [`Followers`].
#[derive(Clone, Default)]
pub struct Shown(Arc<Mutex<BTreeMap<Container, ShownTarget>>>);

struct ShownTarget {
    labels: Labels,
    discovered: Labels,
    report: watch::Receiver<Report>,
}

/// A follower that runs, or has ended.
struct Following {
    wish: watch::Sender<Wish>,
    report: watch::Receiver<Report>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<Option<()>>,
    /// The place that was noted, and the labels and their texts under which it was.
    noted: Option<(Place, Vec<Labels>, Vec<String>)>,
}

/// A follower ends with whoever follows it, also when that one panics.
impl Drop for Following {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// The cluster that arguments name, or the one that was there when they are the same.
pub fn cluster(
    arguments: ClientArguments,
    known: Option<&(ClientArguments, Cluster)>,
) -> Result<(ClientArguments, Cluster), Problem> {
    if let Some((same, cluster)) = known.filter(|(known, _)| *known == arguments) {
        return Ok((same.clone(), cluster.clone()));
    }
    let access = arguments.access().map_err(|error| match error {
        AccessError::Configuration { message, .. } => Problem::at("client", message),
        AccessError::Environment(message) => Problem::environment(format!("building Kubernetes config: {message}")),
    })?;
    let cluster = Cluster::new(access).map_err(|error| Problem::environment(error.to_string()))?;
    Ok((arguments, cluster))
}

// === impl Followers ===

impl Followers {
    /// With the positions of the last run.
    pub async fn open(context: Context, patience: Patience, shown: Shown) -> Result<Followers, Stopped> {
        let file: PathBuf = context.data_path().join("positions.yml");
        Ok(Followers {
            context,
            patience,
            positions: positions::load(file).await?,
            following: BTreeMap::new(),
            cluster: None,
            gate: Arc::new(Semaphore::new(LOOKS_AT_ONCE)),
            follows_rotation: Arc::default(),
            unwanted: HashMap::new(),
            looked_for_forgotten: Instant::now(),
            saves: 0,
            shown,
        })
    }

    /// Starts what is new, tells the rest its labels, and lets what is gone say its last words.
    pub async fn follow(&mut self, wanted: &Wanted, stop: &Stop) {
        // Another cluster has other containers.
        if self.cluster.as_ref().is_some_and(|cluster| *cluster != wanted.cluster) {
            self.end().await;
            self.follows_rotation = Arc::default();
        }
        self.cluster = Some(wanted.cluster.clone());
        let mut by_container: BTreeMap<&Container, Vec<&Target>> = BTreeMap::new();
        for target in &wanted.targets {
            by_container.entry(&target.container).or_default().push(target);
        }
        for (container, following) in &mut self.following {
            if !by_container.contains_key(container) {
                let leave_at = Instant::now() + self.patience.last_words;
                following.wish.send_if_modified(|wish| wish.leave_at.replace(leave_at).is_none());
            }
        }
        for (container, targets) in &by_container {
            self.follow_one(container, targets, wanted, stop);
        }
        self.reap();
        let shown = by_container.into_iter().filter_map(|(container, targets)| {
            let report = self.following.get(container)?.report.clone();
            let (labels, discovered) = (targets[0].labels.clone(), targets[0].discovered.clone());
            Some((container.clone(), ShownTarget { labels, discovered, report }))
        });
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) = shown.collect();
    }

    fn follow_one(&mut self, container: &Container, targets: &[&Target], wanted: &Wanted, stop: &Stop) {
        let mut labels: Vec<Labels> = Vec::new();
        for target in targets {
            if !labels.contains(&target.labels) {
                labels.push(target.labels.clone());
            }
        }
        let instance = targets[0].instance.clone();
        let wish = Wish { labels, forward_to: wanted.forward_to.clone(), instance, leave_at: None };
        if let Some(known) = self.following.get(container) {
            let same_instance = known.wish.borrow().instance == wish.instance;
            // One that has ended for good begins again only if discovery tells of a new instance.
            if !known.task.is_finished() || same_instance {
                known.wish.send_replace(wish);
                return;
            }
        }
        self.note(container);
        let keys: Vec<String> = wish.labels.iter().map(ToString::to_string).collect();
        let start = saved(&self.positions, container, &keys);
        let (cancel_stop, cancel) = stop.child();
        let (wish, wishes) = watch::channel(wish);
        let (report, reports) = watch::channel(Report { place: start, ..Report::default() });
        let follower = Follower {
            container: container.clone(),
            cluster: wanted.cluster.clone(),
            wish: wishes,
            start,
            from_end: wanted.from_end,
            report,
            patience: self.patience,
            gate: self.gate.clone(),
            follows_rotation: self.follows_rotation.clone(),
        };
        // The task ends by its own stop, after its last deliveries: it is not cut off with the component's.
        let (outer, _keep) = Stop::new(CancellationToken::new(), stop.grace()).child();
        let task = self.context.spawn(&outer, follower.run(cancel_stop));
        let following = Following { wish, report: reports, cancel, task, noted: None };
        self.following.insert(container.clone(), following);
    }

    /// Notes where everybody is, and saves it if that has changed.
    pub async fn save(&mut self) {
        for (container, following) in &mut self.following {
            note(&mut self.positions, container, following);
        }
        self.reap();
        if self.looked_for_forgotten.elapsed() >= LOOK_FOR_FORGOTTEN {
            self.forget();
        }
        self.saves = (self.saves + 1) % SAVES_PER_SYNC;
        let sync = if self.saves == 0 { Sync::Disk } else { Sync::Kernel };
        positions::save_to(&mut self.positions, sync).await;
    }

    /// Stops all followers, and saves where they are.
    pub async fn end(&mut self) {
        let mut ended = std::mem::take(&mut self.following);
        for following in ended.values() {
            following.cancel.cancel();
        }
        for (container, following) in &mut ended {
            let _ = (&mut following.task).await;
            note(&mut self.positions, container, following);
        }
        positions::save(&mut self.positions).await;
    }

    fn note(&mut self, container: &Container) {
        if let Some(following) = self.following.get_mut(container) {
            note(&mut self.positions, container, following);
        }
    }

    /// Lets go of those that have left.
    fn reap(&mut self) {
        let gone = |following: &Following| following.wish.borrow().leave_at.is_some() && following.task.is_finished();
        let gone: Vec<Container> = self
            .following
            .iter()
            .filter(|(_, following)| gone(following))
            .map(|(container, _)| container.clone())
            .collect();
        for container in gone {
            self.note(&container);
            self.following.remove(&container);
        }
    }

    /// Removes positions that nobody has wanted for long.
    fn forget(&mut self) {
        self.looked_for_forgotten = Instant::now();
        let wanted: HashSet<String> =
            self.following.keys().flat_map(|container| [container.position(), container.precise_position()]).collect();
        let keys: HashSet<String> = self.positions.iter().map(|(key, _)| key.path.clone()).collect();
        self.unwanted.retain(|key, _| keys.contains(key) && !wanted.contains(key));
        for key in keys {
            if wanted.contains(&key) || !key.starts_with("cursor-") {
                continue;
            }
            let since = *self.unwanted.entry(key.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= FORGET_AFTER {
                for labels in labels_of(&self.positions, &key) {
                    self.positions.remove(&key, &labels);
                }
            }
        }
    }
}

/// Alloy's key holds microseconds; ours beside it the nanosecond and how many lines of it are done, which Alloy ignores.
fn note(positions: &mut Positions, container: &Container, following: &mut Following) {
    let Some(place) = following.report.borrow().place else { return };
    let labels = following.wish.borrow().labels.clone();
    let known = following.noted.take().filter(|(_, known, _)| *known == labels);
    if known.as_ref().is_some_and(|(noted, ..)| *noted == place) {
        following.noted = known;
        return;
    }
    let key = container.position();
    let texts = match known {
        Some((.., texts)) => texts,
        None => {
            // The labels are part of Alloy's key: under the old ones it would find an old position.
            let texts: Vec<String> = labels.iter().map(ToString::to_string).collect();
            for old in labels_of(positions, &key).into_iter().filter(|old| !texts.contains(old)) {
                positions.remove(&key, &old);
            }
            texts
        }
    };
    for text in &texts {
        positions.set(&key, text, (place.nanos() / 1000).to_string());
    }
    positions.set(&container.precise_position(), "{}", place.to_string());
    following.noted = Some((place, labels, texts));
}

fn labels_of(positions: &Positions, path: &str) -> Vec<String> {
    positions.iter().filter(|(key, _)| key.path == path).map(|(key, _)| key.labels.clone()).collect()
}

/// The precise place, unless somebody else (Alloy) has read on since. Of Alloy's places under several label sets that of
/// the present labels counts, or else the latest.
fn saved(positions: &Positions, container: &Container, labels: &[String]) -> Option<Place> {
    let key = container.position();
    let micros = |text: &str| text.parse::<i64>().ok();
    let present = labels.iter().filter_map(|labels| positions.get(&key, labels).and_then(micros)).max();
    let others = || positions.iter().filter(|(at, _)| at.path == key).filter_map(|(_, text)| micros(text)).max();
    let alloys = present.or_else(others).filter(|micros| *micros > 0);
    let precise: Option<Place> = positions.get(&container.precise_position(), "{}").and_then(|text| text.parse().ok());
    match (alloys, precise) {
        (Some(micros), Some(precise)) if precise.nanos() / 1000 >= micros => Some(precise),
        (Some(micros), _) => Some(Place::at(micros.saturating_mul(1000))),
        (None, precise) => precise,
    }
}

// === impl Shown ===

impl Shown {
    /// One block per target.
    pub fn describe(&self) -> Vec<BodyNode> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.values().map(ShownTarget::describe).collect()
    }
}

// === impl ShownTarget ===

impl ShownTarget {
    fn describe(&self) -> BodyNode {
        let attribute = |name: &str, value: Value| BodyNode::Attribute { name: name.to_owned(), value };
        let report = self.report.borrow();
        let mut body =
            vec![attribute("labels", object(&self.labels)), attribute("discovery_labels", object(&self.discovered))];
        if !report.last_error.is_empty() {
            body.push(attribute("last_error", Value::from(report.last_error.as_str())));
        }
        if report.updated > 0 {
            body.push(attribute("update_time", Value::from(Rfc3339(report.updated).to_string())));
        }
        BodyNode::Block { name: "target".to_owned(), label: None, body }
    }
}

/// Labels as an object.
pub fn object(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(name, value)| (name, Value::from(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_alloy_are_taken_over_and_ours_are_readable_by_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut positions = Positions::open(&folder.path().join("positions.yml")).expect("none yet");
        let text = |text: &str| text.to_owned();
        let container = Container { namespace: text("a"), pod: text("p"), name: text("c"), uid: text("u") };
        let labels = [text("{x=\"y\"}")];
        assert_eq!(saved(&positions, &container, &labels), None);
        // Under the labels of yesterday.
        positions.set("cursor-a/p:c:u", "{x=\"z\"}", "1760000000000001");
        assert_eq!(saved(&positions, &container, &labels), Some(Place::at(1_760_000_000_000_001_000)));
        positions.set("cursor-a/p:c:u", &labels[0], "1760000000000002");
        positions.set("cursor-precise-a/p:c:u", "{}", "1760000000000002003+2");
        let place = saved(&positions, &container, &labels).expect("a place");
        assert_eq!(place.to_string(), "1760000000000002003+2");
        // Alloy has run in between and read on.
        positions.set("cursor-a/p:c:u", &labels[0], "1760000000000009");
        assert_eq!(saved(&positions, &container, &labels), Some(Place::at(1_760_000_000_000_009_000)));
    }
}
