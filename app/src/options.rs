//! The flags of `run` and `validate` in the types that they mean.

use std::path::PathBuf;
use std::time::Duration;

use sdk_component::Stability;

use crate::cli::Invocation;

/// What decides which configurations are accepted.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// `--stability.level`
    pub stability: Stability,
    /// `--feature.community-components.enabled`
    pub community_components: bool,
    /// `--storage.path`
    pub storage: PathBuf,
    /// `--feature.component-shutdown-deadline`; zero for no limit.
    pub shutdown_deadline: Duration,
}

/// What `run` is told beside its configuration.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The configuration: a file or a directory.
    pub path: String,
    /// What is accepted in it.
    pub load: LoadOptions,
    /// `--server.http.listen-addr`
    pub listen: String,
    /// `--server.http.memory-addr`
    pub memory: String,
    /// `--server.http.ui-path-prefix`
    pub ui_prefix: String,
    /// Not `--server.http.disable-support-bundle`.
    pub support_bundle: bool,
}

// === impl LoadOptions ===

impl LoadOptions {
    /// From the flags of `run` or `validate`.
    pub fn of(invocation: &Invocation) -> LoadOptions {
        let running = invocation.has("storage.path");
        LoadOptions {
            stability: invocation.stability("stability.level"),
            community_components: invocation.is_set("feature.community-components.enabled"),
            storage: PathBuf::from(if running { invocation.text("storage.path") } else { "" }),
            shutdown_deadline: if running {
                // A negative one makes no sense and is taken for none.
                invocation.duration("feature.component-shutdown-deadline").to_std().unwrap_or_default()
            } else {
                Duration::ZERO
            },
        }
    }
}

// === impl RunOptions ===

impl RunOptions {
    /// From the flags of `run`.
    pub fn of(invocation: &Invocation) -> RunOptions {
        RunOptions {
            path: invocation.arguments[0].clone(),
            load: LoadOptions::of(invocation),
            listen: invocation.text("server.http.listen-addr").to_owned(),
            memory: invocation.text("server.http.memory-addr").to_owned(),
            ui_prefix: invocation.text("server.http.ui-path-prefix").to_owned(),
            support_bundle: !invocation.is_set("server.http.disable-support-bundle"),
        }
    }
}
