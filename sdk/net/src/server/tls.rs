//! TLS for servers; certificates are read again when they change.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::DigitallySignedStruct;
use rustls::DistinguishedName;
use rustls::SignatureScheme;
use rustls::SupportedCipherSuite;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::kx_group;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::secret_file::Stamp;
use crate::tls::{TlsError, TlsVersion, certificates, pem, private_key, provider, root_store};

/// What a server shows and asks for.
#[derive(Clone, Default, PartialEq)]
pub struct ServerTlsConfig {
    /// The certificate, in PEM.
    pub cert_pem: String,
    /// The same in a file.
    pub cert_file: String,
    /// Its key, in PEM.
    pub key_pem: language_eval::SecretString,
    /// The same in a file.
    pub key_file: String,
    /// The authorities that clients' certificates come from, in PEM.
    pub client_ca_pem: String,
    /// The same in a file.
    pub client_ca_file: String,
    /// Whether clients must show who they are.
    pub client_auth: ClientAuth,
    /// The oldest version to speak.
    pub min_version: Option<TlsVersion>,
    /// The newest version to speak.
    pub max_version: Option<TlsVersion>,
    /// Suites of TLS 1.2 to speak, by Go's names; all when empty.
    pub cipher_suites: Vec<String>,
    /// Curves to speak, by Go's names; all when empty.
    pub curve_preferences: Vec<String>,
    /// Offer HTTP/2.
    pub http2: bool,
    /// What is spoken inside is not HTTP: no protocol is offered or asked for.
    pub not_http: bool,
}

/// Whether clients must show who they are; the names are Go's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, language_eval::Word)]
pub enum ClientAuth {
    /// Do not ask.
    #[default]
    #[word(name = "NoClientCert")]
    NoClientCert,
    /// Ask, and take whatever comes or does not.
    #[word(name = "RequestClientCert")]
    RequestClientCert,
    /// Some certificate, from anybody.
    #[word(name = "RequireAnyClientCert")]
    RequireAnyClientCert,
    /// Optional, but a good one if any.
    #[word(name = "VerifyClientCertIfGiven")]
    VerifyClientCertIfGiven,
    /// A good one.
    #[word(name = "RequireAndVerifyClientCert")]
    RequireAndVerifyClientCert,
}

/// Accepts TLS connections.
pub struct ServerTls {
    config: ServerTlsConfig,
    built: Mutex<(TlsAcceptor, Vec<(PathBuf, Option<Stamp>)>)>,
}

// === impl ServerTls ===

impl ServerTls {
    /// Reads certificates and key; fails when they cannot be used.
    pub fn new(config: ServerTlsConfig) -> Result<ServerTls, TlsError> {
        let built = (config.acceptor()?, config.stamps());
        Ok(ServerTls { config, built: Mutex::new(built) })
    }

    /// The handshake of one connection; the caller bounds its time.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = self.acceptor();
        acceptor.accept(stream).await
    }

    fn acceptor(&self) -> TlsAcceptor {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if built.1.iter().any(|(path, stamp)| Stamp::of(path).ok() != *stamp) {
            built.1 = self.config.stamps();
            match self.config.acceptor() {
                Ok(acceptor) => built.0 = acceptor,
                // Half-written files are no reason to lock everybody out.
                Err(error) => tracing::warn!(%error, "changed certificates cannot be used; going on with the old ones"),
            }
        }
        built.0.clone()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerTls({:?})", self.config.client_auth)
    }
}

// === impl ServerTlsConfig ===

impl ServerTlsConfig {
    fn stamps(&self) -> Vec<(PathBuf, Option<Stamp>)> {
        let files = [&self.cert_file, &self.key_file, &self.client_ca_file];
        let named = files.into_iter().filter(|file| !file.is_empty()).map(Path::new);
        named.map(|path| (path.to_owned(), Stamp::of(path).ok())).collect()
    }

    fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let rank = |version: TlsVersion| if version == TlsVersion::Tls13 { 13 } else { 12 };
        let lowest = self.min_version.map_or(12, rank);
        let highest = self.max_version.map_or(13, rank);
        let known = [(13, &rustls::version::TLS13), (12, &rustls::version::TLS12)];
        let in_range = known.into_iter().filter(|(number, _)| (lowest..=highest).contains(number));
        let versions: Vec<_> = in_range.map(|(_, version)| version).collect();
        if versions.is_empty() {
            return Err(TlsError("max_version is older than min_version".to_owned()));
        }
        let missing = |what: &str| TlsError(format!("must specify either {what}_pem or {what}_file"));
        let certificate = pem("cert", &self.cert_pem, &self.cert_file)?.ok_or_else(|| missing("cert"))?;
        let key = pem("key", &self.key_pem.expose(), &self.key_file)?.ok_or_else(|| missing("key"))?;
        let builder = rustls::ServerConfig::builder_with_provider(self.provider()?)
            .with_protocol_versions(&versions)
            .map_err(|error| TlsError(error.to_string()))?;
        let builder = match self.client_verifier()? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let chain = certificates(&certificate, "cert", &self.cert_file)?;
        let mut config = builder
            .with_single_cert(chain, private_key(&key, &self.key_file)?)
            .map_err(|error| TlsError(format!("the server's certificate and key do not go together: {error}")))?;
        if self.http2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        if !self.not_http {
            config.alpn_protocols.push(b"http/1.1".to_vec());
        }
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Only the suites and curves that are wanted.
    fn provider(&self) -> Result<Arc<CryptoProvider>, TlsError> {
        if self.cipher_suites.is_empty() && self.curve_preferences.is_empty() {
            return Ok(provider());
        }
        let mut chosen = CryptoProvider::clone(&provider());
        if !self.cipher_suites.is_empty() {
            let name = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            let known = |wanted: &&String| !chosen.cipher_suites.iter().any(|suite| name(suite) == **wanted);
            if let Some(unknown) = self.cipher_suites.iter().find(known) {
                return Err(TlsError(format!("cipher suite {unknown:?} is not supported: it is unknown or unsafe")));
            }
            // As in Go, the suites of TLS 1.3 are not for choosing.
            let wanted =
                |suite: &SupportedCipherSuite| suite.tls13().is_some() || self.cipher_suites.contains(&name(suite));
            chosen.cipher_suites.retain(wanted);
        }
        if !self.curve_preferences.is_empty() {
            let group = |curve: &String| match curve.as_str() {
                "CurveP256" => Ok(kx_group::SECP256R1),
                "CurveP384" => Ok(kx_group::SECP384R1),
                "X25519" => Ok(kx_group::X25519),
                other => {
                    Err(TlsError(format!("curve {other:?} is not supported; CurveP256, CurveP384 and X25519 are")))
                }
            };
            chosen.kx_groups = self.curve_preferences.iter().map(group).collect::<Result<_, _>>()?;
        }
        Ok(Arc::new(chosen))
    }

    fn client_verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let mandatory = match self.client_auth {
            ClientAuth::NoClientCert => return Ok(None),
            ClientAuth::RequestClientCert => return Ok(Some(Arc::new(AnyClient { mandatory: false }))),
            ClientAuth::RequireAnyClientCert => return Ok(Some(Arc::new(AnyClient { mandatory: true }))),
            ClientAuth::VerifyClientCertIfGiven => false,
            ClientAuth::RequireAndVerifyClientCert => true,
        };
        let authorities = pem("client_ca", &self.client_ca_pem, &self.client_ca_file)?.ok_or_else(|| {
            TlsError("clients' certificates can only be checked with client_ca_pem or client_ca_file".into())
        })?;
        let roots = Arc::new(root_store(&authorities, "client_ca", &self.client_ca_file)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = if mandatory { builder } else { builder.allow_unauthenticated() };
        builder
            .build()
            .map(|verifier| Some(verifier as Arc<dyn ClientCertVerifier>))
            .map_err(|error| TlsError(error.to_string()))
    }
}

/// Takes every client's certificate.
#[derive(Debug)]
struct AnyClient {
    mandatory: bool,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
