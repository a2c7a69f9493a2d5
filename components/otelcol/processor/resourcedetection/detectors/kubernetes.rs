//! The node of Kubernetes that we run on, asked of the API.

use sdk_kubernetes::objects::{Node, Object as _};
use sdk_kubernetes::{Access, AuthType, Cluster};

use super::super::arguments::KubernetesNode;
use super::{Finding, Found, Missing, World};

pub(super) async fn node(given: &KubernetesNode, world: &World) -> Result<Found, Missing> {
    let variable = &given.node_from_env_var;
    let name = world.variable(variable);
    let name = name.ok_or_else(|| Missing::Elsewhere(format!("the environment variable {variable} is not set")))?;
    let access = access(given, world)?;
    let cluster = Cluster::new(access).map_err(|error| Missing::Failed(error.to_string()))?;
    let node: Node = cluster.get("", &name).await.map_err(|error| Missing::Elsewhere(error.to_string()))?;
    let mut finding = Finding::new(&given.resource_attributes);
    finding.set("k8s.node.uid", node.metadata().uid.clone());
    finding.set("k8s.node.name", node.metadata().name.clone());
    Ok(finding.found)
}

fn access(given: &KubernetesNode, world: &World) -> Result<Access, Missing> {
    // Validated: whatever else it is, is nobody in particular.
    let auth_type = AuthType::named(&given.auth_type).unwrap_or(AuthType::None);
    auth_type.access(|name| world.variable(name)).map_err(|error| Missing::Elsewhere(error.to_string()))
}
