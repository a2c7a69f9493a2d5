//! The capsule that `otelcol.storage.*` export: a place on the disk.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use language_eval::{CapsuleObject, Exports, capsule};

/// What a `storage` argument takes: the handler of an `otelcol.storage.*` component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageHandler {
    component: Arc<str>,
    directory: Arc<Path>,
}

/// What `otelcol.storage.*` components export.
#[derive(Clone, Debug, Exports)]
pub struct StorageExports {
    /// To be named by the `storage` argument of sending queues.
    pub handler: StorageHandler,
}

// === impl StorageHandler ===

impl StorageHandler {
    /// The handler of a component, by its global id: everything lies in `directory`, which exists.
    pub fn new(component: impl Into<Arc<str>>, directory: &Path) -> StorageHandler {
        StorageHandler { component: component.into(), directory: directory.into() }
    }

    /// A directory of its own for a user of the storage, who names what it is for.
    #[must_use]
    pub fn place(&self, user: &str, what: &str) -> PathBuf {
        // An id of a module has slashes; no id has a `~`.
        self.directory.join(format!("{}_{what}", user.replace('/', "~")))
    }
}

impl CapsuleObject for StorageHandler {
    fn type_name(&self) -> &'static str {
        "otelcol.ExtensionHandler"
    }

    fn equals(&self, other: &dyn CapsuleObject) -> Option<bool> {
        Some(other.as_any().downcast_ref::<StorageHandler>() == Some(self))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

capsule!(StorageHandler, "otelcol.ExtensionHandler");
