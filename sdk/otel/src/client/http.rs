//! The `client` block of HTTP exporters.

use std::collections::BTreeMap;

use ::http::HeaderMap;
use base_stdx::{bytesize::ByteSize, duration::GoDuration};
use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;

use super::Compression;
use crate::auth::AuthHandler;
use crate::not_yet;
use crate::tls::TlsClient;

/// Where to send over HTTP, and how.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct HttpClient {
    /// The base URL.
    #[attr]
    pub endpoint: String,
    /// A proxy to go through.
    #[attr(optional)]
    pub proxy_url: String,
    /// How bodies are compressed.
    #[attr(default = Compression::Gzip)]
    pub compression: Compression,
    /// How hard they are compressed.
    #[block]
    pub compression_params: Option<CompressionParams>,
    /// TLS, for URLs that begin with https.
    #[block(optional)]
    pub tls: TlsClient,
    /// Without effect.
    #[attr(default = ByteSize(0))]
    pub read_buffer_size: ByteSize,
    /// Without effect.
    #[attr(default = ByteSize::kib(512))]
    pub write_buffer_size: ByteSize,
    /// The longest a request may take.
    #[attr(default = GoDuration::from_secs(30))]
    pub timeout: GoDuration,
    /// Sent with every request.
    #[attr(optional)]
    pub headers: BTreeMap<String, String>,
    /// Idle connections to keep; 0 is no limit.
    #[attr(default = 100)]
    pub max_idle_conns: i64,
    /// The same for each host.
    #[attr(optional)]
    pub max_idle_conns_per_host: i64,
    /// Not supported yet: the queue's `num_consumers` is the limit.
    #[attr(optional)]
    pub max_conns_per_host: i64,
    /// When an idle connection is closed.
    #[attr(default = GoDuration::from_secs(90))]
    pub idle_conn_timeout: GoDuration,
    /// A new connection for each request.
    #[attr(optional)]
    pub disable_keep_alives: bool,
    /// Pings an HTTP/2 connection after this long without traffic; 0 is never.
    #[attr(default = GoDuration::ZERO)]
    pub http2_read_idle_timeout: GoDuration,
    /// How long the answer to a ping may take.
    #[attr(default = GoDuration::from_secs(15))]
    pub http2_ping_timeout: GoDuration,
    /// Offers HTTP/2 to https endpoints.
    #[attr(default = true)]
    pub force_attempt_http2: bool,
    /// Credentials.
    #[attr]
    pub auth: Option<AuthHandler>,
    /// Not supported yet.
    #[block]
    pub cookies: Option<Cookies>,
}

/// How hard bodies are compressed.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct CompressionParams {
    /// On the coding's own scale.
    #[attr]
    pub level: i64,
}

/// Whether cookies of the server are sent back.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Cookies {
    /// Whether.
    #[attr(optional)]
    pub enabled: bool,
}

// === impl HttpClient ===

impl Validate for HttpClient {
    fn validate(&self) -> Result<(), Invalid> {
        if self.cookies.is_some() {
            return Err(not_yet("cookies"));
        }
        if self.max_conns_per_host != 0 {
            return Err(not_yet("max_conns_per_host"));
        }
        super::grpc::headers(&self.headers).map(|_| ()).map_err(|message| Invalid::field("headers", message))
    }
}

impl HttpClient {
    /// What is sent with every request.
    ///
    /// # Errors
    /// A name or value that HTTP does not allow.
    pub fn sent_headers(&self) -> Result<HeaderMap, Problem> {
        super::grpc::headers(&self.headers).map_err(|message| Problem::at("client", message))
    }
}
