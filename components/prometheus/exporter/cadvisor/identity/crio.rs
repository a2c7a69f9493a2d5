//! What CRI-O tells of a container, over HTTP on its socket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{Identity, Keeper, Silence, Who};
use crate::cadvisor::ENGINE_TIMEOUT;
use crate::cadvisor::filesystems::ImageStore;

/// Labels and annotations of a container are smaller.
const MAX_ANSWER: usize = 4 << 20;

/// A CRI-O.
pub(in crate::cadvisor) struct Crio {
    socket: PathBuf,
    host: PathBuf,
    /// Of the engine itself; asked for once.
    info: Option<Info>,
}

/// What `/info` tells.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Info {
    storage_driver: String,
    storage_root: String,
    /// Where images are if not with the containers.
    storage_image: String,
}

/// What `/containers/{id}` tells.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    pid: u32,
    image: String,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    log_path: String,
    root: String,
}

// === impl Crio ===

impl Crio {
    pub fn new(socket: &Path, host: PathBuf) -> Crio {
        Crio { socket: socket.to_owned(), host, info: None }
    }

    /// None: there is no such thing.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Silence> {
        let socket = self.socket.display();
        let answer = tokio::time::timeout(ENGINE_TIMEOUT, self.answer(path)).await;
        let answer = answer.map_err(|_| Silence {
            why: format!("CRI-O at {socket} did not answer {path} within {ENGINE_TIMEOUT:?}"),
            is_slow: true,
        })?;
        let unreachable = |error: String| Silence {
            why: format!("cannot ask CRI-O at {socket} for {path}: {error}"),
            is_slow: false,
        };
        match answer.map_err(unreachable)? {
            (StatusCode::OK, body) => {
                serde_json::from_slice(&body).map(Some).map_err(|error| unreachable(error.to_string()))
            }
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, _) => Err(unreachable(format!("it answers {status}"))),
        }
    }

    async fn answer(&self, path: &str) -> Result<(StatusCode, Bytes), String> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Ends when the answer has been read or dropped.
        drop(base_sys::task::spawn("crio connection", connection));
        let request = Request::get(path).header(header::HOST, "crio").body(Empty::<Bytes>::new());
        let answer = sender.send_request(request.map_err(|error| error.to_string())?).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }

    fn identity(&self, container: Container) -> Identity {
        let mut labels = container.labels.unwrap_or_default();
        // The network of a pod is that of its sandbox; the others would repeat it.
        let is_sandbox = labels.get("io.kubernetes.container.name").is_some_and(|name| name == "POD");
        let annotations = container.annotations.unwrap_or_default();
        let restarts = annotations.get("io.kubernetes.container.restartCount").and_then(|count| count.parse().ok());
        if let Some(restarts) = restarts.filter(|restarts: &i64| *restarts > 0) {
            labels.insert("restartcount".to_owned(), restarts.to_string());
        }
        let process = Some(container.pid).filter(|process| *process > 0);
        let on_host = |path: &str| self.host.join(path.trim_start_matches('/'));
        // Only of this driver it is known which folder is whose: what the container sees is `merged`, what it wrote `diff`.
        let is_overlay = self.info.as_ref().is_some_and(|info| matches!(&*info.storage_driver, "overlay" | "overlay2"));
        let root = container.root.strip_suffix("/merged").unwrap_or(&container.root);
        let folders =
            if is_overlay { vec![on_host(root).join("diff"), on_host(&container.log_path)] } else { Vec::new() };
        Identity {
            name: container.name,
            image: container.image,
            labels,
            network: process.filter(|_| is_sandbox),
            first_process: process,
            folders,
            ..Identity::default()
        }
    }
}

impl Keeper for Crio {
    async fn reach(&mut self) -> Result<(), Silence> {
        if self.info.is_none() {
            self.info = self.get("/info").await?;
        }
        Ok(())
    }

    async fn who(&self, cgroup: &str, id: &str) -> Result<Who, Silence> {
        // Beside a container's cgroup is that of the process that watches it, with the same id.
        let base = cgroup.rsplit('/').next().unwrap_or_default();
        if !base.starts_with("crio") || base.starts_with("crio-conmon") {
            return Ok(Who::Stranger);
        }
        let container: Option<Container> = self.get(&format!("/containers/{id}")).await?;
        Ok(match container {
            Some(container) if container.pid == 0 => Who::Unsettled,
            Some(container) => Who::Known(self.identity(container)),
            None => Who::Stranger,
        })
    }

    fn images(&self) -> Option<ImageStore> {
        let info = self.info.as_ref()?;
        let root = if info.storage_image.is_empty() { &info.storage_root } else { &info.storage_image };
        let below = vec![format!("{}-images", info.storage_driver)];
        Some(ImageStore { root: self.host.join(root.trim_start_matches('/')), below })
    }
}
