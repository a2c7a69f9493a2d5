//! Who to be towards an endpoint, by the rules of a cloud: `sigv4`, `azuread` and `google_iam`.

mod aws;
mod azure;
mod google;
mod sigv4;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use sdk_component::Problem;

use super::arguments::Endpoint;
use aws::Chain;
use azure::Azure;
use google::Google;
use tokens::Tokens;

/// The variables of the process, or of a test; "" for what is not set.
pub(crate) type Environment = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// What an endpoint's requests are signed with.
pub(crate) enum Identity {
    /// The HTTP client's own credentials, or none.
    Client,
    Aws(Chain),
    Azure(Tokens<Azure>),
    Google(Tokens<Google>),
}

impl Identity {
    /// Checks what can be checked without the network.
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Identity, Problem> {
        let environment: Environment = Arc::new(|name: &str| std::env::var(name).unwrap_or_default());
        if let Some(sigv4) = &endpoint.sigv4 {
            return Chain::new(sigv4, environment).map(Identity::Aws);
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
            Identity::Aws(chain) => chain.sign(request).await,
            Identity::Azure(tokens) => tokens.sign(request).await,
            Identity::Google(tokens) => tokens.sign(request).await,
        }
    }
}
