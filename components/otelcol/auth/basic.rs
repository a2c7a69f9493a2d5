//! `otelcol.auth.basic`: a username and a password, asked for by receivers and given by exporters.

mod htpasswd;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use language_eval::{Block, Invalid, SecretString, Validate};
use sdk_component::{Context, Problem};
use sdk_net::secret_file::{Credential, SecretFile};
use sdk_otel::auth::{AuthExports, AuthHandler, ClientAuth, ServerAuth};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_signals::{BoxFuture, Origin};

use crate::extension::{Extending, Extension};

use htpasswd::Htpasswd;

/// A username and a password.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Arguments {
    /// Deprecated: use `client_auth` or `htpasswd`.
    #[attr(optional)]
    pub username: String,
    /// Deprecated: use `client_auth` or `htpasswd`.
    #[attr(optional)]
    pub password: SecretString,
    /// What exporters give.
    #[block]
    pub client_auth: Option<ClientAuthBlock>,
    /// Whom receivers let in.
    #[block]
    pub htpasswd: Option<HtpasswdBlock>,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// What exporters give. A file wins over the argument beside it, and is read again when it changes.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct ClientAuthBlock {
    /// The username.
    #[attr(optional)]
    pub username: String,
    /// A file with the username.
    #[attr(optional)]
    pub username_file: String,
    /// The password.
    #[attr(optional)]
    pub password: SecretString,
    /// A file with the password.
    #[attr(optional)]
    pub password_file: String,
}

/// Whom receivers let in: lines of `user:password`, the password plain or as `htpasswd` writes it (bcrypt, apr1, SHA).
/// What is inline wins over the same user in the file.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct HtpasswdBlock {
    /// A file of such lines, read again when it changes.
    #[attr(optional)]
    pub file: String,
    /// Such lines.
    #[attr(optional)]
    pub inline: String,
}

/// The component.
pub type Basic = Extending<Arguments>;

struct Client {
    username: Credential,
    password: Credential,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.username.is_empty() && self.password.is_empty() && self.htpasswd.is_none() && self.client_auth.is_none()
        {
            return Err(Invalid::block("no credential source provided"));
        }
        if !self.username.is_empty() && self.password.is_empty() {
            return Err(Invalid::field("username", "no password provided"));
        }
        if let Some(HtpasswdBlock { inline, .. }) = &self.htpasswd {
            Htpasswd::parse(inline).map_err(|message| Invalid::field("htpasswd", message))?;
        }
        Ok(())
    }
}

impl Extension for Arguments {
    const NAME: &'static str = "otelcol.auth.basic";
    type Exports = AuthExports;

    fn exports(&self, context: &Context) -> Result<AuthExports, Problem> {
        let client = match &self.client_auth {
            Some(given) => Client::new(given),
            None if !self.username.is_empty() => Some(Client {
                username: Credential::Text(self.username.clone().into()),
                password: Credential::Text(self.password.clone()),
            }),
            None => None,
        };
        let mut lines = self.htpasswd.as_ref().map(|given| given.inline.clone()).unwrap_or_default();
        if !self.username.is_empty() {
            lines.push_str(&format!("\n{}:{}", self.username, self.password.expose()));
        }
        let file = self.htpasswd.as_ref().map(|given| &given.file).filter(|file| !file.is_empty());
        let server = (file.is_some() || !lines.trim().is_empty())
            .then(|| Arc::new(Htpasswd::new(&lines, file.map(SecretFile::new))) as Arc<dyn ServerAuth>);
        let client = client.map(|client| Arc::new(client) as Arc<dyn ClientAuth>);
        Ok(AuthExports { handler: AuthHandler::new(context.id(), client, server) })
    }
}

// === impl Client ===

impl Client {
    /// Both must be given in one way or the other.
    fn new(given: &ClientAuthBlock) -> Option<Client> {
        let credential = |text: SecretString, file: &str| {
            (!text.is_empty() || !file.is_empty()).then(|| Credential::new(text, file))
        };
        Some(Client {
            username: credential(given.username.clone().into(), &given.username_file)?,
            password: credential(given.password.clone(), &given.password_file)?,
        })
    }
}

impl ClientAuth for Client {
    fn authenticate<'a>(
        &'a self,
        _: Option<&'a Origin>,
        headers: &'a mut HeaderMap,
    ) -> BoxFuture<'a, Result<(), String>> {
        let value = self.value().map(|value| drop(headers.insert(AUTHORIZATION, value)));
        Box::pin(std::future::ready(value))
    }
}

impl Client {
    fn value(&self) -> Result<HeaderValue, String> {
        let pair = format!("{}:{}", self.username.read()?, self.password.read()?);
        let value = format!("Basic {}", STANDARD.encode(pair));
        // base64 has no byte that a header cannot have.
        let mut value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
