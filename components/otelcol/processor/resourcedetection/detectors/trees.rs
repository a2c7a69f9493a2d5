//! Clouds whose metadata is a tree of texts.

use super::attributes::{AlibabaEcs, Hetzner, TencentCvm};
use super::service::Service;
use super::{Chosen, Finding, Found, Missing, World};
use crate::resourcedetection::chosen::Attributes;

pub(super) async fn hetzner(chosen: &Chosen<Hetzner>, world: &World) -> Result<Found, Missing> {
    let service = Service::new(world, format!("{}/hetzner/v1/metadata", world.places.link_local));
    let paths = [
        ("host.id", "instance-id"),
        ("host.name", "hostname"),
        ("cloud.region", "region"),
        ("cloud.availability_zone", "availability-zone"),
    ];
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "hetzner");
    all(&service, &mut finding, &paths).await?;
    Ok(finding.found)
}

pub(super) async fn tencent(chosen: &Chosen<TencentCvm>, world: &World) -> Result<Found, Missing> {
    let service = Service::new(world, format!("{}/latest/meta-data", world.places.tencent));
    let paths = [
        ("cloud.account.id", "app-id"),
        ("cloud.region", "placement/region"),
        ("cloud.availability_zone", "placement/zone"),
        ("host.id", "instance-id"),
        ("host.name", "instance-name"),
        ("host.image.id", "instance/image-id"),
        ("host.type", "instance/instance-type"),
    ];
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "tencent_cloud");
    finding.set("cloud.platform", "tencent_cloud_cvm");
    all(&service, &mut finding, &paths).await?;
    Ok(finding.found)
}

pub(super) async fn alibaba(chosen: &Chosen<AlibabaEcs>, world: &World) -> Result<Found, Missing> {
    let base = format!("{}/latest", world.places.alibaba);
    let lifetime = ("x-aliyun-ecs-metadata-token-ttl-seconds", "21600");
    let token = Service::new(world, &base[..]).token("api/token", lifetime).await?;
    let service = Service::new(world, format!("{base}/meta-data")).with("x-aliyun-ecs-metadata-token", token);
    let paths = [
        ("cloud.account.id", "owner-account-id"),
        ("cloud.region", "region-id"),
        ("cloud.availability_zone", "zone-id"),
        ("host.id", "instance-id"),
        ("host.name", "hostname"),
        ("host.image.id", "image-id"),
        ("host.type", "instance/instance-type"),
    ];
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "alibaba_cloud");
    finding.set("cloud.platform", "alibaba_cloud_ecs");
    all(&service, &mut finding, &paths).await?;
    Ok(finding.found)
}

/// Asks for all of them: whoever lacks one is another cloud.
async fn all<A: Attributes>(
    service: &Service<'_>,
    finding: &mut Finding<'_, A>,
    paths: &[(&str, &str)],
) -> Result<(), Missing> {
    for (name, path) in paths {
        finding.set(name, service.get(path).await?.trim());
    }
    Ok(())
}
