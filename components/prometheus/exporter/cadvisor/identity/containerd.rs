//! What containerd tells of a container: its labels, its image, and its first process.
//!
//! It is asked by gRPC over its socket, for which the few fields that are wanted are taken out of its messages by number.
//! Kubernetes puts the pod, the namespace and the container's name into labels; the container's own name is its id.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use base_stdx::protobuf::{self, Value};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use sdk_protocols_grpc::{Channel, ChannelConfig, Code, Connect, Status, Stream};
use tokio::net::UnixStream;

use super::{Identity, Keeper, Silence, Who};
use crate::cadvisor::ENGINE_TIMEOUT;
use crate::cadvisor::filesystems::ImageStore;

/// The task of a container whose state containerd does not know yet.
const UNKNOWN_STATE: u64 = 0;

/// A containerd.
pub(in crate::cadvisor) struct Containerd {
    socket: PathBuf,
    channel: Channel,
    /// Says in whose namespace we ask.
    namespace: HeaderMap,
    /// Beginnings of names of variables to show.
    environment: Vec<String>,
    is_reached: bool,
}

/// The socket.
struct Socket(PathBuf);

/// What `Get` of its containers answers, as far as it is wanted.
#[derive(Debug, Default, PartialEq)]
struct Container {
    labels: BTreeMap<String, String>,
    image: String,
    environment: Vec<String>,
}

// === impl Containerd ===

impl Containerd {
    pub fn new(socket: &Path, namespace: HeaderValue, environment: Vec<String>) -> Containerd {
        let config = ChannelConfig::plain(http::Uri::from_static("http://localhost"));
        Containerd {
            socket: socket.to_owned(),
            channel: Channel::new(config, Arc::new(Socket(socket.to_owned()))),
            namespace: HeaderMap::from_iter([(http::HeaderName::from_static("containerd-namespace"), namespace)]),
            environment,
            is_reached: false,
        }
    }

    /// None: there is no such thing.
    async fn call(&self, path: &'static str, message: Vec<u8>) -> Result<Option<Bytes>, Silence> {
        let call = self.channel.unary(path, vec![Bytes::from(message)], self.namespace.clone());
        let socket = self.socket.display();
        match tokio::time::timeout(ENGINE_TIMEOUT, call).await {
            Ok(Ok(reply)) => Ok(Some(reply.message)),
            Ok(Err(Status { code: Code::NotFound, .. })) => Ok(None),
            Ok(Err(status)) => {
                Err(Silence { why: format!("cannot ask containerd at {socket}: {}", status.message), is_slow: false })
            }
            Err(_) => Err(Silence {
                why: format!("containerd at {socket} did not answer within {ENGINE_TIMEOUT:?}"),
                is_slow: true,
            }),
        }
    }

    fn nonsense(&self) -> Silence {
        Silence {
            why: format!("containerd at {} answers with what is no such answer", self.socket.display()),
            is_slow: false,
        }
    }

    fn identity(&self, id: &str, container: Container, process: u32) -> Identity {
        // The network of a pod is that of its sandbox; the others would repeat it.
        let is_sandbox = container.labels.get("io.cri-containerd.kind").is_some_and(|kind| kind == "sandbox");
        let variables = container.environment.iter().filter_map(|variable| variable.split_once('='));
        let shown =
            variables.filter(|(name, _)| self.environment.iter().any(|prefix| name.starts_with(prefix.as_str())));
        let environment = shown.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let process = Some(process).filter(|process| *process > 0);
        Identity {
            name: id.to_owned(),
            image: container.image,
            labels: container.labels,
            environment,
            network: process.filter(|_| is_sandbox),
            first_process: process,
            ..Identity::default()
        }
    }
}

impl Keeper for Containerd {
    async fn reach(&mut self) -> Result<(), Silence> {
        if !self.is_reached {
            self.call("/containerd.services.version.v1.Version/Version", Vec::new()).await?;
            self.is_reached = true;
        }
        Ok(())
    }

    async fn who(&self, _: &str, id: &str) -> Result<Who, Silence> {
        let Some(answer) = self.call("/containerd.services.containers.v1.Containers/Get", by_id(id)).await? else {
            return Ok(Who::Stranger);
        };
        let container = container(&answer).ok_or_else(|| self.nonsense())?;
        let Some(answer) = self.call("/containerd.services.tasks.v1.Tasks/Get", by_id(id)).await? else {
            return Ok(Who::Unsettled);
        };
        let (process, state) = task(&answer).ok_or_else(|| self.nonsense())?;
        if state == UNKNOWN_STATE {
            return Ok(Who::Unsettled);
        }
        Ok(Who::Known(self.identity(id, container, process)))
    }

    /// cAdvisor does not look at what containerd's containers write.
    fn images(&self) -> Option<ImageStore> {
        None
    }
}

impl Connect for Socket {
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + '_>> {
        Box::pin(async { Ok(Box::new(UnixStream::connect(&self.0).await?) as Box<dyn Stream>) })
    }
}

/// A request for what has an id: the id is the first field of each.
fn by_id(id: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(id.len() + 2);
    protobuf::push_tag(&mut message, 1 << 3 | 2);
    protobuf::push_varint(&mut message, id.len() as u64);
    message.extend_from_slice(id.as_bytes());
    message
}

/// Out of `GetContainerResponse`.
fn container(answer: &[u8]) -> Option<Container> {
    let mut container = Container::default();
    each(inner(answer, 1)?, |field, value| {
        match (field, value) {
            (2, Value::Bytes(entry)) => {
                let (mut name, mut text) = (String::new(), String::new());
                each(entry, |field, value| {
                    match (field, value) {
                        (1, Value::Bytes(bytes)) => name = String::from_utf8(bytes.to_vec()).ok()?,
                        (2, Value::Bytes(bytes)) => text = String::from_utf8(bytes.to_vec()).ok()?,
                        _ => {}
                    }
                    Some(())
                })?;
                container.labels.insert(name, text);
            }
            (3, Value::Bytes(image)) => container.image = String::from_utf8(image.to_vec()).ok()?,
            (5, Value::Bytes(any)) => container.environment = environment(any)?,
            _ => {}
        }
        Some(())
    })?;
    Some(container)
}

/// The variables in a container's description, which is OCI's JSON in an `Any`.
fn environment(any: &[u8]) -> Option<Vec<String>> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Spec {
        process: Option<Process>,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Process {
        env: Option<Vec<String>>,
    }
    let spec: Spec = serde_json::from_slice(inner(any, 2)?).ok()?;
    Some(spec.process.and_then(|process| process.env).unwrap_or_default())
}

/// The process and the state out of the `GetResponse` of tasks.
fn task(answer: &[u8]) -> Option<(u32, u64)> {
    let (mut process, mut state) = (0, UNKNOWN_STATE);
    each(inner(answer, 1)?, |field, value| {
        match (field, value) {
            (3, Value::Varint(number)) => process = u32::try_from(number).ok()?,
            (4, Value::Varint(number)) => state = number,
            _ => {}
        }
        Some(())
    })?;
    Some((process, state))
}

/// The last field of this number, which is bytes; empty ones if it is not there.
fn inner(message: &[u8], number: u64) -> Option<&[u8]> {
    let mut found: &[u8] = &[];
    each(message, |field, value| {
        if let (true, Value::Bytes(bytes)) = (field == number, value) {
            found = bytes;
        }
        Some(())
    })?;
    Some(found)
}

/// Every field of a message; none if it is none, or if `take` says so.
fn each<'a>(mut message: &'a [u8], mut take: impl FnMut(u64, Value<'a>) -> Option<()>) -> Option<()> {
    while !message.is_empty() {
        let (field, value) = protobuf::take_field(&mut message)?;
        take(field, value)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_none() {
        assert_eq!(container(&[]), Some(Container::default()));
        for nonsense in [&b"\x0a\x05ab"[..], b"\xff", b"\x0a\x02\x1a\x05", b"\x0a\x04\x1a\x02\xff\xfe"] {
            assert_eq!(container(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(container(b"\x0a\x0a\x2a\x08\x12\x06{\"a\":}"), None);
        assert_eq!(task(b"\x0a\x04\x18\x07\x20\x02"), Some((7, 2)));
        assert_eq!(task(b"\x0a\x06\x18\xff\xff\xff\xff\xff"), None);
    }
}
