//! The `tls` blocks of clients and servers, and the rustls settings they mean.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_stdx::duration::GoDuration;
use language_eval::{Block, Invalid, SecretString, Validate};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use sdk_net::tls::{Trust, Verifier};
use tokio::time::Instant;

use crate::not_yet;

/// What clients and servers have in common.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(validate)]
pub struct TlsSettings {
    /// Certificates of the authorities to trust, as PEM.
    #[attr(optional)]
    pub ca_pem: String,
    /// Path to the same.
    #[attr(optional)]
    pub ca_file: String,
    /// Own certificate, as PEM.
    #[attr(optional)]
    pub cert_pem: String,
    /// Path to the same.
    #[attr(optional)]
    pub cert_file: String,
    /// Own key, as PEM.
    #[attr(optional)]
    pub key_pem: SecretString,
    /// Path to the same.
    #[attr(optional)]
    pub key_file: String,
    /// The oldest version to speak. Older ones than 1.2 are never spoken.
    #[attr(optional)]
    pub min_version: String,
    /// The newest version to speak.
    #[attr(optional)]
    pub max_version: String,
    /// How often files are read again; 0 is never.
    #[attr(default = GoDuration::ZERO)]
    pub reload_interval: GoDuration,
    /// Cipher suites for TLS 1.2, by their names in the standard.
    #[attr(optional)]
    pub cipher_suites: Vec<String>,
    /// Not supported: there are none.
    #[attr(optional)]
    pub include_insecure_cipher_suites: bool,
    /// Trusts the system's authorities beside the given ones.
    #[attr(optional)]
    pub include_system_ca_certs_pool: bool,
    /// Key exchanges to offer: `X25519`, `P256`, `P384`.
    #[attr(optional)]
    pub curve_preferences: Vec<String>,
    /// Not supported yet.
    #[block]
    pub tpm: Option<Tpm>,
}

/// A key inside a TPM.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Tpm {
    /// Whether to use it.
    #[attr(optional)]
    pub enabled: bool,
    /// The device.
    #[attr(optional)]
    pub path: String,
    /// The owner's authorization.
    #[attr(optional)]
    pub owner_auth: String,
    /// The key's authorization.
    #[attr(optional)]
    pub auth: String,
}

/// The `tls` block of a client.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct TlsClient {
    /// Certificates and versions.
    #[squash]
    pub settings: TlsSettings,
    /// Speaks without TLS.
    #[attr(optional)]
    pub insecure: bool,
    /// Takes any certificate.
    #[attr(optional)]
    pub insecure_skip_verify: bool,
    /// The name to look for in the certificate, instead of the endpoint's.
    #[attr(optional)]
    pub server_name: String,
}

/// The `tls` block of a server.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct TlsServer {
    /// Certificates and versions.
    #[squash]
    pub settings: TlsSettings,
    /// Authorities of client certificates; with it every client must have one.
    #[attr(optional)]
    pub client_ca_file: String,
}

/// Settings that are made again from their files every `reload_interval`.
pub struct Reloading<T> {
    make: Box<dyn Fn() -> io::Result<T> + Send + Sync>,
    interval: Option<Duration>,
    current: Mutex<(Arc<T>, Instant)>,
}

// === impl Reloading ===

impl<T> Reloading<T> {
    fn new(interval: GoDuration, make: impl Fn() -> io::Result<T> + Send + Sync + 'static) -> io::Result<Self> {
        let first = make()?;
        let interval = interval.to_std().filter(|interval| !interval.is_zero());
        Ok(Reloading { make: Box::new(make), interval, current: Mutex::new((Arc::new(first), Instant::now())) })
    }

    /// The settings to use for a connection made now. Files that cannot be read any more leave the last ones in use.
    pub fn get(&self) -> Arc<T> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if self.interval.is_some_and(|interval| current.1.elapsed() >= interval) {
            current.1 = Instant::now();
            match (self.make)() {
                Ok(made) => current.0 = Arc::new(made),
                Err(error) => tracing::warn!(%error, "cannot read TLS files again; the last ones stay in use"),
            }
        }
        current.0.clone()
    }
}

// === impl TlsSettings ===

impl Validate for TlsSettings {
    fn validate(&self) -> Result<(), Invalid> {
        for (text, file, field, message) in [
            (
                !self.ca_pem.is_empty(),
                !self.ca_file.is_empty(),
                "ca_file",
                "at most one of ca_pem and ca_file must be configured",
            ),
            (
                !self.cert_pem.is_empty(),
                !self.cert_file.is_empty(),
                "cert_file",
                "at most one of cert_pem and cert_file must be configured",
            ),
            (
                !self.key_pem.is_empty(),
                !self.key_file.is_empty(),
                "key_file",
                "at most one of key_pem and key_file must be configured",
            ),
        ] {
            if text && file {
                return Err(Invalid::field(field, message));
            }
        }
        let certificate = !self.cert_pem.is_empty() || !self.cert_file.is_empty();
        let key = !self.key_pem.is_empty() || !self.key_file.is_empty();
        if certificate && !key {
            let message =
                "exactly one of key_pem or key_file must be configured when a client certificate is configured";
            return Err(Invalid::block(message));
        }
        if key && !certificate {
            let message = "exactly one of cert_pem or cert_file must be configured when a client key is configured";
            return Err(Invalid::block(message));
        }
        for (field, version) in [("min_version", &self.min_version), ("max_version", &self.max_version)] {
            if !["", "1.0", "1.1", "1.2", "1.3"].contains(&&version[..]) {
                return Err(Invalid::field(field, format!("unsupported TLS version: {version:?}")));
            }
        }
        if matches!(&self.max_version[..], "1.0" | "1.1") {
            return Err(Invalid::field("max_version", "TLS versions older than 1.2 are not supported"));
        }
        if self.include_insecure_cipher_suites {
            return Err(not_yet("include_insecure_cipher_suites"));
        }
        if self.tpm.as_ref().is_some_and(|tpm| tpm.enabled) {
            return Err(not_yet("tpm"));
        }
        if let Some(unknown) = self.cipher_suites.iter().find(|name| suite(name).is_none()) {
            return Err(Invalid::field("cipher_suites", format!("invalid TLS cipher suite: {unknown:?}")));
        }
        if let Some(unknown) = self.curve_preferences.iter().find(|name| group(name).is_none()) {
            return Err(Invalid::field("curve_preferences", format!("invalid curve type: {unknown:?}")));
        }
        Ok(())
    }
}

impl TlsSettings {
    fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = rustls::crypto::ring::default_provider();
        if !self.cipher_suites.is_empty() {
            let chosen: Vec<_> = self.cipher_suites.iter().filter_map(|name| suite(name)).collect();
            // As in Go, the list is about TLS 1.2 only.
            provider.cipher_suites.retain(|suite| suite.tls13().is_some() || chosen.contains(suite));
        }
        if !self.curve_preferences.is_empty() {
            provider.kx_groups = self.curve_preferences.iter().filter_map(|name| group(name)).collect();
        }
        Arc::new(provider)
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let mut versions = Vec::new();
        if self.min_version != "1.3" {
            versions.push(&rustls::version::TLS12);
        }
        if self.max_version != "1.2" {
            versions.push(&rustls::version::TLS13);
        }
        versions
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let given = pem(&self.ca_pem, &self.ca_file, "ca")?;
        if given.is_none() || self.include_system_ca_certs_pool {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if let Some(given) = given {
            for certificate in certificates(&given)? {
                roots
                    .add(certificate)
                    .map_err(|error| invalid(format!("cannot use a certificate of the ca: {error}")))?;
            }
        }
        Ok(roots)
    }

    fn identity(&self) -> io::Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
        let certificate = pem(&self.cert_pem, &self.cert_file, "cert")?;
        let key = pem(&self.key_pem.expose(), &self.key_file, "key")?;
        let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
        let key =
            PrivateKeyDer::from_pem_slice(&key).map_err(|error| invalid(format!("cannot read the key: {error}")))?;
        Ok(Some((certificates(&certificate)?, key)))
    }
}

// === impl TlsClient ===

impl TlsClient {
    /// What to connect with; `alpn` are the protocols to offer.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should.
    pub fn config(&self, alpn: &'static [&'static [u8]]) -> io::Result<Reloading<ClientConfig>> {
        let this = self.clone();
        Reloading::new(self.settings.reload_interval, move || this.make(alpn))
    }

    /// For a client that is not to speak TLS at all, but whose library wants settings for it.
    pub(crate) fn trusting_nobody() -> io::Result<Reloading<ClientConfig>> {
        Reloading::new(GoDuration::ZERO, || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let builder = builder.map_err(|error| invalid(error.to_string()))?;
            Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        })
    }

    fn make(&self, alpn: &[&[u8]]) -> io::Result<ClientConfig> {
        let provider = self.settings.provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.settings.versions())
            .map_err(|error| invalid(error.to_string()))?;
        let trust = match self.insecure_skip_verify {
            true => Trust::Anybody,
            false => Trust::Only(Arc::new(self.settings.roots()?)),
        };
        let verifier = Verifier::new(trust, provider);
        verifier.check().map_err(invalid)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.settings.identity()? {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| invalid(error.to_string()))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

// === impl TlsServer ===

impl TlsServer {
    /// What to accept with; `alpn` are the protocols to offer.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should, or there is no certificate.
    pub fn config(&self, alpn: &'static [&'static [u8]]) -> io::Result<Reloading<ServerConfig>> {
        let this = self.clone();
        Reloading::new(self.settings.reload_interval, move || this.make(alpn))
    }

    fn make(&self, alpn: &[&[u8]]) -> io::Result<ServerConfig> {
        let provider = self.settings.provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.settings.versions())
            .map_err(|error| invalid(error.to_string()))?;
        let builder = if self.client_ca_file.is_empty() {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&read(&self.client_ca_file)?)? {
                roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
            }
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| invalid(error.to_string()))?)
        };
        let (chain, key) =
            self.settings.identity()?.ok_or_else(|| invalid("a server needs a certificate and its key"))?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| invalid(error.to_string()))?;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

fn suite(name: &str) -> Option<rustls::SupportedCipherSuite> {
    rustls::crypto::ring::ALL_CIPHER_SUITES.iter().find(|suite| format!("{:?}", suite.suite()) == name).copied()
}

fn group(name: &str) -> Option<&'static dyn rustls::crypto::SupportedKxGroup> {
    Some(match name {
        "X25519" => rustls::crypto::ring::kx_group::X25519,
        "P256" => rustls::crypto::ring::kx_group::SECP256R1,
        "P384" => rustls::crypto::ring::kx_group::SECP384R1,
        _ => return None,
    })
}

fn pem(text: &str, file: &str, what: &str) -> io::Result<Option<Vec<u8>>> {
    if !text.is_empty() {
        return Ok(Some(text.as_bytes().to_vec()));
    }
    if file.is_empty() {
        return Ok(None);
    }
    read(file).map(Some).map_err(|error| io::Error::new(error.kind(), format!("{what}_file: {error}")))
}

fn read(file: &str) -> io::Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| io::Error::new(error.kind(), format!("cannot read {file}: {error}")))
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| invalid(format!("cannot read a certificate: {error}")))?;
    if found.is_empty() {
        return Err(invalid("no certificate found in the PEM text"));
    }
    Ok(found)
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}
