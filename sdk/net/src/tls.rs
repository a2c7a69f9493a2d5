//! TLS for clients: whom to trust, and who to be.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use base_sys::fs;
use language_eval::{Block, Invalid, SecretString, Validate, Word};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Certificates to show and to trust.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct TlsConfig {
    /// Certificates of the authorities to trust instead of the system's.
    #[attr(optional)]
    pub ca_pem: String,
    /// The same in a file; read again when it changes.
    #[attr(optional)]
    pub ca_file: String,
    /// Our certificate.
    #[attr(optional)]
    pub cert_pem: String,
    /// The same in a file; read again when it changes.
    #[attr(optional)]
    pub cert_file: String,
    /// The key of our certificate.
    #[attr(optional)]
    pub key_pem: SecretString,
    /// The same in a file; read again when it changes.
    #[attr(optional)]
    pub key_file: String,
    /// The name that the server's certificate must have, if not that of the URL.
    #[attr(optional)]
    pub server_name: String,
    /// Trust any certificate.
    #[attr(optional)]
    pub insecure_skip_verify: bool,
    /// The oldest version to speak; empty means TLS 1.2.
    #[attr(optional)]
    pub min_version: Option<TlsVersion>,
}

/// A version of TLS. The two oldest are accepted, as Alloy's files may name them, and mean 1.2, the oldest spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum TlsVersion {
    /// 1.0
    #[word(name = "TLS10")]
    Tls10,
    /// 1.1
    #[word(name = "TLS11")]
    Tls11,
    /// 1.2
    #[word(name = "TLS12")]
    Tls12,
    /// 1.3
    #[word(name = "TLS13")]
    Tls13,
}

/// Why certificates or keys cannot be used; names the argument or file.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub String);

const MAX_PEM_BYTES: usize = 4 << 20;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

// === impl TlsConfig ===

impl Validate for TlsConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let both = |inline: bool, file: &str, message| match inline && !file.is_empty() {
            true => Err(Invalid::block(message)),
            false => Ok(()),
        };
        both(!self.ca_pem.is_empty(), &self.ca_file, "at most one of ca_pem and ca_file must be configured")?;
        both(!self.cert_pem.is_empty(), &self.cert_file, "at most one of cert_pem and cert_file must be configured")?;
        both(!self.key_pem.is_empty(), &self.key_file, "at most one of key_pem and key_file must be configured")?;
        match (self.has_certificate(), self.has_key()) {
            (true, false) => Err(Invalid::block(
                "exactly one of key_pem or key_file must be configured when a client certificate is configured",
            )),
            (false, true) => Err(Invalid::block(
                "exactly one of cert_pem or cert_file must be configured when a client key is configured",
            )),
            _ => Ok(()),
        }
    }
}

impl TlsConfig {
    /// There is a certificate to show.
    pub fn has_certificate(&self) -> bool {
        !self.cert_pem.is_empty() || !self.cert_file.is_empty()
    }

    fn has_key(&self) -> bool {
        !self.key_pem.is_empty() || !self.key_file.is_empty()
    }

    /// The files that are read again when they change.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.ca_file, &self.cert_file, &self.key_file].into_iter().filter(|file| !file.is_empty()).map(Path::new)
    }

    /// Reads the files and makes what rustls needs. The system's authorities are read only when the first server must be
    /// checked against them: plain HTTP does not pay for them.
    pub fn client(&self) -> Result<rustls::ClientConfig, TlsError> {
        self.client_up_to(None)
    }

    /// The same, which speaks no newer version than this.
    pub fn client_up_to(&self, newest: Option<TlsVersion>) -> Result<rustls::ClientConfig, TlsError> {
        let oldest_is_13 = self.min_version == Some(TlsVersion::Tls13);
        let versions: &[&rustls::SupportedProtocolVersion] = match (oldest_is_13, newest) {
            (_, Some(TlsVersion::Tls10 | TlsVersion::Tls11)) | (true, Some(TlsVersion::Tls12)) => {
                return Err(TlsError("no version of TLS is left between min_version and max_version".to_owned()));
            }
            (false, Some(TlsVersion::Tls12)) => &[&rustls::version::TLS12],
            (true, None | Some(TlsVersion::Tls13)) => &[&rustls::version::TLS13],
            (false, None | Some(TlsVersion::Tls13)) => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let trust = match pem("ca", &self.ca_pem, &self.ca_file)? {
            Some(text) => Trust::Only(Arc::new(root_store(&text, "ca", &self.ca_file)?)),
            None => Trust::System,
        };
        let trust = if self.insecure_skip_verify { Trust::Anybody } else { trust };
        let name = match self.server_name.as_str() {
            "" => None,
            name => Some(
                ServerName::try_from(name.to_owned())
                    .map_err(|_| TlsError(format!("server_name {name:?} is neither a host name nor an address")))?,
            ),
        };
        let verifier = Verifier { name, ..Verifier::new(trust, provider()) };
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| TlsError(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let certificate = pem("cert", &self.cert_pem, &self.cert_file)?;
        let key = pem("key", &self.key_pem.expose(), &self.key_file)?;
        let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(&certificate, "cert", &self.cert_file)?;
        let key = private_key(&key, &self.key_file)?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            TlsError(format!("the certificate and key to show to the server do not go together: {error}"))
        })
    }
}

/// A text given inline or by file; nothing when neither is.
pub(crate) fn pem(what: &str, inline: &str, file: &str) -> Result<Option<Vec<u8>>, TlsError> {
    if !inline.is_empty() {
        return Ok(Some(inline.as_bytes().to_vec()));
    }
    if file.is_empty() {
        return Ok(None);
    }
    let read = fs::read_bounded(Path::new(file), MAX_PEM_BYTES);
    read.map(Some).map_err(|error| TlsError(format!("cannot read {what}_file {file}: {error}")))
}

fn named(what: &str, file: &str) -> String {
    if file.is_empty() { format!("{what}_pem") } else { format!("{what}_file {file}") }
}

pub(crate) fn certificates(text: &[u8], what: &str, file: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError(format!("{} holds no certificate in PEM form", named(what, file)))),
        Err(error) => Err(TlsError(format!("{} is not valid PEM: {error}", named(what, file)))),
    }
}

pub(crate) fn private_key(text: &[u8], file: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text)
        .map_err(|error| TlsError(format!("{} holds no private key in PEM form: {error}", named("key", file))))
}

pub(crate) fn root_store(text: &[u8], what: &str, file: &str) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(text, what, file)? {
        store.add(certificate).map_err(|error| {
            TlsError(format!("{} holds a certificate that cannot be used: {error}", named(what, file)))
        })?;
    }
    Ok(store)
}

/// Whose certificates are good.
pub enum Trust {
    /// The user has said that any certificate will do.
    Anybody,
    /// Those that the system trusts. They are read when the first server is checked.
    System,
    /// These authorities, and one of these as a server's own: `openssl req -x509` makes such, people give that one file to
    /// both sides, and Go takes it. Who has its key could sign any other certificate.
    Only(Arc<RootCertStore>),
}

/// Checks servers' certificates.
pub struct Verifier {
    trust: Trust,
    /// The name to look for instead of the server's.
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
    authorities: OnceLock<Result<Authorities, String>>,
}

struct Authorities {
    roots: Arc<RootCertStore>,
    webpki: Arc<WebPkiServerVerifier>,
}

fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "cannot read some of the system's certificate authorities");
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        Arc::new(store)
    };
    ROOTS.get_or_init(load).clone()
}

// === impl Verifier ===

impl Verifier {
    /// Who trusts these.
    pub fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Verifier {
        Verifier { trust, name: None, provider, authorities: OnceLock::new() }
    }

    /// Whether there is anybody to trust; otherwise that shows at the first server.
    ///
    /// # Errors
    /// There is not.
    pub fn check(&self) -> Result<(), String> {
        match self.trust {
            Trust::Anybody => Ok(()),
            _ => self.authorities().map(drop),
        }
    }

    fn authorities(&self) -> Result<&Authorities, String> {
        let made = self.authorities.get_or_init(|| {
            let roots = match &self.trust {
                Trust::Only(roots) => roots.clone(),
                Trust::Anybody | Trust::System => system_roots(),
            };
            Authorities::new(roots, self.provider.clone())
        });
        made.as_ref().map_err(String::clone)
    }
}

// === impl Authorities ===

impl Authorities {
    fn new(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<Authorities, String> {
        let webpki = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider).build();
        let webpki = webpki.map_err(|error| format!("no certificate authority to check servers with: {error}"))?;
        Ok(Authorities { roots, webpki })
    }

    /// Whether a certificate is one of the authorities themselves: of their name and key.
    fn hold(&self, certificate: &CertificateDer<'_>) -> bool {
        let mut alone = RootCertStore::empty();
        alone.add(certificate.clone().into_owned()).is_ok()
            && alone.roots.iter().all(|anchor| self.roots.roots.contains(anchor))
    }
}

/// Said of a server that shows an authority's certificate, after its dates were found good and before anything else is
/// looked at. rustls passes it on without a name of its own.
fn is_authority_as_server(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    format!("{other:?}").contains("CaUsedAsEndEntity")
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trust = match self.trust {
            Trust::Anybody => "anybody",
            Trust::System => "the system's authorities",
            Trust::Only(_) => "given authorities",
        };
        f.debug_struct("Verifier").field("name", &self.name).field("trust", &trust).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if matches!(self.trust, Trust::Anybody) {
            return Ok(ServerCertVerified::assertion());
        }
        let name = self.name.as_ref().unwrap_or(server_name);
        let authorities = self.authorities().map_err(rustls::Error::General)?;
        match authorities.webpki.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            // Its dates are good then, and only the name is left to check.
            Err(error) if is_authority_as_server(&error) && authorities.hold(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A cause of rustls' with what to do about it, and not where its developers read on.
pub(crate) fn explained(mut cause: String) -> String {
    if let Some(end) = cause.find(": https://docs.rs/") {
        cause.truncate(end);
    }
    let cure = if cause.contains("InvalidContentType") {
        "the server does not speak TLS on this port; is its URL http://?"
    } else if cause.contains("UnknownIssuer") {
        "who signed it is not trusted here; ca_file or ca_pem in tls_config names whom to trust"
    } else if cause.contains("CaUsedAsEndEntity") {
        "it is its own authority; ca_file or ca_pem in tls_config makes it trusted"
    } else {
        return cause;
    };
    format!("{cause} ({cure})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_not_sent_to_the_documentation_of_a_library() {
        let told =
            "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/#unexpected-eof";
        assert_eq!(explained(told.to_owned()), "peer closed connection without sending TLS close_notify");
        assert_eq!(explained("connection reset".to_owned()), "connection reset");
    }

    const OWN: &[u8] = include_bytes!("client/fixtures/own.pem");
    const CA: &[u8] = include_bytes!("client/fixtures/ca.pem");
    /// In 2033, when the certificates are good, and in 2190, when they are not any more.
    const GOOD: u64 = 2_000_000_000;
    const LATE: u64 = 6_950_000_000;

    fn verdict(trusted: &[u8], name: &str, at: u64) -> Result<(), String> {
        let roots = Arc::new(root_store(trusted, "ca", "").unwrap());
        let verifier = Verifier::new(Trust::Only(roots), provider());
        let shown = certificates(OWN, "cert", "").unwrap().remove(0);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at));
        let verdict = verifier.verify_server_cert(&shown, &[], &name, &[], now);
        verdict.map(drop).map_err(|error| explained(error.to_string()))
    }

    #[test]
    fn a_certificate_that_is_its_own_authority_is_good_where_it_is_trusted() {
        assert_eq!(verdict(OWN, "own.example", GOOD), Ok(()));
        assert_eq!(verdict(&[CA, OWN].concat(), "own.example", GOOD), Ok(()));
        for (trusted, name, at, told) in [
            (CA, "own.example", GOOD, "it is its own authority; ca_file or ca_pem"),
            (OWN, "other.example", GOOD, "not valid for name"),
            (OWN, "own.example", LATE, "expired"),
        ] {
            let error = verdict(trusted, name, at).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
