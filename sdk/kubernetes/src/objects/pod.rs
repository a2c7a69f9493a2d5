//! Pods.

use serde::Deserialize;

use super::{Condition, Metadata, Object, nullable};

/// A pod.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Name and labels.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default)]
    pub spec: PodSpec,
    /// What is.
    #[serde(default)]
    pub status: PodStatus,
}

/// What was asked for.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct PodSpec {
    pub node_name: String,
    pub hostname: String,
    pub host_network: bool,
    pub restart_policy: String,
    #[serde(deserialize_with = "nullable")]
    pub containers: Vec<Container>,
    #[serde(deserialize_with = "nullable")]
    pub init_containers: Vec<Container>,
}

/// One container.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Container {
    pub name: String,
    pub image: String,
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<ContainerPort>,
    /// Only of an init container that runs along (a sidecar): `Always`.
    pub restart_policy: String,
}

/// A port that a container names.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ContainerPort {
    pub name: String,
    pub container_port: i64,
    pub protocol: String,
}

/// What is.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct PodStatus {
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    #[serde(rename = "hostIP")]
    pub host_ip: String,
    pub phase: String,
    pub start_time: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<Condition>,
    #[serde(deserialize_with = "nullable")]
    pub container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "nullable")]
    pub init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "nullable")]
    pub ephemeral_container_statuses: Vec<ContainerStatus>,
}

/// How a container is.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ContainerStatus {
    pub name: String,
    #[serde(rename = "containerID")]
    pub container_id: String,
    #[serde(rename = "imageID")]
    pub image_id: String,
    pub restart_count: i64,
    #[serde(deserialize_with = "nullable")]
    pub state: ContainerState,
    /// How the instance before ended.
    #[serde(deserialize_with = "nullable")]
    pub last_state: ContainerState,
}

/// One of these, or nothing yet.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ContainerState {
    pub waiting: Option<serde::de::IgnoredAny>,
    pub running: Option<serde::de::IgnoredAny>,
    pub terminated: Option<Terminated>,
}

/// How a container ended.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Terminated {
    pub exit_code: i64,
    /// In whole seconds.
    pub finished_at: Option<String>,
}

/// Which list of a pod a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ContainerKind {
    App,
    Init,
    Ephemeral,
}

// === impl Pod ===

impl Pod {
    /// How a container is, by its name.
    pub fn container_status(&self, name: &str) -> Option<(ContainerKind, &ContainerStatus)> {
        let lists = [
            (ContainerKind::App, &self.status.container_statuses),
            (ContainerKind::Init, &self.status.init_container_statuses),
            (ContainerKind::Ephemeral, &self.status.ephemeral_container_statuses),
        ];
        lists.into_iter().find_map(|(kind, list)| Some((kind, list.iter().find(|status| status.name == name)?)))
    }

    /// Its condition `Ready`, in lower case.
    pub fn ready(&self) -> String {
        let ready = self.status.conditions.iter().find(|condition| condition.r#type == "Ready");
        ready.map_or_else(|| "unknown".to_owned(), |condition| condition.status.to_lowercase())
    }

    /// Whether a container that has ended stays so, by the rules of restarting
    /// (<https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy>).
    pub fn has_ended_for_good(&self, kind: ContainerKind, status: &ContainerStatus) -> bool {
        let Some(terminated) = &status.state.terminated else { return false };
        // A sidecar is an init container with a restart policy of its own.
        let own = self.spec.init_containers.iter().find(|container| container.name == status.name);
        let own = own.map_or("", |container| container.restart_policy.as_str());
        match (kind, self.spec.restart_policy.as_str()) {
            (ContainerKind::Ephemeral, _) => true,
            (ContainerKind::Init, _) if own == "Always" => {
                self.status.phase == "Succeeded" || self.status.phase == "Failed"
            }
            (ContainerKind::App, "Always") => false,
            (_, "Never") => true,
            (_, _) => terminated.exit_code == 0,
        }
    }
}

impl Object for Pod {
    const PATH: &'static str = "/api/v1";
    const PLURAL: &'static str = "pods";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_is_known_by_its_policy() {
        let ended = |kind, policy: &str, code: i64| {
            let pod =
                Pod { spec: PodSpec { restart_policy: policy.to_owned(), ..PodSpec::default() }, ..Pod::default() };
            let terminated = Some(Terminated { exit_code: code, finished_at: None });
            let state = ContainerState { terminated, ..ContainerState::default() };
            pod.has_ended_for_good(kind, &ContainerStatus { state, ..ContainerStatus::default() })
        };
        use ContainerKind::{App, Ephemeral, Init};
        for (kind, policy, code, good) in [
            (App, "Always", 0, false),
            (App, "OnFailure", 0, true),
            (App, "OnFailure", 1, false),
            (App, "Never", 1, true),
            (Init, "Always", 0, true),
            (Init, "Always", 1, false),
            (Init, "Never", 1, true),
            (Ephemeral, "Always", 1, true),
        ] {
            assert_eq!(ended(kind, policy, code), good, "{kind:?} {policy} {code}");
        }
    }
}
