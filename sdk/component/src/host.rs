//! What services may ask of the runtime: the web API, `/-/ready`, `/-/reload` and the page at `/` all stand on this.

use std::sync::Arc;
use std::time::SystemTime;

use language_eval::{BodyNode, DataEdge};

use crate::component::{BoxFuture, HttpHandler};
use crate::health::Health;
use crate::tap::Tap;

/// The running graph, read-only but for [`Host::reload`].
pub trait Host: Send + Sync {
    /// The first load has succeeded.
    fn is_ready(&self) -> bool;

    /// The components of a module (`""` is the root), without their bodies; `None` if there is no such module.
    fn components(&self, module: &str) -> Option<Vec<ComponentInfo>>;

    /// One component by its global id, with bodies.
    fn component(&self, id: &str) -> Option<ComponentInfo>;

    /// The handler of a component by its global id, if it has one.
    fn http_handler(&self, id: &str) -> Option<HttpHandler>;

    /// Where a component shows what passes it, by its global id; `None` if it cannot be looked at.
    fn tap(&self, _id: &str) -> Option<Tap> {
        None
    }

    /// The taps of all components of a module that have one; `None` if there is no such module.
    fn taps(&self, _module: &str) -> Option<Vec<Tap>> {
        None
    }

    /// Loads the configuration again. The error is the text that `/-/reload` answers.
    fn reload(&self) -> BoxFuture<'static, Result<(), String>>;

    /// The files of the configuration that runs, by name, as they were loaded and with their secrets masked.
    fn sources(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// How the last load went.
    fn last_load(&self) -> Option<LoadReport>;

    /// The registry that `/metrics` prints.
    fn metrics(&self) -> Arc<base_metrics::Registry>;

    /// `v1.2.3`
    fn version(&self) -> &str;
}

/// What the web API tells of one component (spec §5.1).
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ComponentInfo {
    pub name: String,
    pub local_id: String,
    pub module_id: String,
    pub label: Option<String>,
    pub references_to: Vec<String>,
    pub referenced_by: Vec<String>,
    pub data_flow_edges_to: Vec<DataEdge>,
    pub health: Health,
    pub arguments: Vec<BodyNode>,
    pub exports: Vec<BodyNode>,
    pub debug_info: Vec<BodyNode>,
    pub created_module_ids: Vec<String>,
    pub live_debugging_enabled: bool,
}

/// The end of a load or reload.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// When it ended.
    pub at: SystemTime,
    /// The diagnostics of a refused one, as text.
    pub error: Option<String>,
}
