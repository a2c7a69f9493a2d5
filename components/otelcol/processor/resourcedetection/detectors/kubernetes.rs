//! The node of Kubernetes that we run on, asked of the API.

use sdk_kubernetes::objects::{Node, Object as _};
use sdk_kubernetes::{Access, AuthType, Cluster};
use sdk_net::ClientConfig;

use super::super::arguments::KubernetesNode;
use super::{Finding, Found, Missing, World};

pub(super) async fn node(given: &KubernetesNode, world: &World) -> Result<Found, Missing> {
    let variable = &given.node_from_env_var;
    let name = world.variable(variable);
    let name = name.ok_or_else(|| Missing::Elsewhere(format!("the environment variable {variable} is not set")))?;
    let cluster = cluster(&given.auth_type, world)?;
    let node: Node = cluster.get("", &name).await.map_err(|error| Missing::Elsewhere(error.to_string()))?;
    let mut finding = Finding::new(&given.resource_attributes);
    finding.set("k8s.node.uid", node.metadata().uid.clone());
    finding.set("k8s.node.name", node.metadata().name.clone());
    Ok(finding.found)
}

/// The cluster that we are in, as `auth_type` says who we are there.
pub(super) fn cluster(auth_type: &str, world: &World) -> Result<Cluster, Missing> {
    let access = match &world.places.kubernetes {
        Some(server) => Access::new(server, "", &ClientConfig::default()),
        // Validated: whatever else it is, is nobody in particular.
        None => AuthType::named(auth_type).unwrap_or(AuthType::None).access(|name| world.variable(name)),
    };
    let access = access.map_err(|error| Missing::Elsewhere(error.to_string()))?;
    Cluster::new(access).map_err(|error| Missing::Failed(error.to_string()))
}
