//! The detectors: each finds what it can, or says that it is not in its place.

mod aws;
mod azure;
mod clusters;
mod consul;
mod docker;
mod dynatrace;
mod environment;
mod gcp;
mod hosts;
mod kubernetes;
mod service;
mod system;
mod trees;

use sdk_protocols_otlp::model::AnyValue;

use super::arguments::Arguments;
use super::attributes;
use super::chosen::{Attributes, Chosen};
use super::world::{Missing, World};

/// What a detector found.
pub(super) type Found = Vec<(String, AnyValue)>;

/// Attributes on the way; those that are not chosen are left out.
struct Finding<'c, A> {
    chosen: &'c Chosen<A>,
    found: Found,
}

/// Asks one detector. Where it is not in its place it finds nothing, unless that is a failure.
pub(super) async fn detect(name: &str, arguments: &Arguments, world: &World) -> Result<Found, String> {
    let (found, own_fail) = match name {
        "env" => (environment::env(world), true),
        "heroku" => (environment::heroku(&arguments.heroku.resource_attributes, world), false),
        "lambda" => (environment::lambda(&arguments.lambda.resource_attributes, world), false),
        "elasticbeanstalk" => (aws::beanstalk(&arguments.elasticbeanstalk.resource_attributes, world), false),
        "system" => (system::detect(&arguments.system, world).await, true),
        "docker" => (docker::detect(&arguments.docker.resource_attributes, world).await, false),
        "kubernetes_node" => (kubernetes::node(&arguments.kubernetes_node, world).await, false),
        "ec2" => (aws::ec2(&arguments.ec2, world).await, arguments.ec2.fail_on_missing_metadata),
        "ecs" => (aws::ecs::detect(&arguments.ecs.resource_attributes, world).await, false),
        "eks" => (aws::eks::detect(&arguments.eks, world).await, false),
        "akamai" => (hosts::akamai(&arguments.akamai.resource_attributes, world).await, false),
        "consul" => (consul::detect(&arguments.consul, world).await, false),
        "openshift" => (clusters::openshift(&arguments.openshift, world).await, false),
        "kubeadm" => (clusters::kubeadm(&arguments.kubeadm, world).await, false),
        "dynatrace" => (dynatrace::detect(world), true),
        "nova" => (hosts::nova(&arguments.nova, world).await, arguments.nova.fail_on_missing_metadata),
        "oraclecloud" => (hosts::oracle(&arguments.oraclecloud.resource_attributes, world).await, false),
        "tencent_cvm" => {
            let TencentCvm { resource_attributes, fail_on_missing_metadata } = &arguments.tencent_cvm;
            (trees::tencent(resource_attributes, world).await, *fail_on_missing_metadata)
        }
        "alibaba_ecs" => {
            let AlibabaEcs { resource_attributes, fail_on_missing_metadata } = &arguments.alibaba_ecs;
            (trees::alibaba(resource_attributes, world).await, *fail_on_missing_metadata)
        }
        "gcp" => (gcp::detect(&arguments.gcp.resource_attributes, world).await, false),
        "azure" => (azure::machine(&arguments.azure, world).await, false),
        "aks" => (azure::aks(&arguments.aks.resource_attributes, world).await, false),
        "digitalocean" => (hosts::digitalocean(&arguments.digitalocean.resource_attributes, world).await, false),
        "hetzner" => (trees::hetzner(&arguments.hetzner.resource_attributes, world).await, false),
        "scaleway" => (hosts::scaleway(&arguments.scaleway.resource_attributes, world).await, false),
        "upcloud" => {
            let UpCloud { resource_attributes, fail_on_missing_metadata } = &arguments.upcloud;
            (hosts::upcloud(resource_attributes, world).await, *fail_on_missing_metadata)
        }
        "vultr" => {
            let Vultr { resource_attributes, fail_on_missing_metadata } = &arguments.vultr;
            (hosts::vultr(resource_attributes, world).await, *fail_on_missing_metadata)
        }
        other => return Err(format!("there is no detector {other:?}")),
    };
    match found {
        Ok(found) => Ok(found),
        Err(Missing::Elsewhere(reason)) if !own_fail && !arguments.fail_on_missing_metadata => {
            tracing::debug!(detector = name, reason, "not here");
            Ok(Found::new())
        }
        Err(missing) => Err(format!("{name}: {}", missing.text())),
    }
}

use super::arguments::{AlibabaEcs, TencentCvm, UpCloud, Vultr};

/// Whether a detector tells the version of the names that it uses.
pub(super) fn has_schema(name: &str) -> bool {
    !matches!(name, "env" | "dynatrace")
}

impl<'c, A: Attributes> Finding<'c, A> {
    fn new(chosen: &'c Chosen<A>) -> Self {
        Finding { chosen, found: Found::new() }
    }

    /// An attribute, if it is chosen and not empty.
    fn set(&mut self, name: &str, value: impl Into<AnyValue>) {
        let value = value.into();
        let empty = match &value {
            AnyValue::Empty => true,
            AnyValue::Text(text) => text.is_empty(),
            AnyValue::Array(list) => list.is_empty(),
            _ => false,
        };
        if self.chosen.has(name) && !empty {
            self.found.push((name.to_owned(), value));
        }
    }
}
