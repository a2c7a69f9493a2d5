//! EC2 by the metadata of the instance (IMDSv2), and Elastic Beanstalk by its configuration file.

pub(super) mod ecs;
pub(super) mod eks;

use std::time::Duration;

use serde::Deserialize;

use super::super::arguments::Ec2;
use super::attributes::ElasticBeanstalk;
use super::service::{Service, Tags};
use super::{Chosen, Finding, Found, Missing, World};

/// Where Elastic Beanstalk tells the X-Ray daemon what it is.
const BEANSTALK: &str = "/var/elasticbeanstalk/xray/environment.conf";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Environment {
    deployment_id: i64,
    environment_name: String,
    version_label: String,
}

/// The instance identity document.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Identity {
    region: String,
    account_id: String,
    availability_zone: String,
    instance_id: String,
    image_id: String,
    instance_type: String,
}

pub(super) fn beanstalk(chosen: &Chosen<ElasticBeanstalk>, world: &World) -> Result<Found, Missing> {
    let text = world.file(BEANSTALK).map_err(Missing::Elsewhere)?;
    let environment: Environment =
        serde_json::from_str(&text).map_err(|error| Missing::Failed(format!("{BEANSTALK}: {error}")))?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "aws");
    finding.set("cloud.platform", "aws_elastic_beanstalk");
    finding.set("service.instance.id", environment.deployment_id.to_string());
    finding.set("deployment.environment", environment.environment_name);
    finding.set("service.version", environment.version_label);
    Ok(finding.found)
}

pub(super) async fn ec2(given: &Ec2, world: &World) -> Result<Found, Missing> {
    let tags = Tags::new(&given.tags)?;
    let retries = Retries { attempts: given.max_attempts, longest: given.max_backoff.to_std().unwrap_or_default() };
    let imds = Imds::new(world, retries).await?;
    // Whoever has an id has these, too.
    let identity = imds.identity().await?;
    let hostname = imds.0.get("meta-data/hostname").await.map_err(Missing::failed)?;
    let mut finding = Finding::new(&given.resource_attributes);
    finding.set("cloud.provider", "aws");
    finding.set("cloud.platform", "aws_ec2");
    finding.set("cloud.region", identity.region);
    finding.set("cloud.account.id", identity.account_id);
    finding.set("cloud.availability_zone", identity.availability_zone);
    finding.set("host.id", identity.instance_id);
    finding.set("host.image.id", identity.image_id);
    finding.set("host.type", identity.instance_type);
    finding.set("host.name", hostname);
    let mut found = finding.found;
    if !tags.is_empty() {
        match imds.0.get("meta-data/tags/instance").await {
            Ok(keys) => {
                for key in keys.lines().filter(|key| tags.has(key)) {
                    match imds.0.get(&format!("meta-data/tags/instance/{key}")).await {
                        Ok(value) => tags.add(&mut found, "ec2.tag.", [(key.to_owned(), value)]),
                        Err(error) => tracing::warn!(key, error = error.text(), "cannot read a tag of the instance"),
                    }
                }
            }
            Err(error) => tracing::warn!(error = error.text(), "cannot read the tags of the instance"),
        }
    }
    Ok(found)
}

/// How often the metadata of an instance is asked for.
struct Retries {
    attempts: i64,
    longest: Duration,
}

/// The metadata service of an instance.
struct Imds<'w>(Service<'w>);

impl Retries {
    const NONE: Retries = Retries { attempts: 1, longest: Duration::ZERO };
}

impl<'w> Imds<'w> {
    /// With a token for a session, where the service knows tokens: version 1 wants none.
    async fn new(world: &'w World, retries: Retries) -> Result<Imds<'w>, Missing> {
        let service = Service::new(world, format!("{}/latest", world.places.link_local));
        let mut pause = Duration::from_millis(100);
        for attempt in 1.. {
            match service.token("api/token", ("x-aws-ec2-metadata-token-ttl-seconds", "300")).await {
                Ok(token) => return Ok(Imds(service.with("x-aws-ec2-metadata-token", token))),
                // It answers, but not to that.
                Err(Missing::Elsewhere(reason)) if ["403", "404", "405"].iter().any(|code| reason.contains(code)) => {
                    break;
                }
                Err(missing) if attempt >= retries.attempts => return Err(missing),
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(retries.longest);
        }
        Ok(Imds(service))
    }

    async fn identity(&self) -> Result<Identity, Missing> {
        self.0.get("meta-data/instance-id").await?;
        self.0.json("dynamic/instance-identity/document").await.map_err(Missing::failed)
    }
}
