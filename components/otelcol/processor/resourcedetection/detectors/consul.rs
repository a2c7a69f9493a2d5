//! Consul, by the agent beside us.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::arguments::Consul;
use super::{Finding, Found, Missing, World};

/// What an agent says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    config: Config,
    #[serde(default)]
    meta: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    node_name: String,
    datacenter: String,
    #[serde(rename = "NodeID")]
    node_id: String,
}

/// The arguments come first, then the variables that Consul's own programs read.
pub(super) async fn detect(given: &Consul, world: &World) -> Result<Found, Missing> {
    let or = |given: &str, variable| {
        Some(given.to_owned()).filter(|given| !given.is_empty()).or_else(|| world.variable(variable))
    };
    let address = or(&given.address, "CONSUL_HTTP_ADDR").unwrap_or_else(|| "127.0.0.1:8500".to_owned());
    let secure = world
        .variable("CONSUL_HTTP_SSL")
        .is_some_and(|value| matches!(&value[..], "1" | "t" | "T" | "true" | "True" | "TRUE"));
    let base = match address.split_once("://") {
        Some(("unix", _)) => {
            return Err(Missing::Failed(
                "an agent behind a unix socket is not supported yet by this version of Ferroalloy".to_owned(),
            ));
        }
        Some(_) => address,
        None => format!("{}://{address}", if secure { "https" } else { "http" }),
    };
    let query = [("dc", Some(given.datacenter.clone())), ("ns", or(&given.namespace, "CONSUL_NAMESPACE"))];
    let query = query.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let token = match or(&given.token.expose(), "CONSUL_HTTP_TOKEN") {
        Some(token) => token,
        None => match world.variable("CONSUL_HTTP_TOKEN_FILE") {
            Some(file) => world.file(&file).map_err(Missing::Failed)?.trim().to_owned(),
            None => String::new(),
        },
    };
    let header = [("x-consul-token", &token[..])];
    let url = format!("{}/v1/agent/self?{query}", base.trim_end_matches('/'));
    let agent: Agent =
        world.json(&url, if token.is_empty() { &[] } else { &header }).await.map_err(Missing::elsewhere)?;
    let mut finding = Finding::new(&given.resource_attributes);
    finding.set("host.name", agent.config.node_name);
    finding.set("cloud.region", agent.config.datacenter);
    finding.set("host.id", agent.config.node_id);
    let mut found = finding.found;
    for (key, value) in agent.meta.into_iter().flatten().filter(|(key, _)| given.meta.contains(key)) {
        if let serde_json::Value::String(value) = value {
            found.push((key, value.into()));
        }
    }
    Ok(found)
}
