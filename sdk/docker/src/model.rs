//! What the engine tells of containers and networks, as far as anybody here asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// What `GET /info` tells of the host.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Info {
    /// The name of the host.
    #[serde(rename = "Name")]
    pub name: String,
    /// `linux`, `windows`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// How layers are stored: `overlay2`, `vfs`, …
    #[serde(rename = "Driver")]
    pub storage_driver: String,
    /// Where the engine keeps its files.
    #[serde(rename = "DockerRootDir")]
    pub root: String,
}

/// One entry of `GET /containers/json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Container {
    pub id: String,
    /// With a slash in front.
    #[serde(deserialize_with = "or_default")]
    pub names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<Port>,
    #[serde(deserialize_with = "or_default")]
    host_config: HostConfig,
    #[serde(deserialize_with = "or_default")]
    network_settings: NetworkSettings,
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Port {
    /// The address it is published on.
    #[serde(rename = "IP")]
    pub ip: String,
    pub private_port: u16,
    /// 0: not published.
    pub public_port: u16,
    /// `tcp`, `udp`, `sctp`
    #[serde(rename = "Type")]
    pub protocol: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, NetworkEndpoint>,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NetworkEndpoint {
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
}

/// One entry of `GET /networks`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Network {
    pub id: String,
    pub name: String,
    pub scope: String,
    pub internal: bool,
    pub ingress: bool,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// One line of `GET /events`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Event {
    pub(crate) actor: Actor,
}

#[derive(Deserialize)]
pub(crate) struct Actor {
    #[serde(rename = "ID")]
    pub(crate) id: String,
}

/// The part of `GET /containers/{id}/json` that following its log needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerState {
    /// It runs now.
    pub running: bool,
    /// Its output is one raw stream.
    pub tty: bool,
    /// When it ended last, as the engine writes times; empty or year 1 if it never did.
    pub finished_at: String,
    /// `json-file`, `journald`, `none`, …
    pub log_driver: String,
}

/// The part of `GET /containers/{id}/json` that measuring it needs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Details {
    /// With a slash in front.
    pub name: String,
    /// As the engine writes times.
    pub created: String,
    /// How often it was started again.
    pub restart_count: u64,
    #[serde(deserialize_with = "or_default")]
    pub state: DetailedState,
    #[serde(deserialize_with = "or_default")]
    pub config: DetailedConfig,
    #[serde(deserialize_with = "or_default")]
    host_config: HostConfig,
}

/// How a container is now.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct DetailedState {
    pub running: bool,
    /// Its first process, as the engine's host numbers it; 0 if it does not run.
    pub pid: u32,
    /// None without a health check.
    pub health: Option<DetailedHealth>,
}

/// What a container's health check found.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
pub struct DetailedHealth {
    /// `starting`, `healthy`, `unhealthy`
    pub status: String,
}

/// What a container was made of.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct DetailedConfig {
    pub image: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// `NAME=value`
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub(crate) struct Inspected {
    #[serde(deserialize_with = "or_default")]
    state: InspectedState,
    #[serde(deserialize_with = "or_default")]
    config: InspectedConfig,
    #[serde(deserialize_with = "or_default")]
    host_config: InspectedHostConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedState {
    running: bool,
    finished_at: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedConfig {
    tty: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedHostConfig {
    #[serde(deserialize_with = "or_default")]
    log_config: LogConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LogConfig {
    #[serde(rename = "Type")]
    driver: String,
}

impl Container {
    /// `bridge`, `host`, `none`, `container:<id>`, or a network's name.
    pub fn network_mode(&self) -> &str {
        &self.host_config.network_mode
    }

    /// By network name.
    pub fn networks(&self) -> &BTreeMap<String, NetworkEndpoint> {
        &self.network_settings.networks
    }
}

impl Details {
    /// `bridge`, `host`, `none`, `container:<id>`, or a network's name.
    pub fn network_mode(&self) -> &str {
        &self.host_config.network_mode
    }
}

impl From<Inspected> for ContainerState {
    fn from(inspected: Inspected) -> ContainerState {
        ContainerState {
            running: inspected.state.running,
            tty: inspected.config.tty,
            finished_at: inspected.state.finished_at,
            log_driver: inspected.host_config.log_config.driver,
        }
    }
}

/// The engine writes `null` where it has nothing to list.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}
