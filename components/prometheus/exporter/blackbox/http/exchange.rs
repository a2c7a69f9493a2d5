//! One request and its answer over a connection of its own, and how long each phase took.

use std::io::Read as _;
use std::net::SocketAddr;

use base_sys::task;
use base_sys::task::Scope;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use url::Url;

use super::PHASES;
use super::proxy::{Proxies, credential};
use crate::blackbox::modules::{Compression, Http};
use crate::blackbox::probe::Probe;
use crate::blackbox::resolve::{addresses, at_port};
use crate::blackbox::stream::{Shown, Stream, TlsManner, dial, secure};

/// What is sent.
#[derive(Clone)]
pub(super) struct Request {
    pub url: Url,
    pub method: Method,
    /// The Host header.
    pub host: String,
    /// Whom the server's certificate must name.
    pub tls_name: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// How to get to a server.
pub(super) struct Way<'a> {
    pub tls: &'a TlsManner,
    pub proxies: &'a Proxies,
    pub speaks_http2: bool,
}

/// What came; the connection ends with it.
pub(super) struct Answer {
    pub head: response::Parts,
    /// None after a redirect that is not followed: nobody reads it.
    pub body: Option<Incoming>,
    /// As declared; -1 if it was not.
    pub content_length: i64,
    pub shown: Option<Shown>,
    began: Instant,
    _connection: Scope,
}

/// A body that was read to its end.
#[derive(Default)]
pub(super) struct Body {
    /// What is kept for matching or inflating.
    pub kept: Vec<u8>,
    /// In bytes, uncompressed.
    pub length: usize,
    /// Why it is not whole.
    pub error: Option<String>,
}

/// The most of a body that is matched or inflated; what only counts has no bound but the time.
const MOST_KEPT: usize = 16 << 20;

/// Runs what HTTP/2 needs beside the connection.
#[derive(Clone)]
struct Beside(Scope);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Beside {
    fn execute(&self, future: F) {
        self.0.spawn("probe stream", future);
    }
}

/// Sends a request; the time for it is the probe's.
pub(super) async fn exchange(
    probe: &mut Probe,
    request: &Request,
    way: &Way<'_>,
    is_redirected: bool,
) -> Result<Answer, String> {
    probe.say(format!("making HTTP request to {} as {}", request.url, request.host));
    let url = &request.url;
    let proxy = way.proxies.for_url(url);
    let next = proxy.unwrap_or(url);
    let host = next.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = next.port_or_known_default().unwrap_or(80);
    let start = Instant::now();
    let to = match host.parse() {
        Ok(address) => SocketAddr::new(address, port),
        Err(_) => {
            let found = probe.in_time(addresses(host)).await?;
            at_port(*found.first().ok_or_else(|| format!("{host} has no address"))?, port)
        }
    };
    let resolved = Instant::now();
    if is_redirected {
        probe.add_phase(&PHASES, "resolve", (resolved - start).as_secs_f64());
    }
    let mut stream = probe.in_time(dial(to, None)).await?;
    let connected = Instant::now();
    let (stream, shown): (Box<dyn Stream>, _) = if url.scheme() == "https" {
        if let Some(proxy) = proxy {
            let target = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(443));
            probe.in_time(way.proxies.tunnel(&mut stream, proxy, &target)).await?;
        }
        let led = Instant::now();
        let protocols: &[&[u8]] = if way.speaks_http2 { &[b"h2", b"http/1.1"] } else { &[] };
        let (stream, shown) = probe.in_time(secure(stream, way.tls, &request.tls_name, protocols)).await?;
        probe.add_phase(&PHASES, "connect", (connected - resolved).as_secs_f64());
        probe.add_phase(&PHASES, "tls", led.elapsed().as_secs_f64());
        (Box::new(stream), Some(shown))
    } else {
        probe.add_phase(&PHASES, "connect", (connected - resolved).as_secs_f64());
        (Box::new(stream), None)
    };
    let is_http2 = shown.as_ref().is_some_and(|shown| shown.http2);
    let ready = Instant::now();
    let scope = Scope::new();
    let asked = proxy.filter(|_| url.scheme() == "http");
    let response = probe.in_time(send(request, stream, is_http2, asked, &scope)).await?;
    let began = Instant::now();
    probe.add_phase(&PHASES, "processing", (began - ready).as_secs_f64());
    let (head, body) = response.into_parts();
    probe.say(format!("received HTTP response with status {}", head.status.as_u16()));
    let content_length = content_length(&head, &body, &request.method);
    Ok(Answer { head, body: Some(body), content_length, shown, began, _connection: scope })
}

async fn send(
    request: &Request,
    stream: Box<dyn Stream>,
    is_http2: bool,
    proxy: Option<&Url>,
    scope: &Scope,
) -> Result<http::Response<Incoming>, String> {
    let io = TokioIo::new(stream);
    let body = Full::new(request.body.clone());
    let path = &request.url[url::Position::BeforePath..url::Position::AfterQuery];
    let uri = match (is_http2, proxy) {
        (true, _) => format!("https://{}{path}", request.host),
        // A proxy is told the whole address.
        (false, Some(_)) => format!("http://{}{path}", request.host),
        (false, None) => path.to_owned(),
    };
    let mut sent = http::Request::new(body);
    *sent.method_mut() = request.method.clone();
    *sent.uri_mut() = uri.parse().map_err(|error| format!("{uri:?} is not the address of a request: {error}"))?;
    *sent.headers_mut() = request.headers.clone();
    if let Some(credential) = proxy.and_then(credential) {
        sent.headers_mut().insert(PROXY_AUTHORIZATION, credential);
    }
    if is_http2 {
        let handshake = http2::handshake(Beside(scope.clone()), io).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        scope.spawn("probe connection", async {
            let _ = connection.await;
        });
        return sender.send_request(sent).await.map_err(|error| told(&error));
    }
    let host = HeaderValue::try_from(&request.host).map_err(|error| error.to_string())?;
    sent.headers_mut().insert(HOST, host);
    sent.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
    scope.spawn("probe connection", async {
        let _ = connection.await;
    });
    sender.send_request(sent).await.map_err(|error| told(&error))
}

/// An error with its cause, which hyper leaves out.
fn told(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn content_length(head: &response::Parts, body: &Incoming, method: &Method) -> i64 {
    let declared = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    match declared {
        _ if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => 0,
        _ if head.headers.contains_key(TRANSFER_ENCODING) => -1,
        Some(declared) => declared,
        None if method != Method::HEAD && body.is_end_stream() && head.version == http::Version::HTTP_2 => 0,
        None => -1,
    }
}

impl Answer {
    /// Reads the body to its end, keeps it if that is wanted.
    pub async fn read(&mut self, probe: &mut Probe, module: &Http, kept: bool) -> Body {
        let Some(mut body) = self.body.take() else {
            probe.add_phase(&PHASES, "transfer", self.began.elapsed().as_secs_f64());
            // As for a body that was closed before it was read.
            return Body { error: kept.then(|| "the body of a redirect is not read".to_owned()), ..Body::default() };
        };
        let mut read = Body::default();
        let limit = module.body_size_limit.filter(|_| module.compression.is_none());
        let result = probe.in_time(read.fill(&mut body, kept || module.compression.is_some(), limit)).await;
        read.error = result.err();
        if let (Some(compression), None) = (module.compression, &read.error) {
            let limit = module.body_size_limit.unwrap_or(MOST_KEPT).min(MOST_KEPT);
            let inflate = move || read.inflated(compression, limit);
            read = task::blocking("probe inflate", inflate).await.returned().unwrap_or_default();
        }
        probe.add_phase(&PHASES, "transfer", self.began.elapsed().as_secs_f64());
        read
    }
}

impl Body {
    async fn fill(&mut self, from: &mut Incoming, keep: bool, limit: Option<usize>) -> Result<(), String> {
        while let Some(frame) = from.frame().await {
            let frame = frame.map_err(|error| told(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            if let Some(limit) = limit.filter(|limit| self.length + data.len() > *limit) {
                self.length = limit;
                return Err(format!("the body is larger than body_size_limit, {limit} bytes"));
            }
            self.length += data.len();
            if keep {
                if self.length > MOST_KEPT {
                    return Err(format!("the body is larger than {MOST_KEPT} bytes"));
                }
                self.kept.extend_from_slice(data);
            }
        }
        Ok(())
    }

    fn inflated(self, compression: Compression, limit: usize) -> Body {
        let mut inflated = Vec::new();
        let read = match compression {
            Compression::Gzip => flate2::read::MultiGzDecoder::new(self.kept.as_slice())
                .take(limit as u64 + 1)
                .read_to_end(&mut inflated),
            Compression::Deflate => flate2::read::DeflateDecoder::new(self.kept.as_slice())
                .take(limit as u64 + 1)
                .read_to_end(&mut inflated),
        };
        let error = match read {
            Err(error) => Some(format!("the body is not compressed as it should be: {error}")),
            Ok(_) if inflated.len() > limit => Some(format!("the body is larger than {limit} bytes")),
            Ok(_) => None,
        };
        inflated.truncate(limit);
        Body { length: inflated.len(), kept: inflated, error }
    }
}
