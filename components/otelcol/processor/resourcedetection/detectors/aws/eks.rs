//! EKS, by what its pods are told, or by the API of the cluster.

use serde::Deserialize;

use super::super::super::arguments::Eks;
use super::super::kubernetes::cluster;
use super::super::{Finding, Found, Missing, World};
use super::{Imds, Retries};

pub(in super::super) async fn detect(given: &Eks, world: &World) -> Result<Found, Missing> {
    if !is_eks(world).await? {
        return Err(Missing::Elsewhere("this is no cluster of EKS".to_owned()));
    }
    let mut finding = Finding::new(&given.resource_attributes);
    finding.set("cloud.provider", "aws");
    finding.set("cloud.platform", "aws_eks");
    if finding.chosen.has("cloud.account.id") {
        // A pod may be kept from the metadata of its instance (a hop limit of 1); the rest is known all the same.
        let identity = async { Imds::new(world, Retries::NONE).await?.identity().await };
        match identity.await {
            Ok(identity) => finding.set("cloud.account.id", identity.account_id),
            Err(missing) => tracing::warn!(error = missing.text(), "eks: the metadata of the instance is out of reach"),
        }
    }
    Ok(finding.found)
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
