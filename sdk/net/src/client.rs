//! The one HTTP client: what [`ClientConfig`] makes.
//!
//! It stands on reqwest, which brings TLS, the connection pool and proxies. Requests that follow one another for as
//! long as the collector runs, and need none of these, go on connections of ours (`direct`). Secret files and certificates are
//! read again when they change.

mod address;
mod at_random;
mod config;
mod credentials;
mod direct;
mod gathered;
mod identity;
mod line;
mod redirect;
mod repeated;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Request, StatusCode, header};
use hyper_util::client::proxy::matcher::Matcher;

pub use address::{address, address_doubt, check_address, why_no_address};
pub use config::{Authorization, BasicAuth, ClientConfig, OAuth2, ProxyConfig};
use credentials::Credentials;
pub(crate) use credentials::secret_value;
use direct::{Connector, Idle, Wire, broken};
pub use gathered::Beyond;
use gathered::{Gathered, Within};
pub use identity::Identity;
use line::Line;
use redirect::MOST_REQUESTS;
pub use repeated::Repeated;

use crate::secret_file::Stamp;

/// What a component adds to the user's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// For the whole request, answer included.
    pub timeout: Duration,
    /// For name resolution, connection and TLS handshake.
    pub connect_timeout: Duration,
    /// An answer's body beyond it is an error ([`SendError::TooLarge`]).
    pub max_response_bytes: usize,
    /// Connections that are kept open without work, for each host.
    pub max_idle_connections: usize,
    /// How often a connection is probed while an answer is awaited on it, so that one whose other end is gone without a
    /// word is found dead; `None` for never. For answers that last.
    pub keep_alive: Option<Duration>,
    /// Each connection goes to one of the addresses of the peer's name, chosen at random.
    pub any_address: bool,
    /// Requests come again and again, and do no harm when they arrive twice: in plain HTTP they cost less. Connections stay
    /// open until the next request.
    pub often: bool,
}

/// Sends requests as the configuration says.
pub struct Client {
    config: ClientConfig,
    options: Options,
    credentials: Credentials,
    headers: HeaderMap,
    connector: Connector,
    idle: Arc<Idle>,
    built: Mutex<Option<Built>>,
}

/// A reqwest client and the versions of the files that went into it.
struct Built {
    client: reqwest::Client,
    files: Vec<(PathBuf, Option<Stamp>)>,
}

/// An answer with its body.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as it came (never decompressed).
    pub body: Bytes,
}

/// An answer whose body is read as it comes: a watch, a log that is followed. Dropping it ends the request.
#[derive(Debug)]
pub struct Streaming {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    url: String,
    source: Source,
}

/// Where the body of an answer comes from.
#[derive(Debug)]
enum Source {
    Pool(reqwest::Response),
    /// A line of ours, and where it goes when the body is read.
    Line {
        line: Line,
        server: Authority,
        idle: Arc<Idle>,
        most: usize,
    },
    /// All of it is read.
    Nowhere,
}

/// Why a body breaks off.
enum Interrupted {
    Pool(reqwest::Error),
    Line(io::Error),
}

/// Why there is no answer. None of these texts holds a secret; URLs come without query and credentials.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A certificate or key cannot be read or used.
    #[error("{0}")]
    Tls(#[from] crate::tls::TlsError),
    /// There is nothing to show to the server: a file that cannot be read, a token that is not given.
    #[error("{0}")]
    Credentials(String),
    /// The configuration cannot be used (a proxy, a header).
    #[error("{0}")]
    Config(String),
    /// No connection.
    #[error("cannot connect to {url}: {error}")]
    Connect {
        /// Where to.
        url: String,
        /// The innermost cause.
        error: String,
    },
    /// Too slow.
    #[error("no answer from {url} within {timeout:?}")]
    Timeout {
        /// Where to.
        url: String,
        /// The bound that was passed.
        timeout: Duration,
    },
    /// The answer's body is larger than allowed.
    #[error("the answer from {url} is larger than {limit} bytes")]
    TooLarge {
        /// Where from.
        url: String,
        /// In bytes.
        limit: usize,
    },
    /// What was to be written belongs elsewhere. By such a redirect nothing but a question can be sent on, which a server may
    /// answer as if it had got what was to be written.
    #[error("{url} has moved to {to} ({status}), and what is sent there cannot follow: write the new address")]
    Moved {
        /// Where to.
        url: String,
        /// What the server answered.
        status: u16,
        /// Where it is said to be.
        to: String,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("request to {url} failed: {error}")]
    Broken {
        /// Where to.
        url: String,
        /// The innermost cause.
        error: String,
    },
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Options {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            max_response_bytes: 4 << 20,
            max_idle_connections: 4,
            keep_alive: None,
            any_address: false,
            often: false,
        }
    }
}

// === impl Client ===

impl Client {
    /// Checks what can be checked without the network; certificates are read at the first request.
    pub fn new(config: ClientConfig, options: Options) -> Result<Client, SendError> {
        let credentials = Credentials::new(&config, &options)?;
        let headers = header_map(&config.http_headers)?;
        let (connector, idle) = (Connector::new(&options), Arc::default());
        Ok(Client { config, options, credentials, headers, connector, idle, built: Mutex::new(None) })
    }

    /// What it was made of.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Sends one request and reads the whole answer. A status that tells of failure is an answer, not an error.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response, SendError> {
        self.send_within(request, self.bound()).await
    }

    /// What is kept of an answer, as the options say.
    fn bound(&self) -> Within<'_> {
        Within { limit: self.options.max_response_bytes, beyond: None }
    }

    async fn send_within(&self, request: Request<Bytes>, within: Within<'_>) -> Result<Response, SendError> {
        let url = shown(request.uri());
        let whole = async {
            let answer = self.start(&url, request).await?;
            self.gather(&url, answer, within).await
        };
        self.in_time(&url, whole).await
    }

    async fn gather(&self, url: &str, mut answer: Streaming, within: Within<'_>) -> Result<Response, SendError> {
        let mut body = Gathered::new(answer.declared(), within, url)?;
        while let Some(chunk) = answer.next().await.map_err(|error| self.broken(url, error))? {
            body.push(chunk)?;
        }
        Ok(Response { status: answer.status, headers: answer.headers, body: body.whole() })
    }

    /// Sends one request; the body of the answer is left to the caller, who bounds its size and its time. The timeout is
    /// for the head of the answer.
    pub async fn open(&self, request: Request<Bytes>) -> Result<Streaming, SendError> {
        let url = shown(request.uri());
        self.in_time(&url, self.start(&url, request)).await
    }

    /// Sends a request and reads the head of its answer.
    async fn start(&self, url: &str, mut request: Request<Bytes>) -> Result<Streaming, SendError> {
        self.complete(request.headers_mut()).await?;
        self.follow(url, request, 0).await
    }

    /// Sends a complete request, and goes where its answers send us on. So many requests were made before.
    async fn follow(&self, url: &str, mut request: Request<Bytes>, before: usize) -> Result<Streaming, SendError> {
        for _ in before..MOST_REQUESTS {
            let mut answer = self.ask_once(url, &request).await?;
            let Some(next) = self.sent_on(&request, answer.status, &answer.headers)? else { return Ok(answer) };
            if answer.declared() == Some(0) {
                // Its connection can be used again.
                let _ = answer.next().await;
            }
            request = next;
        }
        Err(SendError::Broken { url: url.to_owned(), error: "too many redirects".to_owned() })
    }

    /// Sends a complete request, one way or the other.
    async fn ask_once(&self, url: &str, request: &Request<Bytes>) -> Result<Streaming, SendError> {
        let Some(server) = self.direct(request.uri()).filter(|_| self.options.often) else {
            return self.execute(url, request.clone()).await;
        };
        let wire = Wire::of(request, server);
        let (line, status, headers) = self.ask_on(self.idle.take(server), &wire, request, url).await?;
        let (server, idle, most) = (server.clone(), self.idle.clone(), self.options.max_idle_connections);
        let source = Source::Line { line, server, idle, most };
        Ok(Streaming { status, headers, url: url.to_owned(), source })
    }

    async fn in_time<T>(&self, url: &str, work: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
        let late = |_| SendError::Timeout { url: self.way_to(url, url), timeout: self.options.timeout };
        tokio::time::timeout(self.options.timeout, work).await.map_err(late)?
    }

    /// Sends a complete request by the pool.
    async fn execute(&self, url: &str, request: Request<Bytes>) -> Result<Streaming, SendError> {
        let client = self.client()?;
        let request = reqwest::Request::try_from(request)
            .map_err(|error| SendError::Config(format!("cannot request {url}: {}", innermost(&error))))?;
        let response = client.execute(request).await.map_err(|error| self.failed(url, &error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Streaming { status, headers, url: url.to_owned(), source: Source::Pool(response) })
    }

    /// Adds what the configuration says to a request's own headers.
    async fn complete(&self, headers: &mut HeaderMap) -> Result<(), SendError> {
        if let Some(value) = self.credentials.header().await?
            && !headers.contains_key(header::AUTHORIZATION)
        {
            headers.insert(header::AUTHORIZATION, value);
        }
        self.add_headers(headers);
        Ok(())
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        for name in self.headers.keys() {
            if !headers.contains_key(name) {
                for value in self.headers.get_all(name) {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
    }

    fn broken(&self, url: &str, error: Interrupted) -> SendError {
        match error {
            Interrupted::Pool(error) => self.failed(url, &error),
            Interrupted::Line(error) => broken(url, &error),
        }
    }

    fn failed(&self, url: &str, error: &reqwest::Error) -> SendError {
        let (url, cause) = (self.way_to(url, error.url().map_or(url, url::Url::as_str)), innermost(error));
        if error.is_connect() && error.is_timeout() {
            SendError::Timeout { url, timeout: self.options.connect_timeout }
        } else if error.is_connect() {
            SendError::Connect { url, error: cause }
        } else {
            SendError::Broken { url, error: cause }
        }
    }

    /// What was asked for, and through which proxy: that can be the one at fault. A redirect may have led to `last`.
    fn way_to(&self, url: &str, last: &str) -> String {
        match self.config.proxy.before(last) {
            Some(proxy) => format!("{url} through the proxy {proxy}"),
            None => url.to_owned(),
        }
    }

    fn client(&self) -> Result<reqwest::Client, SendError> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = &*built
            && built.files.iter().all(|(path, stamp)| Stamp::of(path).ok() == *stamp)
        {
            return Ok(built.client.clone());
        }
        // Stamped before they are read: a change in between is seen at the next request.
        let files: Vec<_> =
            self.config.tls_config.files().map(|path| (path.to_owned(), Stamp::of(path).ok())).collect();
        let client = match self.build() {
            Ok(client) => client,
            // Half-written certificates are no reason to stop sending with the old ones.
            Err(error) if built.is_some() => {
                tracing::warn!(%error, "changed certificates cannot be used; going on with the old ones");
                let old = built.as_ref().map(|built| built.client.clone());
                old.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        *built = Some(Built { client: client.clone(), files });
        Ok(client)
    }

    fn build(&self) -> Result<reqwest::Client, SendError> {
        let config = &self.config;
        let mut builder = reqwest::Client::builder()
            .user_agent(crate::USER_AGENT)
            .connect_timeout(self.options.connect_timeout)
            .pool_max_idle_per_host(self.options.max_idle_connections)
            .tls_backend_preconfigured(config.tls_config.client()?)
            // Where it leads we see to ourselves.
            .redirect(reqwest::redirect::Policy::none());
        if !config.enable_http2 {
            builder = builder.http1_only();
        }
        if let Some(period) = self.options.keep_alive {
            builder = builder
                .tcp_keepalive(period)
                .tcp_keepalive_interval(period)
                .http2_keep_alive_interval(period)
                .http2_keep_alive_timeout(period);
        }
        if self.options.any_address {
            builder = builder.dns_resolver(at_random::AtRandom);
        }
        if !config.proxy.proxy_from_environment {
            builder = builder.no_proxy();
        }
        if !config.proxy.proxy_url.is_empty() {
            builder = builder.proxy(config.proxy.proxy()?);
        }
        builder.build().map_err(|error| SendError::Config(format!("cannot make an HTTP client: {}", innermost(&error))))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.config).field("options", &self.options).finish_non_exhaustive()
    }
}

// === impl Streaming ===

impl Streaming {
    /// What has come next of the body; `None` at its end. May be dropped while it waits without losing anything.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, SendError> {
        self.next().await.map_err(|error| match error {
            Interrupted::Pool(error) => SendError::Broken { url: self.url.clone(), error: innermost(&error) },
            Interrupted::Line(error) => broken(&self.url, &error),
        })
    }

    fn declared(&self) -> Option<u64> {
        match &self.source {
            Source::Pool(response) => response.content_length(),
            Source::Line { line, .. } => line.declared(),
            Source::Nowhere => Some(0),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Interrupted> {
        let piece = match &mut self.source {
            Source::Pool(response) => response.chunk().await.map_err(Interrupted::Pool)?,
            Source::Line { line, .. } => line.chunk().await.map_err(Interrupted::Line)?,
            Source::Nowhere => None,
        };
        if piece.is_none()
            && let Source::Line { line, server, idle, most } = std::mem::replace(&mut self.source, Source::Nowhere)
        {
            idle.put(server, line, most);
        }
        Ok(piece)
    }
}

// === impl ProxyConfig ===

impl ProxyConfig {
    /// Whether there may be one.
    fn is_set(&self) -> bool {
        self.proxy_from_environment || !self.proxy_url.is_empty()
    }

    fn proxy(&self) -> Result<reqwest::Proxy, SendError> {
        let proxy = reqwest::Proxy::all(&self.proxy_url)
            .map_err(|error| SendError::Config(format!("cannot use proxy_url: {}", innermost(&error))))?;
        Ok(proxy
            .no_proxy(reqwest::NoProxy::from_string(&self.no_proxy))
            .headers(header_map(&self.proxy_connect_header)?))
    }

    /// The proxy that a request to `url` goes through, as it may be shown; found as reqwest finds it.
    fn before(&self, url: &str) -> Option<String> {
        let matcher = match &self.proxy_url {
            proxy if !proxy.is_empty() => Matcher::builder().all(proxy.clone()).no(self.no_proxy.clone()).build(),
            _ if self.proxy_from_environment => Matcher::from_system(),
            _ => return None,
        };
        let proxy = matcher.intercept(&url.parse().ok()?)?;
        Some(shown(proxy.uri()).trim_end_matches('/').to_owned())
    }
}

// === impl Response ===

impl Response {
    /// How long the server asks to wait. Retry-After is seconds or a date (RFC 9110, 10.2.3), and servers in the wild
    /// send both; a date in the past means now.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }
}

/// Whether it can be what stands in a request that an endpoint refuses, or how much of it there is: then it may take the
/// next one. Any other refusal, as of a token, meets all of them.
pub fn may_refuse_one(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 408 | 409 | 413 | 422 | 429)
}

/// What a `Retry-After` header asks for; see [`Response::retry_after`].
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().unwrap_or(LONGEST_RETRY_AFTER)
    } else {
        http_date(value)?.saturating_sub(base_sys::clock::now_ms().max(0) as u64 / 1000)
    };
    Some(Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)))
}

/// Seconds. A server that asks for more is asked again after a day: it may have meant milliseconds, or be gone by then.
const LONGEST_RETRY_AFTER: u64 = 24 * 60 * 60;

/// Seconds since 1970 of an HTTP date in its usual form, `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<u64> {
    let mut words = text.split([' ', ':']).skip(1);
    let day: u64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = words.next()?;
    let month = months.iter().position(|name| *name == month)? as u64;
    let year: u64 = words.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut clock = |most: u64| words.next()?.parse::<u64>().ok().filter(|number| *number <= most);
    // 60 is a leap second.
    let (hour, minute, second) = (clock(23)?, clock(59)?, clock(60)?);
    // Days from 1970, by the rule of leap years; March starts the year so that the leap day is its last.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days.checked_sub(719_468).map(|days| ((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn header_map(
    headers: &std::collections::BTreeMap<String, Vec<language_eval::SecretString>>,
) -> Result<HeaderMap, SendError> {
    let mut map = HeaderMap::new();
    for (name, values) in headers {
        let known = HeaderName::try_from(name.as_str())
            .map_err(|_| SendError::Config(format!("{name:?} is not the name of a header")))?;
        for value in values {
            map.append(known.clone(), secret_value(&value.expose())?);
        }
    }
    Ok(map)
}

/// A URL as it may be shown: without credentials and query.
pub fn shown_url(url: &str) -> String {
    url.parse().map_or_else(|_| String::new(), |uri| shown(&uri))
}

/// A URL as it may be shown: without credentials and query.
fn shown(uri: &http::Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}{}", uri.scheme_str().unwrap_or("http"), uri.path())
}

/// What an error comes from in the end.
fn deepest<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    crate::tls::explained(deepest(error).to_string())
}

/// reqwest's outer errors repeat the URL with its query; the cause is what a reader needs.
fn innermost(error: &reqwest::Error) -> String {
    let cause = deepest(error);
    if cause.downcast_ref::<reqwest::Error>().is_some() {
        return match error {
            error if error.is_builder() => "the request or the client is not valid".to_owned(),
            _ => "the request failed".to_owned(),
        };
    }
    crate::tls::explained(cause.to_string())
}

#[cfg(test)]
mod tests;
