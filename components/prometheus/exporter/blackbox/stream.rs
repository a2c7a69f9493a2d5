//! Connections of probes: TCP, and TLS upon it with what its certificates say.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::CommonState;
use rustls::pki_types::ServerName;
use sdk_net::TlsConfig;
use sdk_net::tls::TlsVersion;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::certificate::Certificate;
use super::chain;
use super::probe::{Family, Probe};

/// A connection, whatever is between us and the wire.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub(super) struct TlsManner {
    pub config: TlsConfig,
    /// The newest version to speak.
    pub newest: Option<TlsVersion>,
}

/// What a server showed of itself.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    version: &'static str,
    /// Its own first.
    certificates: Vec<Certificate>,
    /// When the last of the chains that lead to an authority ends, in seconds since 1970.
    chain_expiry: f64,
    /// Whether HTTP/2 was agreed upon.
    pub http2: bool,
}

const EARLIEST_EXPIRY: Family =
    Family { name: "probe_ssl_earliest_cert_expiry", help: "Returns last SSL chain expiry in unixtime" };
const CHAIN_EXPIRY: Family = Family {
    name: "probe_ssl_last_chain_expiry_timestamp_seconds",
    help: "Returns last SSL chain expiry in timestamp",
};
const CHAIN_INFORMATION: Family =
    Family { name: "probe_ssl_last_chain_info", help: "Contains SSL leaf certificate information" };
const TLS_VERSION: Family =
    Family { name: "probe_tls_version_info", help: "Returns the TLS version used or NaN when unknown" };

impl TlsManner {
    /// What rustls needs for it.
    pub fn client(&self) -> Result<rustls::ClientConfig, String> {
        self.config.client_up_to(self.newest).map_err(|error| error.to_string())
    }
}

/// Connects, from an address of ours if one is given.
pub(super) async fn dial(to: SocketAddr, from: Option<IpAddr>) -> Result<TcpStream, String> {
    let connect = async {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        socket.connect(to).await
    };
    connect.await.map_err(|error: io::Error| format!("cannot connect to {to}: {error}"))
}

/// Speaks TLS on a connection. `host` is whom the certificate must name, unless the configuration says otherwise.
pub(super) async fn secure<S: Stream + 'static>(
    stream: S,
    tls: &TlsManner,
    host: &str,
    protocols: &[&[u8]],
) -> Result<(tokio_rustls::client::TlsStream<S>, Shown), String> {
    let mut client = tls.client()?;
    let config = &tls.config;
    client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let host = if config.server_name.is_empty() { host } else { &config.server_name };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{host:?} is neither the name of a host nor an address"))?;
    let connector = TlsConnector::from(Arc::new(client));
    let stream = connector.connect(name, stream).await.map_err(|error| format!("TLS handshake failed: {error}"))?;
    let shown = shown(stream.get_ref().1, config).await;
    Ok((stream, shown))
}

async fn shown(connection: &CommonState, config: &TlsConfig) -> Shown {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "unknown",
    };
    let presented = connection.peer_certificates().unwrap_or_default();
    let certificates: Vec<Certificate> = presented.iter().filter_map(|der| Certificate::parse(der)).collect();
    let chain_expiry = match config.insecure_skip_verify {
        true => None,
        false => chain::last_expiry(&certificates, config).await,
    };
    Shown {
        version,
        certificates,
        // A time that was never set is in the year 1 for Go.
        chain_expiry: chain_expiry.map_or(-62_135_596_800.0, |expiry| expiry as f64),
        http2: connection.alpn_protocol() == Some(b"h2"),
    }
}

impl Shown {
    /// Puts all of it on the page.
    pub fn gauge(&self, probe: &mut Probe) {
        self.gauge_without_chain(probe);
        probe.set(&CHAIN_EXPIRY, self.chain_expiry);
    }

    /// Puts on the page what the gRPC probe shows.
    pub fn gauge_without_chain(&self, probe: &mut Probe) {
        let Some(leaf) = self.certificates.first() else { return };
        let earliest = self.certificates.iter().map(|certificate| certificate.not_after).min();
        probe.set(&EARLIEST_EXPIRY, earliest.unwrap_or_default() as f64);
        probe.set_of(&TLS_VERSION, &[("version", self.version)], 1.0);
        let labels = [
            ("fingerprint_sha256", leaf.fingerprint.as_str()),
            ("issuer", &leaf.issuer),
            ("subject", &leaf.subject),
            ("subjectalternative", &leaf.dns_names.join(",")),
        ];
        probe.set_of(&CHAIN_INFORMATION, &labels, 1.0);
    }
}

/// The expiry that the gRPC probe shows where there is no certificate.
pub(super) fn no_certificate(probe: &mut Probe) {
    probe.set(&EARLIEST_EXPIRY, 0.0);
}
