//! The node of Kubernetes that we run on, asked of the API.

use sdk_kubernetes::objects::{Node, Object as _};
use sdk_kubernetes::{Access, Cluster};
use sdk_net::ClientConfig;

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
    let elsewhere = |error: sdk_kubernetes::AccessError| Missing::Elsewhere(error.to_string());
    match &given.auth_type[..] {
        "serviceAccount" => Access::new("", "", &ClientConfig::default()).map_err(elsewhere),
        "kubeConfig" => {
            let home = || world.variable("HOME").map(|home| format!("{home}/.kube/config"));
            let file = world.variable("KUBECONFIG").or_else(home).unwrap_or_default();
            Access::new("", &file, &ClientConfig::default()).map_err(elsewhere)
        }
        // Nobody in particular, and without knowing the server, as the Collector does it.
        _ => {
            let variable = |name: &str| {
                world
                    .variable(name)
                    .ok_or_else(|| Missing::Elsewhere(format!("the environment variable {name} is not set")))
            };
            let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            let mut client = ClientConfig::default();
            client.tls_config.insecure_skip_verify = true;
            Access::new(&format!("https://{host}:{port}"), "", &client).map_err(elsewhere)
        }
    }
}
