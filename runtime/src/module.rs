//! A running module: the configuration itself, the inside of a custom component, an item of a `foreach`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use language_eval::{Object, Scope, Value};
use language_syntax::Location;

use crate::import::Imported;
use crate::node::{Node, lock};
use crate::plan::{CustomName, Declare, Names, Plan, PlannedNode};

/// The nodes of one plan, alive.
pub(crate) struct Module {
    /// Empty at the root; `a.b.x/c.d.y` inside custom components.
    pub id: Arc<str>,
    pub plan: Arc<Plan>,
    /// By index of the plan's nodes.
    pub nodes: Vec<Arc<Node>>,
    pub environment: Arc<Environment>,
    pub inputs: Inputs,
    /// Of its `export` blocks.
    pub exports: Mutex<Object>,
}

/// What comes from outside.
#[derive(Clone, Default)]
pub(crate) struct Inputs {
    /// Of the custom component.
    pub arguments: Object,
    /// Where the custom component stands, for errors about its arguments.
    pub call: Option<Location>,
    /// For items of a `foreach`: exports of the nodes around, by id.
    pub outer: Vec<(String, Object)>,
    /// For items of a `foreach`: the variables.
    pub variables: Vec<(String, Value)>,
    /// Metrics of the components are shown; not those in a `foreach`, unless it says so.
    pub hide_metrics: bool,
}

/// What custom names lead to inside a module: static names with the imports' present content.
pub(crate) struct Environment {
    pub names: Arc<Names>,
    pub parent: Option<Arc<Environment>>,
    /// By the import's label; filled when the import is evaluated.
    pub imports: Mutex<BTreeMap<String, Arc<Imported>>>,
    /// What `module_path` is.
    pub module_path: Arc<str>,
}

/// The exports of a module's nodes as known so far, while it is evaluated.
pub(crate) trait Exported {
    /// Of the node at an index of the plan; none when the node could not be evaluated.
    fn of(&self, index: usize) -> Option<Object>;
}

impl Environment {
    /// The declare and the environment it was written in. `Err` says what is missing.
    pub fn find(self: &Arc<Environment>, name: &CustomName) -> Result<(Arc<Declare>, Arc<Environment>), Missing> {
        let mut missing = Missing::default();
        for level in std::iter::successors(Some(self), |level| level.parent.as_ref()) {
            match name {
                CustomName::Local(name) => {
                    if let Some(declare) = level.names.declares.get(name) {
                        return Ok((declare.clone(), level.clone()));
                    }
                    missing.known.extend(level.names.declares.keys().cloned());
                }
                CustomName::Imported { namespace, name } => {
                    let Some(imported) = lock(&level.imports).get(namespace).cloned() else { continue };
                    if let Some(declare) = imported.environment.names.declares.get(name) {
                        return Ok((declare.clone(), imported.environment.clone()));
                    }
                    let known = imported.environment.names.declares.keys();
                    missing.known.extend(known.map(|name| format!("{namespace}.{name}")));
                    missing.broken = missing.broken.or_else(|| imported.broken.clone());
                }
            }
        }
        Err(missing)
    }

    /// Whether a namespace stands for an import that could not be read on this machine.
    pub fn is_unfetched(self: &Arc<Environment>, namespace: &str) -> bool {
        std::iter::successors(Some(self), |level| level.parent.as_ref())
            .any(|level| lock(&level.imports).get(namespace).is_some_and(|imported| imported.unfetched))
    }
}

/// Why a custom component's kind was not found.
#[derive(Default)]
pub(crate) struct Missing {
    /// Names that would have been.
    pub known: Vec<String>,
    /// What is wrong with the import's content.
    pub broken: Option<String>,
}

impl Module {
    /// What the expressions of a node may refer to: only what they do refer to, so that a large graph costs nothing.
    pub fn scope(&self, node: &PlannedNode, exported: &dyn Exported) -> Scope {
        let mut scope = Scope::new();
        // A name that stands in the way of another can only belong to a node that shadows it.
        let _ = scope.set("module_path", Value::from(&*self.environment.module_path));
        for (name, value) in &self.inputs.variables {
            let _ = scope.set(name, value.clone());
        }
        for (id, exports) in &self.inputs.outer {
            if node.outer_references.contains(id) {
                let _ = scope.set(id, Value::Object(exports.clone()));
            }
        }
        for &index in &node.references {
            if let Some(exports) = exported.of(index) {
                let _ = scope.set(&self.plan.nodes[index].id, Value::Object(exports));
            }
        }
        scope
    }

    /// The node of that id.
    pub fn node(&self, id: &str) -> Option<&Arc<Node>> {
        self.plan.index(id).map(|index| &self.nodes[index])
    }
}

/// The exports of a committed module.
impl Exported for Module {
    fn of(&self, index: usize) -> Option<Object> {
        Some(self.nodes[index].exports())
    }
}
