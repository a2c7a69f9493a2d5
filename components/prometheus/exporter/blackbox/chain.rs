//! The chains of certificates that lead from a server's to the authorities that we trust, to tell when the last of them ends.
//! Whether to trust the server was decided before, in the handshake.

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use base_sys::{fs, task};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sdk_net::TlsConfig;

use super::certificate::Certificate;

/// When the authorities' certificates end, by their names as they are on the wire.
type Authorities = HashMap<Vec<u8>, i64>;

/// Longest chain that is followed.
const LONGEST: usize = 8;

const MOST_PEM_BYTES: usize = 4 << 20;

/// When the last of the chains ends; none if none leads to an authority.
pub(super) async fn last_expiry(certificates: &[Certificate], config: &TlsConfig) -> Option<i64> {
    let (leaf, others) = certificates.split_first()?;
    if config.ca_pem.is_empty() && config.ca_file.is_empty() {
        static SYSTEM: OnceLock<Authorities> = OnceLock::new();
        let load = || SYSTEM.get_or_init(|| authorities(rustls_native_certs::load_native_certs().certs));
        return last(leaf, others, task::blocking("authorities of the system", load).await.returned()?, LONGEST);
    }
    let text = match config.ca_pem.as_str() {
        "" => fs::read_bounded(Path::new(&config.ca_file), MOST_PEM_BYTES).ok()?,
        text => text.as_bytes().to_vec(),
    };
    last(leaf, others, &authorities(CertificateDer::pem_slice_iter(&text).filter_map(Result::ok)), LONGEST)
}

fn authorities<'a>(certificates: impl IntoIterator<Item = CertificateDer<'a>>) -> Authorities {
    let parsed = certificates.into_iter().filter_map(|der| Certificate::parse(&der));
    parsed.map(|certificate| (certificate.raw_subject, certificate.not_after)).collect()
}

fn last(from: &Certificate, others: &[Certificate], authorities: &Authorities, depth: usize) -> Option<i64> {
    let through_authority = authorities.get(&from.raw_issuer).copied();
    let issuers = others.iter().filter(|_| depth > 0).filter(|other| other.raw_subject == from.raw_issuer);
    let through_others = issuers.filter(|issuer| issuer.raw_subject != from.raw_subject);
    let through_others = through_others.filter_map(|issuer| last(issuer, others, authorities, depth - 1));
    through_others.chain(through_authority).map(|expiry| expiry.min(from.not_after)).max()
}
