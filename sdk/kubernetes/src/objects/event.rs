//! Events.

use serde::Deserialize;

use super::{Metadata, Object, nullable};

/// Something that happened to an object.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names are those of the API
pub struct Event {
    pub metadata: Metadata,
    /// Of the event itself; filled from the metadata.
    #[serde(skip)]
    pub resource_version: String,
    #[serde(default)]
    pub involved_object: Involved,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub message: String,
    #[serde(default, deserialize_with = "nullable")]
    pub source: EventSource,
    #[serde(default)]
    pub last_timestamp: Option<String>,
    #[serde(default)]
    pub event_time: Option<String>,
    #[serde(default)]
    pub count: i64,
    #[serde(default)]
    pub r#type: String,
    #[serde(default)]
    pub action: String,
    /// Go calls it `ReportingController`.
    #[serde(default)]
    pub reporting_component: String,
    #[serde(default)]
    pub reporting_instance: String,
}

/// What it happened to.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Involved {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub api_version: String,
    pub resource_version: String,
}

/// Who told of it.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct EventSource {
    pub component: String,
    pub host: String,
}

impl Object for Event {
    const PATH: &'static str = "/api/v1";
    const PLURAL: &'static str = "events";
    const KEEPS_VERSION: bool = true;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn versioned(&mut self, version: &str) {
        version.clone_into(&mut self.resource_version);
    }
}
