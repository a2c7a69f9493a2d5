//! `loki.source.kubernetes`: follows the logs of containers through the Kubernetes API.

use std::sync::{Arc, Mutex, PoisonError};

use language_eval::{Arguments, Block, Target as Found};
use sdk_component::{Component, Context, Description, Problem, Stop, Stopped, Update};
use sdk_kubernetes::{ClientArguments, Cluster};
use sdk_labels::Labels;
use sdk_signals::{FanOut, LogsReceiver};
use tokio::sync::watch;

use crate::source::pods::{self, Followers, Patience, Shown, Target, Wanted};
use crate::source::positions::SAVE_EVERY;

/// Follows the logs of containers through the Kubernetes API.
///
/// Takes targets as `discovery.kubernetes` finds them with `role = "pod"`, and sends every line that their containers print,
/// with the time at which they did. It needs no access to the nodes, only the rights `get` for `pods` and for `pods/log`.
/// Positions are kept to the line, so that a restart neither loses nor repeats one; a container is known by its pod's uid,
/// not by its labels, so that a changed label changes the label of the next line and nothing else. When a container is
/// restarted, what its instance before had still to say is read first.
#[derive(Arguments)]
pub struct KubernetesArguments {
    /// Containers to follow: targets with `__meta_kubernetes_namespace`, `__meta_kubernetes_pod_name`,
    /// `__meta_kubernetes_pod_container_name` and `__meta_kubernetes_pod_uid`, or with `__pod_namespace__`,
    /// `__pod_name__`, `__pod_container_name__` and `__pod_uid__`, which win.
    #[attr]
    targets: Vec<Found>,
    /// Who gets the entries.
    #[attr]
    forward_to: Vec<LogsReceiver>,
    /// How to reach the API.
    #[block(optional)]
    client: ClientArguments,
    /// Sharing targets in a cluster.
    #[block(optional)]
    clustering: Clustering,
}

/// Sharing targets in a cluster. A process that is in no cluster follows all of them, whatever this says, as in Alloy.
#[derive(Block, Clone, Debug, Default, PartialEq)]
pub struct Clustering {
    /// Share targets with the other members.
    #[attr]
    pub enabled: bool,
}

/// The component.
pub struct Kubernetes {
    context: Context,
    wanted: watch::Sender<Wanted>,
    client: Arc<Mutex<(ClientArguments, Cluster)>>,
    shown: Shown,
}

// === impl Kubernetes ===

impl Component for Kubernetes {
    const NAME: &'static str = "loki.source.kubernetes";

    type Arguments = KubernetesArguments;
    type Exports = ();

    fn build(context: &Context, arguments: KubernetesArguments) -> Result<Kubernetes, Problem> {
        let client = pods::cluster(arguments.client.clone(), None)?;
        Ok(Kubernetes {
            context: context.clone(),
            wanted: watch::Sender::new(wanted(context, arguments, &client.1)),
            client: Arc::new(Mutex::new(client)),
            shown: Shown::default(),
        })
    }

    fn update(&self, arguments: KubernetesArguments) -> Result<Update, Problem> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let client = pods::cluster(arguments.client.clone(), Some(&known))?;
        let wanted = wanted(&self.context, arguments, &client.1);
        let (sender, kept) = (self.wanted.clone(), self.client.clone());
        Ok(Update::then(move || {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = client;
            sender.send_replace(wanted);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut followers = Followers::open(self.context.clone(), Patience::default(), self.shown.clone()).await?;
        let mut wanted = self.wanted.subscribe();
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        wanted.mark_changed();
        loop {
            tokio::select! {
                () = stop.stopped() => {
                    followers.end().await;
                    return Ok(());
                }
                changed = wanted.changed() => {
                    if changed.is_ok() {
                        let now = wanted.borrow_and_update().clone();
                        followers.follow(&now, &stop).await;
                    }
                }
                _ = save.tick() => followers.save().await,
            }
        }
    }

    fn describe(&self) -> Description {
        Description { debug_info: self.shown.describe() }
    }
}

fn wanted(context: &Context, arguments: KubernetesArguments, cluster: &Cluster) -> Wanted {
    let mut targets = Vec::new();
    for found in &arguments.targets {
        let labels = Labels::from_pairs(found.iter());
        match Target::new(labels.clone(), &labels, context.id(), false) {
            Ok(target) => targets.push(target),
            Err(error) => tracing::error!(target = %labels, err = error, "failed to process input target"),
        }
    }
    Wanted {
        cluster: cluster.clone(),
        targets,
        forward_to: FanOut::new(arguments.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
        from_end: false,
    }
}

#[cfg(test)]
mod tests;
