//! One request again and again, over a connection of its own.
//!
//! A scrape asks one place for one page every few seconds. What a pool of connections, redirects and the reading of the
//! address cost each time is more than the page's own way through the kernel; so where nothing stands between us and the
//! server, they are left out. Everything else (TLS, a proxy, a redirect) goes the way of [`Client::send`].

use std::pin::{Pin, pin};

use bytes::Bytes;
use http::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Beyond, Client, Gathered, Response, SendError, Within, cause, shown};

/// Bytes that an open connection holds between two requests. There may be thousands, and left alone each would keep a
/// buffer as large as its largest page.
const READ_BUFFER: usize = 16 << 10;

/// Of an answer that sends us on, a body of at most so many bytes is read, so that its connection can be used again.
const SHORT: u64 = 4 << 10;

/// A request that may be sent many times, because twice is as good as once; made by [`Client::repeated`].
#[derive(Debug)]
pub struct Repeated {
    request: Request<Bytes>,
    /// The address as it may be shown.
    url: String,
    direct: Option<Direct>,
}

/// The way to a server that nothing stands before.
#[derive(Debug)]
struct Direct {
    host: String,
    port: u16,
    /// The request as it goes over the wire: with a path in place of the whole address.
    request: Request<Full<Bytes>>,
    /// Open since the last request.
    line: Option<Line>,
}

/// An open connection.
#[derive(Debug)]
struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Moves the bytes while it is polled; `None` once it has ended.
    connection: Option<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>,
}

/// What went wrong on a connection.
enum Broken {
    /// Nothing had come yet: on a connection that has been idle, its other end may just have been closed.
    BeforeAnswer(hyper::Error),
    Because(SendError),
}

// === impl Client ===

impl Client {
    /// Makes a request ready to be sent often by [`Client::repeat`]. It must be one that does no harm when it arrives
    /// twice.
    pub fn repeated(&self, request: Request<Bytes>) -> Repeated {
        let proxied = self.config.proxy.proxy_from_environment || !self.config.proxy.proxy_url.is_empty();
        let direct = if proxied { None } else { Direct::to(&request) };
        Repeated { url: shown(request.uri()), request, direct }
    }

    /// Sends it once more and reads the whole answer. How long that may take is the caller's to say; dropping this future
    /// closes the connection.
    pub async fn repeat(&self, repeated: &mut Repeated) -> Result<Response, SendError> {
        self.repeat_within(repeated, self.options.max_response_bytes, &mut |_| false).await
    }

    /// The same, but of a body that is larger than `limit` nothing is kept: all of it goes to `beyond`, piece by piece, and
    /// that of the answer is empty. When `beyond` has had enough, it is [`SendError::TooLarge`].
    pub async fn repeat_within(
        &self,
        repeated: &mut Repeated,
        limit: usize,
        beyond: &mut Beyond<'_>,
    ) -> Result<Response, SendError> {
        if let Some(direct) = &mut repeated.direct {
            let response = self.ask(direct, &repeated.url, limit, beyond).await?;
            if !self.is_sent_on(response.status, &response.headers) {
                return Ok(response);
            }
        }
        self.send_within(repeated.request.clone(), Within { limit, beyond: Some(beyond) }).await
    }

    fn is_sent_on(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        self.config.follow_redirects && status.is_redirection() && headers.contains_key(LOCATION)
    }

    async fn ask(
        &self,
        direct: &mut Direct,
        url: &str,
        limit: usize,
        beyond: &mut Beyond<'_>,
    ) -> Result<Response, SendError> {
        let mut request = direct.request.clone();
        self.complete(request.headers_mut()).await?;
        if let Some(line) = direct.line.take() {
            match self.ask_on(line, request.clone(), url, Within { limit, beyond: Some(&mut *beyond) }).await {
                Ok((response, line)) => {
                    direct.line = Some(line);
                    return Ok(response);
                }
                Err(Broken::Because(error)) => return Err(error),
                Err(Broken::BeforeAnswer(_)) => {}
            }
        }
        let line = self.connect(direct, url).await?;
        let asked = self.ask_on(line, request, url, Within { limit, beyond: Some(beyond) }).await;
        let (response, line) = asked.map_err(|broken| match broken {
            Broken::BeforeAnswer(error) => SendError::Broken { url: url.to_owned(), error: cause(&error) },
            Broken::Because(error) => error,
        })?;
        direct.line = Some(line);
        Ok(response)
    }

    async fn connect(&self, direct: &Direct, url: &str) -> Result<Line, SendError> {
        let connect = TcpStream::connect((direct.host.as_str(), direct.port));
        let stream = tokio::time::timeout(self.options.connect_timeout, connect)
            .await
            .map_err(|_| SendError::Timeout { url: url.to_owned(), timeout: self.options.connect_timeout })?
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|error| SendError::Connect { url: url.to_owned(), error: cause(&error) })?;
        let (sender, connection) = http1::Builder::new()
            .read_buf_exact_size(Some(READ_BUFFER))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| SendError::Broken { url: url.to_owned(), error: cause(&error) })?;
        Ok(Line { sender, connection: Some(connection) })
    }

    async fn ask_on(
        &self,
        mut line: Line,
        request: Request<Full<Bytes>>,
        url: &str,
        within: Within<'_>,
    ) -> Result<(Response, Line), Broken> {
        let Line { sender, connection } = &mut line;
        drive(connection, sender.ready()).await.map_err(Broken::BeforeAnswer)?;
        let answer = drive(connection, sender.send_request(request)).await.map_err(Broken::BeforeAnswer)?;
        let (head, mut body) = answer.into_parts();
        let declared = hyper::body::Body::size_hint(&body).exact();
        if self.is_sent_on(head.status, &head.headers) && declared.is_none_or(|length| length > SHORT) {
            // Nobody reads this: it is cheaper to connect again.
            line.connection = None;
            return Ok((Response { status: head.status, headers: head.headers, body: Bytes::new() }, line));
        }
        let mut gathered = Gathered::new(declared, within, url)?;
        while let Some(chunk) = drive(connection, next(&mut body)).await {
            let broken = |error: hyper::Error| SendError::Broken { url: url.to_owned(), error: cause(&error) };
            gathered.push(chunk.map_err(broken)?)?;
        }
        let body = gathered.whole();
        Ok((Response { status: head.status, headers: head.headers, body }, line))
    }
}

/// Polls the connection beside what waits for it.
async fn drive<T>(
    connection: &mut Option<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        // How it ended is told to the one who waits for an answer or its body.
        if connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(cx).is_ready()) {
            *connection = None;
        }
        work.as_mut().poll(cx)
    })
    .await
}

/// The next piece of a body that has bytes in it.
async fn next(body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(chunk) = frame.into_data() {
                    return Some(Ok(chunk));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

impl From<SendError> for Broken {
    fn from(error: SendError) -> Broken {
        Broken::Because(error)
    }
}

// === impl Direct ===

impl Direct {
    /// The way to where the request goes, if it goes over plain TCP and its address holds no credentials.
    fn to(request: &Request<Bytes>) -> Option<Direct> {
        let uri = request.uri();
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        if uri.scheme() != Some(&uri::Scheme::HTTP) {
            return None;
        }
        let mut wired = request.clone().map(Full::new);
        *wired.uri_mut() = Uri::from(uri.path_and_query()?.clone());
        let headers = wired.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(authority.as_str()).ok()?);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(crate::USER_AGENT));
        Some(Direct {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(80),
            request: wired,
            line: None,
        })
    }
}

#[cfg(test)]
mod tests;
