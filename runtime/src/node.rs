//! Live nodes: what stays of a node from one load to the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base_sys::clock;
use language_eval::schema::FieldKind;
use language_eval::{BodyNode, Object, TypeSchema, Value};
use sdk_component::{Context, Definition, Health, HealthState, Instance};
use tokio::sync::Notify;

use crate::import::ImportNode;
use crate::marks::Place;
use crate::module::Module;
use crate::supervise::Running;

/// A node of a running module.
pub(crate) struct Node {
    /// `loki.write.default`
    pub id: String,
    /// `loki.write`
    pub name: String,
    pub label: Option<String>,
    /// The module it is in; empty at the root.
    pub module: Arc<str>,
    pub kind: Kind,
    /// The exports that its dependants were last evaluated with.
    pub seen: Mutex<Object>,
    pub health: Mutex<Healths>,
    /// What the component says of itself.
    pub reported: Arc<Mutex<Option<Health>>>,
    pub running: Mutex<Option<Running>>,
    /// When it was decoded last: the arguments that are live.
    pub body: Mutex<Arc<Vec<BodyNode>>>,
}

/// What only one kind of node has.
pub(crate) enum Kind {
    Component(ComponentNode),
    /// The module of a custom component; `None` until committed.
    Custom(Mutex<Option<Arc<Module>>>),
    /// One module per item of the collection.
    Foreach(Mutex<Vec<Arc<Module>>>),
    Import(Box<ImportNode>),
    Service,
    /// `argument` (its value is in `seen`), `export`, `declare`.
    Plain,
}

pub(crate) struct ComponentNode {
    pub definition: Definition,
    pub context: Context,
    pub instance: Mutex<Option<Arc<dyn Instance>>>,
    /// The instance has panicked: the next evaluation builds another.
    pub broken: AtomicBool,
    /// There is a new instance in place of a broken one.
    pub rebuilt: Notify,
}

/// The statements about a node's health; the worst counts (spec §3.7).
pub(crate) struct Healths {
    pub evaluation: Health,
    pub run: Option<Health>,
}

/// No panic leaves what these locks guard half done: each holds one value that is replaced whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Node ===

impl Node {
    pub fn new(planned: &crate::plan::PlannedNode, module: &Arc<str>, kind: Kind) -> Node {
        let created = match kind {
            Kind::Custom(_) => "node custom component created".to_owned(),
            Kind::Foreach(_) => "foreach created".to_owned(),
            Kind::Import(_) => "import created".to_owned(),
            _ => "component created".to_owned(),
        };
        Node {
            id: planned.id.clone(),
            name: planned.name.clone(),
            label: planned.label.clone(),
            module: module.clone(),
            kind,
            seen: Mutex::default(),
            health: Mutex::new(Healths { evaluation: health(HealthState::Unknown, created), run: None }),
            reported: Arc::default(),
            running: Mutex::default(),
            body: Mutex::default(),
        }
    }

    /// Module id, `/`, own id; at the root its own id.
    pub fn global_id(&self) -> String {
        global_id(&self.module, &self.id)
    }

    pub fn place(&self) -> Place {
        Place { module: self.module.clone(), node: self.id.as_str().into() }
    }

    pub fn component(&self) -> Option<&ComponentNode> {
        match &self.kind {
            Kind::Component(component) => Some(component),
            _ => None,
        }
    }

    /// What it exports now.
    pub fn exports(&self) -> Object {
        match &self.kind {
            Kind::Component(component) => component.exports(),
            Kind::Custom(module) => {
                lock(module).as_ref().map(|module| lock(&module.exports).clone()).unwrap_or_default()
            }
            Kind::Plain => lock(&self.seen).clone(),
            Kind::Foreach(_) | Kind::Import(_) | Kind::Service => Object::default(),
        }
    }

    /// The modules inside it.
    pub fn modules(&self) -> Vec<Arc<Module>> {
        match &self.kind {
            Kind::Custom(module) => lock(module).iter().cloned().collect(),
            Kind::Foreach(modules) => lock(modules).clone(),
            _ => Vec::new(),
        }
    }

    /// Whether the web API lists it and `running_components` counts it.
    pub fn is_listed(&self) -> bool {
        matches!(self.kind, Kind::Component(_) | Kind::Custom(_) | Kind::Foreach(_))
    }

    /// The least healthy of what is said about it; of a module, of what is in it, too.
    pub fn health(&self) -> Health {
        let own = self.own_health();
        let inner = self.modules().into_iter().flat_map(|module| {
            let nodes = module.nodes.iter().filter(|node| node.is_listed() || matches!(node.kind, Kind::Import(_)));
            nodes.map(|node| (node.global_id(), node.health())).collect::<Vec<_>>()
        });
        let worst_inside =
            inner.filter(|(_, health)| health.state < HealthState::Unknown).min_by_key(|(_, health)| health.state);
        match worst_inside {
            // What is inside has exited, this one has not: it is unhealthy.
            Some((id, inside)) if own.state > HealthState::Unhealthy => Health {
                state: HealthState::Unhealthy,
                message: format!("{id} is {}: {}", inside.state.as_str(), inside.message),
                updated: inside.updated,
            },
            _ => own,
        }
    }

    /// Without what is inside it.
    pub fn own_health(&self) -> Health {
        let health = lock(&self.health);
        let reported = lock(&self.reported);
        let others = health.run.iter().chain(reported.iter());
        others.fold(health.evaluation.clone(), |worst, health| worst.worse(health.clone()))
    }

    pub fn evaluated(&self, outcome: Result<&str, String>) {
        let health = match outcome {
            Ok(message) => health(HealthState::Healthy, message),
            Err(message) => health(HealthState::Unhealthy, message),
        };
        lock(&self.health).evaluation = health;
    }

    pub fn ran(&self, state: HealthState, message: impl Into<String>) {
        lock(&self.health).run = Some(health(state, message));
    }
}

impl ComponentNode {
    pub fn exports(&self) -> Object {
        let exports = self.context.exports();
        if !exports.is_empty() {
            return exports;
        }
        // Nothing published yet: whoever refers to it reads zeros (spec §3.3a).
        let schema = (self.definition.exports)();
        schema.fields.iter().filter_map(|field| Some((field.name, zero(&field.kind)?))).collect()
    }

    pub fn instance(&self) -> Option<Arc<dyn Instance>> {
        lock(&self.instance).clone()
    }

    pub fn must_build(&self) -> bool {
        self.broken.load(Ordering::Acquire) || lock(&self.instance).is_none()
    }
}

fn zero(kind: &FieldKind) -> Option<Value> {
    let FieldKind::Attribute { value, .. } = kind else { return None };
    Some(match value {
        TypeSchema::Bool => Value::Bool(false),
        TypeSchema::Int | TypeSchema::Uint | TypeSchema::Float => Value::Number(language_eval::Number::Int(0)),
        TypeSchema::String | TypeSchema::Text(_) | TypeSchema::Word(_) | TypeSchema::Duration => {
            Value::String(language_eval::Text::from(""))
        }
        TypeSchema::List(_) => Value::Array(Arc::from(Vec::new())),
        TypeSchema::Map(_) | TypeSchema::Struct(_) | TypeSchema::Target => Value::Object(Object::default()),
        TypeSchema::Any | TypeSchema::Secret | TypeSchema::Capsule(_) => Value::Null,
    })
}

pub(crate) fn health(state: HealthState, message: impl Into<String>) -> Health {
    Health { state, message: message.into(), updated: clock::now() }
}

pub(crate) fn global_id(module: &str, id: &str) -> String {
    if module.is_empty() { id.to_owned() } else { format!("{module}/{id}") }
}
