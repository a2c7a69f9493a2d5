//! EC2 by the metadata of the instance (IMDSv2), and Elastic Beanstalk by its configuration file.

use std::time::Duration;

use base_re2::Regex;
use http::Method;
use serde::Deserialize;

use super::super::arguments::Ec2;
use super::attributes::ElasticBeanstalk;
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
    let patterns = given.tags.iter().map(|tag| Regex::new(tag));
    let patterns: Vec<Regex> =
        patterns.collect::<Result<_, _>>().map_err(|error| Missing::Failed(format!("tags: {error}")))?;
    let base = format!("{}/latest", world.link_local);
    let token = token(given, world, &base).await?;
    let headers = [("x-aws-ec2-metadata-token", &token[..])];
    // Version 1 of the service wants no token.
    let headers = if token.is_empty() { &[][..] } else { &headers[..] };
    let get = async |path: &str| world.get(&format!("{base}/{path}"), headers).await;
    get("meta-data/instance-id").await?;
    // Whoever has an id has these, too.
    let failed = |missing: Missing| Missing::Failed(missing.text());
    let identity: Identity =
        world.json(&format!("{base}/dynamic/instance-identity/document"), headers).await.map_err(failed)?;
    let hostname = get("meta-data/hostname").await.map_err(failed)?;
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
    if !patterns.is_empty() {
        match get("meta-data/tags/instance").await {
            Ok(keys) => {
                for key in keys.lines().filter(|key| patterns.iter().any(|pattern| pattern.is_match(key))) {
                    match get(&format!("meta-data/tags/instance/{key}")).await {
                        Ok(value) => found.push((format!("ec2.tag.{key}"), value.into())),
                        Err(error) => tracing::warn!(key, error = error.text(), "cannot read a tag of the instance"),
                    }
                }
            }
            Err(error) => tracing::warn!(error = error.text(), "cannot read the tags of the instance"),
        }
    }
    Ok(found)
}

/// A token for a session; empty where the service does not know tokens.
async fn token(given: &Ec2, world: &World, base: &str) -> Result<String, Missing> {
    let ttl = [("x-aws-ec2-metadata-token-ttl-seconds", "300")];
    let mut pause = Duration::from_millis(100);
    for attempt in 1.. {
        match world.ask(Method::PUT, &format!("{base}/api/token"), &ttl).await {
            Ok(token) => return Ok(token),
            // It answers, but not to that.
            Err(Missing::Elsewhere(reason)) if ["403", "404", "405"].iter().any(|code| reason.contains(code)) => break,
            Err(missing) if attempt >= given.max_attempts => return Err(missing),
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(given.max_backoff.to_std().unwrap_or_default());
    }
    Ok(String::new())
}
