//! `otelcol.processor.k8sattributes`: what Kubernetes knows of the pods that data comes from.
//!
//! What data gets is made when the cluster changes: for a resource there is one look-up, and an edit of its bytes.

mod arguments;
mod association;
mod directory;
mod image;
mod pod;
mod rules;
mod watching;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use base_metrics::{Counter, CounterVec, Gauge};
use sdk_component::{Context, Problem, Stop};
use sdk_kubernetes::{AccessError, AuthType, Cluster};
use sdk_otel::output::Output;
use sdk_protocols_otlp::edit::{self, Attributes, any};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};
use tokio::sync::watch;
use tokio::time::Instant;

pub use arguments::{Arguments, Condition, Exclude, ExcludedPod, Extract, Field, Filter, PodAssociation, Source};
use association::{Associations, text};
use directory::Directory;
use pod::{Known, set};
use rules::{From, Rules};

use crate::environment::variable;
use crate::processing::{Processing, Processor, Site};

/// The arguments, and what is known.
pub struct K8sAttributes {
    arguments: Arguments,
    rules: Arc<Rules>,
    associations: Arc<Associations>,
    /// `None` with `passthrough`.
    cluster: Option<Cluster>,
    directory: RwLock<Directory>,
    /// Every pod is known.
    complete: watch::Sender<bool>,
    /// Until then senders wait for that.
    patience: Instant,
    metrics: Metrics,
}

struct Metrics {
    evaluated: CounterVec,
    missed: Counter,
    pods: [Counter; 3],
    table: Gauge,
}

/// `otelcol.processor.k8sattributes`.
pub type Component = Processing<K8sAttributes>;

// === impl K8sAttributes ===

impl Processor for K8sAttributes {
    const NAME: &'static str = "otelcol.processor.k8sattributes";
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let rules = Arc::new(Rules::new(arguments));
        let associations = Arc::new(Associations::new(&arguments.pod_association));
        let cluster = if arguments.passthrough { None } else { Some(cluster(arguments)?) };
        let grace = arguments.pod_delete_grace_period.to_std().unwrap_or_default();
        let patience = arguments.wait_for_metadata_timeout.to_std().unwrap_or_default();
        let now = Instant::now();
        Ok(K8sAttributes {
            arguments: arguments.clone(),
            directory: RwLock::new(Directory::new(rules.clone(), associations.clone(), grace)),
            rules,
            associations,
            cluster,
            complete: watch::Sender::new(false),
            patience: now.checked_add(patience).unwrap_or(now),
            metrics: Metrics::new(context),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        if self.arguments.wait_for_metadata && self.cluster.is_some() {
            let mut complete = self.complete.subscribe();
            let complete = tokio::time::timeout_at(self.patience, complete.wait_for(|complete| *complete)).await;
            if !matches!(complete, Ok(Ok(_))) {
                return Err(Refused::retryable("the pods of the cluster are not known yet"));
            }
        }
        let peer = batch.origin.as_ref().and_then(|origin| origin.peer);
        for payload in &mut batch.payload {
            let told = edit::resources(payload, |_, attributes| self.tell(batch.signal, attributes, peer));
            if let Some(told) = told {
                *payload = told.into();
            }
        }
        Ok(batch)
    }

    async fn run(&self, site: &Site, stop: Stop) {
        let Some(cluster) = &self.cluster else { return stop.stopped().await };
        tokio::select! {
            () = self.watch(cluster, &site.context) => {}
            () = stop.stopped() => {}
        }
    }
}

impl K8sAttributes {
    fn tell(&self, signal: OtlpSignal, attributes: &mut Attributes<'_>, peer: Option<IpAddr>) {
        let said = self.associations.said(attributes, peer);
        let address = said.as_ref().and_then(|said| said.address.as_ref());
        if let Some(address) = address.filter(|_| self.arguments.passthrough || self.rules.has("k8s.pod.ip")) {
            set(attributes, "k8s.pod.ip", &any::text(address.as_bytes()));
        }
        if self.cluster.is_none() {
            return;
        }
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        let found = said.as_ref().map(|said| directory.pod(&said.identifier));
        if let Some(None) = found {
            self.metrics.missed.inc();
        }
        let pod = found.flatten().filter(|pod| !pod.ignored).map(|pod| &**pod);
        if let Some(pod) = pod {
            pod.values.iter().for_each(|(name, value)| set(attributes, name, value));
            pod.tell_container(attributes);
        }
        let status = if pod.is_some() { "success" } else { "error" };
        let sources = said.as_ref().map_or("", |said| &said.sources);
        self.metrics.evaluated.with(&[status, sources, signal.name()]).inc();
        self.tell_surroundings(&directory, pod, attributes);
    }

    /// What the namespace, the node and the owners of the pod say; those that the resource names where the pod is not known.
    fn tell_surroundings(&self, directory: &Directory, pod: Option<&Known>, attributes: &mut Attributes<'_>) {
        let of = |known: fn(&Known) -> &String, name: &str, attributes: &Attributes<'_>| {
            let known = pod.map(known).filter(|text| !text.is_empty()).cloned();
            known.or_else(|| text(attributes, name))
        };
        let places: [(From, fn(&Known) -> &String, &str); 6] = [
            (From::Namespace, |pod| &pod.namespace, "k8s.namespace.name"),
            (From::Node, |pod| &pod.node, "k8s.node.name"),
            (From::Deployment, |pod| &pod.owners.deployment, "k8s.deployment.uid"),
            (From::StatefulSet, |pod| &pod.owners.stateful_set, "k8s.statefulset.uid"),
            (From::DaemonSet, |pod| &pod.owners.daemon_set, "k8s.daemonset.uid"),
            (From::Job, |pod| &pod.owners.job, "k8s.job.uid"),
        ];
        for (from, known, name) in places {
            let wanted = self.rules.look_at(from)
                || from == From::Node && self.rules.has("k8s.node.uid")
                || from == From::Namespace && self.rules.has("service.namespace");
            if !wanted {
                continue;
            }
            let Some(key) = of(known, name, attributes) else { continue };
            if let Some(thing) = directory.workloads.thing(from, &key) {
                thing.values.iter().for_each(|(name, value)| set(attributes, name, value));
                if from == From::Node && self.rules.has("k8s.node.uid") && !thing.uid.is_empty() {
                    set(attributes, "k8s.node.uid", &any::text(thing.uid.as_bytes()));
                }
            }
            if from == From::Namespace && self.rules.has("service.namespace") {
                set(attributes, "service.namespace", &any::text(key.as_bytes()));
            }
        }
    }
}

fn cluster(arguments: &Arguments) -> Result<Cluster, Problem> {
    // Validated.
    let auth_type = AuthType::named(&arguments.auth_type).unwrap_or(AuthType::ServiceAccount);
    let access = auth_type.access(variable).map_err(|error| match error {
        AccessError::Configuration { field, message } => Problem::at(field, message),
        AccessError::Environment(message) => Problem::environment(message),
    })?;
    Cluster::new(access).map_err(|error| Problem::environment(error.to_string()))
}

// === impl Metrics ===

impl Metrics {
    fn new(context: &Context) -> Metrics {
        let metrics = context.metrics();
        let pods = ["added", "updated", "deleted"].map(|event| {
            let name = format!("otelcol_otelsvc_k8s_pod_{event}_total");
            metrics.counter(&name, &format!("Number of pods {event}, as the cluster was watched."))
        });
        Metrics {
            evaluated: metrics.counter_vec(
                "otelcol_k8s_pod_association_total",
                "Number of look-ups of the pod that a resource comes from.",
                &["status", "pod_identifier", "otelcol_signal"],
            ),
            missed: metrics
                .counter("otelcol_otelsvc_k8s_ip_lookup_miss_total", "Number of times that a pod was not known."),
            pods,
            table: metrics
                .gauge("otelcol_otelsvc_k8s_pod_table_size_ratio", "Number of entries by which pods can be looked up."),
        }
    }
}

#[cfg(test)]
mod tests;
