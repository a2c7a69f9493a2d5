//! The arguments that every component with an HTTP client shares (spec §3.12).

use std::collections::BTreeMap;

use base64::Engine as _;
use language_eval::{Arguments, Block, Invalid, SecretString, Validate};
use sdk_component::{Blame, Problem};

use crate::secret_file::SecretFile;
use crate::tls::TlsConfig;

/// How to reach a peer over HTTP and who to be there. Components squash it into their own arguments.
#[derive(Arguments, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct ClientConfig {
    /// Username and password.
    #[block]
    pub basic_auth: Option<BasicAuth>,
    /// A credential of any type for the Authorization header.
    #[block]
    pub authorization: Option<Authorization>,
    /// A token from an OAuth 2.0 server, by client credentials.
    #[block]
    pub oauth2: Option<OAuth2>,
    /// A bearer token.
    #[attr(optional)]
    pub bearer_token: SecretString,
    /// A file with a bearer token; read again when it changes.
    #[attr(optional)]
    pub bearer_token_file: String,
    /// The way there.
    #[squash]
    pub proxy: ProxyConfig,
    /// Certificates to show and to trust.
    #[block(optional)]
    pub tls_config: TlsConfig,
    /// Follow redirects; with the first request ten are made at most.
    #[attr(default = true)]
    pub follow_redirects: bool,
    /// Speak HTTP/2 where the server offers it over TLS.
    #[attr(default = true)]
    pub enable_http2: bool,
    /// Headers for each request; those that the component itself sets win.
    #[attr(optional)]
    pub http_headers: BTreeMap<String, Vec<SecretString>>,
}

/// Username and password.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct BasicAuth {
    /// The username.
    #[attr(optional)]
    pub username: String,
    /// The password.
    #[attr(optional)]
    pub password: SecretString,
    /// A file with the password; read again when it changes.
    #[attr(optional)]
    pub password_file: String,
}

/// The Authorization header.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct Authorization {
    /// The word before the credential; empty means `Bearer`.
    #[attr(optional)]
    pub r#type: String,
    /// The credential.
    #[attr(optional)]
    pub credentials: SecretString,
    /// A file with the credential; read again when it changes.
    #[attr(optional)]
    pub credentials_file: String,
}

/// A token by client credentials (RFC 6749, 4.4).
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct OAuth2 {
    /// Who we are to the token server.
    #[attr(optional)]
    pub client_id: String,
    /// Our secret there.
    #[attr(optional)]
    pub client_secret: SecretString,
    /// A file with the secret; read again when it changes.
    #[attr(optional)]
    pub client_secret_file: String,
    /// What the token shall be good for.
    #[attr(optional)]
    pub scopes: Vec<String>,
    /// Where to get it.
    #[attr(optional)]
    pub token_url: String,
    /// More parameters for the token server.
    #[attr(optional)]
    pub endpoint_params: BTreeMap<String, String>,
    /// The way to the token server.
    #[squash]
    pub proxy: ProxyConfig,
    /// Certificates for the token server.
    #[block]
    pub tls_config: Option<TlsConfig>,
}

/// The way to a peer.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct ProxyConfig {
    /// `http://`, `https://` or `socks5://` address of a proxy.
    #[attr(optional)]
    pub proxy_url: String,
    /// Addresses, networks and domains that are reached without the proxy, separated by commas.
    #[attr(optional)]
    pub no_proxy: String,
    /// Take the proxy from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
    #[attr(optional)]
    pub proxy_from_environment: bool,
    /// Headers for the proxy itself.
    #[attr(optional)]
    pub proxy_connect_header: BTreeMap<String, Vec<SecretString>>,
}

// === impl ClientConfig ===

impl Validate for ClientConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let configured = [
            self.basic_auth.is_some(),
            self.authorization.is_some(),
            self.oauth2.is_some(),
            !self.bearer_token.is_empty(),
            !self.bearer_token_file.is_empty(),
        ];
        if configured.into_iter().filter(|&is| is).count() > 1 {
            return Err(Invalid::block(
                "at most one of basic_auth, authorization, oauth2, bearer_token & bearer_token_file must be configured",
            ));
        }
        for name in self.http_headers.keys() {
            if http::HeaderName::try_from(name.as_str()).is_err() {
                return Err(Invalid::field("http_headers", format!("{name:?} is not the name of a header")));
            }
            if RESERVED_HEADERS.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
                return Err(Invalid::field(
                    "http_headers",
                    format!("setting header {name:?} is not allowed: the protocol or another argument sets it"),
                ));
            }
        }
        Ok(())
    }
}

/// What Prometheus' clients do not let a user set.
const RESERVED_HEADERS: [&str; 20] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
    "Transfer-Encoding",
    "Upgrade",
];

impl ClientConfig {
    /// What is not there of the files that are read with the first request only. That is no reason not to start, as they are
    /// read again until they are there. `place` stands before the names of arguments: `endpoint.`.
    pub fn doubts(&self, place: &str) -> Vec<Problem> {
        let mut files = vec![("bearer_token_file", self.bearer_token_file.as_str())];
        if let Some(basic) = &self.basic_auth {
            files.push(("basic_auth.password_file", &basic.password_file));
        }
        if let Some(authorization) = &self.authorization {
            files.push(("authorization.credentials_file", &authorization.credentials_file));
        }
        if let Some(oauth2) = &self.oauth2 {
            files.push(("oauth2.client_secret_file", &oauth2.client_secret_file));
            if let Some(tls) = &oauth2.tls_config {
                files.push(("oauth2.tls_config.ca_file", &tls.ca_file));
                files.push(("oauth2.tls_config.cert_file", &tls.cert_file));
                files.push(("oauth2.tls_config.key_file", &tls.key_file));
            }
        }
        files.retain(|(_, file)| !file.is_empty());
        let missing = files.into_iter().filter_map(|(field, file)| {
            let error = SecretFile::new(file).read().err()?;
            let name = field.rsplit('.').next().unwrap_or(field);
            Some(
                Problem::at(format!("{place}{field}"), format!("cannot read {name} {error}"))
                    .with_hint("no request is made before it is there; it is looked for each time"),
            )
        });
        missing.collect()
    }

    /// Whether the certificates and keys can be used, which are needed to start. A missing file is this machine's fault.
    ///
    /// # Errors
    /// They cannot.
    pub fn check_certificates(&self, place: &str) -> Result<(), Problem> {
        let blame = match self.tls_config.files().next() {
            Some(_) => Blame::Environment,
            None => Blame::Configuration,
        };
        let checked = self.tls_config.client().map(drop);
        checked.map_err(|error| Problem { blame, ..Problem::at(format!("{place}tls_config"), error.0) })
    }
}

// === impl BasicAuth ===

impl BasicAuth {
    /// The value of the Authorization header for a password that was read elsewhere.
    pub(crate) fn header(&self, password: &str) -> String {
        let pair = format!("{}:{password}", self.username);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }
}

impl Validate for BasicAuth {
    fn validate(&self) -> Result<(), Invalid> {
        if !self.password.is_empty() && !self.password_file.is_empty() {
            return Err(Invalid::block("at most one of basic_auth password & password_file must be configured"));
        }
        Ok(())
    }
}

// === impl Authorization ===

impl Validate for Authorization {
    fn validate(&self) -> Result<(), Invalid> {
        if !self.credentials.is_empty() && !self.credentials_file.is_empty() {
            return Err(Invalid::block(
                "at most one of authorization credentials & credentials_file must be configured",
            ));
        }
        if self.r#type.trim().eq_ignore_ascii_case("basic") {
            return Err(Invalid::field(
                "type",
                "authorization type cannot be set to \"basic\", use \"basic_auth\" block instead",
            ));
        }
        Ok(())
    }
}

// === impl OAuth2 ===

impl Validate for OAuth2 {
    fn validate(&self) -> Result<(), Invalid> {
        let message = if self.client_id.is_empty() {
            "oauth2 client_id must be configured"
        } else if self.client_secret.is_empty() && self.client_secret_file.is_empty() {
            "either oauth2 client_secret or client_secret_file must be configured"
        } else if self.token_url.is_empty() {
            "oauth2 token_url must be configured"
        } else if !self.client_secret.is_empty() && !self.client_secret_file.is_empty() {
            "at most one of oauth2 client_secret & client_secret_file must be configured"
        } else {
            return Ok(());
        };
        Err(Invalid::block(message))
    }
}

// === impl ProxyConfig ===

impl Validate for ProxyConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let by_url = !self.proxy_url.is_empty();
        if !self.proxy_connect_header.is_empty() && !by_url && !self.proxy_from_environment {
            return Err(Invalid::field(
                "proxy_connect_header",
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
            ));
        }
        if self.proxy_from_environment && by_url {
            return Err(Invalid::field(
                "proxy_url",
                "if proxy_from_environment is configured, proxy_url must not be configured",
            ));
        }
        if self.proxy_from_environment && !self.no_proxy.is_empty() {
            return Err(Invalid::field(
                "no_proxy",
                "if proxy_from_environment is configured, no_proxy must not be configured",
            ));
        }
        if !by_url && !self.no_proxy.is_empty() {
            return Err(Invalid::field("no_proxy", "if no_proxy is configured, proxy_url must also be configured"));
        }
        if by_url && let Err(error) = url::Url::parse(&self.proxy_url) {
            return Err(Invalid::field("proxy_url", format!("is not a URL: {error}")));
        }
        Ok(())
    }
}
