//! The `http` and `grpc` blocks of components that take pushes.

use base_stdx::duration::GoDuration;
use language_eval::{Arguments, Block, Invalid, SecretString, Validate};

use super::{ClientAuth, ServerTlsConfig};
use crate::tls::TlsVersion;

/// What every component that takes pushes is given for its server. Components squash it into their own arguments.
#[derive(Arguments, Clone, Debug, PartialEq)]
#[block(default)]
pub struct PushServer {
    /// The HTTP server. It runs also when the block is absent.
    #[block(optional)]
    pub http: HttpServer,
    /// Understood and checked, but nothing listens: no push protocol of a component speaks gRPC here.
    #[block(optional)]
    pub grpc: GrpcServer,
    /// How long requests under way may go on when the server stops or moves.
    #[attr(default = GoDuration::from_secs(30))]
    pub graceful_shutdown_timeout: GoDuration,
}

/// The HTTP server.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct HttpServer {
    /// The address to listen on; empty is every address.
    #[attr(optional)]
    pub listen_address: String,
    /// The port to listen on; 0 takes a free one.
    #[attr(default = 8080)]
    pub listen_port: i64,
    /// Connections at the same time, more wait; 0 is 10,000.
    #[attr(optional)]
    pub conn_limit: i64,
    /// How long a request may take to arrive, head and body each; 0 is 5m.
    #[attr(default = GoDuration::from_secs(30))]
    pub server_read_timeout: GoDuration,
    /// How long a request may wait for the pipeline; then it is refused with 503. 0 is forever.
    #[attr(default = GoDuration::from_secs(30))]
    pub server_write_timeout: GoDuration,
    /// Closes a connection that had no request for so long; 0 is never.
    #[attr(default = GoDuration::from_secs(120))]
    pub server_idle_timeout: GoDuration,
    /// Speaks TLS.
    #[block]
    pub tls: Option<PushTls>,
    /// How HTTP/2 is spoken.
    #[block(optional)]
    pub http2: Http2,
}

/// TLS of a server.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct PushTls {
    /// PEM text of the certificate chain.
    #[attr(optional)]
    pub cert_pem: String,
    /// PEM text of the private key.
    #[attr(optional)]
    pub key_pem: SecretString,
    /// File with the PEM text of the certificate chain; read again when it changes.
    #[attr(optional)]
    pub cert_file: String,
    /// File with the PEM text of the private key; read again when it changes.
    #[attr(optional)]
    pub key_file: String,
    /// Whether clients have to show a certificate: `NoClientCert`, `RequestClientCert`, `RequireAnyClientCert`,
    /// `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`.
    #[attr(optional)]
    pub client_auth_type: String,
    /// File with the PEM text of the authorities that clients' certificates are checked against.
    #[attr(optional)]
    pub client_ca_file: String,
    /// PEM text of the authorities that clients' certificates are checked against.
    #[attr(optional)]
    pub client_ca: String,
    /// Cipher suites of TLS 1.2 to offer, separated by commas; all safe ones when empty.
    #[attr(optional)]
    pub cipher_suites: String,
    /// The oldest version to speak: `VersionTLS12` or `VersionTLS13`; older ones are taken for the first.
    #[attr(optional)]
    pub min_version: String,
}

/// How HTTP/2 is spoken. It is also spoken without this block, to clients that begin with it.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct Http2 {
    /// Without effect: a client that speaks HTTP/2 is always understood.
    #[attr(optional)]
    pub enabled: bool,
    /// Without effect, in Alloy too.
    #[attr(optional)]
    pub max_handlers: i64,
    /// Requests under way on one connection; 0 is 250.
    #[attr(default = 100)]
    pub max_concurrent_streams: i64,
    /// Without effect: the table has 4096 bytes.
    #[attr(default = 4096)]
    pub max_decoder_header_table_size: i64,
    /// Without effect: the table has 4096 bytes.
    #[attr(default = 4096)]
    pub max_encoder_header_table_size: i64,
    /// Without effect: frames have at most 16384 bytes.
    #[attr(optional)]
    pub max_read_frame_size: i64,
    /// Without effect: prohibited suites are never spoken.
    #[attr(optional)]
    pub permit_prohibited_ciphers: bool,
    /// Without effect: `server_idle_timeout` holds for all connections.
    #[attr(default = GoDuration::ZERO)]
    pub idle_timeout: GoDuration,
    /// Without effect: a silent connection is pinged when the time for a request's head is over.
    #[attr(default = GoDuration::ZERO)]
    pub read_idle_timeout: GoDuration,
    /// Without effect: a ping that is not answered within 20s closes the connection.
    #[attr(default = GoDuration::from_secs(15))]
    pub ping_timeout: GoDuration,
    /// Without effect.
    #[attr(default = GoDuration::ZERO)]
    pub write_byte_timeout: GoDuration,
    /// What a client may send ahead on one connection, in bytes; 0 is 4 MiB.
    #[attr(optional)]
    pub max_upload_buffer_per_connection: i64,
    /// What a client may send ahead of one request, in bytes; 0 is 1 MiB.
    #[attr(optional)]
    pub max_upload_buffer_per_stream: i64,
}

/// The gRPC server that Alloy starts beside the HTTP server and that has nothing to serve.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct GrpcServer {
    /// Without effect.
    #[attr(optional)]
    pub listen_address: String,
    /// Without effect.
    #[attr(optional)]
    pub listen_port: i64,
    /// Without effect.
    #[attr(optional)]
    pub conn_limit: i64,
    /// Without effect.
    #[attr(default = GoDuration(i64::MAX))]
    pub max_connection_age: GoDuration,
    /// Without effect.
    #[attr(default = GoDuration(i64::MAX))]
    pub max_connection_age_grace: GoDuration,
    /// Without effect.
    #[attr(default = GoDuration(i64::MAX))]
    pub max_connection_idle: GoDuration,
    /// Without effect.
    #[attr(default = 4 << 20)]
    pub server_max_recv_msg_size: i64,
    /// Without effect.
    #[attr(default = 4 << 20)]
    pub server_max_send_msg_size: i64,
    /// Without effect.
    #[attr(default = 100)]
    pub server_max_concurrent_streams: i64,
    /// Without effect.
    #[block]
    pub tls: Option<PushTls>,
}

// === impl HttpServer ===

impl Validate for HttpServer {
    fn validate(&self) -> Result<(), Invalid> {
        if u16::try_from(self.listen_port).is_err() {
            return Err(Invalid::field("listen_port", "must be a port number, 0 to 65535"));
        }
        Ok(())
    }
}

impl HttpServer {
    /// As it is bound: `host:port`, `:port` for every address.
    pub fn endpoint(&self) -> String {
        match self.listen_address.contains(':') && !self.listen_address.starts_with('[') {
            true => format!("[{}]:{}", self.listen_address, self.listen_port),
            false => format!("{}:{}", self.listen_address, self.listen_port),
        }
    }
}

// === impl PushTls ===

impl Validate for PushTls {
    fn validate(&self) -> Result<(), Invalid> {
        let certificate = !self.cert_pem.is_empty() || !self.cert_file.is_empty();
        let key = !self.key_pem.is_empty() || !self.key_file.is_empty();
        // Alloy would go on without TLS.
        match (certificate, key) {
            (true, false) => return Err(Invalid::block("a certificate without key_pem or key_file cannot be used")),
            (false, true) => return Err(Invalid::block("a key without cert_pem or cert_file cannot be used")),
            _ => {}
        }
        self.client_auth()?;
        self.version()?;
        Ok(())
    }
}

impl PushTls {
    /// What to show and ask for; `None` for a block that names no certificate, which means no TLS, as in Alloy.
    pub fn config(&self) -> Result<Option<ServerTlsConfig>, Invalid> {
        if self.cert_pem.is_empty() && self.cert_file.is_empty() {
            return Ok(None);
        }
        let suites = self.cipher_suites.split(',').map(str::trim).filter(|suite| !suite.is_empty());
        Ok(Some(ServerTlsConfig {
            cert_pem: self.cert_pem.clone(),
            cert_file: self.cert_file.clone(),
            key_pem: self.key_pem.clone(),
            key_file: self.key_file.clone(),
            client_ca_pem: self.client_ca.clone(),
            client_ca_file: self.client_ca_file.clone(),
            client_auth: self.client_auth()?,
            min_version: self.version()?,
            cipher_suites: suites.map(str::to_owned).collect(),
            http2: true,
            ..ServerTlsConfig::default()
        }))
    }

    fn client_auth(&self) -> Result<ClientAuth, Invalid> {
        use language_eval::Word as _;
        if self.client_auth_type.is_empty() {
            return Ok(ClientAuth::NoClientCert);
        }
        let known = ClientAuth::from_word(&self.client_auth_type);
        known.ok_or_else(|| {
            let message = format!("invalid client_auth_type {:?}", self.client_auth_type);
            Invalid::field("client_auth_type", message).with_hint(format!("one of {}", ClientAuth::WORDS.join(", ")))
        })
    }

    fn version(&self) -> Result<Option<TlsVersion>, Invalid> {
        match self.min_version.as_str() {
            "" => Ok(None),
            "VersionTLS10" | "VersionTLS11" | "VersionTLS12" => Ok(Some(TlsVersion::Tls12)),
            "VersionTLS13" => Ok(Some(TlsVersion::Tls13)),
            other => Err(Invalid::field("min_version", format!("TLS version {other:?} not recognized"))
                .with_hint("write VersionTLS12 or VersionTLS13")),
        }
    }
}
