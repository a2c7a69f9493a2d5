//! What the `http` block holds.

use language_eval::{Block, Invalid, SecretString, Validate};
use sdk_net::server::{ClientAuth, ServerTlsConfig};
use sdk_net::tls::TlsVersion;

/// The HTTP server's settings.
#[derive(Block, Debug, Default)]
pub struct Arguments {
    /// Answers over TLS only.
    #[block]
    pub tls: Option<Tls>,
    /// Who may ask.
    #[block]
    pub auth: Option<Auth>,
}

/// TLS of the server.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct Tls {
    /// PEM text of the certificate chain.
    #[attr(optional)]
    pub cert_pem: String,
    /// File with the PEM text of the certificate chain; read again when it changes.
    #[attr(optional)]
    pub cert_file: String,
    /// PEM text of the private key.
    #[attr(optional)]
    pub key_pem: SecretString,
    /// File with the PEM text of the private key; read again when it changes.
    #[attr(optional)]
    pub key_file: String,
    /// PEM text of the authorities that clients' certificates are checked against.
    #[attr(optional)]
    pub client_ca_pem: String,
    /// File with the PEM text of the authorities that clients' certificates are checked against.
    #[attr(optional)]
    pub client_ca_file: String,
    /// Whether clients have to show a certificate.
    #[attr(default = ClientAuth::NoClientCert)]
    pub client_auth_type: ClientAuth,
    /// Cipher suites of TLS 1.2 to offer; all safe ones when empty.
    #[attr(optional)]
    pub cipher_suites: Vec<String>,
    /// Elliptic curves to offer; all when empty.
    #[attr(optional)]
    pub curve_preferences: Vec<String>,
    /// The oldest version of TLS to speak. Versions before TLS12 are never spoken.
    #[attr]
    pub min_version: Option<TlsVersion>,
    /// The newest version of TLS to speak.
    #[attr]
    pub max_version: Option<TlsVersion>,
    /// Certificates from the Windows certificate store.
    #[block]
    pub windows_certificate_filter: Option<WindowsCertificateFilter>,
}

/// Certificates from the Windows certificate store.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct WindowsCertificateFilter {
    /// Which certificate to show.
    #[block]
    pub server: Option<WindowsServerFilter>,
    /// Which clients to accept.
    #[block]
    pub client: Option<WindowsClientFilter>,
}

/// Which certificate to show.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct WindowsServerFilter {
    /// Name of the store.
    #[attr(optional)]
    pub store: String,
    /// Name of the system store.
    #[attr(optional)]
    pub system_store: String,
    /// Issuers' common names.
    #[attr(optional)]
    pub issuer_common_names: Vec<String>,
    /// Template of the certificate.
    #[attr(optional)]
    pub template_id: String,
    /// How often to look again.
    #[attr(default = "5m".to_owned())]
    pub refresh_interval: String,
}

/// Which clients to accept.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct WindowsClientFilter {
    /// Issuers' common names.
    #[attr(optional)]
    pub issuer_common_names: Vec<String>,
    /// Regular expression for the subject's common name.
    #[attr(optional)]
    pub subject_regex: String,
    /// Template of the certificate.
    #[attr(optional)]
    pub template_id: String,
}

/// Who may ask.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct Auth {
    /// The user and password to ask for.
    #[block]
    pub basic: Option<BasicAuth>,
    /// Which paths need them; all when absent.
    #[block]
    pub filter: Option<Filter>,
}

/// The user and password to ask for.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct BasicAuth {
    /// The user's name.
    #[attr]
    pub username: String,
    /// The user's password.
    #[attr]
    pub password: SecretString,
}

/// Which paths need a password.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct Filter {
    /// Beginnings of paths.
    #[attr(optional)]
    pub paths: Vec<String>,
    /// Whether the password is asked for these paths, or for all but these.
    #[attr(default = true)]
    pub authenticate_matching_paths: bool,
}

impl From<Tls> for ServerTlsConfig {
    fn from(tls: Tls) -> ServerTlsConfig {
        ServerTlsConfig {
            cert_pem: tls.cert_pem,
            cert_file: tls.cert_file,
            key_pem: tls.key_pem,
            key_file: tls.key_file,
            client_ca_pem: tls.client_ca_pem,
            client_ca_file: tls.client_ca_file,
            client_auth: tls.client_auth_type,
            min_version: tls.min_version,
            max_version: tls.max_version,
            cipher_suites: tls.cipher_suites,
            curve_preferences: tls.curve_preferences,
            http2: true,
            not_http: false,
        }
    }
}

impl Validate for Tls {
    fn validate(&self) -> Result<(), Invalid> {
        let both = |pem: bool, file: bool, what: &str| {
            let message = format!("cannot specify both {what}_pem and {what}_file");
            if pem && file { Err(Invalid::block(message)) } else { Ok(()) }
        };
        if self.windows_certificate_filter.is_some() {
            return Err(Invalid::field(
                "windows_certificate_filter",
                "windows_certificate_filter is only supported on Windows",
            ));
        }
        both(!self.client_ca_pem.is_empty(), !self.client_ca_file.is_empty(), "client_ca")?;
        both(!self.cert_pem.is_empty(), !self.cert_file.is_empty(), "cert")?;
        both(!self.key_pem.is_empty(), !self.key_file.is_empty(), "key")?;
        if self.cert_pem.is_empty() && self.cert_file.is_empty() {
            return Err(Invalid::block("must specify either cert_pem or cert_file"));
        }
        if self.key_pem.is_empty() && self.key_file.is_empty() {
            return Err(Invalid::block("must specify either key_pem or key_file"));
        }
        let client_ca = !self.client_ca_pem.is_empty() || !self.client_ca_file.is_empty();
        if client_ca && self.client_auth_type == ClientAuth::NoClientCert {
            return Err(Invalid::field(
                "client_auth_type",
                "cannot specify client_ca_pem or client_ca_file when client_auth_type is NoClientCert",
            ));
        }
        Ok(())
    }
}
