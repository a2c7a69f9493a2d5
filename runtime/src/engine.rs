//! What every part of the runtime needs: the catalogue, the options, the marks, the modules by id.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use base_sys::task::Scope as Tasks;
use tokio_util::sync::CancellationToken;

use crate::marks::{Marks, Place};
use crate::measure::Measures;
use crate::module::Module;
use crate::node::{Kind, lock};
use crate::options::Options;
use crate::plan::Catalogue;

pub(crate) struct Engine {
    pub options: Options,
    pub catalogue: Catalogue,
    pub marks: Arc<Marks>,
    pub measures: Measures,
    /// Everything that runs.
    pub tasks: Tasks,
    /// Everything is going to stop, one after the other.
    pub stopping: CancellationToken,
    modules: RwLock<HashMap<Arc<str>, Indexed>>,
}

/// A module and the node it belongs to.
#[derive(Clone)]
pub(crate) struct Indexed {
    pub module: Arc<Module>,
    /// `None` for the root.
    pub parent: Option<Place>,
}

impl Engine {
    pub fn new(options: Options) -> Engine {
        let marks = Arc::new(Marks::default());
        Engine {
            catalogue: options.catalogue(),
            measures: Measures::new(&options.metrics, &marks),
            marks,
            tasks: Tasks::new(),
            stopping: CancellationToken::new(),
            modules: RwLock::default(),
            options,
        }
    }

    /// A module by its id; `""` is the root.
    pub fn module(&self, id: &str) -> Option<Indexed> {
        self.modules.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(id).cloned()
    }

    pub fn root(&self) -> Option<Arc<Module>> {
        self.module("").map(|indexed| indexed.module)
    }

    /// All modules, in order of their ids.
    pub fn modules(&self) -> Vec<Arc<Module>> {
        let modules = self.modules.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut modules: Vec<Arc<Module>> = modules.values().map(|indexed| indexed.module.clone()).collect();
        modules.sort_by(|a, b| a.id.cmp(&b.id));
        modules
    }

    /// Sees again which modules there are, after a commit.
    pub fn index(&self, root: &Arc<Module>) {
        let mut modules = HashMap::new();
        let mut queue = vec![Indexed { module: root.clone(), parent: None }];
        while let Some(indexed) = queue.pop() {
            for node in &indexed.module.nodes {
                let mut inner = node.modules();
                if let Kind::Import(import) = &node.kind {
                    inner.extend(lock(&import.current).as_ref().map(|imported| imported.module.clone()));
                }
                queue.extend(inner.into_iter().map(|module| Indexed { module, parent: Some(node.place()) }));
            }
            modules.insert(indexed.module.id.clone(), indexed);
        }
        *self.modules.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = modules;
    }
}
