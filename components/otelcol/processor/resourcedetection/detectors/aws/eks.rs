//! EKS, by what its pods are told, or by the API of the cluster. The name of the cluster is a tag of the instance.

use std::sync::Arc;

use sdk_aws::{Api, Chain, Environment, Settings, element};
use serde::Deserialize;

use super::super::super::arguments::Eks;
use super::super::kubernetes::cluster;
use super::super::{Finding, Found, Missing, World};
use super::{Identity, Imds, Retries};

pub(in super::super) async fn detect(given: &Eks, world: &World) -> Result<Found, Missing> {
    if !is_eks(world).await? {
        return Err(Missing::Elsewhere("this is no cluster of EKS".to_owned()));
    }
    let mut finding = Finding::new(&given.resource_attributes);
    finding.set("cloud.provider", "aws");
    finding.set("cloud.platform", "aws_eks");
    let (account, name) = (finding.chosen.has("cloud.account.id"), finding.chosen.has("k8s.cluster.name"));
    if account || name {
        match details(given, name, world).await {
            Ok(details) => {
                finding.set("cloud.account.id", details.account);
                finding.set("k8s.cluster.name", details.cluster);
            }
            // The rest is known all the same.
            Err(missing) => tracing::warn!(error = missing.text(), "eks: the instance is out of reach"),
        }
    }
    Ok(finding.found)
}

/// What is known of the instance that we run on.
#[derive(Default)]
struct Details {
    account: String,
    cluster: String,
}

async fn details(given: &Eks, wants_cluster: bool, world: &World) -> Result<Details, Missing> {
    let identity = async { Imds::new(world, Retries::NONE).await?.identity().await };
    match identity.await {
        Ok(Identity { account_id, .. }) if !wants_cluster => Ok(Details { account: account_id, ..Details::default() }),
        Ok(Identity { account_id, region, instance_id, .. }) => {
            let described = describe(&region, &instance_id, world).await;
            // The account is known already.
            let cluster = described.map(|described| described.cluster).unwrap_or_else(|missing| {
                tracing::warn!(error = missing.text(), "eks: EC2 does not tell of the instance");
                String::new()
            });
            Ok(Details { account: account_id, cluster })
        }
        // A pod may be kept from the metadata of its instance (a hop limit of 1); its node knows which one it is.
        Err(missing) => {
            let variable = &given.node_from_env_var;
            let Some(name) = world.variable(variable) else {
                let why = missing.text();
                return Err(Missing::Elsewhere(format!("{why}, and the environment variable {variable} is not set")));
            };
            let node: Node = cluster("serviceAccount", world)?
                .json(&format!("/api/v1/nodes/{name}"))
                .await
                .map_err(|error| Missing::Elsewhere(error.to_string()))?;
            let provider = &node.spec.provider_id;
            let (region, instance) = place(provider).ok_or_else(|| {
                Missing::Elsewhere(format!("the node's providerID {provider:?} is no instance of EC2"))
            })?;
            describe(region, instance, world).await
        }
    }
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    spec: NodeSpec,
}

#[derive(Deserialize, Default)]
struct NodeSpec {
    #[serde(rename = "providerID", default)]
    provider_id: String,
}

/// The region and the instance of `aws:///eu-west-1a/i-1`.
fn place(provider: &str) -> Option<(&str, &str)> {
    let mut parts = provider.strip_prefix("aws:")?.split('/').skip(3);
    let (zone, instance) = (parts.next()?, parts.next()?);
    let last = zone.char_indices().next_back()?.0;
    (last > 0 && !instance.is_empty()).then_some((&zone[..last], instance))
}

const DESCRIBE_INSTANCES: Api = Api {
    service: "ec2",
    host: "ec2",
    variable: "AWS_ENDPOINT_URL_EC2",
    content_type: "application/x-www-form-urlencoded; charset=utf-8",
    target: None,
};

/// Asks EC2.
async fn describe(region: &str, instance: &str, world: &World) -> Result<Details, Missing> {
    let variables = world.variables;
    let environment: Environment = Arc::new(move |name: &str| variables(name).unwrap_or_default());
    let settings = Settings { region: region.to_owned(), ..Settings::default() };
    let chain = Chain::new(settings, environment).map_err(Missing::Failed)?;
    let question = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("Action", "DescribeInstances"), ("Version", "2016-11-15"), ("InstanceId.1", instance)])
        .finish();
    let answer = chain.ask(&DESCRIBE_INSTANCES, question).await.map_err(Missing::Failed)?;
    Ok(described(&String::from_utf8_lossy(&answer)))
}

/// Of the XML that EC2 answers, what matters here.
fn described(answer: &str) -> Details {
    let tags = answer.split("<tagSet>").skip(1).filter_map(|rest| rest.split("</tagSet>").next());
    let cluster = tags.flat_map(|tags| tags.split("<item>").skip(1)).find_map(|tag| {
        let key = element(tag, "key")?;
        match key.strip_prefix("kubernetes.io/cluster/") {
            Some(name) => Some(name.to_owned()),
            None if key == "aws:eks:cluster-name" || key == "eks:cluster-name" => element(tag, "value"),
            None => None,
        }
    });
    Details { account: element(answer, "ownerId").unwrap_or_default(), cluster: cluster.unwrap_or_default() }
}

async fn is_eks(world: &World) -> Result<bool, Missing> {
    #[derive(Deserialize)]
    struct Configuration {
        issuer: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        git_version: String,
    }
    if world.variable("KUBERNETES_SERVICE_HOST").is_none() {
        return Ok(false);
    }
    let names = |variable, part| world.variable(variable).is_some_and(|value| value.contains(part));
    if names("AWS_WEB_IDENTITY_TOKEN_FILE", "eks.amazonaws.com")
        || names("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "eks-pod-identity")
    {
        return Ok(true);
    }
    let cluster = cluster("serviceAccount", world)?;
    let elsewhere = |error: sdk_kubernetes::ApiError| Missing::Elsewhere(error.to_string());
    let issuer = cluster.json::<Configuration>("/.well-known/openid-configuration").await;
    if issuer.is_ok_and(|configuration| configuration.issuer.contains("oidc.eks.")) {
        return Ok(true);
    }
    let version: Version = cluster.json("/version").await.map_err(elsewhere)?;
    Ok(version.git_version.contains("-eks-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_tell_their_instances() {
        for (provider, expected) in [
            ("aws:///eu-west-1a/i-1", Some(("eu-west-1", "i-1"))),
            ("aws:///eu-west-1a/i-1/x", Some(("eu-west-1", "i-1"))),
            ("aws:////i-1", None),
            ("aws:///eu-west-1a/", None),
            ("aws://s/s", None),
            ("gce:///a/b", None),
            ("", None),
        ] {
            assert_eq!(place(provider), expected, "{provider}");
        }
    }

    #[test]
    fn a_cluster_is_named_by_one_of_three_tags() {
        let of = |tags: &str| described(&format!("<ownerId>1</ownerId><tagSet>{tags}</tagSet>")).cluster;
        let tag = |key: &str, value: &str| format!("<item><key>{key}</key><value>{value}</value></item>");
        assert_eq!(of(&[tag("Name", "x"), tag("eks:cluster-name", "a&amp;b")].concat()), "a&b");
        assert_eq!(of(&[tag("Name", "x"), tag("aws:eks:cluster-name", "c")].concat()), "c");
        assert_eq!(of(&tag("kubernetes.io/cluster/d", "owned")), "d");
        assert_eq!(of(&tag("Name", "eks:cluster-name")), "");
        assert_eq!(described("not XML").account, "");
    }
}
