//! TLS of the server. Everything is checked when the block is applied: a certificate that is none is refused with the
//! reload, instead of locking everyone out. Files are read again when they have changed, and a broken new one leaves the
//! old one in place.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use sdk_component::Problem;

use crate::arguments::Tls;

/// The largest certificate or key file that is read.
const MAX_FILE_BYTES: usize = 1 << 20;

/// The settings as they are now.
#[derive(Debug)]
pub(crate) struct ServerTls {
    arguments: Tls,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    changed: [Option<SystemTime>; 3],
}

impl ServerTls {
    /// Reads and checks everything.
    pub fn new(arguments: Tls) -> Result<ServerTls, Problem> {
        let changed = changed(&arguments);
        let config = config(&arguments)?;
        Ok(ServerTls { arguments, current: Mutex::new(Current { config, changed }) })
    }

    /// What the next handshake is to use.
    pub fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = changed(&self.arguments);
        if changed != current.changed {
            current.changed = changed;
            match config(&self.arguments) {
                Ok(config) => {
                    tracing::info!("TLS certificate reloaded");
                    current.config = config;
                }
                Err(error) => {
                    tracing::warn!(err = %error, "changed TLS files are not usable; the old ones stay in use")
                }
            }
        }
        current.config.clone()
    }
}

/// When each file was changed last.
fn changed(arguments: &Tls) -> [Option<SystemTime>; 3] {
    [&arguments.cert_file, &arguments.key_file, &arguments.client_ca_file].map(|path| {
        if path.is_empty() { None } else { std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok() }
    })
}

fn config(arguments: &Tls) -> Result<Arc<ServerConfig>, Problem> {
    let provider = Arc::new(provider(arguments)?);
    let certificates = certificates(&pem("cert", &arguments.cert_pem, &arguments.cert_file)?, "cert")?;
    let key = key(&pem("key", &arguments.key_pem.expose(), &arguments.key_file)?)?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(arguments)?)
        .map_err(|error| Problem::new(format!("cannot use these TLS settings: {error}")))?;
    let builder = match client_verifier(arguments, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| Problem::environment(format!("certificate and key do not go together: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn pem(what: &'static str, text: &str, file: &str) -> Result<Vec<u8>, Problem> {
    if file.is_empty() {
        return Ok(text.as_bytes().to_vec());
    }
    base_sys::fs::read_bounded(Path::new(file), MAX_FILE_BYTES)
        .map_err(|error| Problem::environment(format!("cannot read {what}_file {file:?}: {error}")))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let certificates: Result<Vec<_>, _> = rustls_pemfile::certs(&mut &*pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(Problem::environment(format!("{what} holds no PEM certificate")))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(Problem::environment(format!("{what} is not valid PEM: {error}"))),
    }
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    match rustls_pemfile::private_key(&mut &*pem) {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(Problem::environment("key holds no PEM private key")),
        Err(error) => Err(Problem::environment(format!("key is not valid PEM: {error}"))),
    }
}

fn provider(arguments: &Tls) -> Result<CryptoProvider, Problem> {
    let mut provider = ring::default_provider();
    if !arguments.cipher_suites.is_empty() {
        let mut chosen = Vec::new();
        for name in &arguments.cipher_suites {
            let suite = provider.cipher_suites.iter().find(|suite| format!("{:?}", suite.suite()) == rustls_name(name));
            chosen.push(*suite.ok_or_else(|| {
                Problem::at("cipher_suites", format!("cipher suite {name:?} is not supported: it is unknown or unsafe"))
            })?);
        }
        // As everywhere, the suites of TLS 1.3 are not for choosing.
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || chosen.contains(suite));
    }
    if !arguments.curve_preferences.is_empty() {
        let mut groups = Vec::new();
        for curve in &arguments.curve_preferences {
            groups.push(match curve.as_str() {
                "CurveP256" => ring::kx_group::SECP256R1,
                "CurveP384" => ring::kx_group::SECP384R1,
                "X25519" => ring::kx_group::X25519,
                other => {
                    return Err(Problem::at("curve_preferences", format!("curve {other:?} is not supported"))
                        .with_hint("CurveP256, CurveP384 and X25519 are"));
                }
            });
        }
        provider.kx_groups = groups;
    }
    Ok(provider)
}

/// Go's name of a suite as rustls writes it.
fn rustls_name(name: &str) -> String {
    match name {
        "TLS_AES_128_GCM_SHA256" | "TLS_AES_256_GCM_SHA384" | "TLS_CHACHA20_POLY1305_SHA256" => {
            name.replacen("TLS_", "TLS13_", 1)
        }
        other => other.to_owned(),
    }
}

fn versions(arguments: &Tls) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, Problem> {
    let number = |field: &'static str, text: &str, absent: u8| match text {
        "" => Ok(absent),
        "TLS10" => Ok(10),
        "TLS11" => Ok(11),
        "TLS12" => Ok(12),
        "TLS13" => Ok(13),
        other => Err(Problem::at(field, format!("unknown TLS version {other:?}"))
            .with_hint("it is one of TLS10, TLS11, TLS12, TLS13")),
    };
    let oldest = number("min_version", &arguments.min_version, 12)?;
    let newest = number("max_version", &arguments.max_version, 13)?;
    let mut versions = Vec::new();
    if newest >= 13 {
        versions.push(&rustls::version::TLS13);
    }
    if oldest <= 12 && newest >= 12 {
        versions.push(&rustls::version::TLS12);
    }
    if versions.is_empty() {
        return Err(Problem::at("max_version", "no version of TLS is left: TLS10 and TLS11 are not spoken"));
    }
    Ok(versions)
}

fn client_verifier(
    arguments: &Tls,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Problem> {
    let algorithms = provider.signature_verification_algorithms;
    let (checked, mandatory) = match arguments.client_auth_type.as_str() {
        "NoClientCert" => return Ok(None),
        "RequestClientCert" => (false, false),
        "RequireAnyClientCert" => (false, true),
        "VerifyClientCertIfGiven" => (true, false),
        "RequireAndVerifyClientCert" => (true, true),
        other => {
            return Err(Problem::at("client_auth_type", format!("unknown client_auth_type {other:?}")).with_hint(
                "it is one of NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, \
                 RequireAndVerifyClientCert",
            ));
        }
    };
    if !checked {
        return Ok(Some(Arc::new(AnyClient { mandatory, algorithms })));
    }
    let mut roots = RootCertStore::empty();
    let authorities = pem("client_ca", &arguments.client_ca_pem, &arguments.client_ca_file)?;
    for authority in certificates(&authorities, "client_ca")? {
        roots
            .add(authority)
            .map_err(|error| Problem::environment(format!("client_ca holds an unusable certificate: {error}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if mandatory { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| Problem::environment(format!("client_ca is unusable: {error}")))?;
    Ok(Some(verifier))
}

/// Takes any certificate whose key the client holds, whoever signed it.
#[derive(Debug)]
struct AnyClient {
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
