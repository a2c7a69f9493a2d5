//! Alloy's own kind of object, which says whose logs to collect.

use serde::Deserialize;

use super::{Metadata, Object, nullable};
use crate::selector::LabelSelector;

/// Whose logs to collect, and with which labels.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct PodLogs {
    /// Name and labels.
    pub metadata: Metadata,
    /// What it says.
    #[serde(default)]
    pub spec: PodLogsSpec,
}

/// What it says.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodLogsSpec {
    /// Which pods.
    #[serde(default, deserialize_with = "nullable")]
    pub selector: LabelSelector,
    /// In which namespaces.
    #[serde(default, deserialize_with = "nullable")]
    pub namespace_selector: LabelSelector,
    /// Rules for the labels.
    #[serde(default, deserialize_with = "nullable")]
    pub relabelings: Vec<Relabeling>,
}

/// A rule for labels; what is empty has Prometheus' default.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Relabeling {
    #[serde(deserialize_with = "nullable")]
    pub source_labels: Vec<String>,
    pub separator: Option<String>,
    pub regex: String,
    pub modulus: u64,
    pub target_label: String,
    pub replacement: Option<String>,
    pub action: String,
}

impl Object for PodLogs {
    const PATH: &'static str = "/apis/monitoring.grafana.com/v1alpha2";
    const PLURAL: &'static str = "podlogs";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}
