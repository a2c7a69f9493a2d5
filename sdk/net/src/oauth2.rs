//! Tokens of OAuth 2.0, fetched when they are needed and kept until shortly before they expire.
//!
//! One request to the token server is under way at a time. Whoever asks meanwhile waits for it and shares its outcome, so a
//! server that is slow or away is not asked once for each request that wants a token.

mod assertion;
mod grant;

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use tokio::time::Instant;
use url::form_urlencoded;

pub use assertion::{Algorithm, Assertion, signed};
pub use grant::{Grant, TokenRequest};

use crate::{Client, Response, SendError};
use grant::{Place, Proof};

/// Where requests for tokens are sent.
pub trait TokenServer: Send + Sync {
    /// Sends one request and reads the whole answer.
    fn ask(&self, request: Request<Bytes>) -> Answered<'_>;
}

/// The answer of a [`TokenServer`].
pub type Answered<'a> = Pin<Box<dyn Future<Output = Result<Response, SendError>> + Send + 'a>>;

/// Fetches tokens.
pub struct TokenSource {
    request: TokenRequest,
    server: Box<dyn TokenServer>,
    /// Held by who asks the server.
    asking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The server refused the secret in the header and took it in the body.
    secret_in_body: bool,
    /// How often the server was asked, and why it gave nothing the last time.
    asked: u64,
    failed: Option<String>,
}

struct Token {
    /// The whole Authorization header.
    header: String,
    /// What it was got with: other credentials get a new token.
    proof: Proof,
    /// It is not used from then on.
    until: Option<Instant>,
}

/// A token is not used in its last seconds: the request has to travel.
pub const EXPIRES_EARLY: Duration = Duration::from_secs(10);

/// What is shown of a server's refusal.
const MAX_REASON: usize = 256;

// === impl TokenSource ===

impl TokenSource {
    /// Asks nobody yet.
    pub fn new(request: TokenRequest, server: Box<dyn TokenServer>) -> TokenSource {
        TokenSource { request, server, asking: tokio::sync::Mutex::default(), state: Mutex::default() }
    }

    /// The whole Authorization header.
    ///
    /// # Errors
    /// Why there is none now; asking again later may help.
    pub async fn token(&self) -> Result<String, String> {
        let proof = self.request.grant.proof()?;
        let asked = self.state().asked;
        if let Some(header) = self.kept(&proof) {
            return Ok(header);
        }
        let _asking = self.asking.lock().await;
        if let Some(header) = self.kept(&proof) {
            return Ok(header);
        }
        let secret_in_body = {
            let state = self.state();
            match &state.failed {
                Some(failed) if state.asked != asked => return Err(failed.clone()),
                _ => state.secret_in_body,
            }
        };
        let fetched = self.fetch(proof, secret_in_body).await;
        let mut state = self.state();
        state.asked += 1;
        state.failed = fetched.as_ref().err().cloned();
        let (token, secret_in_body) = fetched?;
        state.secret_in_body = secret_in_body;
        let header = token.header.clone();
        state.token = Some(token);
        Ok(header)
    }

    /// The peer did not take this header: its token is forgotten. Tells whether it is still to be replaced, or has been:
    /// whether it makes sense to try again.
    pub fn reject(&self, header: &str) -> bool {
        let mut state = self.state();
        let known = state.token.as_ref().is_some_and(|token| token.header == header);
        if known {
            state.token = None;
        }
        known || state.token.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, proof: &Proof) -> Option<String> {
        let state = self.state();
        let token = state.token.as_ref()?;
        let good = token.proof == *proof && token.until.is_none_or(|until| Instant::now() < until);
        good.then(|| token.header.clone())
    }

    /// A token, and whether the secret had to be in the body for it.
    async fn fetch(&self, proof: Proof, secret_in_body: bool) -> Result<(Token, bool), String> {
        let places = match (&self.request.grant, secret_in_body) {
            // Servers disagree on where the secret belongs (RFC 6749, 2.3.1); the other place is tried once.
            (Grant::ClientCredentials { .. }, false) => &[Place::Header, Place::Body][..],
            _ => &[Place::Body],
        };
        let mut refused = String::new();
        for place in places {
            let request = self.request.http(&proof, *place)?;
            let url = &self.request.token_url;
            let answer = self.server.ask(request).await;
            let answer = answer.map_err(|error| format!("cannot get an OAuth 2.0 token: {error}"))?;
            match self.read(&answer, proof.clone()) {
                Ok(token) => return Ok((token, *place == Place::Body)),
                Err(why) => refused = format!("the OAuth 2.0 token server {url} gave no token: {why}"),
            }
        }
        Err(refused)
    }

    fn read(&self, answer: &Response, proof: Proof) -> Result<Token, String> {
        let fields = fields(&answer.headers, &answer.body);
        let text = |name: &str| fields.as_ref().ok().and_then(|fields| fields[name].as_str());
        if !answer.status.is_success() || text("error").is_some_and(|error| !error.is_empty()) {
            let reasons = [text("error"), text("error_description")].map(Option::unwrap_or_default);
            let reasons: Vec<&str> = reasons.into_iter().filter(|reason| !reason.is_empty()).collect();
            let reason = reasons.join(": ").chars().take(MAX_REASON).collect::<String>();
            let colon = if reason.is_empty() { "" } else { ", " };
            return Err(format!("it answered {}{colon}{reason}", answer.status));
        }
        let Some(token) = text("access_token").filter(|token| !token.is_empty()) else {
            fields?;
            return Err("its answer holds no access_token".to_owned());
        };
        let word = match text("token_type").unwrap_or_default() {
            word if word.is_empty() || word.eq_ignore_ascii_case("bearer") => "Bearer",
            word if word.eq_ignore_ascii_case("mac") => "MAC",
            word if word.eq_ignore_ascii_case("basic") => "Basic",
            word => word,
        };
        // A number, or (as some servers send it) a text that holds one.
        let seconds = fields.as_ref().ok().and_then(|fields| {
            let seconds = &fields["expires_in"];
            seconds.as_f64().or_else(|| seconds.as_str()?.parse().ok())
        });
        let lifetime = seconds.filter(|seconds| *seconds > 0.0);
        let lifetime = lifetime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let until = lifetime.and_then(|lifetime| {
            // A token that lives no longer than the buffer is used for half of its life, not for one request.
            let early = self.request.expiry_buffer.min(lifetime / 2).max(EXPIRES_EARLY);
            Instant::now().checked_add(lifetime.saturating_sub(early))
        });
        Ok(Token { header: format!("{word} {token}"), proof, until })
    }
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSource").field("request", &self.request).finish_non_exhaustive()
    }
}

/// What the server says: JSON, or of old servers a form.
fn fields(headers: &HeaderMap, body: &[u8]) -> Result<serde_json::Value, String> {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let is = |name: &[u8]| kind.split(|byte| *byte == b';').next().is_some_and(|kind| kind.trim_ascii() == name);
    if is(b"application/x-www-form-urlencoded") || is(b"text/plain") && !body.trim_ascii_start().starts_with(b"{") {
        let pairs = form_urlencoded::parse(body).into_owned();
        return Ok(pairs.map(|(name, value)| (name, serde_json::Value::String(value))).collect());
    }
    serde_json::from_slice(body).map_err(|error| format!("its answer is not JSON: {error}"))
}

impl TokenServer for Client {
    fn ask(&self, request: Request<Bytes>) -> Answered<'_> {
        Box::pin(self.send(request))
    }
}

#[cfg(test)]
mod tests;
