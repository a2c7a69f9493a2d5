//! What is asked of a token server, and by what right.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use url::form_urlencoded::{Serializer, byte_serialize};

use super::assertion::{Assertion, JWT_BEARER};
use crate::client::secret_value;
use crate::secret_file::Credential;

/// What is asked of a token server.
#[derive(Debug)]
pub struct TokenRequest {
    /// The server.
    pub token_url: String,
    /// By what right.
    pub grant: Grant,
    /// What the token shall be good for.
    pub scopes: Vec<String>,
    /// More parameters; a name may have several values. They may say another `grant_type`, but nothing else that is said
    /// without them.
    pub endpoint_params: Vec<(String, String)>,
    /// A token is replaced so long before it expires.
    pub expiry_buffer: Duration,
}

/// By what right a token is asked for.
#[derive(Debug)]
pub enum Grant {
    /// RFC 6749, 4.4.
    ClientCredentials {
        /// Who we are.
        id: Credential,
        /// What only we know.
        secret: Credential,
    },
    /// RFC 7523, 2.1.
    JwtBearer {
        /// Who we are.
        id: Credential,
        /// What we sign.
        assertion: Assertion,
    },
}

/// What a token is asked for with: the client and its secret or key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proof {
    pub id: String,
    pub secret: String,
}

/// Where the secret is put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Body,
}

// === impl Grant ===

impl Grant {
    /// The credentials as they are now.
    pub(super) fn proof(&self) -> Result<Proof, String> {
        let (id, secret) = match self {
            Grant::ClientCredentials { id, secret } => (id, secret),
            Grant::JwtBearer { id, assertion } => (id, &assertion.key),
        };
        Ok(Proof { id: id.read()?.to_string(), secret: secret.read()?.to_string() })
    }
}

// === impl TokenRequest ===

impl TokenRequest {
    pub(super) fn http(&self, proof: &Proof, place: Place) -> Result<Request<Bytes>, String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.token_url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut pairs = Vec::new();
        let scopes = self.scopes.join(" ");
        match &self.grant {
            Grant::ClientCredentials { .. } => pairs.push(("grant_type", "client_credentials".to_owned())),
            Grant::JwtBearer { assertion, .. } => {
                pairs.push(("grant_type", JWT_BEARER.to_owned()));
                pairs.push(("assertion", assertion.sign(proof, &self.token_url, &scopes)?));
            }
        }
        if !scopes.is_empty() {
            pairs.push(("scope", scopes));
        }
        for (name, _) in &self.endpoint_params {
            if name == "grant_type" {
                pairs.retain(|(known, _)| known != name);
            } else if pairs.iter().any(|(known, _)| known == name) {
                return Err(format!("endpoint_params cannot say another {name:?}"));
            }
        }
        let mut form = Serializer::new(String::new());
        form.extend_pairs(pairs).extend_pairs(&self.endpoint_params);
        if let Grant::ClientCredentials { .. } = &self.grant {
            if place == Place::Body {
                form.append_pair("client_id", &proof.id).append_pair("client_secret", &proof.secret);
            } else {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(&proof.id), encoded(&proof.secret));
                let value = secret_value(&format!("Basic {}", STANDARD.encode(pair)));
                request = request.header(header::AUTHORIZATION, value.map_err(|error| error.to_string())?);
            }
        }
        request
            .body(Bytes::from(form.finish()))
            .map_err(|error| format!("oauth2 token_url {}: {error}", self.token_url))
    }
}
