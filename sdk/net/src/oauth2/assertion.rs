//! What is signed to get a token (RFC 7523): a JSON web token of our own.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use super::grant::Proof;
use crate::secret_file::Credential;

/// The name of the grant.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// For how long it is good, in seconds.
const LIFETIME: i64 = 30 * 60;

/// What is signed.
#[derive(Debug)]
pub struct Assertion {
    /// An RSA key, as PEM.
    pub key: Credential,
    /// Which key it is; empty says nothing of it.
    pub key_id: String,
    /// How it is signed.
    pub algorithm: Algorithm,
    /// Who says it; the client when it is empty.
    pub issuer: String,
    /// To whom; the token server when it is empty.
    pub audience: String,
    /// What else is claimed; wins over everything that is claimed without it.
    pub claims: Map<String, Value>,
}

/// How an assertion is signed: RSA with PKCS #1 padding (RFC 7518, 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// With SHA-256.
    #[default]
    Rs256,
    /// With SHA-384.
    Rs384,
    /// With SHA-512.
    Rs512,
}

// === impl Assertion ===

impl Assertion {
    /// The signed token in its compact form.
    pub(super) fn sign(&self, proof: &Proof, token_url: &str, scopes: &str) -> Result<String, String> {
        let claims = self.claims(proof, token_url, scopes);
        let key = &proof.secret;
        signed(key, &self.key_id, self.algorithm, &claims)
            .map_err(|why| why.replace("the key", "the client certificate key"))
    }

    fn claims(&self, proof: &Proof, token_url: &str, scopes: &str) -> Value {
        let or = |text: &String, other: &str| if text.is_empty() { other.to_owned() } else { text.clone() };
        let now = base_sys::clock::now_ms() / 1000;
        let mut claims = json!({
            "iss": or(&self.issuer, &proof.id),
            "sub": proof.id,
            "jti": unique(),
            "aud": or(&self.audience, token_url),
            "iat": now,
            "exp": now + LIFETIME,
        });
        if !scopes.is_empty() {
            claims["scope"] = json!(scopes);
        }
        for (name, value) in &self.claims {
            claims[name] = value.clone();
        }
        claims
    }
}

/// Claims as a signed token in its compact form (RFC 7515). `key` is an RSA key as PEM; an empty `key_id` says nothing of it.
pub fn signed(key: &str, key_id: &str, algorithm: Algorithm, claims: &Value) -> Result<String, String> {
    let (name, scheme) = match algorithm {
        Algorithm::Rs256 => ("RS256", SignatureScheme::RSA_PKCS1_SHA256),
        Algorithm::Rs384 => ("RS384", SignatureScheme::RSA_PKCS1_SHA384),
        Algorithm::Rs512 => ("RS512", SignatureScheme::RSA_PKCS1_SHA512),
    };
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| format!("cannot read the key: {error}"))?;
    let key =
        rustls::crypto::ring::sign::any_supported_type(&key).map_err(|error| format!("cannot use the key: {error}"))?;
    let signer = key.choose_scheme(&[scheme]).ok_or("the key is not an RSA key")?;
    let mut header = json!({"alg": name, "typ": "JWT"});
    if !key_id.is_empty() {
        header["kid"] = json!(key_id);
    }
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}", encoded(&header), encoded(claims));
    let signature = signer.sign(token.as_bytes()).map_err(|error| format!("cannot sign: {error}"))?;
    Ok(format!("{token}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// So that no two assertions are the same; it is no secret.
fn unique() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}
