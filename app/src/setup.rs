//! From the command line to what the runtime is given.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base_metrics::Registry;
use runtime::{FetchGit, Options};
use sdk_component::{MemoryHttp, ServiceDefinition};
use services_web::LiveDebugging;

use crate::cli::Invocation;

/// What `run` and `validate` have in common.
pub fn options(
    invocation: &Invocation,
    metrics: Registry,
    mut services: Vec<ServiceDefinition>,
    memory_http: Arc<dyn MemoryHttp>,
    live_debugging: &LiveDebugging,
) -> Options {
    services.extend(services_decoded::services());
    services.push(live_debugging.service());
    language_eval::stdlib::set_version(&version());
    Options {
        components: components::all().copied().collect(),
        not_yet: components::NOT_YET,
        services,
        storage_path: PathBuf::from("data-alloy"),
        minimum_stability: invocation.stability("stability.level"),
        community: invocation.is_set("feature.community-components.enabled"),
        shutdown_deadline: Duration::ZERO,
        listen_address: String::new(),
        memory_http,
        metrics,
        version: version(),
        git: git(),
    }
}

/// As `/metrics` and the web pages say it.
pub fn version() -> String {
    format!("v{}", env!("CARGO_PKG_VERSION"))
}

#[cfg(not(feature = "import-git"))]
fn git() -> Option<Arc<dyn FetchGit>> {
    None
}

#[cfg(feature = "import-git")]
fn git() -> Option<Arc<dyn FetchGit>> {
    Some(Arc::new(Git))
}

/// Clones for `import.git`, off the reactor.
#[cfg(feature = "import-git")]
struct Git;

#[cfg(feature = "import-git")]
impl FetchGit for Git {
    fn update(
        &self,
        request: runtime::GitRequest,
        directory: PathBuf,
    ) -> sdk_component::BoxFuture<'static, Result<(), String>> {
        let runtime::GitRequest { repository, revision, basic_auth, ssh_key } = request;
        let ssh_key = ssh_key.map(|key| services_git::SshKey {
            username: key.username,
            key: key.key,
            passphrase: key.passphrase,
        });
        let request = services_git::Request { repository, revision, basic_auth, ssh_key };
        Box::pin(async move {
            let cloned = base_sys::task::blocking("import.git", move || services_git::update(&request, &directory));
            match cloned.await.returned() {
                Some(outcome) => outcome.map_err(|error| error.to_string()),
                None => Err("cloning was cut off".to_owned()),
            }
        })
    }
}
