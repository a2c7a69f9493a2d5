//! Virtual machines and Kubernetes clusters of Azure, by the metadata of the instance.

use serde::Deserialize;

use super::super::arguments::Azure;
use super::attributes::Aks;
use super::service::{Service, Tags};
use super::{Chosen, Finding, Found, Missing, World};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Compute {
    location: String,
    name: String,
    #[serde(alias = "vmID")]
    vm_id: String,
    vm_size: String,
    #[serde(alias = "subscriptionID")]
    subscription_id: String,
    resource_group_name: String,
    vm_scale_set_name: String,
    zone: String,
    os_profile: OsProfile,
    tags_list: Vec<Tag>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct OsProfile {
    computer_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tag {
    name: String,
    value: String,
}

async fn metadata(world: &World) -> Result<Compute, Missing> {
    let service =
        Service::new(world, format!("{}/metadata/instance", world.places.link_local)).with("metadata", "True");
    service.json("compute?api-version=2020-09-01&format=json").await
}

pub(super) async fn machine(given: &Azure, world: &World) -> Result<Found, Missing> {
    let tags = Tags::new(&given.tags)?;
    let compute = metadata(world).await?;
    let mut finding = Finding::new(&given.resource_attributes);
    let host =
        if compute.os_profile.computer_name.is_empty() { &compute.name } else { &compute.os_profile.computer_name };
    finding.set("cloud.provider", "azure");
    finding.set("cloud.platform", "azure.vm");
    finding.set("host.name", host.clone());
    finding.set("cloud.region", compute.location);
    finding.set("host.id", compute.vm_id);
    finding.set("cloud.account.id", compute.subscription_id);
    finding.set("cloud.availability_zone", compute.zone);
    finding.set("azure.vm.name", compute.name);
    finding.set("azure.vm.size", compute.vm_size);
    finding.set("azure.vm.scaleset.name", compute.vm_scale_set_name);
    finding.set("azure.resourcegroup.name", compute.resource_group_name);
    let mut found = finding.found;
    tags.add(&mut found, "azure.tag.", compute.tags_list.into_iter().map(|tag| (tag.name, tag.value)));
    Ok(found)
}

pub(super) async fn aks(chosen: &Chosen<Aks>, world: &World) -> Result<Found, Missing> {
    if world.variable("KUBERNETES_SERVICE_HOST").is_none() {
        return Ok(Found::new());
    }
    let group = metadata(world).await?.resource_group_name;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "azure");
    finding.set("cloud.platform", "azure.aks");
    // The nodes are in a group of their own: MC_<group>_<cluster>_<region>.
    let cluster = match &group.split('_').collect::<Vec<_>>()[..] {
        [first, _, cluster, _] if first.eq_ignore_ascii_case("mc") => (*cluster).to_owned(),
        _ => group,
    };
    finding.set("k8s.cluster.name", cluster);
    Ok(finding.found)
}
