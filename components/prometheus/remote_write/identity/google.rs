//! Tokens of Google's IAM that may write to Cloud Monitoring, kept until shortly before they expire: for a service account
//! with a key, for a user who has logged in (`gcloud`), or for the account of the machine.

use std::path::PathBuf;
use std::time::Duration;

use base_sys::clock;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use sdk_component::Problem;
use sdk_net::oauth2::{Algorithm, signed};
use sdk_net::{Client, ClientConfig, Options};
use serde_json::Value as Json;
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::super::arguments::GoogleIam;
use super::Environment;

/// A token is renewed so long before it ends, in milliseconds.
const RENEW_EARLY: i64 = 60 * 1000;
/// How long an assertion of ours is good, in seconds: the most that Google takes.
const ASSERTION: i64 = 3600;
/// No file with credentials is longer.
const MOST_FILE: usize = 1 << 20;
const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";
const TOKEN_SERVER: &str = "https://oauth2.googleapis.com/token";

/// Gets tokens.
pub(crate) struct Tokens {
    config: GoogleIam,
    environment: Environment,
    client: Client,
    cached: Mutex<Option<(HeaderValue, i64)>>,
}

impl Tokens {
    pub(super) fn new(config: &GoogleIam, environment: Environment) -> Result<Tokens, Problem> {
        let options = Options { timeout: Duration::from_secs(10), ..Options::default() };
        let client = Client::new(ClientConfig::default(), options)
            .map_err(|error| Problem::at("endpoint", error.to_string()))?;
        Ok(Tokens { config: config.clone(), environment, client, cached: Mutex::default() })
    }

    pub(super) async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), String> {
        let mut cached = self.cached.lock().await;
        let header = match &*cached {
            Some((header, until)) if clock::now_ms() < *until => header.clone(),
            _ => {
                let fetched = self.fetch().await;
                let (header, until) = fetched.map_err(|why| format!("cannot get a token of Google: {why}"))?;
                cached.insert((header, until)).0.clone()
            }
        };
        request.headers_mut().insert(header::AUTHORIZATION, header);
        Ok(())
    }

    async fn fetch(&self) -> Result<(HeaderValue, i64), String> {
        let request = match self.credentials()? {
            Some(credentials) => self.exchange(&credentials)?,
            None => self.ask_the_machine()?,
        };
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        let answer: Json = serde_json::from_slice(&response.body).unwrap_or_default();
        let text = |name: &str| answer[name].as_str().unwrap_or("");
        if !response.status.is_success() {
            let (status, error, more) = (response.status, text("error"), text("error_description"));
            return Err(format!("the server answers {status}: {error} {more}"));
        }
        if text("access_token").is_empty() {
            return Err("the answer holds no access_token".to_owned());
        }
        let header = HeaderValue::try_from(format!("Bearer {}", text("access_token")));
        let mut header = header.map_err(|_| "the token holds a character that no header may hold".to_owned())?;
        header.set_sensitive(true);
        let seconds = answer["expires_in"].as_i64().unwrap_or(0);
        Ok((header, clock::now_ms() + (seconds.saturating_mul(1000) - RENEW_EARLY).max(0)))
    }

    /// The file that is configured, or the one where Google's tools look: none means the machine's account.
    fn credentials(&self) -> Result<Option<Json>, String> {
        let named = match self.config.credentials_file.as_str() {
            "" => (self.environment)("GOOGLE_APPLICATION_CREDENTIALS"),
            file => file.to_owned(),
        };
        let path = match named.as_str() {
            "" => {
                let home = (self.environment)("HOME");
                let path = PathBuf::from(home).join(".config/gcloud/application_default_credentials.json");
                if !path.is_file() {
                    return Ok(None);
                }
                path
            }
            named => PathBuf::from(named),
        };
        let text = base_sys::fs::read_text_bounded(&path, MOST_FILE);
        let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        // What is wrong with it is not said: the message could hold a part of a key.
        serde_json::from_str(&text).map(Some).map_err(|_| format!("{} is not JSON", path.display()))
    }

    fn exchange(&self, credentials: &Json) -> Result<Request<Bytes>, String> {
        let text = |name: &str| credentials[name].as_str().unwrap_or("");
        let mut form = form_urlencoded::Serializer::new(String::new());
        match text("type") {
            "service_account" => {
                let assertion = assertion(credentials)?;
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
                    .append_pair("assertion", &assertion);
            }
            // A file that is configured is for service accounts alone, as in Alloy.
            "authorized_user" if self.config.credentials_file.is_empty() => {
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", text("client_id"))
                    .append_pair("client_secret", text("client_secret"))
                    .append_pair("refresh_token", text("refresh_token"));
            }
            other => return Err(format!("credentials of type {other:?} are not supported")),
        }
        let server = match text("token_uri") {
            "" => TOKEN_SERVER,
            server => server,
        };
        let mut request = Request::new(Bytes::from(form.finish()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = server.parse().map_err(|error| format!("{server:?} is no address: {error}"))?;
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(request)
    }

    fn ask_the_machine(&self) -> Result<Request<Bytes>, String> {
        let host = match (self.environment)("GCE_METADATA_HOST").as_str() {
            "" => "169.254.169.254".to_owned(),
            host => host.to_owned(),
        };
        let scope: String = form_urlencoded::byte_serialize(SCOPE.as_bytes()).collect();
        let address =
            format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token?scopes={scope}");
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = address.parse().map_err(|error| format!("{address:?} is no address: {error}"))?;
        request.headers_mut().insert("metadata-flavor", HeaderValue::from_static("Google"));
        Ok(request)
    }
}

/// What a service account says of itself, signed with its key (RFC 7523).
fn assertion(credentials: &Json) -> Result<String, String> {
    let text = |name: &str| credentials[name].as_str().unwrap_or("");
    let now = clock::now_ms() / 1000;
    let server = if text("token_uri").is_empty() { TOKEN_SERVER } else { text("token_uri") };
    let claims = serde_json::json!({
        "iss": text("client_email"), "scope": SCOPE, "aud": server, "iat": now, "exp": now + ASSERTION,
    });
    let token = signed(text("private_key"), text("private_key_id"), Algorithm::Rs256, &claims);
    token.map_err(|why| format!("the account's private_key: {why}"))
}
