//! Which container a target means, and the labels of its lines.

use std::fmt;

use sdk_labels::{Labels, LabelsBuilder};

/// Each with the label that may override what was discovered.
const NAMESPACE: [&str; 2] = ["__pod_namespace__", "__meta_kubernetes_namespace"];
const POD: [&str; 2] = ["__pod_name__", "__meta_kubernetes_pod_name"];
const CONTAINER: [&str; 2] = ["__pod_container_name__", "__meta_kubernetes_pod_container_name"];
const UID: [&str; 2] = ["__pod_uid__", "__meta_kubernetes_pod_uid"];

/// Of which instance of the container discovery knows.
const CONTAINER_ID: &str = "__meta_kubernetes_pod_container_id";

/// A container of a pod. Labels are no part of what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container {
    pub namespace: String,
    pub pod: String,
    pub name: String,
    pub uid: String,
}

/// A container and the labels of its lines.
#[derive(Clone, Debug)]
pub struct Target {
    pub container: Container,
    pub labels: Labels,
    /// As they were discovered.
    pub discovered: Labels,
    /// When it changes, there may be news of the container.
    pub instance: String,
}

// === impl Target ===

impl Target {
    /// `discovered` is what is shown to whoever looks, `labels` what it was made into. Internal labels are left out of the
    /// lines' labels; `keep_meta` keeps those that were discovered.
    pub fn new(discovered: Labels, labels: &Labels, job: &str, keep_meta: bool) -> Result<Target, &'static str> {
        let first = |names: [&str; 2]| {
            names.iter().find_map(|name| labels.get(name).filter(|value| !value.is_empty())).map(str::to_owned)
        };
        let container = Container {
            namespace: first(NAMESPACE).ok_or("missing pod namespace label")?,
            pod: first(POD).ok_or("missing pod name label")?,
            name: first(CONTAINER).ok_or("missing pod container name label")?,
            uid: first(UID).ok_or("missing pod UID label")?,
        };
        let mut builder = LabelsBuilder::new(labels);
        for (name, value) in [("job", job), ("instance", &*container.to_string())] {
            if labels.get(name).is_none() {
                builder.set(name, value);
            }
        }
        for (name, _) in labels.iter() {
            let kept = keep_meta && name.starts_with("__meta_");
            if name.starts_with("__") && !kept {
                builder.remove(name);
            }
        }
        let instance = discovered.get(CONTAINER_ID).unwrap_or_default().to_owned();
        Ok(Target { container, labels: builder.labels(), discovered, instance })
    }
}

// === impl Container ===

impl Container {
    /// The key of its position, as Alloy has it.
    pub fn position(&self) -> String {
        format!("cursor-{self}:{}", self.uid)
    }

    /// Ours beside it, to the line.
    pub fn precise_position(&self) -> String {
        format!("cursor-precise-{self}:{}", self.uid)
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.pod, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: [(&str, &str); 6] = [
        ("__meta_kubernetes_namespace", "shop"),
        ("__meta_kubernetes_pod_name", "web-0"),
        ("__meta_kubernetes_pod_container_name", "nginx"),
        ("__meta_kubernetes_pod_uid", "u1"),
        ("__tmp", "x"),
        ("app", "web"),
    ];

    fn target(more: &[(&str, &str)], keep_meta: bool) -> Result<Target, &'static str> {
        let labels = Labels::from_pairs(FOUND.iter().chain(more).copied());
        Target::new(labels.clone(), &labels, "loki.source.kubernetes.pods", keep_meta)
    }

    #[test]
    fn job_and_instance_are_added_and_internal_labels_removed() {
        let found = target(&[], false).expect("a container");
        let expected = r#"{app="web", instance="shop/web-0:nginx", job="loki.source.kubernetes.pods"}"#;
        assert_eq!(found.labels.to_string(), expected);
        assert_eq!(found.container.position(), "cursor-shop/web-0:nginx:u1");
        let own = target(&[("job", "mine"), ("instance", "")], false).expect("a container");
        assert_eq!(own.labels.to_string(), r#"{app="web", job="mine"}"#);
        let kept = target(&[], true).expect("a container").labels;
        assert_eq!((kept.get("__meta_kubernetes_pod_uid"), kept.get("__tmp")), (Some("u1"), None));
    }

    #[test]
    fn labels_of_the_user_say_which_container_is_meant() {
        let other = target(&[("__pod_name__", "db-0"), ("__pod_container_name__", "")], false).expect("a container");
        assert_eq!(other.container.to_string(), "shop/db-0:nginx");
        assert_eq!(target(&[("__meta_kubernetes_pod_uid", "")], false).err(), Some("missing pod UID label"));
    }
}
