//! The host of the Docker engine.

use std::time::Duration;

use sdk_docker::{Engine, Host};

use super::attributes::Docker;
use super::{Chosen, Finding, Found, Missing, World};

/// How long the engine may take.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn detect(chosen: &Chosen<Docker>, world: &World) -> Result<Found, Missing> {
    let host = world.variable("DOCKER_HOST").unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let tls = world.variable("DOCKER_TLS_VERIFY").is_some();
    let host = Host::parse(&host, tls).map_err(|error| Missing::Failed(error.to_string()))?;
    let info = Engine::new(host, None, TIMEOUT).info().await.map_err(|error| Missing::Elsewhere(error.to_string()))?;
    let mut finding = Finding::new(chosen);
    finding.set("os.type", info.os_type);
    finding.set("host.name", info.name);
    Ok(finding.found)
}
