//! What a process decides before it reads a configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base_metrics::Registry;
use sdk_component::{BoxFuture, Definition, MemoryHttp, ServiceDefinition, Stability};

use crate::plan::Catalogue;

/// Flags and connections, given once.
pub struct Options {
    /// Every component there is.
    pub components: Vec<Definition>,
    /// Names of components that Alloy has and we do not yet.
    pub not_yet: &'static [&'static str],
    /// Every service that a block configures.
    pub services: Vec<ServiceDefinition>,
    /// `--storage.path`
    pub storage_path: PathBuf,
    /// `--stability.level`
    pub minimum_stability: Stability,
    /// `--feature.community-components.enabled`
    pub community: bool,
    /// `--feature.component-shutdown-deadline`: how long stopping may take before what still runs is cut off; zero waits
    /// for ever.
    pub shutdown_deadline: Duration,
    /// `--server.http.listen-addr` as given.
    pub listen_address: String,
    /// Requests to our own server.
    pub memory_http: Arc<dyn MemoryHttp>,
    /// What `/metrics` prints.
    pub metrics: Registry,
    /// `v1.2.3`
    pub version: String,
    /// For `import.git`; without one the block is refused.
    pub git: Option<Arc<dyn FetchGit>>,
}

/// Keeps a clone of a repository for `import.git`.
pub trait FetchGit: Send + Sync {
    /// Brings the clone in `directory` to the newest state of the revision; it may already hold one.
    fn update(&self, request: GitRequest, directory: PathBuf) -> BoxFuture<'static, Result<(), String>>;
}

/// What `import.git` asks for.
#[derive(Clone, PartialEq)]
#[allow(missing_docs)]
pub struct GitRequest {
    pub repository: String,
    pub revision: String,
    /// User and password.
    pub basic_auth: Option<(String, String)>,
    pub ssh_key: Option<GitKey>,
}

/// Who we are to an SSH server.
#[derive(Clone, PartialEq)]
#[allow(missing_docs)]
pub struct GitKey {
    pub username: String,
    /// The private key's text.
    pub key: Option<String>,
    pub passphrase: Option<String>,
}

/// Without its secrets.
impl std::fmt::Debug for GitRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let GitRequest { repository, revision, .. } = self;
        f.debug_struct("GitRequest").field("repository", repository).field("revision", revision).finish_non_exhaustive()
    }
}

impl Options {
    pub(crate) fn catalogue(&self) -> Catalogue {
        Catalogue {
            components: self.components.iter().map(|definition| (definition.name, *definition)).collect(),
            not_yet: self.not_yet,
            services: self.services.iter().map(|service| (service.name, service.clone())).collect(),
            minimum_stability: self.minimum_stability,
            community: self.community,
        }
    }
}
