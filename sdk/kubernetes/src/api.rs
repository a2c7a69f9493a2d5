//! The API itself: single requests.

use std::sync::Arc;
use std::time::Duration;

use base_stdx::timestamp::Rfc3339;
use bytes::Bytes;
use http::Request;
use sdk_net::client::retry_after;
use sdk_net::{Client, ClientConfig, Options, SendError, Streaming};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use url::form_urlencoded::Serializer;

use crate::access::Access;
use crate::objects::Object;
use crate::watch::Scope;

/// For an answer, and for the head of one that lasts.
const ANSWER: Duration = Duration::from_secs(60);

/// For a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How often a connection is probed on which nothing comes.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Five hundred objects of the largest kind have this much; what is kept of them is a tenth.
const MAX_PAGE: usize = 256 << 20;

/// Objects are asked for in portions, so that neither side holds all of a large cluster at once.
const PAGE: usize = 500;

/// What is read of an error's body.
const MAX_ERROR: usize = 16 << 10;

/// A kubelet says nothing, not even that all is well, before a container has printed its first line: the head of a log
/// that is followed may take as long as the container likes.
const FIRST_LINE: Duration = Duration::from_secs(3600);

/// A cluster, by its API server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    access: Access,
    calls: Client,
    logs: Client,
}

/// Which log to read, and from where.
#[derive(Clone, Copy, Debug)]
pub struct LogRequest<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod.
    pub pod: &'a str,
    /// The container.
    pub container: &'a str,
    /// Lines from this time on (nanoseconds since 1970); the server rounds it down to the second.
    pub since: Option<i64>,
    /// Go on with what is printed later.
    pub follow: bool,
    /// Of the container's instance before the present one.
    pub previous: bool,
}

/// Why the API did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no answer.
    #[error("{0}")]
    Send(#[from] SendError),
    /// The answer is no.
    #[error("the API server answered {code}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// In words.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The answer makes no sense.
    #[error("the API server's answer cannot be understood: {0}")]
    Malformed(String),
}

/// Some objects of a list.
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    /// Of the whole list: a watch goes on from here.
    pub version: String,
    /// Where the next page begins; empty for none.
    pub next: String,
}

#[derive(Deserialize)]
struct List<'a> {
    metadata: ListMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    #[serde(default)]
    resource_version: String,
}

/// How the API says no.
#[derive(Deserialize)]
pub(crate) struct Status {
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub code: u16,
}

// === impl Cluster ===

impl Cluster {
    /// Checks what can be checked without the network.
    pub fn new(access: Access) -> Result<Cluster, SendError> {
        let options = Options {
            timeout: ANSWER,
            connect_timeout: CONNECT,
            max_response_bytes: MAX_PAGE,
            keep_alive: Some(KEEP_ALIVE),
            ..Options::default()
        };
        let calls = Client::new(access.client.clone(), options.clone())?;
        // Logs have a connection each: over one that is shared (HTTP/2), a log whose lines nobody takes would fill the
        // window of all others, and beyond some hundred logs the server would let the next ones wait.
        let config = ClientConfig { enable_http2: false, ..access.client.clone() };
        let logs = Client::new(config, Options { timeout: FIRST_LINE, max_idle_connections: 0, ..options })?;
        Ok(Cluster(Arc::new(Shared { access, calls, logs })))
    }

    /// Where it is and who we are there.
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// One object by its name.
    pub async fn get<T: Object>(&self, namespace: &str, name: &str) -> Result<T, ApiError> {
        let path = format!("{}/{}", collection::<T>(namespace), encoded(name));
        let body = self.call(&path).await?;
        object(&body).map_err(ApiError::Malformed)
    }

    /// What the server says at a path that belongs to no kind of object that is known here.
    pub async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        serde_json::from_slice(&self.call(path).await?).map_err(|error| ApiError::Malformed(error.to_string()))
    }

    /// The server's version, as `(1, 33)`.
    pub async fn version(&self) -> Result<(u32, u32), ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            git_version: String,
        }
        let answer: Answer = self.json("/version").await?;
        let mut parts = answer.git_version.trim_start_matches('v').split('.').map(str::parse::<u32>);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
            _ => Err(ApiError::Malformed(format!("{:?} is no version", answer.git_version))),
        }
    }

    /// A container's log, each line with its time.
    pub async fn log(&self, log: LogRequest<'_>) -> Result<Streaming, ApiError> {
        self.open(&self.0.logs, &log.path()).await
    }

    pub(crate) async fn page<T: Object>(&self, scope: &Scope, from: &str) -> Result<Page<T>, ApiError> {
        let limit = PAGE.to_string();
        let mut pairs = vec![("limit", limit.as_str())];
        if !from.is_empty() {
            pairs.push(("continue", from));
        }
        let body = self.call(&scope.path::<T>(&pairs)).await?;
        let list: List = serde_json::from_slice(&body).map_err(|error| ApiError::Malformed(error.to_string()))?;
        let mut items = Vec::new();
        for raw in list.items.unwrap_or_default() {
            match object::<T>(raw.get().as_bytes()) {
                Ok(item) => items.push(item),
                // One that we do not understand must not hide all others.
                Err(error) => tracing::warn!(kind = T::PLURAL, error, "an object cannot be understood; it is left out"),
            }
        }
        Ok(Page { items, version: list.metadata.resource_version, next: list.metadata.r#continue })
    }

    pub(crate) async fn watch<T: Object>(
        &self,
        scope: &Scope,
        version: &str,
        limit: Duration,
    ) -> Result<Streaming, ApiError> {
        let limit = limit.as_secs().max(1).to_string();
        let bookmarks = ("allowWatchBookmarks", "true");
        let pairs = [("watch", "true"), bookmarks, ("resourceVersion", version), ("timeoutSeconds", &limit)];
        self.open(&self.0.calls, &scope.path::<T>(&pairs)).await
    }

    async fn call(&self, path: &str) -> Result<Bytes, ApiError> {
        let answer = self.0.calls.send(self.request(path)?).await?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(refused(answer.status.as_u16(), &answer.body, answer.retry_after()))
    }

    async fn open(&self, client: &Client, path: &str) -> Result<Streaming, ApiError> {
        let mut streaming = client.open(self.request(path)?).await?;
        if streaming.status.is_success() {
            return Ok(streaming);
        }
        let mut body = Vec::new();
        let read = async {
            while body.len() < MAX_ERROR {
                let Some(chunk) = streaming.chunk().await? else { break };
                body.extend_from_slice(&chunk);
            }
            Ok::<(), SendError>(())
        };
        // What it has to say is a courtesy; the status counts.
        let _ = tokio::time::timeout(CONNECT, read).await;
        let wait = retry_after(&streaming.headers);
        Err(refused(streaming.status.as_u16(), &body, wait))
    }

    fn request(&self, path: &str) -> Result<Request<Bytes>, ApiError> {
        let request =
            Request::get(format!("{}{path}", self.0.access.server)).header(http::header::ACCEPT, "application/json");
        request.body(Bytes::new()).map_err(|error| ApiError::Malformed(error.to_string()))
    }
}

// === impl LogRequest ===

impl LogRequest<'_> {
    fn path(&self) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("container", self.container).append_pair("timestamps", "true");
        if self.follow {
            query.append_pair("follow", "true");
        }
        if self.previous {
            query.append_pair("previous", "true");
        }
        if let Some(since) = self.since {
            query.append_pair("sinceTime", &Rfc3339(since).to_string());
        }
        let (namespace, pod) = (encoded(self.namespace), encoded(self.pod));
        format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?{}", query.finish())
    }
}

/// The same server, as the same user.
impl PartialEq for Cluster {
    fn eq(&self, other: &Cluster) -> bool {
        self.0.access == other.0.access
    }
}

// === impl ApiError ===

impl ApiError {
    /// The HTTP status of a refusal.
    pub fn code(&self) -> Option<u16> {
        match self {
            ApiError::Refused { code, .. } => Some(*code),
            ApiError::Send(_) | ApiError::Malformed(_) => None,
        }
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ApiError::Refused { retry_after, .. } => *retry_after,
            ApiError::Send(_) | ApiError::Malformed(_) => None,
        }
    }

    /// Nothing was said in time; of a log that means that the container prints nothing.
    pub fn is_timeout(&self) -> bool {
        matches!(self, ApiError::Send(SendError::Timeout { timeout, .. }) if *timeout >= ANSWER)
    }
}

fn refused(code: u16, body: &[u8], retry_after: Option<Duration>) -> ApiError {
    let message = match serde_json::from_slice::<Status>(body) {
        Ok(status) if !status.message.is_empty() => status.message,
        _ => String::from_utf8_lossy(body).lines().next().unwrap_or_default().trim().to_owned(),
    };
    let message = match code {
        401 => format!("{message} (the API server does not know who we are: see the credentials)"),
        403 => format!("{message} (see the rights of our service account)"),
        _ => message,
    };
    ApiError::Refused { code, message, retry_after }
}

/// Reads an object, and tells it its version.
pub(crate) fn object<T: Object>(text: &[u8]) -> Result<T, String> {
    let mut object: T = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if T::KEEPS_VERSION {
        object.versioned(&version(text)?);
    }
    Ok(object)
}

/// The version of an object.
pub(crate) fn version(text: &[u8]) -> Result<String, String> {
    let versioned: Versioned = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    Ok(versioned.metadata.resource_version)
}

/// Where all objects of a kind are, of a namespace or of all of them.
pub(crate) fn collection<T: Object>(namespace: &str) -> String {
    match namespace {
        "" => format!("{}/{}", T::PATH, T::PLURAL),
        namespace => format!("{}/namespaces/{}/{}", T::PATH, encoded(namespace), T::PLURAL),
    }
}

fn encoded(segment: &str) -> String {
    url::form_urlencoded::byte_serialize(segment.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{EndpointSlice, Node, Pod};

    #[test]
    fn every_kind_has_its_place() {
        assert_eq!(collection::<Pod>(""), "/api/v1/pods");
        assert_eq!(collection::<Pod>("a b"), "/api/v1/namespaces/a+b/pods");
        assert_eq!(collection::<Node>(""), "/api/v1/nodes");
        assert_eq!(collection::<EndpointSlice>("x"), "/apis/discovery.k8s.io/v1/namespaces/x/endpointslices");
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let body =
            br#"{"kind":"Status","status":"Failure","message":"pods is forbidden: User \"x\" cannot list","code":403}"#;
        let error = refused(403, body, None).to_string();
        assert_eq!(
            error,
            "the API server answered 403: pods is forbidden: User \"x\" cannot list (see the rights of our service account)"
        );
        assert_eq!(refused(502, b"<html>\nbad gateway", None).to_string(), "the API server answered 502: <html>");
    }
}
