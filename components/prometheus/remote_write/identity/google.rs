//! Tokens of Google's IAM that may write to Cloud Monitoring: for a service account with a key, for a user who has logged in
//! (`gcloud`), or for the account of the machine.

use std::path::PathBuf;

use base_sys::clock;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use sdk_net::oauth2::{Algorithm, signed};
use serde_json::Value as Json;
use url::form_urlencoded;

use super::super::arguments::GoogleIam;
use super::Environment;
use super::tokens::Authority;

/// How long an assertion of ours is good, in seconds: the most that Google takes.
const ASSERTION: i64 = 3600;
/// No file with credentials is longer.
const MOST_FILE: usize = 1 << 20;
const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";
const TOKEN_SERVER: &str = "https://oauth2.googleapis.com/token";

/// Google, as an endpoint's block names it.
pub(crate) struct Google {
    config: GoogleIam,
    environment: Environment,
}

impl Authority for Google {
    const NAME: &'static str = "Google";
    const RENEW_EARLY: i64 = 60 * 1000;

    fn request(&self) -> Result<Request<Bytes>, String> {
        match self.credentials()? {
            Some(credentials) => self.exchange(&credentials),
            None => self.ask_the_machine(),
        }
    }
}

impl Google {
    pub(super) fn new(config: &GoogleIam, environment: Environment) -> Google {
        Google { config: config.clone(), environment }
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
