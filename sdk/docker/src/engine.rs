//! The engine's API over one short connection per call, and one long one per followed log.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sdk_net::client::Identity;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use crate::host::Host;
use crate::logs::{Connection, Logs, Plain};
use crate::model::{Container, ContainerState, Details, Event, Info, Inspected, Network};
use crate::swarm::{Node, Service, Task};

/// A list of thousands of containers fits; what does not is no list of containers.
const MAX_ANSWER: usize = 64 << 20;

/// As much of why the engine refuses is read.
const MAX_REFUSAL: usize = 64 << 10;

/// A Docker engine. Clones are the same one.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    host: Host,
    identity: Option<Identity>,
    timeout: Duration,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("cannot reach the Docker engine at {host}: {error}{cure}")]
    Unreachable { host: String, error: String, cure: &'static str },
    #[error("the Docker engine at {host} did not answer {path} within {timeout:?}")]
    TimedOut { host: String, path: String, timeout: Duration },
    #[error("the Docker engine at {host} answers {path} with {status}: {message}")]
    Refused { host: String, path: String, status: StatusCode, message: String },
    #[error("the Docker engine at {host} answers {path} with what is no such answer: {why}")]
    Nonsense { host: String, path: String, why: String },
}

/// How the end of a log is told.
///
/// By HTTP/1.1 the engine puts each line into a chunk of its own, the last of which says that it is the last. Each costs
/// several times what the line does. By HTTP/1.0 lines come as they are, and the end is that of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum End {
    Marked,
    Unmarked,
}

/// What happens on the engine, as it happens.
pub struct Events {
    body: Incoming,
    /// The beginning of an event that has not come whole.
    rest: Vec<u8>,
}

/// Events of more than this are not events.
const MAX_EVENT: usize = 1 << 20;

// === impl Engine ===

impl Engine {
    /// The engine at `host`; a call that is not a stream takes at most `timeout`.
    pub fn new(host: Host, identity: Option<Identity>, timeout: Duration) -> Engine {
        Engine(Arc::new(Shared { host, identity, timeout }))
    }

    /// Where it is.
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    /// The host that the engine runs on.
    pub async fn info(&self) -> Result<Info, Error> {
        self.json("/info").await
    }

    /// The running containers that pass the filters (name → values, as `docker ps --filter`).
    pub async fn containers(&self, filters: &BTreeMap<String, Vec<String>>) -> Result<Vec<Container>, Error> {
        self.filtered("/containers/json", filters).await
    }

    /// The services of the swarm that pass the filters, as `docker service ls --filter`. Only a manager tells.
    pub async fn services(&self, filters: &BTreeMap<String, Vec<String>>) -> Result<Vec<Service>, Error> {
        self.filtered("/services", filters).await
    }

    /// The tasks of the swarm that pass the filters, as `docker service ps --filter`. Only a manager tells.
    pub async fn tasks(&self, filters: &BTreeMap<String, Vec<String>>) -> Result<Vec<Task>, Error> {
        self.filtered("/tasks", filters).await
    }

    /// The nodes of the swarm that pass the filters, as `docker node ls --filter`. Only a manager tells.
    pub async fn nodes(&self, filters: &BTreeMap<String, Vec<String>>) -> Result<Vec<Node>, Error> {
        self.filtered("/nodes", filters).await
    }

    /// The containers with these ids that pass the filters, running or not.
    pub async fn containers_by_id(
        &self,
        ids: impl IntoIterator<Item = String>,
        filters: &BTreeMap<String, Vec<String>>,
    ) -> Result<Vec<Container>, Error> {
        let mut filters = filters.clone();
        filters.entry("id".to_owned()).or_default().extend(ids);
        self.json(&format!("/containers/json?all=1&{}", query_of(&filters))).await
    }

    /// Follows these events of containers: `start`, `rename`, …
    pub async fn container_events(&self, events: &[&str]) -> Result<Events, Error> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let filters = [("type".to_owned(), owned(&["container"])), ("event".to_owned(), owned(events))];
        let path = format!("/events?{}", query_of(&filters.into()));
        Ok(Events { body: self.timed("/events", self.get(&path)).await?, rest: Vec::new() })
    }

    /// All networks.
    pub async fn networks(&self) -> Result<Vec<Network>, Error> {
        self.json("/networks").await
    }

    /// How a container is; none if there is no such container.
    pub async fn inspect(&self, id: &str) -> Result<Option<ContainerState>, Error> {
        Ok(self.container::<Inspected>(id).await?.map(ContainerState::from))
    }

    /// What a container is and how it is; none if there is no such container.
    pub async fn details(&self, id: &str) -> Result<Option<Details>, Error> {
        self.container(id).await
    }

    async fn container<T: DeserializeOwned>(&self, id: &str) -> Result<Option<T>, Error> {
        match self.json(&format!("/containers/{id}/json")).await {
            Ok(container) => Ok(Some(container)),
            Err(Error::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Follows both outputs of a container from a moment on (`seconds.nanoseconds`, inclusive), each line with its time.
    ///
    /// Where the end of the log must be told from that of the connection, `end` says so.
    pub async fn logs(&self, id: &str, since: &str, tty: bool, end: End) -> Result<Logs, Error> {
        let path = format!("/containers/{id}/logs?follow=1&stdout=1&stderr=1&timestamps=1&since={since}");
        if end == End::Unmarked
            && let Some(plain) = self.timed(&path, self.get_plain(&path)).await?
        {
            return Ok(Logs::unmarked(plain, tty));
        }
        Ok(Logs::marked(self.timed(&path, self.get(&path)).await?, tty))
    }

    async fn filtered<T: DeserializeOwned>(
        &self,
        path: &str,
        filters: &BTreeMap<String, Vec<String>>,
    ) -> Result<T, Error> {
        let query = if filters.is_empty() { String::new() } else { format!("?{}", query_of(filters)) };
        self.json(&format!("{path}{query}")).await
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let nonsense = |why: String| Error::Nonsense { host: self.0.host.to_string(), path: path.to_owned(), why };
        let body = async {
            let body = self.get(path).await?;
            collect(body, MAX_ANSWER).await.map_err(nonsense)
        };
        let body = self.timed(path, body).await?;
        serde_json::from_slice(&body).map_err(|error| nonsense(error.to_string()))
    }

    async fn timed<T>(&self, path: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let timed_out =
            || Error::TimedOut { host: self.0.host.to_string(), path: path.to_owned(), timeout: self.0.timeout };
        tokio::time::timeout(self.0.timeout, call).await.map_err(|_| timed_out())?
    }

    /// The body of a good answer.
    async fn get(&self, path: &str) -> Result<Incoming, Error> {
        let broken = |error: hyper::Error| self.unreachable(error.to_string());
        let mut sender = handshake(self.connect().await?).await.map_err(broken)?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = self.uri(path)?;
        for (name, value) in self.headers().await? {
            request.headers_mut().insert(name, value);
        }
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = collect(response.into_body(), MAX_REFUSAL).await.unwrap_or_default();
        Err(self.refused(path, status, &body))
    }

    /// The body of a good answer by HTTP/1.0; none if between us and the engine is a proxy that has no HTTP/1.0.
    async fn get_plain(&self, path: &str) -> Result<Option<Plain>, Error> {
        let mut request = format!("GET {} HTTP/1.0\r\n", self.uri(path)?).into_bytes();
        for (name, value) in self.headers().await? {
            request.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        request.extend_from_slice(b"\r\n");
        let asked = match &self.0.host {
            Host::Unix(path) => Plain::ask_here(self.unix(path).await?, &request).await,
            _ => Plain::ask(self.connect().await?, &request).await,
        };
        let (head, plain) = asked.map_err(|error| self.unreachable(words(&error)))?;
        match head.status {
            StatusCode::UPGRADE_REQUIRED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => Ok(None),
            status if status.is_success() => Ok((!head.is_chunked).then_some(plain)),
            status => Err(self.refused(path, status, &plain.rest(MAX_REFUSAL).await.unwrap_or_default())),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Error> {
        Ok(match &self.0.host {
            Host::Unix(path) => Box::new(self.unix(path).await?),
            Host::Tcp { host, port } => Box::new(self.tcp(host, *port).await?),
            Host::Tls { host, port } => {
                let stream = self.tcp(host, *port).await?;
                let tls = self.0.identity.as_ref().map(Identity::tls).unwrap_or_default();
                let config = tls.client().map_err(|error| self.unreachable(error.to_string()))?;
                let name = if tls.server_name.is_empty() { host.as_str() } else { tls.server_name.as_str() };
                let name = rustls::pki_types::ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
                    .map_err(|error| self.unreachable(error.to_string()))?;
                let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
                Box::new(connector.connect(name, stream).await.map_err(|error| self.unreachable(words(&error)))?)
            }
        })
    }

    fn uri(&self, path: &str) -> Result<Uri, Error> {
        Uri::try_from(path).map_err(|error| self.unreachable(error.to_string()))
    }

    /// Of every request.
    async fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let authority = HeaderValue::from_str(&self.0.host.authority());
        let authority = authority.map_err(|error| self.unreachable(error.to_string()))?;
        let mut headers =
            vec![(header::HOST, authority), (header::USER_AGENT, HeaderValue::from_static(sdk_net::USER_AGENT))];
        if let Some(identity) = &self.0.identity
            && let Some(value) = identity.header().await.map_err(|error| self.unreachable(error.to_string()))?
        {
            headers.push((header::AUTHORIZATION, value));
        }
        Ok(headers)
    }

    fn unreachable(&self, error: String) -> Error {
        Error::Unreachable { host: self.0.host.to_string(), error, cure: "" }
    }

    fn refused(&self, path: &str, status: StatusCode, body: &[u8]) -> Error {
        Error::Refused { host: self.0.host.to_string(), path: path.to_owned(), status, message: message(body) }
    }

    async fn unix(&self, path: &Path) -> Result<UnixStream, Error> {
        UnixStream::connect(path).await.map_err(|error| Error::Unreachable {
            host: self.0.host.to_string(),
            error: words(&error),
            cure: socket_cure(&error),
        })
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
        stream.map_err(|error| self.unreachable(words(&error)))
    }
}

// === impl Events ===

impl Events {
    /// The id of the next container that something happened to; none when the engine ends.
    pub async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                // An event of a kind that we do not know is none for us.
                if let Ok(event) = serde_json::from_slice::<Event>(&line) {
                    return Ok(Some(event.actor.id));
                }
                continue;
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                if self.rest.len() + data.len() > MAX_EVENT {
                    return Err(io::Error::other("the engine sends an event without an end"));
                }
                self.rest.extend_from_slice(&data);
            }
        }
    }
}

fn query_of(filters: &BTreeMap<String, Vec<String>>) -> String {
    let json = serde_json::to_string(filters).unwrap_or_default();
    let encoded: String = url::form_urlencoded::byte_serialize(json.as_bytes()).collect();
    format!("filters={encoded}")
}

async fn handshake(
    connection: Box<dyn Connection>,
) -> hyper::Result<hyper::client::conn::http1::SendRequest<Empty<Bytes>>> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await?;
    // Ends when the answer's body is dropped or read to its end.
    drop(base_sys::task::spawn("docker connection", connection));
    Ok(sender)
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > limit {
                return Err(format!("it has more than {limit} bytes"));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

/// The engine's own words out of `{"message": "…"}`.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(known) => known.message,
        Err(_) => String::from_utf8_lossy(body).trim().chars().take(300).collect(),
    }
}

fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn socket_cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "; is Docker installed, and, if this runs in a container, is the socket mounted into it \
             (-v /var/run/docker.sock:/var/run/docker.sock)?"
        }
        io::ErrorKind::PermissionDenied => "; may this user read the socket? add it to the group docker",
        io::ErrorKind::ConnectionRefused => "; the socket is there, but no engine listens: start Docker",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_socket_is_explained_with_its_cure() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("docker.sock");
        let engine = Engine::new(Host::Unix(path), None, Duration::from_secs(1));
        let error = engine.networks().await.expect_err("there is no socket").to_string();
        assert!(error.contains("no such file or directory; is Docker installed"), "{error}");
    }

    #[tokio::test]
    async fn the_end_of_a_log_is_marked_where_it_must_be_and_where_a_proxy_wants_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("docker.sock");
        let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
        let (asked, mut requests) = tokio::sync::mpsc::channel(8);
        drop(base_sys::task::spawn("proxy", async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {}
                let first = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
                let answer = match (first.contains("/old/"), first.ends_with("HTTP/1.0")) {
                    (true, true) => "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
                    (false, true) => "HTTP/1.0 200 OK\r\n\r\nas it comes",
                    (_, false) => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nmarked\r\n0\r\n\r\n",
                };
                let _ = asked.send(first).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }));
        let engine = Engine::new(Host::Unix(path), None, Duration::from_secs(30));
        for (id, end, versions, text) in [
            ("new", End::Marked, &["1.1"][..], "marked"),
            ("new", End::Unmarked, &["1.0"], "as it comes"),
            ("old", End::Unmarked, &["1.0", "1.1"], "marked"),
        ] {
            let mut logs = engine.logs(id, "0", false, end).await.expect("it answers");
            let mut whole = BytesMut::new();
            while logs.read(&mut whole).await.expect("it is whole") > 0 {}
            assert_eq!(String::from_utf8_lossy(&whole), text);
            for version in versions {
                let first = requests.recv().await.expect("it was asked");
                assert!(first.contains(id) && first.ends_with(version), "{first}");
            }
        }
    }

    #[test]
    fn the_engines_own_words_are_shown() {
        assert_eq!(message(br#"{"message":"no such container"}"#), "no such container");
        assert_eq!(message(b"page not found\n"), "page not found");
    }
}
