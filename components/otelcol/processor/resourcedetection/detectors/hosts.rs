//! Clouds whose metadata is one small document.

use serde::Deserialize;

use super::attributes::{DigitalOcean, Hetzner, Scaleway, UpCloud, Vultr};
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
    let document: Document = world.json(&format!("{}/metadata/v1.json", world.link_local), &[]).await?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "digitalocean");
    finding.set("host.id", document.droplet_id.to_string());
    finding.set("host.name", document.hostname);
    finding.set("cloud.region", document.region.word());
    Ok(finding.found)
}

pub(super) async fn upcloud(chosen: &Chosen<UpCloud>, world: &World) -> Result<Found, Missing> {
    let document: Document = world.json(&format!("{}/metadata/v1.json", world.link_local), &[]).await?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", document.cloud);
    finding.set("cloud.region", document.region.word());
    finding.set("host.id", document.instance_id);
    finding.set("host.name", document.hostname);
    Ok(finding.found)
}

pub(super) async fn vultr(chosen: &Chosen<Vultr>, world: &World) -> Result<Found, Missing> {
    let document: Document = world.json(&format!("{}/v1.json", world.link_local), &[]).await?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "vultr");
    finding.set("cloud.region", document.region.word().to_lowercase());
    finding.set("host.id", if document.vultr_v2_id.is_empty() { document.vultr_id } else { document.vultr_v2_id });
    finding.set("host.name", document.hostname);
    Ok(finding.found)
}

pub(super) async fn hetzner(chosen: &Chosen<Hetzner>, world: &World) -> Result<Found, Missing> {
    let get = async |name: &str| world.get(&format!("{}/hetzner/v1/metadata/{name}", world.link_local), &[]).await;
    let hostname = get("hostname").await?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "hetzner");
    finding.set("host.id", get("instance-id").await?.trim());
    finding.set("host.name", hostname.trim());
    finding.set("cloud.region", get("region").await?.trim());
    finding.set("cloud.availability_zone", get("availability-zone").await?.trim());
    Ok(finding.found)
}

pub(super) async fn scaleway(chosen: &Chosen<Scaleway>, world: &World) -> Result<Found, Missing> {
    let document: ScalewayDocument = world.json(&format!("{}/conf?format=json", world.scaleway), &[]).await?;
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
