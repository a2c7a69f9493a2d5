//! Who to be towards an endpoint, by the rules of a cloud: `sigv4`, `azuread` and `google_iam`.

mod azure;
mod google;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use sdk_aws::{Chain, Environment, Settings};
use sdk_component::Problem;

use super::arguments::{Endpoint, SigV4};
use azure::Azure;
use google::Google;
use tokens::Tokens;

/// The service of Amazon Managed Prometheus, unless `service_name` says another.
const AMAZON_PROMETHEUS: &str = "aps";

/// What an endpoint's requests are signed with.
pub(crate) enum Identity {
    /// The HTTP client's own credentials, or none.
    Client,
    /// Keys, and the service that they are shown to.
    Aws(Chain, String),
    Azure(Tokens<Azure>),
    Google(Tokens<Google>),
}

impl Identity {
    /// Checks what can be checked without the network.
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Identity, Problem> {
        let environment: Environment = Arc::new(|name: &str| std::env::var(name).unwrap_or_default());
        if let Some(sigv4) = &endpoint.sigv4 {
            return aws(sigv4, environment).map(|(chain, service)| Identity::Aws(chain, service));
        }
        if let Some(google_iam) = &endpoint.google_iam {
            return Tokens::new(Google::new(google_iam, environment)).map(Identity::Google);
        }
        match &endpoint.azuread {
            Some(azuread) => Tokens::new(Azure::new(azuread, environment)).map(Identity::Azure),
            None => Ok(Identity::Client),
        }
    }

    /// Signs a request that has all its headers; or says why it cannot.
    pub(crate) async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), String> {
        match self {
            Identity::Client => Ok(()),
            Identity::Aws(chain, service) => chain.sign(request, service).await,
            Identity::Azure(tokens) => tokens.sign(request).await,
            Identity::Google(tokens) => tokens.sign(request).await,
        }
    }
}

/// Who the block says that we are, and towards which service.
fn aws(block: &SigV4, environment: Environment) -> Result<(Chain, String), Problem> {
    let settings = Settings {
        region: block.region.clone(),
        access_key: block.access_key.clone(),
        secret_key: block.secret_key.expose().into_owned(),
        profile: block.profile.clone(),
        role_arn: block.role_arn.clone(),
        external_id: block.external_id.clone(),
        use_fips_sts_endpoint: block.use_fips_sts_endpoint,
    };
    let service = if block.service_name.is_empty() { AMAZON_PROMETHEUS } else { &block.service_name };
    let chain = Chain::new(settings, environment).map_err(|why| Problem::at("endpoint", why))?;
    Ok((chain, service.to_owned()))
}
