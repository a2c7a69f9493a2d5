//! `otelcol.auth.oauth2`: tokens of OAuth 2.0, given by exporters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base_stdx::duration::GoDuration;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use language_eval::{Block, Invalid, Number, SecretString, Validate, Value, Word};
use sdk_component::{Context, Problem};
use sdk_net::oauth2::{Algorithm, Answered, Assertion, Grant, TokenRequest, TokenServer, TokenSource};
use sdk_net::secret_file::Credential;
use sdk_net::{Response, SendError};
use sdk_otel::auth::{AuthExports, AuthHandler, ClientAuth};
use sdk_otel::client::HttpSender;
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::tls::TlsClient;
use sdk_signals::{BoxFuture, Origin};
use url::Url;

use crate::extension::{Extending, Extension};

/// Fetches a token for the requests of exporters, and again before it expires. One request for a token is under way at a
/// time; while there is none, what exporters have waits in their queues and is tried again. When a server answers that it
/// does not take the token (401, `UNAUTHENTICATED`), a new one is fetched and the request is sent once more.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Arguments {
    /// Who we are.
    #[attr(optional)]
    pub client_id: String,
    /// A file with the same, which wins; read again when it changes.
    #[attr(optional)]
    pub client_id_file: String,
    /// What only we know.
    #[attr(optional)]
    pub client_secret: SecretString,
    /// A file with the same, which wins; read again when it changes.
    #[attr(optional)]
    pub client_secret_file: String,
    /// Which key an assertion is signed with.
    #[attr(optional)]
    pub client_certificate_key_id: String,
    /// The RSA key, as PEM, that assertions are signed with.
    #[attr(optional)]
    pub client_certificate_key: SecretString,
    /// A file with the same, which wins; read again when it changes.
    #[attr(optional)]
    pub client_certificate_key_file: String,
    /// By what right a token is asked for.
    #[attr(default = GrantType::ClientCredentials)]
    pub grant_type: GrantType,
    /// How assertions are signed: `RS256` (also when it is empty), `RS384` or `RS512`.
    #[attr(optional)]
    pub signature_algorithm: String,
    /// Who makes the assertion; the client when it is empty.
    #[attr(optional)]
    pub iss: String,
    /// For whom the assertion is; the token server when it is empty.
    #[attr(optional)]
    pub audience: String,
    /// What the assertion claims besides.
    #[attr(optional)]
    pub claims: BTreeMap<String, Value>,
    /// Where tokens come from.
    #[attr]
    pub token_url: String,
    /// More parameters for the token server, each with its values.
    #[attr(optional)]
    pub endpoint_params: BTreeMap<String, Vec<String>>,
    /// What the token shall be good for.
    #[attr(optional)]
    pub scopes: Vec<String>,
    /// TLS towards the token server.
    #[block(optional)]
    pub tls: TlsClient,
    /// How long the token server may take; 0 is as long as the exporter's own timeout lets it.
    #[attr(default = GoDuration::ZERO)]
    pub timeout: GoDuration,
    /// A token is replaced so long before it expires, or after half of its life if that is later.
    #[attr(default = GoDuration::from_secs(300))]
    pub expiry_buffer: GoDuration,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// By what right a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum GrantType {
    /// By a secret (RFC 6749, 4.4).
    #[word(name = "client_credentials", alias = "")]
    ClientCredentials,
    /// By an assertion that we sign (RFC 7523).
    #[word(name = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

/// The component.
pub type OAuth2 = Extending<Arguments>;

struct Client {
    context: Context,
    tokens: TokenSource,
    /// There was no token the last time: said once, until there is one.
    failing: AtomicBool,
}

/// The way to the token server.
struct Way {
    sender: HttpSender,
    url: Url,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        self.url().map_err(|message| Invalid::field("token_url", message))?;
        if self.grant_type == GrantType::JwtBearer && self.algorithm().is_none() {
            let message = format!("invalid signature algorithm {:?}", self.signature_algorithm);
            return Err(Invalid::field("signature_algorithm", message).with_hint("one of RS256, RS384, RS512"));
        }
        Ok(())
    }
}

impl Arguments {
    fn url(&self) -> Result<Url, String> {
        let url: Url = self.token_url.parse().map_err(|error| format!("{:?} is not a URL: {error}", self.token_url))?;
        match url.scheme() {
            "http" | "https" => Ok(url),
            _ => Err(format!("{:?} does not begin with http:// or https://", self.token_url)),
        }
    }

    fn algorithm(&self) -> Option<Algorithm> {
        match &self.signature_algorithm[..] {
            "" | "RS256" => Some(Algorithm::Rs256),
            "RS384" => Some(Algorithm::Rs384),
            "RS512" => Some(Algorithm::Rs512),
            _ => None,
        }
    }

    fn request(&self) -> Result<TokenRequest, Problem> {
        let id = Credential::new(self.client_id.clone(), &self.client_id_file);
        let grant = match self.grant_type {
            GrantType::ClientCredentials => Grant::ClientCredentials {
                id,
                secret: Credential::new(self.client_secret.clone(), &self.client_secret_file),
            },
            GrantType::JwtBearer => {
                let claim = |(name, value): (&String, &Value)| match json(value) {
                    Some(value) => Ok((name.clone(), value)),
                    None => Err(Problem::at("claims", format!("{name:?} has a value that JSON has no word for"))),
                };
                let assertion = Assertion {
                    key: Credential::new(self.client_certificate_key.clone(), &self.client_certificate_key_file),
                    key_id: self.client_certificate_key_id.clone(),
                    algorithm: self.algorithm().unwrap_or_default(),
                    issuer: self.iss.clone(),
                    audience: self.audience.clone(),
                    claims: self.claims.iter().map(claim).collect::<Result<_, Problem>>()?,
                };
                Grant::JwtBearer { id, assertion }
            }
        };
        let params = self.endpoint_params.iter();
        let params = params.flat_map(|(name, values)| values.iter().map(move |value| (name.clone(), value.clone())));
        Ok(TokenRequest {
            token_url: self.token_url.clone(),
            grant,
            scopes: self.scopes.clone(),
            endpoint_params: params.collect(),
            expiry_buffer: self.expiry_buffer.to_std().unwrap_or_default(),
        })
    }
}

/// What a claim says, as JSON.
fn json(value: &Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(Number::Int(number)) => (*number).into(),
        Value::Number(Number::Uint(number)) => (*number).into(),
        Value::Number(Number::Float(number)) => serde_json::Number::from_f64(*number)?.into(),
        Value::String(text) => text.to_string_lossy().into_owned().into(),
        Value::Array(items) => items.iter().map(json).collect::<Option<_>>().map(serde_json::Value::Array)?,
        Value::Object(object) => {
            let fields = object.iter().map(|(name, value)| Some((name.to_owned(), json(value)?)));
            serde_json::Value::Object(fields.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

impl Extension for Arguments {
    const NAME: &'static str = "otelcol.auth.oauth2";
    type Exports = AuthExports;

    fn exports(&self, context: &Context) -> Result<AuthExports, Problem> {
        let url = self.url().map_err(|message| Problem::at("token_url", message))?;
        let sender = HttpSender::plain(self.tls.clone(), self.timeout, sdk_net::USER_AGENT, url.scheme() == "https")?;
        let tokens = TokenSource::new(self.request()?, Box::new(Way { sender, url }));
        let client = Client { context: context.clone(), tokens, failing: AtomicBool::new(false) };
        Ok(AuthExports { handler: AuthHandler::new(context.id(), Some(Arc::new(client)), None) })
    }
}

// === impl Client ===

impl ClientAuth for Client {
    fn authenticate<'a>(
        &'a self,
        _: Option<&'a Origin>,
        headers: &'a mut HeaderMap,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let header = self.tokens.token().await.inspect_err(|error| self.failed(error))?;
            let value = HeaderValue::from_str(&header);
            let mut value = value.map_err(|_| "the token has a character that no header can have")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
            if self.failing.swap(false, Ordering::Relaxed) {
                tracing::info!("there are tokens again");
                self.context.healthy("there are tokens again");
            }
            Ok(())
        })
    }

    fn rejected(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        header.is_some_and(|header| self.tokens.reject(header))
    }
}

impl Client {
    fn failed(&self, error: &str) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(error, "no token; exporters keep what they have and try again");
        }
        self.context.unhealthy(format!("no token: {error}"));
    }
}

// === impl Way ===

impl TokenServer for Way {
    fn ask(&self, request: http::Request<bytes::Bytes>) -> Answered<'_> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let answer = self.sender.send(&self.url, head.headers, body).await;
            let shown = || format!("{}{}", self.url.origin().ascii_serialization(), self.url.path());
            let answer = answer.map_err(|error| SendError::Broken { url: shown(), error })?;
            Ok(Response { status: answer.status, headers: answer.headers, body: answer.body })
        })
    }
}

#[cfg(test)]
mod tests;
