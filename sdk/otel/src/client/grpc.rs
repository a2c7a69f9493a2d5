//! The `client` block of gRPC exporters, and the connections it means.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use base_stdx::{bytesize::ByteSize, duration::GoDuration};
use language_eval::{Block, Invalid, Validate, Word};
use rustls::pki_types::ServerName;
use sdk_component::Problem;
use sdk_protocols_grpc::{Channel, ChannelConfig, Connect, Stream};

use super::Compression;
use crate::auth::AuthHandler;
use crate::not_yet;
use crate::tls::{Reloading, TlsClient};

/// Where to send over gRPC, and how.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct GrpcClient {
    /// `host:port`.
    #[attr]
    pub endpoint: String,
    /// How.
    #[squash]
    pub settings: GrpcSettings,
}

/// How to send over gRPC, wherever that is.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default, validate)]
pub struct GrpcSettings {
    /// How messages are compressed.
    #[attr(default = Compression::Gzip)]
    pub compression: Compression,
    /// TLS, which is on unless `insecure` says otherwise.
    #[block(optional)]
    pub tls: TlsClient,
    /// Pings that keep the connection alive.
    #[block]
    pub keepalive: Option<KeepaliveClient>,
    /// Without effect: buffers are as large as what is read.
    #[attr(default = ByteSize(0))]
    pub read_buffer_size: ByteSize,
    /// Without effect: segments are sent without being copied.
    #[attr(default = ByteSize::kib(512))]
    pub write_buffer_size: ByteSize,
    /// Waits for the connection instead of failing; a failed request is tried again in any case.
    #[attr(optional)]
    pub wait_for_ready: bool,
    /// Sent with every request.
    #[attr(optional)]
    pub headers: BTreeMap<String, String>,
    /// How endpoints behind one name are chosen.
    #[attr(default = Balancer::RoundRobin)]
    pub balancer_name: Balancer,
    /// The `:authority` of requests, instead of the endpoint.
    #[attr(optional)]
    pub authority: String,
    /// Credentials.
    #[attr]
    pub auth: Option<AuthHandler>,
}

/// How endpoints behind one name are chosen. One connection is held at a time, to the first address that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Balancer {
    /// The Collector's default.
    #[word(alias = "")]
    RoundRobin,
    /// The first that answers.
    PickFirst,
}

/// Pings of a client.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct KeepaliveClient {
    /// After this long without traffic.
    #[attr(default = GoDuration::ZERO)]
    pub ping_wait: GoDuration,
    /// How long the answer may take.
    #[attr(default = GoDuration::ZERO)]
    pub ping_response_timeout: GoDuration,
    /// Also while no request is under way.
    #[attr(optional)]
    pub ping_without_stream: bool,
}

// === impl GrpcClient ===

impl Validate for GrpcClient {
    fn validate(&self) -> Result<(), Invalid> {
        if self.endpoint.starts_with("unix:") {
            return Err(not_yet("endpoint").with_hint("unix sockets are not supported yet; use host:port"));
        }
        self.settings.target(&self.endpoint).map(|_| ()).map_err(|message| Invalid::field("endpoint", message))
    }
}

impl GrpcClient {
    /// A channel to the endpoint; nothing is connected yet.
    ///
    /// # Errors
    /// A file of the `tls` block cannot be used.
    pub fn channel(&self, user_agent: &str) -> Result<Channel, Problem> {
        self.settings.channel(&self.endpoint, user_agent)
    }
}

// === impl GrpcSettings ===

impl Validate for GrpcSettings {
    fn validate(&self) -> Result<(), Invalid> {
        if self.compression.of_grpc().is_none() {
            let message = format!("unsupported compression type \"{}\"", self.compression);
            return Err(Invalid::field("compression", message).with_hint("one of gzip, snappy, zstd, none"));
        }
        headers(&self.headers).map(|_| ()).map_err(|message| Invalid::field("headers", message))
    }
}

/// An endpoint taken apart.
struct Target {
    host: String,
    port: u16,
    tls: bool,
}

/// grpc-go gives no port to a name without one; this is OTLP's.
const DEFAULT_PORT: u16 = 4317;

impl GrpcSettings {
    /// A channel to an endpoint; nothing is connected yet.
    ///
    /// # Errors
    /// It is none, or a file of the `tls` block cannot be used.
    pub fn channel(&self, endpoint: &str, user_agent: &str) -> Result<Channel, Problem> {
        let target = self.target(endpoint).map_err(|message| Problem::at("client", message))?;
        let tls = if target.tls {
            Some(
                self.tls
                    .config(&[b"h2"])
                    .map_err(|error| Problem::environment(format!("failed to load TLS config: {error}")))?,
            )
        } else {
            None
        };
        let authority = if self.authority.is_empty() {
            format!("{}:{}", bracketed(&target.host), target.port)
        } else {
            self.authority.clone()
        };
        let scheme = if target.tls { "https" } else { "http" };
        let authority: Uri = format!("{scheme}://{authority}/")
            .parse()
            .map_err(|error| Problem::at("client", format!("invalid authority {authority:?}: {error}")))?;
        let mut sent = headers(&self.headers).map_err(|message| Problem::at("client", message))?;
        sent.entry(::http::header::USER_AGENT)
            .or_insert(HeaderValue::from_str(user_agent).unwrap_or(HeaderValue::from_static("Ferroalloy")));
        let keepalive = self.keepalive.clone().unwrap_or_default();
        let wait = |duration: GoDuration| duration.to_std().filter(|duration| !duration.is_zero());
        let config = ChannelConfig {
            authority,
            headers: sent,
            coding: self.compression.of_grpc().unwrap_or(sdk_protocols_compression::Coding::Identity),
            level: None,
            ping_interval: wait(keepalive.ping_wait),
            ping_timeout: wait(keepalive.ping_response_timeout).unwrap_or(Duration::from_secs(20)),
            ping_when_idle: keepalive.ping_without_stream,
        };
        let name = if self.tls.server_name.is_empty() { target.host.clone() } else { self.tls.server_name.clone() };
        let name = ServerName::try_from(name)
            .map_err(|error| Problem::at("client", format!("invalid server name: {error}")))?;
        Ok(Channel::new(config, Arc::new(Connector { host: target.host, port: target.port, tls, name })))
    }

    /// Why nothing is sent to an endpoint, if the credentials would go there for everybody to read.
    #[must_use]
    pub fn credentials_in_clear(&self, endpoint: &str) -> Option<String> {
        let auth = self.auth.as_ref()?;
        let secret = auth.client().is_ok_and(|client| client.needs_tls());
        let clear = self.target(endpoint).is_ok_and(|target| !target.tls);
        (secret && clear).then(|| {
            format!(
                "the credentials of {} require TLS, and tls.insecure switches it off: nothing is sent to {endpoint}; remove insecure, or auth",
                auth.component()
            )
        })
    }

    /// `https` forces TLS, `http` does not switch it off (spec §1).
    fn target(&self, endpoint: &str) -> Result<Target, String> {
        let lower = endpoint.to_ascii_lowercase();
        let forced = lower.starts_with("https://");
        let mut rest = endpoint;
        if forced || lower.starts_with("http://") {
            rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
        } else if let Some((_, name)) =
            rest.split_once(":///").filter(|(scheme, _)| matches!(*scheme, "dns" | "passthrough"))
        {
            rest = name;
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return Err("requires a non-empty \"endpoint\"".to_owned());
        }
        let uri: Uri =
            format!("http://{rest}").parse().map_err(|error| format!("invalid endpoint {endpoint:?}: {error}"))?;
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| format!("invalid endpoint {endpoint:?}: no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Target { host, port: uri.port_u16().unwrap_or(DEFAULT_PORT), tls: forced || !self.tls.insecure })
    }
}

pub(super) fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let name: HeaderName = name.parse().map_err(|_| format!("invalid header name {name:?}"))?;
        // The value may be a secret: it is not repeated.
        let mut value = HeaderValue::from_str(value).map_err(|_| format!("invalid value of header {name:?}"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

struct Connector {
    host: String,
    port: u16,
    tls: Option<Reloading<rustls::ClientConfig>>,
    name: ServerName<'static>,
}

impl Connect for Connector {
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + '_>> {
        Box::pin(async {
            let tcp = tokio::net::TcpStream::connect((&self.host[..], self.port)).await.map_err(|error| {
                io::Error::new(error.kind(), format!("{}:{}: {error}", bracketed(&self.host), self.port))
            })?;
            tcp.set_nodelay(true)?;
            let Some(tls) = &self.tls else { return Ok(Box::new(tcp) as Box<dyn Stream>) };
            let connector = tokio_rustls::TlsConnector::from(tls.get());
            let stream = connector.connect(self.name.clone(), tcp).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(endpoint: &str, insecure: bool) -> Result<(String, u16, bool), String> {
        let settings = GrpcSettings { tls: TlsClient { insecure, ..TlsClient::default() }, ..GrpcSettings::default() };
        settings.target(endpoint).map(|target| (target.host, target.port, target.tls))
    }

    #[test]
    fn a_scheme_is_stripped_and_https_forces_tls() {
        assert_eq!(target("tempo:4317", true), Ok(("tempo".into(), 4317, false)));
        assert_eq!(target("tempo:4317", false), Ok(("tempo".into(), 4317, true)));
        assert_eq!(target("https://tempo:443", true), Ok(("tempo".into(), 443, true)));
        assert_eq!(target("http://tempo:1234/", false), Ok(("tempo".into(), 1234, true)));
        assert_eq!(target("dns:///tempo:4317", true), Ok(("tempo".into(), 4317, false)));
        assert_eq!(target("[::1]:4317", true), Ok(("::1".into(), 4317, false)));
        assert_eq!(target("tempo", true), Ok(("tempo".into(), 4317, false)));
        assert!(target("", true).is_err());
        assert!(target("https://", true).is_err());
    }
}
