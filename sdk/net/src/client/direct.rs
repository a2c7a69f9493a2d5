//! Servers that nothing stands before: no TLS, no proxy.
//!
//! To these a request goes on a [`Line`] of ours. What a pool of connections and the reading of the address cost each
//! time is more than a small request's own way through the kernel. Whatever is not as simple goes the way of
//! [`super::Client::send`].

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, uri};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::Instant;
use tower_service::Service as _;

use super::line::{Line, Unanswered};
use super::{Client, Options, SendError, cause};

/// Servers do not keep a connection for long on which nothing is asked.
const IDLE: Duration = Duration::from_secs(90);

/// Makes lines.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    connector: HttpConnector,
    timeout: Duration,
}

/// Lines that nobody uses at the moment, each with its server.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Vec<(uri::Authority, Line, Instant)>>);

/// The head of a request as it goes over the wire.
#[derive(Clone)]
pub(super) struct Wire(Vec<u8>);

/// The server of an address that is no more than one.
fn server(uri: &Uri) -> Option<&uri::Authority> {
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    (uri.scheme() == Some(&uri::Scheme::HTTP) && uri.path_and_query().is_some()).then_some(authority)
}

// === impl Connector ===

impl Connector {
    pub fn new(options: &Options) -> Connector {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // Of several addresses each gets its share, so that a dead one does not use up all.
        connector.set_connect_timeout(Some(options.connect_timeout));
        Connector { connector, timeout: options.connect_timeout }
    }

    /// A new connection to the server of this address.
    pub async fn connect(&self, uri: &Uri, url: &str) -> Result<Line, SendError> {
        let late = || SendError::Timeout { url: url.to_owned(), timeout: self.timeout };
        let connect = self.connector.clone().call(uri.clone());
        let stream = tokio::time::timeout(self.timeout, connect).await.map_err(|_| late())?;
        let stream = stream.map_err(|error| SendError::Connect { url: url.to_owned(), error: cause(&error) })?;
        Ok(Line::over(stream.into_inner()))
    }
}

// === impl Idle ===

impl Idle {
    /// One to this server that is still open.
    pub fn take(&self, server: &uri::Authority) -> Option<Line> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.retain(|(_, line, since)| now - *since < IDLE && line.is_open());
        let at = idle.iter().rposition(|(of, ..)| of == server)?;
        Some(idle.swap_remove(at).1)
    }

    /// Keeps one for the next request, if there are not as many already.
    pub fn put(&self, server: uri::Authority, line: Line, most: usize) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if line.is_free() && idle.iter().filter(|(of, ..)| *of == server).count() < most {
            idle.push((server, line, Instant::now()));
        }
    }
}

// === impl Wire ===

/// What ends it.
const END: &[u8] = b"\r\n";

impl Wire {
    pub fn of(request: &Request<Bytes>, server: &uri::Authority) -> Wire {
        let (method, headers, body) = (request.method(), request.headers(), request.body());
        let path = request.uri().path_and_query().map_or("/", uri::PathAndQuery::as_str);
        let mut text = Vec::with_capacity(512);
        for part in [method.as_str(), " ", path, " HTTP/1.1\r\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        if !headers.contains_key(HOST) {
            push_header(&HOST, server.as_str().as_bytes(), &mut text);
        }
        for (name, value) in headers {
            push_header(name, value.as_bytes(), &mut text);
        }
        if !headers.contains_key(ACCEPT) {
            push_header(&ACCEPT, b"*/*", &mut text);
        }
        if !headers.contains_key(USER_AGENT) {
            push_header(&USER_AGENT, crate::USER_AGENT.as_bytes(), &mut text);
        }
        let has_body = !body.is_empty() || matches!(*method, Method::POST | Method::PUT | Method::PATCH);
        if has_body && !headers.contains_key(CONTENT_LENGTH) {
            push_header(&CONTENT_LENGTH, body.len().to_string().as_bytes(), &mut text);
        }
        text.extend_from_slice(END);
        Wire(text)
    }

    /// The same with who asks.
    pub fn authorized(&self, value: &HeaderValue) -> Wire {
        let mut text = self.0[..self.0.len() - END.len()].to_vec();
        push_header(&AUTHORIZATION, value.as_bytes(), &mut text);
        text.extend_from_slice(END);
        Wire(text)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn push_header(name: &HeaderName, value: &[u8], text: &mut Vec<u8>) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        text.extend_from_slice(part);
    }
}

/// It may hold a secret.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wire").field(&self.0.len()).finish()
    }
}

// === impl Client ===

impl Client {
    /// Whether a request to this address goes on a line of ours, and to which server.
    pub(super) fn direct<'u>(&self, uri: &'u Uri) -> Option<&'u uri::Authority> {
        server(uri).filter(|_| !self.config.proxy.is_set() && !self.options.any_address)
    }

    /// Asks on this line; on a new one if there is none, or if it turns out to be closed.
    pub(super) async fn ask_on(
        &self,
        line: Option<Line>,
        wire: &Wire,
        request: &Request<Bytes>,
        url: &str,
    ) -> Result<(Line, StatusCode, HeaderMap), SendError> {
        if let Some(mut line) = line {
            match line.ask(wire.as_bytes(), request.body()).await {
                Ok((status, headers)) => return Ok((line, status, headers)),
                Err(Unanswered::Silently(_)) => {}
                Err(Unanswered::Broken(error)) => return Err(broken(url, &error)),
            }
        }
        let mut line = self.connector.connect(request.uri(), url).await?;
        match line.ask(wire.as_bytes(), request.body()).await {
            Ok((status, headers)) => Ok((line, status, headers)),
            Err(Unanswered::Silently(error) | Unanswered::Broken(error)) => Err(broken(url, &error)),
        }
    }
}

/// What went wrong on a line.
pub(super) fn broken(url: &str, error: &io::Error) -> SendError {
    SendError::Broken { url: url.to_owned(), error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nothing_stands_before_is_direct() {
        let server = |text: &str| server(&text.parse().expect("it is an address")).map(ToString::to_string);
        for not in ["https://a/", "http://me:secret@a/", "/page"] {
            assert_eq!(server(not), None, "{not}");
        }
        for (text, expected) in [("http://a/", "a"), ("http://[::1]:9100/x", "[::1]:9100")] {
            assert_eq!(server(text).as_deref(), Some(expected));
        }
    }
}
