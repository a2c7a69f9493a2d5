//! Clouds whose metadata is one small document.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::arguments::Nova;
use super::attributes::{Akamai, DigitalOcean, OracleCloud, Scaleway, UpCloud, Vultr};
use super::service::{Service, Tags};
use super::{Chosen, Finding, Found, Missing, World};

/// All that these documents have in common, and more.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Document {
    #[serde(alias = "cloud_name")]
    cloud: String,
    droplet_id: u64,
    hostname: String,
    #[serde(rename = "instanceid")]
    vultr_id: String,
    #[serde(rename = "instance-v2-id")]
    vultr_v2_id: String,
    instance_id: String,
    region: Region,
}

/// A word, or an object around one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Region {
    Word(String),
    Code { regioncode: String },
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ScalewayDocument {
    id: String,
    name: String,
    commercial_type: String,
    organization: String,
    location: Location,
    image: Image,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Location {
    zone_id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Image {
    id: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AkamaiDocument {
    id: u64,
    label: String,
    region: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NovaDocument {
    availability_zone: String,
    hostname: String,
    uuid: String,
    meta: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct OracleDocument {
    id: String,
    display_name: String,
    shape: String,
    canonical_region_name: String,
    availability_domain: String,
    metadata: OracleMetadata,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OracleMetadata {
    #[serde(rename = "oke-cluster-display-name")]
    cluster: String,
    realm: String,
}

impl Default for Region {
    fn default() -> Self {
        Region::Word(String::new())
    }
}

impl Region {
    fn word(self) -> String {
        match self {
            Region::Word(word) => word,
            Region::Code { regioncode } => regioncode,
        }
    }
}

pub(super) async fn digitalocean(chosen: &Chosen<DigitalOcean>, world: &World) -> Result<Found, Missing> {
    let document: Document = world.json(&format!("{}/metadata/v1.json", world.places.link_local), &[]).await?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "digitalocean");
    finding.set("host.id", document.droplet_id.to_string());
    finding.set("host.name", document.hostname);
    finding.set("cloud.region", document.region.word());
    Ok(finding.found)
}

pub(super) async fn upcloud(chosen: &Chosen<UpCloud>, world: &World) -> Result<Found, Missing> {
    let document: Document = world.json(&format!("{}/metadata/v1.json", world.places.link_local), &[]).await?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", document.cloud);
    finding.set("cloud.region", document.region.word());
    finding.set("host.id", document.instance_id);
    finding.set("host.name", document.hostname);
    Ok(finding.found)
}

pub(super) async fn vultr(chosen: &Chosen<Vultr>, world: &World) -> Result<Found, Missing> {
    let document: Document = world.json(&format!("{}/v1.json", world.places.link_local), &[]).await?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "vultr");
    finding.set("cloud.region", document.region.word().to_lowercase());
    finding.set("host.id", if document.vultr_v2_id.is_empty() { document.vultr_id } else { document.vultr_v2_id });
    finding.set("host.name", document.hostname);
    Ok(finding.found)
}

pub(super) async fn scaleway(chosen: &Chosen<Scaleway>, world: &World) -> Result<Found, Missing> {
    let document: ScalewayDocument = world.json(&format!("{}/conf?format=json", world.places.scaleway), &[]).await?;
    let mut finding = Finding::new(chosen);
    let zone = document.location.zone_id;
    finding.set("cloud.account.id", document.organization);
    finding.set("cloud.provider", "scaleway_cloud");
    finding.set("cloud.platform", "scaleway_cloud_compute");
    finding.set("cloud.region", zone.rsplit_once('-').map(|(region, _)| region.to_owned()).unwrap_or_default());
    finding.set("cloud.availability_zone", zone);
    finding.set("host.id", document.id);
    finding.set("host.image.id", document.image.id);
    finding.set("host.image.name", document.image.name);
    finding.set("host.name", document.name);
    finding.set("host.type", document.commercial_type);
    Ok(finding.found)
}

pub(super) async fn akamai(chosen: &Chosen<Akamai>, world: &World) -> Result<Found, Missing> {
    let service = Service::new(world, format!("{}/v1", world.places.link_local));
    let tokens = service.token("token", ("metadata-token-expiry-seconds", "3600")).await?;
    // A list of one.
    let tokens: Vec<String> = serde_json::from_str(&tokens).map_err(|error| Missing::Elsewhere(error.to_string()))?;
    let token = tokens.into_iter().next();
    let token = token.ok_or_else(|| Missing::Elsewhere("the metadata service gives no token".to_owned()))?;
    let service = service.with("metadata-token", token);
    let document: AkamaiDocument = service.json("instance").await.map_err(Missing::elsewhere)?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "akamai_cloud");
    finding.set("cloud.region", document.region);
    finding.set("host.id", document.id.to_string());
    finding.set("host.name", document.label);
    Ok(finding.found)
}

pub(super) async fn nova(given: &Nova, world: &World) -> Result<Found, Missing> {
    let labels = Tags::new(&given.labels)?;
    let service = Service::new(world, &world.places.link_local[..]);
    let document: NovaDocument = service.json("openstack/latest/meta_data.json").await.map_err(Missing::elsewhere)?;
    if document.uuid.is_empty() {
        return Err(Missing::Elsewhere("the metadata has no uuid".to_owned()));
    }
    if document.hostname.is_empty() {
        return Err(Missing::Failed("the metadata has no hostname".to_owned()));
    }
    let mut finding = Finding::new(&given.resource_attributes);
    finding.set("cloud.provider", "openstack");
    finding.set("cloud.platform", "openstack_nova");
    finding.set("cloud.availability_zone", document.availability_zone);
    finding.set("host.id", document.uuid);
    finding.set("host.name", document.hostname);
    // As EC2 has it, where the operator offers that.
    finding.set("host.type", service.optional("latest/meta-data/instance-type").await);
    let mut found = finding.found;
    labels.add(&mut found, "openstack.nova.meta.", document.meta);
    Ok(found)
}

pub(super) async fn oracle(chosen: &Chosen<OracleCloud>, world: &World) -> Result<Found, Missing> {
    let base = format!("{}/opc/v2", world.places.link_local);
    let service = Service::new(world, base).with("authorization", "Bearer Oracle");
    // As in the Collector it is no failure, whatever the configuration says, that nobody answers at all.
    if !service.is_there("instance/").await {
        return Ok(Found::new());
    }
    let document: OracleDocument = service.json("instance/").await.map_err(Missing::elsewhere)?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "oracle_cloud");
    finding.set("cloud.platform", "oracle_cloud_oke");
    finding.set("cloud.region", document.canonical_region_name);
    finding.set("cloud.availability_zone", document.availability_domain);
    finding.set("host.id", document.id);
    finding.set("host.name", document.display_name);
    finding.set("host.type", document.shape);
    finding.set("k8s.cluster.name", document.metadata.cluster);
    finding.set("oracle_cloud.realm", document.metadata.realm);
    Ok(finding.found)
}
