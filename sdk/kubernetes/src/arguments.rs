//! The arguments with which a user says how to reach the Kubernetes API.

use language_eval::{Block, Invalid, Validate};
use sdk_net::ClientConfig;

use crate::access::{Access, AccessError};

/// How to reach the Kubernetes API. Without any argument it is that of the cluster that we run in, by the service account
/// of our pod.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct ClientArguments {
    /// Address of the API server.
    #[attr(optional)]
    pub api_server: String,
    /// A kubeconfig file, instead of all other arguments.
    #[attr(optional)]
    pub kubeconfig_file: String,
    /// How to speak to `api_server`.
    #[squash]
    pub client: ClientConfig,
}

// === impl ClientArguments ===

impl ClientArguments {
    /// Where the API is and who we are there; reads files and the environment.
    pub fn access(&self) -> Result<Access, AccessError> {
        Access::new(&self.api_server, &self.kubeconfig_file, &self.client)
    }
}

impl Validate for ClientArguments {
    fn validate(&self) -> Result<(), Invalid> {
        let custom = self.client != ClientConfig::default();
        let message = if !self.api_server.is_empty() && !self.kubeconfig_file.is_empty() {
            "only one of api_server and kubeconfig_file can be set"
        } else if custom && !self.kubeconfig_file.is_empty() {
            "custom HTTP client configuration is not allowed when kubeconfig_file is set"
        } else if custom && self.api_server.is_empty() {
            "api_server must be set when custom HTTP client configuration is provided"
        } else {
            return Ok(());
        };
        Err(Invalid::block(message))
    }
}
