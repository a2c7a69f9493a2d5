//! The `client` block of HTTP exporters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use base_stdx::{bytesize::ByteSize, duration::GoDuration};
use bytes::{Bytes, BytesMut};
use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;
use sdk_signals::Origin;
use tokio::time::Instant;
use url::Url;

use super::Compression;
use crate::auth::{AuthHandler, ClientAuth};
use crate::not_yet;
use crate::tls::{Reloading, TlsClient};

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
    /// On the coding's own scale. `gzip`, `zlib` and `deflate` have 0 to 9, and -1 for the default, which is 1: that makes spans as
    /// small as Alloy's default and text 4 % larger, in half of the time. The other levels make bodies about as small as
    /// Alloy's do, or smaller. `zstd` has 0 to 22.
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
        if let Some(CompressionParams { level }) = self.compression_params {
            let known = match self.compression {
                Compression::Gzip | Compression::Zlib | Compression::Deflate => (-1..=9).contains(&level),
                Compression::Zstd => (0..=22).contains(&level),
                Compression::Snappy | Compression::None => level == 0,
            };
            if !known {
                let message = format!("unsupported compression level {level} for \"{}\"", self.compression);
                return Err(Invalid::field("compression_params", message));
            }
        }
        super::grpc::headers(&self.headers).map(|_| ()).map_err(|message| Invalid::field("headers", message))
    }
}

/// Answers are small; a larger one is cut off.
const ANSWER_LIMIT: usize = 4 << 20;

/// Sends bodies as a `client` block says.
pub struct HttpSender {
    block: HttpClient,
    tls: Reloading<rustls::ClientConfig>,
    /// The client, and the TLS settings that it was made with.
    built: Mutex<Option<(Arc<rustls::ClientConfig>, reqwest::Client)>>,
    headers: HeaderMap,
    auth: Option<Arc<dyn ClientAuth>>,
}

/// An answer.
#[derive(Debug)]
pub struct HttpReply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

// === impl HttpSender ===

impl HttpSender {
    /// Reads the files of the `tls` block; connects to nothing. `secure` says whether any URL is https.
    ///
    /// # Errors
    /// A file, a header or a proxy cannot be used.
    pub fn new(block: HttpClient, user_agent: &str, secure: bool) -> Result<HttpSender, Problem> {
        let alpn: &'static [&'static [u8]] =
            if block.force_attempt_http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        // The system's certificates take a while to read and are of no use to http.
        let tls = if secure { block.tls.config(alpn) } else { TlsClient::trusting_nobody() };
        let tls = tls.map_err(|error| Problem::environment(format!("failed to load TLS config: {error}")))?;
        let mut headers = super::grpc::headers(&block.headers).map_err(|message| Problem::at("client", message))?;
        if let Ok(value) = HeaderValue::from_str(user_agent) {
            headers.entry(header::USER_AGENT).or_insert(value);
        }
        let auth = block.auth.as_ref().map(AuthHandler::client).transpose();
        let auth = auth.map_err(|error| Problem::at("client", error))?;
        let sender = HttpSender { block, tls, built: Mutex::new(None), headers, auth };
        sender.client().map_err(|message| Problem::at("client", message))?;
        Ok(sender)
    }

    /// Sends bodies as they are, to whoever is not the end of a pipeline: to those who give out credentials.
    ///
    /// # Errors
    /// A file of the `tls` block cannot be used.
    pub fn plain(tls: TlsClient, timeout: GoDuration, user_agent: &str, secure: bool) -> Result<HttpSender, Problem> {
        let block = HttpClient {
            endpoint: String::new(),
            proxy_url: String::new(),
            compression: Compression::None,
            compression_params: None,
            tls,
            read_buffer_size: ByteSize(0),
            write_buffer_size: ByteSize(0),
            timeout,
            headers: BTreeMap::new(),
            max_idle_conns: 1,
            max_idle_conns_per_host: 0,
            max_conns_per_host: 0,
            idle_conn_timeout: GoDuration::from_secs(90),
            disable_keep_alives: false,
            http2_read_idle_timeout: GoDuration::ZERO,
            http2_ping_timeout: GoDuration::from_secs(15),
            force_attempt_http2: true,
            auth: None,
            cookies: None,
        };
        HttpSender::new(block, user_agent, secure)
    }

    /// Who says who we are.
    pub fn auth(&self) -> Option<&dyn ClientAuth> {
        self.auth.as_deref()
    }

    /// Sends a body, compressed as the block says and in the name that it says. When the server does not know us by it, and
    /// the authenticator has something else to show, it is sent once more.
    ///
    /// # Errors
    /// There is no answer; why, in words without the query of the URL.
    pub async fn post(
        &self,
        url: &Url,
        kind: &'static str,
        body: Bytes,
        origin: Option<&Origin>,
    ) -> Result<HttpReply, String> {
        let (coding, name) = self.block.compression.of_http();
        let level = self.block.compression_params.as_ref().and_then(|params| i32::try_from(params.level).ok());
        let mut plain = self.headers.clone();
        plain.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let body = match name {
            None => body,
            Some(name) => {
                plain.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
                coding.compress(&body, level).into()
            }
        };
        let Some(auth) = &self.auth else { return self.send(url, plain, body).await };
        let limit = self.block.timeout.to_std().filter(|limit| !limit.is_zero());
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut again = true;
        loop {
            let mut headers = plain.clone();
            let authenticating = auth.authenticate(origin, &mut headers);
            match deadline {
                None => authenticating.await?,
                Some(deadline) => tokio::time::timeout_at(deadline, authenticating)
                    .await
                    .unwrap_or_else(|_| Err("the authenticator gave no credentials in time".to_owned()))?,
            }
            let reply = self.send(url, headers.clone(), body.clone()).await?;
            if reply.status != StatusCode::UNAUTHORIZED || !std::mem::take(&mut again) || !auth.rejected(&headers) {
                return Ok(reply);
            }
        }
    }

    /// Sends a body as it is, with these headers and no others.
    ///
    /// # Errors
    /// There is no answer; why, in words without the query of the URL.
    pub async fn send(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<HttpReply, String> {
        let request = self.client()?.post(url.clone()).headers(headers).body(body);
        let failed = |error: reqwest::Error| describe(&error.without_url());
        let mut response = request.send().await.map_err(failed)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            let room = ANSWER_LIMIT - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == ANSWER_LIMIT {
                break;
            }
        }
        Ok(HttpReply {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
        })
    }

    fn client(&self) -> Result<reqwest::Client, String> {
        let tls = self.tls.get();
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_with, client)) = &*built
            && Arc::ptr_eq(made_with, &tls)
        {
            return Ok(client.clone());
        }
        let client = self.build((*tls).clone())?;
        *built = Some((tls, client.clone()));
        Ok(client)
    }

    fn build(&self, tls: rustls::ClientConfig) -> Result<reqwest::Client, String> {
        let block = &self.block;
        let limit = |duration: GoDuration| duration.to_std().filter(|duration| !duration.is_zero());
        let idle = if block.max_idle_conns_per_host > 0 { block.max_idle_conns_per_host } else { block.max_idle_conns };
        let idle = match usize::try_from(idle) {
            _ if block.disable_keep_alives => 0,
            Ok(0) | Err(_) => usize::MAX,
            Ok(idle) => idle,
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .pool_max_idle_per_host(idle)
            .pool_idle_timeout(limit(block.idle_conn_timeout))
            .http2_keep_alive_interval(limit(block.http2_read_idle_timeout))
            .http2_keep_alive_timeout(limit(block.http2_ping_timeout).unwrap_or(Duration::from_secs(15)))
            .tcp_nodelay(true);
        if let Some(timeout) = limit(block.timeout) {
            builder = builder.timeout(timeout);
        }
        if !block.force_attempt_http2 {
            builder = builder.http1_only();
        }
        if !block.proxy_url.is_empty() {
            let proxy = reqwest::Proxy::all(&block.proxy_url);
            builder = builder.proxy(proxy.map_err(|error| format!("cannot use proxy_url: {}", describe(&error)))?);
        }
        builder.build().map_err(|error| describe(&error))
    }
}

impl HttpReply {
    /// How long the server asks to wait: seconds or a date (RFC 9110, 10.2.3).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        sdk_net::client::retry_after(&self.headers)
    }
}

/// An error with what caused it.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
