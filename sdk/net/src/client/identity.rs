//! Who to be towards a peer that a component speaks to without [`super::Client`]: over a stream, or another protocol.

use http::HeaderValue;

use super::config::ClientConfig;
use super::credentials::Credentials;
use super::{Options, SendError};
use crate::tls::TlsConfig;

/// The credentials and certificates of a [`ClientConfig`].
#[derive(Debug)]
pub struct Identity {
    credentials: Credentials,
    tls: TlsConfig,
}

impl Identity {
    /// Of this configuration.
    pub fn new(config: &ClientConfig) -> Result<Identity, SendError> {
        let credentials = Credentials::new(config, &Options::default())?;
        Ok(Identity { credentials, tls: config.tls_config.clone() })
    }

    /// What goes into the Authorization header of the next request; secret files are read again.
    pub async fn header(&self) -> Result<Option<HeaderValue>, SendError> {
        self.credentials.header().await
    }

    /// Certificates to show and to trust.
    pub fn tls(&self) -> TlsConfig {
        self.tls.clone()
    }
}
