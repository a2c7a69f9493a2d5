//! Tokens by client credentials (RFC 6749, 4.4), kept until shortly before they expire.

use std::pin::Pin;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, header};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::form_urlencoded;

use super::config::OAuth2;
use super::credentials::secret_value;
use super::{Client, Response, SendError};
use crate::secret_file::SecretFile;

/// Fetches tokens when needed; one fetch at a time.
#[derive(Debug)]
pub(crate) struct TokenSource {
    config: OAuth2,
    secret_file: Option<SecretFile>,
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The server refused the secret in the header and took it in the body.
    secret_in_body: bool,
}

struct Token {
    /// The whole Authorization header.
    header: String,
    /// The secret it was got with: a changed one gets a new token.
    secret: String,
    expires_at: Option<Instant>,
}

/// A token is not used in its last seconds: the request has to travel.
const EXPIRES_EARLY: Duration = Duration::from_secs(10);

// === impl TokenSource ===

impl TokenSource {
    pub fn new(config: OAuth2, client: Client) -> TokenSource {
        let secret_file = (!config.client_secret_file.is_empty()).then(|| SecretFile::new(&config.client_secret_file));
        TokenSource { config, secret_file, client, state: Mutex::default() }
    }

    /// The whole Authorization header.
    pub async fn token(&self) -> Result<String, SendError> {
        let secret = match &self.secret_file {
            Some(file) => {
                file.read().map_err(|error| SendError::Credentials(format!("cannot read {error}")))?.to_string()
            }
            None => self.config.client_secret.expose().into_owned(),
        };
        let mut state = self.state.lock().await;
        if let Some(token) = &state.token
            && token.secret == secret
            && token.expires_at.is_none_or(|at| Instant::now() + EXPIRES_EARLY < at)
        {
            return Ok(token.header.clone());
        }
        let fetched = match self.fetch(&secret, state.secret_in_body).await {
            Err(Refused::ByServer(_)) if !state.secret_in_body => {
                // Servers disagree on where the secret belongs (RFC 6749, 2.3.1); the other place is tried once.
                let fetched = self.fetch(&secret, true).await;
                state.secret_in_body = fetched.is_ok();
                fetched
            }
            fetched => fetched,
        };
        let token = fetched.map_err(Refused::into_error)?;
        let header = token.header.clone();
        state.token = Some(token);
        Ok(header)
    }

    fn request(&self, secret: &str, secret_in_body: bool) -> Result<Request<Bytes>, Refused> {
        let config = &self.config;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !config.scopes.is_empty() {
            form.append_pair("scope", &config.scopes.join(" "));
        }
        for (name, value) in &config.endpoint_params {
            form.append_pair(name, value);
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&config.token_url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if secret_in_body {
            form.append_pair("client_id", &config.client_id).append_pair("client_secret", secret);
        } else {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(&config.client_id), encoded(secret));
            let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
            request = request.header(header::AUTHORIZATION, secret_value(&value)?);
        }
        let body = Bytes::from(form.finish());
        let named = |error| SendError::Credentials(format!("oauth2 token_url {}: {error}", config.token_url));
        Ok(request.body(body).map_err(named)?)
    }

    async fn fetch(&self, secret: &str, secret_in_body: bool) -> Result<Token, Refused> {
        let request = self.request(secret, secret_in_body)?;
        let response = send(&self.client, request).await?;
        if !response.status.is_success() {
            return Err(Refused::ByServer(format!("it answered {}", response.status)));
        }
        let answer: serde_json::Value = serde_json::from_slice(&response.body)
            .map_err(|error| Refused::ByServer(format!("its answer is not JSON: {error}")))?;
        let Some(token) = answer["access_token"].as_str() else {
            return Err(Refused::ByServer("its answer holds no access_token".to_owned()));
        };
        let word = match answer["token_type"].as_str() {
            Some(word) if !word.eq_ignore_ascii_case("bearer") && !word.is_empty() => word,
            _ => "Bearer",
        };
        // A number, or (as some servers send it) a text that holds one.
        let seconds = answer["expires_in"].as_f64().or_else(|| answer["expires_in"].as_str()?.parse().ok());
        let expires_at = seconds
            .filter(|seconds| *seconds > 0.0)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|lifetime| Instant::now().checked_add(lifetime));
        Ok(Token { header: format!("{word} {token}"), secret: secret.to_owned(), expires_at })
    }
}

/// A client asks for a token by a client: the circle is cut by a type that tells nothing of its inside.
fn send(
    client: &Client,
    request: Request<Bytes>,
) -> Pin<Box<dyn Future<Output = Result<Response, SendError>> + Send + '_>> {
    Box::pin(client.send(request))
}

enum Refused {
    /// What it said; asking differently may help.
    ByServer(String),
    Otherwise(SendError),
}

impl Refused {
    fn into_error(self) -> SendError {
        match self {
            Refused::ByServer(what) => {
                SendError::Credentials(format!("the OAuth 2.0 token server gave no token: {what}"))
            }
            Refused::Otherwise(error) => SendError::Credentials(format!("cannot get an OAuth 2.0 token: {error}")),
        }
    }
}

impl From<SendError> for Refused {
    fn from(error: SendError) -> Refused {
        Refused::Otherwise(error)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("has_token", &self.token.is_some()).finish_non_exhaustive()
    }
}
