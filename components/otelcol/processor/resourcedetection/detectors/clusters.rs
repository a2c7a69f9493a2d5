//! Clusters of Kubernetes, asked of their API: OpenShift, and those that kubeadm made.

use std::collections::BTreeMap;

use sdk_kubernetes::objects::{Namespace, Object as _};
use sdk_kubernetes::{Access, ApiError, Cluster};
use sdk_net::{ClientConfig, TlsConfig};
use serde::Deserialize;

use super::super::arguments::{Kubeadm, OpenShift};
use super::kubernetes::cluster;
use super::{Finding, Found, Missing, World};

/// What a pod shows to the API, and by what it knows it.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Infrastructure {
    status: InfrastructureStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct InfrastructureStatus {
    infrastructure_name: String,
    platform_status: Platform,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Platform {
    r#type: String,
    aws: Place,
    azure: Place,
    gcp: Place,
    ibmcloud: Place,
    openstack: Place,
}

/// Each platform has one of these.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Place {
    region: String,
    cloud_name: String,
    location: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ConfigMap {
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterConfiguration {
    #[serde(default)]
    cluster_name: String,
}

pub(super) async fn openshift(given: &OpenShift, world: &World) -> Result<Found, Missing> {
    let cluster = Cluster::new(openshift_access(given, world)?).map_err(|error| Missing::Failed(error.to_string()))?;
    let path = "/apis/config.openshift.io/v1/infrastructures/cluster/status";
    let Infrastructure { status } = cluster.json(path).await.map_err(elsewhere)?;
    let mut finding = Finding::new(&given.resource_attributes);
    finding.set("k8s.cluster.name", status.infrastructure_name);
    let of = status.platform_status;
    let (provider, platform, region) = match &of.r#type.to_lowercase()[..] {
        "aws" => ("aws", "aws_openshift", of.aws.region),
        "azure" => ("azure", "azure.openshift", of.azure.cloud_name),
        "gcp" => ("gcp", "gcp_openshift", of.gcp.region),
        "ibmcloud" => ("ibm_cloud", "ibm_cloud_openshift", of.ibmcloud.location),
        "openstack" => ("", "", of.openstack.cloud_name),
        _ => ("", "", String::new()),
    };
    finding.set("cloud.provider", provider);
    finding.set("cloud.platform", platform);
    finding.set("cloud.region", region.to_lowercase());
    Ok(finding.found)
}

/// What is not given is that of our own pod.
fn openshift_access(given: &OpenShift, world: &World) -> Result<Access, Missing> {
    let token = match &given.token[..] {
        "" => world.file(&format!("{SERVICE_ACCOUNT}/token")).map_err(Missing::Failed)?,
        token => token.to_owned(),
    };
    let variable = |name: &str| {
        world.variable(name).ok_or_else(|| Missing::Failed(format!("the environment variable {name} is not set")))
    };
    let server = match &given.address[..] {
        "" => format!("https://{}:{}", variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?),
        address => address.trim_end_matches('/').to_owned(),
    };
    let tls = &given.tls.settings;
    let own_authority = given.tls.insecure || !tls.ca_pem.is_empty() || !tls.ca_file.is_empty();
    let tls_config = TlsConfig {
        ca_pem: tls.ca_pem.clone(),
        ca_file: if own_authority { tls.ca_file.clone() } else { format!("{SERVICE_ACCOUNT}/ca.crt") },
        cert_pem: tls.cert_pem.clone(),
        cert_file: tls.cert_file.clone(),
        key_pem: tls.key_pem.clone(),
        key_file: tls.key_file.clone(),
        server_name: given.tls.server_name.clone(),
        insecure_skip_verify: given.tls.insecure_skip_verify,
        ..TlsConfig::default()
    };
    let client = ClientConfig { bearer_token: token.trim().into(), tls_config, ..ClientConfig::default() };
    Access::new(&server, "", &client).map_err(|error| Missing::Failed(error.to_string()))
}

pub(super) async fn kubeadm(given: &Kubeadm, world: &World) -> Result<Found, Missing> {
    let cluster = cluster(&given.auth_type, world)?;
    let mut finding = Finding::new(&given.resource_attributes);
    if finding.chosen.has("k8s.cluster.name") {
        let map: ConfigMap =
            cluster.json("/api/v1/namespaces/kube-system/configmaps/kubeadm-config").await.map_err(elsewhere)?;
        let text = map.data.get("ClusterConfiguration");
        let text = text.ok_or_else(|| Missing::Elsewhere("kubeadm-config has no ClusterConfiguration".to_owned()))?;
        let configuration: ClusterConfiguration = base_yaml::from_str(text)
            .map_err(|error| Missing::Elsewhere(format!("ClusterConfiguration of kubeadm-config: {error}")))?;
        finding.set("k8s.cluster.name", configuration.cluster_name);
    }
    if finding.chosen.has("k8s.cluster.uid") {
        let namespace: Namespace = cluster.get("", "kube-system").await.map_err(elsewhere)?;
        finding.set("k8s.cluster.uid", namespace.metadata().uid.clone());
    }
    Ok(finding.found)
}

fn elsewhere(error: ApiError) -> Missing {
    Missing::Elsewhere(error.to_string())
}
