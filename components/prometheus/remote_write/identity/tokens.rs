//! Tokens of an authority, kept until shortly before they expire.

use std::time::Duration;

use base_sys::clock;
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use sdk_component::Problem;
use sdk_net::{Client, ClientConfig, Options};
use serde_json::Value as Json;
use tokio::sync::Mutex;

/// Who gives tokens, and how they are asked for.
pub(crate) trait Authority {
    /// Its name, in errors.
    const NAME: &'static str;
    /// A token is renewed so long before it ends, in milliseconds.
    const RENEW_EARLY: i64;

    /// The request for a token.
    fn request(&self) -> Result<Request<Bytes>, String>;
}

/// Gets tokens.
pub(crate) struct Tokens<A> {
    authority: A,
    client: Client,
    cached: Mutex<Option<(HeaderValue, i64)>>,
}

impl<A: Authority> Tokens<A> {
    pub(super) fn new(authority: A) -> Result<Self, Problem> {
        let options = Options { timeout: Duration::from_secs(10), ..Options::default() };
        let client = Client::new(ClientConfig::default(), options)
            .map_err(|error| Problem::at("endpoint", error.to_string()))?;
        Ok(Tokens { authority, client, cached: Mutex::default() })
    }

    pub(super) async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), String> {
        let mut cached = self.cached.lock().await;
        let header = match &*cached {
            Some((header, until)) if clock::now_ms() < *until => header.clone(),
            _ => {
                let fetched = self.fetch().await;
                let (header, until) = fetched.map_err(|why| format!("cannot get a token of {}: {why}", A::NAME))?;
                cached.insert((header, until)).0.clone()
            }
        };
        request.headers_mut().insert(header::AUTHORIZATION, header);
        Ok(())
    }

    async fn fetch(&self) -> Result<(HeaderValue, i64), String> {
        let request = self.authority.request()?;
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
        // A number, or (of Azure's metadata service) a text that holds one.
        let seconds =
            answer["expires_in"].as_i64().or_else(|| answer["expires_in"].as_str()?.parse().ok()).unwrap_or(0);
        let header = HeaderValue::try_from(format!("Bearer {}", text("access_token")));
        let mut header = header.map_err(|_| "the token holds a character that no header may hold".to_owned())?;
        header.set_sensitive(true);
        Ok((header, clock::now_ms() + (seconds.saturating_mul(1000) - A::RENEW_EARLY).max(0)))
    }
}
