//! The instances of a service of AWS Cloud Map.

use std::collections::BTreeMap;
use std::time::Duration;

use sdk_aws::{Api, Chain, Environment, Settings};
use serde::Deserialize;
use serde_json::json;

use super::arguments::AwsCloudMap;
use super::resolver::{DEFAULT_PORT, joined};

/// `timeout` when it is 0.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Where nothing says another, as in the Collector.
const REGION: &str = "us-east-1";

const DISCOVER_INSTANCES: Api = Api {
    service: "servicediscovery",
    host: "data-servicediscovery",
    variable: "AWS_ENDPOINT_URL_SERVICEDISCOVERY",
    content_type: "application/x-amz-json-1.1",
    target: Some("Route53AutoNaming_v20170314.DiscoverInstances"),
};

/// A service, asked with keys that are kept.
pub(super) struct CloudMap(Chain);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    #[serde(default)]
    instance_id: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

impl CloudMap {
    /// Who we are there is what the environment says.
    ///
    /// # Errors
    /// No client can be made.
    pub(super) fn new(environment: Environment) -> Result<CloudMap, String> {
        let chain = Chain::new(Settings::default(), environment.clone()).or_else(|_| {
            let settings = Settings { region: REGION.to_owned(), ..Settings::default() };
            Chain::new(settings, environment)
        });
        chain.map(CloudMap)
    }

    /// The backends.
    ///
    /// # Errors
    /// Cloud Map does not say.
    pub(super) async fn backends(&self, asked: &AwsCloudMap) -> Result<Vec<String>, String> {
        let mut question = json!({
            "NamespaceName": asked.namespace, "ServiceName": asked.service_name, "HealthStatus": asked.health_status,
        });
        if !asked.owner_account.is_empty() {
            question["OwnerAccount"] = asked.owner_account.as_str().into();
        }
        let timeout = asked.timeout.to_std().filter(|timeout| !timeout.is_zero()).unwrap_or(TIMEOUT);
        let answer = tokio::time::timeout(timeout, self.0.ask(&DISCOVER_INSTANCES, question.to_string())).await;
        let why = |why: String| format!("cannot ask for the instances of {}: {why}", asked.service_name);
        let answer = answer.map_err(|_| why(format!("no answer within {timeout:?}")))?.map_err(why)?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| why(error.to_string()))?;
        Ok(answer.instances.iter().filter_map(|instance| instance.backend(asked.port)).collect())
    }
}

impl Instance {
    fn backend(&self, port: Option<u16>) -> Option<String> {
        let Some(address) = self.attributes.get("AWS_INSTANCE_IPV4") else {
            tracing::warn!(instance = self.instance_id, "an instance in Cloud Map has no AWS_INSTANCE_IPV4: left out");
            return None;
        };
        Some(match (port, self.attributes.get("AWS_INSTANCE_PORT")) {
            (Some(port), _) => joined(address, port),
            (None, Some(port)) => joined(address, port),
            (None, None) => joined(address, DEFAULT_PORT),
        })
    }
}
