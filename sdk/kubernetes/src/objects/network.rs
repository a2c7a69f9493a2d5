//! Services, what stands behind them, and ingresses.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Metadata, Object, nullable};

/// A service.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Service {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: ServiceSpec,
}

/// What a service is.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ServiceSpec {
    pub r#type: String,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    pub external_name: String,
    #[serde(rename = "loadBalancerIP")]
    pub load_balancer_ip: String,
    pub ip_family_policy: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub ip_families: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<ServicePort>,
}

/// A port of a service.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ServicePort {
    pub name: String,
    pub port: i64,
    pub protocol: String,
}

/// What stands behind a service, as it was told until Kubernetes 1.33.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Endpoints {
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "nullable")]
    pub subsets: Vec<Subset>,
}

/// Addresses that have the same ports.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Subset {
    #[serde(deserialize_with = "nullable")]
    pub addresses: Vec<Address>,
    #[serde(deserialize_with = "nullable")]
    pub not_ready_addresses: Vec<Address>,
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<EndpointPort>,
}

/// One address.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Address {
    pub ip: String,
    pub hostname: String,
    pub node_name: Option<String>,
    pub target_ref: Option<TargetRef>,
}

/// The object at an address.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct TargetRef {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

/// A port of an address.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct EndpointPort {
    pub name: String,
    pub port: i64,
    pub protocol: String,
}

/// A part of what stands behind a service.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct EndpointSlice {
    pub metadata: Metadata,
    #[serde(default)]
    pub address_type: String,
    #[serde(default, deserialize_with = "nullable")]
    pub endpoints: Vec<SliceEndpoint>,
    #[serde(default, deserialize_with = "nullable")]
    pub ports: Vec<SlicePort>,
}

/// One thing that stands there, with its addresses.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct SliceEndpoint {
    #[serde(deserialize_with = "nullable")]
    pub addresses: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub conditions: Conditions,
    pub hostname: Option<String>,
    pub target_ref: Option<TargetRef>,
    pub node_name: Option<String>,
    pub zone: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub deprecated_topology: BTreeMap<String, String>,
}

/// How it is.
#[derive(Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Conditions {
    pub ready: Option<bool>,
    pub serving: Option<bool>,
    pub terminating: Option<bool>,
}

/// A port of a slice.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct SlicePort {
    pub name: Option<String>,
    pub port: Option<i64>,
    pub protocol: Option<String>,
    pub app_protocol: Option<String>,
}

/// An ingress.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Ingress {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: IngressSpec,
}

/// What it lets in.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct IngressSpec {
    pub ingress_class_name: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub tls: Vec<IngressTls>,
    #[serde(deserialize_with = "nullable")]
    pub rules: Vec<IngressRule>,
}

/// Hosts that are reached by https.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct IngressTls {
    #[serde(deserialize_with = "nullable")]
    pub hosts: Vec<String>,
}

/// A host and its paths.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct IngressRule {
    pub host: String,
    pub http: Option<IngressHttp>,
}

/// The paths of a host.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct IngressHttp {
    #[serde(deserialize_with = "nullable")]
    pub paths: Vec<IngressPath>,
}

/// A path of a host.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct IngressPath {
    pub path: String,
}

/// Each kind's place in the API.
macro_rules! objects {
    ($($kind:ident $path:literal $plural:literal)*) => {
        $(impl Object for $kind {
            const PATH: &'static str = $path;
            const PLURAL: &'static str = $plural;

            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
        })*
    };
}

objects! {
    Service "/api/v1" "services"
    Endpoints "/api/v1" "endpoints"
    EndpointSlice "/apis/discovery.k8s.io/v1" "endpointslices"
    Ingress "/apis/networking.k8s.io/v1" "ingresses"
}
