//! What is known of a pod: the attributes that its data gets.

use base_stdx::timestamp::parse_rfc3339;
use sdk_kubernetes::objects::{ContainerStatus, Owner, Pod};
use sdk_protocols_otlp::edit::{Attributes, any};
use sdk_protocols_otlp::walk::Any;

use super::directory::Workloads;
use super::image::Image;
use super::rules::{From, Rules, Texts};

/// Encoded values by name.
pub(super) type Values = Vec<(String, Vec<u8>)>;

/// A pod, as far as data is concerned.
#[derive(Debug)]
pub(super) struct Known {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub node: String,
    pub address: String,
    pub on_host_network: bool,
    /// When it began; texts of times in UTC are in the order of the times.
    pub start: Option<String>,
    /// Its data gets nothing.
    pub ignored: bool,
    /// Of the owners that have attributes of their own.
    pub owners: Owners,
    pub texts: Texts,
    pub values: Values,
    containers: Vec<Container>,
    /// Identifiers of containers, and which container it is.
    ids: Vec<(String, usize)>,
}

/// Identifiers of what made a pod, empty for what did not.
#[derive(Debug, Default)]
pub(super) struct Owners {
    pub deployment: String,
    pub stateful_set: String,
    pub daemon_set: String,
    pub job: String,
}

#[derive(Debug, Default)]
struct Container {
    name: String,
    values: Vec<(&'static str, Vec<u8>)>,
    /// By how often it was started again.
    runs: Vec<(i64, Run)>,
}

#[derive(Debug, Default)]
struct Run {
    id: Option<Vec<u8>>,
    digests: Option<Vec<u8>>,
}

/// What the deployment's controller appends to the name of a replica set.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// How far the minutes in the name of a job may be off, to be those of its pod.
const JOB_SKEW_MINUTES: i64 = 24 * 60;

// === impl Known ===

impl Known {
    pub fn new(pod: &Pod, rules: &Rules, workloads: &Workloads) -> Known {
        let metadata = &pod.metadata;
        let ignored = rules.ignore(metadata);
        let owner = |kind: &str| metadata.owner_references.iter().find(|owner| owner.kind == kind);
        let uid = |kind| owner(kind).map(|owner| owner.uid.clone()).unwrap_or_default();
        let mut known = Known {
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
            node: pod.spec.node_name.clone(),
            address: pod.status.pod_ip.clone(),
            on_host_network: pod.spec.host_network,
            start: pod.status.start_time.clone(),
            ignored,
            owners: Owners {
                deployment: workloads.deployment(&uid("ReplicaSet")).map(|owner| owner.uid.clone()).unwrap_or_default(),
                stateful_set: uid("StatefulSet"),
                daemon_set: uid("DaemonSet"),
                job: uid("Job"),
            },
            texts: Texts::new(),
            values: Values::new(),
            containers: Vec::new(),
            ids: Vec::new(),
        };
        if !ignored {
            known.texts = texts(pod, rules, workloads);
            known.values = encoded(&known.texts);
            if rules.want_containers() {
                known.find_containers(pod, rules);
            }
        }
        known
    }

    /// Identifiers of its containers.
    pub fn container_ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(|(id, _)| id.as_str())
    }

    fn find_containers(&mut self, pod: &Pod, rules: &Rules) {
        let of_specs = ["container.image.name", "container.image.tag", "service.version", "service.instance.id"];
        if of_specs.iter().any(|name| rules.has(name)) {
            for spec in pod.spec.containers.iter().chain(&pod.spec.init_containers) {
                let mut container = Container { name: spec.name.clone(), ..Container::default() };
                if let Some(image) = Image::parse(&spec.image) {
                    container.add(rules, "container.image.name", image.name);
                    container.add(rules, "container.image.tag", image.tag.unwrap_or("latest"));
                    container.add(rules, "service.version", &image.version().unwrap_or_default());
                }
                self.containers.push(container);
            }
        }
        for status in pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses) {
            let at = self.containers.iter().position(|container| container.name == status.name);
            let at = at.unwrap_or_else(|| {
                self.containers.push(Container { name: status.name.clone(), ..Container::default() });
                self.containers.len() - 1
            });
            let container = &mut self.containers[at];
            container.add(rules, "k8s.container.name", &status.name);
            let instance = format!("{}.{}.{}", self.namespace, self.name, status.name);
            container.add(rules, "service.instance.id", &instance);
            let id = plain_id(status);
            container.runs.push((status.restart_count, Run::new(rules, id, status)));
            match self.ids.iter_mut().find(|(known, _)| known == id) {
                Some(known) => known.1 = at,
                None => self.ids.push((id.to_owned(), at)),
            }
        }
    }

    /// Adds what is known of the container that a resource says it is, or of the only one.
    pub fn tell_container(&self, attributes: &mut Attributes<'_>) {
        let said = |name: &str| match attributes.get(name.as_bytes())?.get() {
            Any::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        };
        let container = if let Some(name) = said("k8s.container.name") {
            self.containers.iter().find(|container| container.name.as_bytes() == name)
        } else if let Some(id) = said("container.id") {
            let at = self.ids.iter().find(|(known, _)| known.as_bytes() == id);
            at.and_then(|(_, at)| self.containers.get(*at))
        } else if let [(_, at)] = &self.ids[..] {
            self.containers.get(*at)
        } else if let [only] = &self.containers[..] {
            Some(only)
        } else {
            None
        };
        let Some(container) = container else { return };
        for (name, value) in &container.values {
            set(attributes, name, value);
        }
        let Some(run) = container.run(attributes) else { return };
        for (name, value) in [("container.id", &run.id), ("container.image.repo_digests", &run.digests)] {
            if let Some(value) = value {
                attributes.insert(name.as_bytes(), value);
            }
        }
    }
}

/// Sets an attribute, unless there is one that is not empty.
pub(super) fn set(attributes: &mut Attributes<'_>, name: &str, value: &[u8]) {
    let is_there = match attributes.get(name.as_bytes()).map(|value| value.get()) {
        None | Some(Any::Empty | Any::Text(b"")) => false,
        Some(_) => true,
    };
    if !is_there {
        attributes.upsert(name.as_bytes(), value);
    }
}

/// As they are written.
pub(super) fn encoded(texts: &Texts) -> Values {
    texts.iter().map(|(name, text)| (name.clone(), any::text(text.as_bytes()))).collect()
}

// === impl Container ===

impl Container {
    fn add(&mut self, rules: &Rules, name: &'static str, text: &str) {
        if rules.has(name) && !text.is_empty() && self.values.iter().all(|(known, _)| *known != name) {
            self.values.push((name, any::text(text.as_bytes())));
        }
    }

    /// The run that a resource says it is, or the last one.
    fn run(&self, attributes: &Attributes<'_>) -> Option<&Run> {
        let Some(said) = attributes.get(b"k8s.container.restart_count") else {
            return self.runs.iter().max_by_key(|(count, _)| *count).map(|(_, run)| run);
        };
        let said = match said.get() {
            Any::Int(count) => count,
            Any::Text(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
            _ => return None,
        };
        self.runs.iter().find(|(count, _)| *count == said).map(|(_, run)| run)
    }
}

// === impl Run ===

impl Run {
    fn new(rules: &Rules, id: &str, status: &ContainerStatus) -> Run {
        let id = (rules.has("container.id") && !id.is_empty()).then(|| any::text(id.as_bytes()));
        let canonical = || Image::parse(&status.image_id)?.canonical();
        let digest = if rules.has("container.image.repo_digests") { canonical() } else { None };
        Run { id, digests: digest.map(|digest| any::array([&any::text(digest.as_bytes())[..]])) }
    }
}

/// Without the name of what runs containers: `containerd://…`.
fn plain_id(status: &ContainerStatus) -> &str {
    status.container_id.split_once("://").map_or(&status.container_id[..], |(_, id)| id)
}

fn texts(pod: &Pod, rules: &Rules, workloads: &Workloads) -> Texts {
    let metadata = &pod.metadata;
    let mut texts = Texts::new();
    let mut add = |name: &str, text: &str| {
        if rules.has(name) {
            texts.insert(name.to_owned(), text.to_owned());
        }
    };
    add("k8s.pod.name", &metadata.name);
    add("service.name", &metadata.name);
    add("k8s.pod.hostname", &pod.spec.hostname);
    add("k8s.pod.ip", &pod.status.pod_ip);
    add("k8s.namespace.name", &metadata.namespace);
    add("service.namespace", &metadata.namespace);
    if let Some(created) = &metadata.creation_timestamp {
        add("k8s.pod.start_time", created);
    }
    add("k8s.pod.uid", &metadata.uid);
    for owner in &metadata.owner_references {
        let (name, uid) = (&owner.name[..], &owner.uid[..]);
        match &owner.kind[..] {
            "ReplicaSet" => {
                add("k8s.replicaset.uid", uid);
                add("k8s.replicaset.name", name);
                add("service.name", name);
                let deployment = match workloads.replica_set(uid) {
                    Some(deployment) => deployment.map_or("", |deployment| &deployment.name),
                    None => metadata.labels.get(TEMPLATE_HASH).map_or("", |hash| without_hash(name, hash)),
                };
                if !deployment.is_empty() {
                    add("k8s.deployment.name", deployment);
                    add("service.name", deployment);
                }
                if let Some(deployment) = workloads.deployment(uid) {
                    add("k8s.deployment.uid", &deployment.uid);
                }
            }
            "DaemonSet" => {
                add("k8s.daemonset.uid", uid);
                add("k8s.daemonset.name", name);
                add("service.name", name);
            }
            "StatefulSet" => {
                add("k8s.statefulset.uid", uid);
                add("k8s.statefulset.name", name);
                add("service.name", name);
            }
            "Job" => {
                add("k8s.job.uid", uid);
                add("k8s.job.name", name);
                add("service.name", name);
                let cron_job = match workloads.job(uid) {
                    Some(cron_job) => cron_job.map_or("", |cron_job| &cron_job.name),
                    None => cron_job_of(owner, metadata.creation_timestamp.as_deref()).unwrap_or_default(),
                };
                if !cron_job.is_empty() {
                    add("k8s.cronjob.name", cron_job);
                    add("service.name", cron_job);
                }
                if let Some(Some(cron_job)) = workloads.job(uid) {
                    add("k8s.cronjob.uid", &cron_job.uid);
                }
            }
            _ => {}
        }
    }
    add("k8s.node.name", &pod.spec.node_name);
    if let Some(uid) = workloads.cluster_uid() {
        add("k8s.cluster.uid", uid);
    }
    rules.labels(From::Pod, metadata, &mut texts);
    let well_known = [
        ("service.name", "app.kubernetes.io/name"),
        ("service.name", "app.kubernetes.io/instance"),
        ("service.version", "app.kubernetes.io/version"),
    ];
    for (name, label) in well_known {
        if let Some(value) = metadata.labels.get(label).filter(|_| rules.has(name)) {
            texts.insert(name.to_owned(), value.clone());
        }
    }
    rules.annotations(From::Pod, metadata, &mut texts);
    texts
}

/// The deployment of a replica set; empty when it has none.
fn without_hash<'a>(replica_set: &'a str, hash: &str) -> &'a str {
    let name = replica_set.strip_suffix(hash).and_then(|name| name.strip_suffix('-'));
    if hash.is_empty() { "" } else { name.unwrap_or_default() }
}

/// A cron job gives its jobs names that end in the minute for which they were made.
fn cron_job_of<'a>(job: &'a Owner, pod_created: Option<&str>) -> Option<&'a str> {
    let (name, minutes) = job.name.rsplit_once('-')?;
    if minutes.len() != 8 || !minutes.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let created = parse_rfc3339(pod_created?.as_bytes())? / 60_000_000_000;
    ((created - minutes.parse::<i64>().ok()?).abs() <= JOB_SKEW_MINUTES).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_jobs_and_deployments_are_found_in_names() {
        let job = |name: &str| Owner { name: name.to_owned(), ..Owner::default() };
        let created = Some("2026-05-01T12:00:30Z");
        // 2026-05-01T12:00Z is minute 29627280.
        for (name, cron_job) in [
            ("nightly-29627280", Some("nightly")),
            ("nightly-29628000", Some("nightly")),
            ("nightly-20260501", None),
            ("nightly", None),
            ("nightly-x9627280", None),
        ] {
            assert_eq!(cron_job_of(&job(name), created), cron_job, "{name}");
        }
        assert_eq!(cron_job_of(&job("nightly-29627280"), None), None);
        assert_eq!(without_hash("web-7d9f", "7d9f"), "web");
        assert_eq!(without_hash("web-7d9f", "1111"), "");
        assert_eq!(without_hash("web-", ""), "");
    }
}
