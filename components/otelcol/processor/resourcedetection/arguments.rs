//! The arguments: one block for each detector.

use base_stdx::GoDuration;
use language_eval::{Block, Invalid, SecretString, Validate};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_otel::tls::{TlsClient, TlsSettings};

use super::attributes;
use super::chosen::{Chosen, Plain};

/// Finds out where it runs, and says so in the attributes of every resource.
///
/// All detectors run when the component starts, and again when one has failed; data waits until they are done, for `timeout` at
/// most, and is refused, retryably, while one fails. The first detector that finds an attribute sets it.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Which detectors to ask, in this order.
    #[attr(default = vec!["env".to_owned()])]
    pub detectors: Vec<String>,
    /// Whether what is found replaces what a resource says itself.
    #[attr(default = true)]
    pub r#override: bool,
    /// Whether it is a failure that a detector finds nothing to ask: that we are not in its cloud.
    #[attr(optional)]
    pub fail_on_missing_metadata: bool,
    /// EC2 of AWS.
    #[block(optional)]
    pub ec2: Ec2,
    /// ECS of AWS.
    #[block(optional)]
    pub ecs: Plain<attributes::Ecs>,
    /// EKS of AWS.
    #[block(optional)]
    pub eks: Eks,
    /// Elastic Beanstalk of AWS: its X-Ray configuration file.
    #[block(optional)]
    pub elasticbeanstalk: Plain<attributes::ElasticBeanstalk>,
    /// Lambda of AWS: its environment variables.
    #[block(optional)]
    pub lambda: Plain<attributes::Lambda>,
    /// Akamai (Linode).
    #[block(optional)]
    pub akamai: Plain<attributes::Akamai>,
    /// A virtual machine of Azure.
    #[block(optional)]
    pub azure: Azure,
    /// AKS of Azure.
    #[block(optional)]
    pub aks: Plain<attributes::Aks>,
    /// Consul.
    #[block(optional)]
    pub consul: Consul,
    /// The host of the Docker engine.
    #[block(optional)]
    pub docker: Plain<attributes::Docker>,
    /// DigitalOcean.
    #[block(optional)]
    pub digitalocean: Plain<attributes::DigitalOcean>,
    /// Google Cloud: Compute Engine, Kubernetes Engine, Cloud Run.
    #[block(optional)]
    pub gcp: Plain<attributes::Gcp>,
    /// Heroku: its environment variables.
    #[block(optional)]
    pub heroku: Plain<attributes::Heroku>,
    /// Hetzner.
    #[block(optional)]
    pub hetzner: Plain<attributes::Hetzner>,
    /// This host.
    #[block(optional)]
    pub system: System,
    /// OpenShift.
    #[block(optional)]
    pub openshift: OpenShift,
    /// The node of Kubernetes that we run on.
    #[block(optional)]
    pub kubernetes_node: KubernetesNode,
    /// A cluster made by kubeadm.
    #[block(optional)]
    pub kubeadm: Kubeadm,
    /// Dynatrace OneAgent.
    #[block(optional)]
    pub dynatrace: Dynatrace,
    /// Nova of OpenStack.
    #[block(optional)]
    pub nova: Nova,
    /// Oracle Cloud.
    #[block(optional)]
    pub oraclecloud: Plain<attributes::OracleCloud>,
    /// Scaleway.
    #[block(optional)]
    pub scaleway: Plain<attributes::Scaleway>,
    /// UpCloud.
    #[block(optional)]
    pub upcloud: UpCloud,
    /// Vultr.
    #[block(optional)]
    pub vultr: Vultr,
    /// CVM of Tencent.
    #[block(optional)]
    pub tencent_cvm: TencentCvm,
    /// ECS of Alibaba.
    #[block(optional)]
    pub alibaba_ecs: AlibabaEcs,
    /// How long a detector may take.
    #[attr(default = GoDuration::from_secs(5))]
    pub timeout: GoDuration,
    /// Where to send what was described.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// EC2 of AWS.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct Ec2 {
    /// Patterns of the tags that become attributes `ec2.tag.…`; with `tags_from_imds` only.
    #[attr(optional)]
    pub tags: Vec<String>,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::Ec2>,
    /// How often to ask.
    #[attr(default = 3)]
    pub max_attempts: i64,
    /// The longest pause before asking again.
    #[attr(default = GoDuration::from_secs(20))]
    pub max_backoff: GoDuration,
    /// Whether it is a failure that we are not there.
    #[attr(optional)]
    pub fail_on_missing_metadata: bool,
    /// Takes tags from the metadata of the instance.
    #[attr(optional)]
    pub tags_from_imds: bool,
}

/// EKS of AWS.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct Eks {
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::Eks>,
    /// The environment variable with the node's name.
    #[attr(default = "K8S_NODE_NAME".to_owned())]
    pub node_from_env_var: String,
}

/// A virtual machine of Azure.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Azure {
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::Azure>,
    /// Patterns of the tags that become attributes `azure.tag.…`.
    #[attr(optional)]
    pub tags: Vec<String>,
}

/// Consul.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct Consul {
    /// Address of the agent.
    #[attr(optional)]
    pub address: String,
    /// The data center.
    #[attr(optional)]
    pub datacenter: String,
    /// The token.
    #[attr(default = SecretString::default())]
    pub token: SecretString,
    /// The namespace.
    #[attr(optional)]
    pub namespace: String,
    /// Metadata to take.
    #[attr(optional)]
    pub meta: Vec<String>,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::Consul>,
}

/// This host.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct System {
    /// Where the host's name comes from, the first that has one: `os`, `dns` (the full name), `cname`, `lookup`.
    #[attr(default = vec!["dns".to_owned(), "os".to_owned()])]
    pub hostname_sources: Vec<String>,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::System>,
}

/// OpenShift.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct OpenShift {
    /// Address of the API.
    #[attr(optional)]
    pub address: String,
    /// The token.
    #[attr(optional)]
    pub token: String,
    /// How to speak TLS.
    #[block(optional)]
    pub tls: TlsClient,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::OpenShift>,
}

/// The node of Kubernetes that we run on.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct KubernetesNode {
    /// How to speak to the API: `serviceAccount`, `kubeConfig` or `none`.
    #[attr(default = "none".to_owned())]
    pub auth_type: String,
    /// The context of the kubeconfig file; not supported yet.
    #[attr(optional)]
    pub context: String,
    /// The environment variable with the node's name.
    #[attr(default = "K8S_NODE_NAME".to_owned())]
    pub node_from_env_var: String,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::KubernetesNode>,
}

/// A cluster made by kubeadm.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct Kubeadm {
    /// How to speak to the API.
    #[attr(default = "none".to_owned())]
    pub auth_type: String,
    /// The context of the kubeconfig file; not supported yet.
    #[attr(optional)]
    pub context: String,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::Kubeadm>,
}

/// Dynatrace OneAgent.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Dynatrace {}

/// Nova of OpenStack.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Nova {
    /// Whether it is a failure that we are not there.
    #[attr(optional)]
    pub fail_on_missing_metadata: bool,
    /// Patterns of the labels to take.
    #[attr(optional)]
    pub labels: Vec<String>,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::Nova>,
}

/// UpCloud.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct UpCloud {
    /// Whether it is a failure that we are not there.
    #[attr(optional)]
    pub fail_on_missing_metadata: bool,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::UpCloud>,
}

/// Vultr.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Vultr {
    /// Whether it is a failure that we are not there.
    #[attr(optional)]
    pub fail_on_missing_metadata: bool,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::Vultr>,
}

/// CVM of Tencent.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct TencentCvm {
    /// Whether it is a failure that we are not there.
    #[attr(optional)]
    pub fail_on_missing_metadata: bool,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::TencentCvm>,
}

/// ECS of Alibaba.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct AlibabaEcs {
    /// Whether it is a failure that we are not there.
    #[attr(optional)]
    pub fail_on_missing_metadata: bool,
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<attributes::AlibabaEcs>,
}

/// The detectors that we have.
const DETECTORS: &[&str] = &[
    "env",
    "ec2",
    "ecs",
    "eks",
    "elasticbeanstalk",
    "lambda",
    "akamai",
    "consul",
    "openshift",
    "kubeadm",
    "dynatrace",
    "nova",
    "oraclecloud",
    "tencent_cvm",
    "alibaba_ecs",
    "azure",
    "aks",
    "docker",
    "digitalocean",
    "gcp",
    "heroku",
    "hetzner",
    "system",
    "kubernetes_node",
    "scaleway",
    "upcloud",
    "vultr",
];

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.detectors.is_empty() {
            return Err(Invalid::field("detectors", "at least one detector must be specified"));
        }
        for name in &self.detectors {
            if !DETECTORS.contains(&&name[..]) {
                return Err(Invalid::field("detectors", format!("invalid detector: {name}")));
            }
        }
        let known = ["os", "dns", "cname", "lookup"];
        if let Some(unknown) = self.system.hostname_sources.iter().find(|source| !known.contains(&&source[..])) {
            let message = format!("hostname_sources contains invalid value: {unknown:?}");
            return Err(Invalid::field("system", message));
        }
        let uses = |name: &str| self.detectors.iter().any(|detector| detector == name);
        if uses("ec2") && !self.ec2.tags.is_empty() && !self.ec2.tags_from_imds {
            let message = "tags are supported from the metadata of the instance only by this version of Ferroalloy";
            return Err(Invalid::field("ec2", message).with_hint("set tags_from_imds = true"));
        }
        let (node, kubeadm) = (&self.kubernetes_node, &self.kubeadm);
        for (name, auth_type, context) in
            [("kubernetes_node", &node.auth_type, &node.context), ("kubeadm", &kubeadm.auth_type, &kubeadm.context)]
        {
            if !uses(name) {
                continue;
            }
            if !["none", "serviceAccount", "kubeConfig"].contains(&&auth_type[..]) {
                let message = format!("auth_type {auth_type:?} is not supported yet by this version of Ferroalloy");
                return Err(Invalid::field(name, message));
            }
            if !context.is_empty() {
                let message = "context is not supported yet by this version of Ferroalloy";
                return Err(Invalid::field(name, message));
            }
        }
        if uses("openshift") {
            let tls = &self.openshift.tls.settings;
            let unused = TlsSettings {
                ca_pem: tls.ca_pem.clone(),
                ca_file: tls.ca_file.clone(),
                cert_pem: tls.cert_pem.clone(),
                cert_file: tls.cert_file.clone(),
                key_pem: tls.key_pem.clone(),
                key_file: tls.key_file.clone(),
                ..TlsSettings::default()
            };
            if *tls != unused {
                let message = "of tls the certificates, keys, authorities, server_name and insecure_skip_verify are supported only";
                return Err(Invalid::field("openshift", message));
            }
        }
        Ok(())
    }
}
