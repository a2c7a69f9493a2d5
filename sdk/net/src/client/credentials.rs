//! What goes into the Authorization header of each request.

use http::HeaderValue;

use super::config::{BasicAuth, ClientConfig};
use super::{Client, Options, SendError};
use crate::oauth2::{EXPIRES_EARLY, Grant, TokenRequest, TokenSource};
use crate::secret_file::{Credential, SecretFile};

/// How a client shows who it is.
#[derive(Debug)]
pub(crate) enum Credentials {
    Nobody,
    /// The whole header, known from the start.
    Fixed(HeaderValue),
    PasswordFile(BasicAuth, SecretFile),
    /// The word before it, and the file.
    CredentialFile(String, SecretFile),
    OAuth2(Box<TokenSource>),
}

// === impl Credentials ===

impl Credentials {
    pub fn new(config: &ClientConfig, options: &Options) -> Result<Credentials, SendError> {
        if let Some(basic) = &config.basic_auth {
            return match basic.password_file.as_str() {
                "" => Ok(Credentials::Fixed(secret_value(&basic.header(&basic.password.expose()))?)),
                file => Ok(Credentials::PasswordFile(basic.clone(), SecretFile::new(file))),
            };
        }
        if let Some(authorization) = &config.authorization {
            let word = match authorization.r#type.trim() {
                "" => "Bearer",
                word => word,
            };
            return match authorization.credentials_file.as_str() {
                "" => Ok(Credentials::Fixed(secret_value(&format!("{word} {}", authorization.credentials.expose()))?)),
                file => Ok(Credentials::CredentialFile(word.to_owned(), SecretFile::new(file))),
            };
        }
        if let Some(oauth2) = &config.oauth2 {
            let to_token_server = ClientConfig {
                proxy: oauth2.proxy.clone(),
                tls_config: oauth2.tls_config.clone().unwrap_or_default(),
                ..ClientConfig::default()
            };
            let client = Client::new(to_token_server, options.clone())?;
            let request = TokenRequest {
                token_url: oauth2.token_url.clone(),
                grant: Grant::ClientCredentials {
                    id: Credential::Text(oauth2.client_id.clone().into()),
                    secret: Credential::new(oauth2.client_secret.clone(), &oauth2.client_secret_file),
                },
                scopes: oauth2.scopes.clone(),
                endpoint_params: oauth2.endpoint_params.clone().into_iter().collect(),
                expiry_buffer: EXPIRES_EARLY,
            };
            return Ok(Credentials::OAuth2(Box::new(TokenSource::new(request, Box::new(client)))));
        }
        if !config.bearer_token.is_empty() {
            return Ok(Credentials::Fixed(secret_value(&format!("Bearer {}", config.bearer_token.expose()))?));
        }
        if !config.bearer_token_file.is_empty() {
            return Ok(Credentials::CredentialFile("Bearer".to_owned(), SecretFile::new(&config.bearer_token_file)));
        }
        Ok(Credentials::Nobody)
    }

    /// The header for the next request.
    pub async fn header(&self) -> Result<Option<HeaderValue>, SendError> {
        let unreadable = |error: std::io::Error| SendError::Credentials(format!("cannot read {error}"));
        match self {
            Credentials::Nobody => Ok(None),
            Credentials::Fixed(value) => Ok(Some(value.clone())),
            Credentials::PasswordFile(basic, file) => {
                let password = file.read().map_err(unreadable)?;
                secret_value(&basic.header(&password)).map(Some)
            }
            Credentials::CredentialFile(word, file) => {
                let credential = file.read().map_err(unreadable)?;
                secret_value(&format!("{word} {credential}")).map(Some)
            }
            Credentials::OAuth2(tokens) => {
                let token = tokens.token().await.map_err(SendError::Credentials)?;
                secret_value(&token).map(Some)
            }
        }
    }
}

/// A header value that is not printed by `Debug`, nor kept in HTTP/2's tables.
pub(crate) fn secret_value(text: &str) -> Result<HeaderValue, SendError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| SendError::Credentials("the credential holds a character that no header may hold".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
