//! Evaluation before the commit: everything that can fail, nothing that can be seen.
//!
//! A [`Stager`] walks a plan in order, decodes each block against the exports known so far, builds new components
//! without starting them and prepares updates of those that live. What comes out is a [`StagedModule`]: dropped, it
//! leaves no trace; committed, it is live.

mod component;
mod custom;
mod foreach;
mod import;
mod values;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use language_eval::block::BodySource;
use language_eval::{BodyNode, Object, Scope};
use language_syntax::{Diagnostic, Diagnostics, Severity, ast};
use sdk_component::{BoxFuture, Instance, Update};
use tokio::time::Instant;

use crate::engine::Engine;
use crate::import::StagedImport;
use crate::measure::controller;
use crate::module::{Environment, Exported, Inputs, Module};
use crate::node::{Kind, Node, lock};
use crate::plan::{NodeKind, Plan, PlannedNode};

/// How many nodes a configuration may have in all: declares that use one another multiply.
pub(crate) const MAX_NODES: usize = 100_000;

/// How deep modules may nest.
const MAX_DEPTH: usize = 64;

/// Whether what comes out is meant to run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Problems of this machine (no such file, no such socket) are errors.
    Run,
    /// They are warnings.
    Validate,
}

/// One evaluation with all it has found wrong.
pub(crate) struct Stager<'a> {
    pub engine: &'a Arc<Engine>,
    pub mode: Mode,
    pub diagnostics: Diagnostics,
    /// How long each node took; for the metrics, if it comes to a commit.
    pub timings: Vec<(Arc<Node>, Duration)>,
    /// A whole configuration is evaluated, not what a change of exports concerns.
    loading: bool,
    nodes_left: usize,
    depth: usize,
    /// A bound was passed: nothing further is evaluated.
    exhausted: bool,
    /// Plans whose diagnostics are already among ours, by their address: what is staged keeps them alive.
    reported: HashSet<usize>,
}

/// What to make a module of.
pub(crate) struct Request {
    pub id: Arc<str>,
    pub plan: Arc<Plan>,
    pub parent: Option<Arc<Environment>>,
    pub module_path: Arc<str>,
    pub inputs: Inputs,
    pub old: Option<Arc<Module>>,
}

/// A module ready to commit.
pub(crate) struct StagedModule {
    /// Its nodes are the old ones where they stay.
    pub module: Arc<Module>,
    pub old: Option<Arc<Module>>,
    /// By index.
    pub changes: Vec<Change>,
    /// By index: what each node will export.
    pub exports: Vec<Object>,
    /// What the module will export.
    pub module_exports: Object,
}

/// What a commit does to one node.
pub(crate) enum Change {
    /// Nothing to do.
    Nothing,
    /// The node could not be evaluated; there will be no commit.
    Failed,
    Build {
        body: Vec<BodyNode>,
        instance: Arc<dyn Instance>,
    },
    Update {
        body: Vec<BodyNode>,
        update: Update,
    },
    Custom {
        body: Vec<BodyNode>,
        module: Box<StagedModule>,
    },
    Foreach {
        body: Vec<BodyNode>,
        modules: Vec<StagedModule>,
    },
    Import(Box<StagedImport>),
}

/// What is known of the exports while a module is evaluated.
struct Known<'a>(&'a StagedModule);

impl Exported for Known<'_> {
    fn of(&self, index: usize) -> Option<Object> {
        let failed = matches!(self.0.changes[index], Change::Failed);
        (!failed).then(|| self.0.exports[index].clone())
    }
}

/// One node with all it takes to evaluate it.
pub(crate) struct Subject<'a> {
    pub module: &'a Arc<Module>,
    pub index: usize,
    pub scope: Scope,
}

impl<'a> Subject<'a> {
    pub fn planned(&self) -> &'a PlannedNode {
        &self.module.plan.nodes[self.index]
    }

    pub fn node(&self) -> &'a Arc<Node> {
        &self.module.nodes[self.index]
    }

    /// The block's body, or another in its place, for the decoder.
    pub fn source<'s>(&'s self, body: &'s ast::Body) -> BodySource<'s> {
        let planned = self.planned();
        BodySource {
            body,
            source: &planned.block.source,
            header: planned.block.block.header_span(),
            label: planned.label.as_deref(),
            scope: &self.scope,
        }
    }

    pub fn body(&self) -> BodySource<'_> {
        self.source(&self.planned().block.block.body)
    }
}

/// There is a diagnostic that says why.
pub(crate) struct Unusable;

impl<'a> Stager<'a> {
    pub fn new(engine: &'a Arc<Engine>, mode: Mode) -> Stager<'a> {
        Stager {
            engine,
            mode,
            diagnostics: Diagnostics::default(),
            timings: Vec::new(),
            loading: false,
            nodes_left: MAX_NODES,
            depth: 0,
            exhausted: false,
            reported: HashSet::new(),
        }
    }

    /// For a load: what is evaluated is told at a level that is seen.
    pub fn loading(self) -> Stager<'a> {
        Stager { loading: self.mode == Mode::Run, ..self }
    }

    /// Evaluates a whole module. Boxed, as modules nest.
    pub fn module<'s>(&'s mut self, request: Request) -> BoxFuture<'s, StagedModule>
    where
        'a: 's,
    {
        Box::pin(self.module_inner(request))
    }

    async fn module_inner(&mut self, request: Request) -> StagedModule {
        let Request { id, plan, parent, module_path, inputs, old } = request;
        if self.reported.insert(Arc::as_ptr(&plan).addr()) {
            self.diagnostics.extend(plan.diagnostics.clone());
        }
        let too_large = self.exhausted || plan.nodes.len() > self.nodes_left || self.depth >= MAX_DEPTH;
        let nodes = if self.exhausted {
            Vec::new()
        } else if too_large {
            let message = if self.depth >= MAX_DEPTH {
                format!("modules nest deeper than {MAX_DEPTH}")
            } else {
                format!("the configuration has more than {MAX_NODES} components and other nodes")
            };
            self.diagnostics.push(Diagnostic::error(inputs.call.clone(), message));
            Vec::new()
        } else {
            self.nodes_left -= plan.nodes.len();
            plan.nodes.iter().map(|planned| self.node_for(planned, &id, &inputs, old.as_ref())).collect()
        };
        let environment = Arc::new(Environment {
            names: plan.names.clone(),
            parent,
            imports: Mutex::new(BTreeMap::new()),
            module_path,
        });
        let module = Arc::new(Module { id, plan, nodes, environment, inputs, exports: Mutex::default() });
        let count = module.nodes.len();
        let mut staged = StagedModule {
            module,
            old,
            changes: Vec::new(),
            exports: vec![Object::default(); count],
            module_exports: Object::default(),
        };
        staged.changes.resize_with(count, || Change::Nothing);
        if too_large {
            self.exhausted = true;
            return staged;
        }
        self.depth += 1;
        let plan = staged.module.plan.clone();
        let mut failed = vec![false; count];
        for &index in &plan.order {
            let planned = &plan.nodes[index];
            if self.exhausted {
                staged.changes[index] = Change::Failed;
                continue;
            }
            let skipped = planned.dependencies().any(|dependency| failed[dependency]);
            let scope = staged.module.scope(planned, &Known(&staged));
            let subject = Subject { module: &staged.module, index, scope };
            if skipped || planned.faulty {
                self.check(&subject);
                failed[index] = true;
                staged.changes[index] = Change::Failed;
                continue;
            }
            match self.node(&subject).await {
                Ok((change, exports)) => {
                    staged.changes[index] = change;
                    staged.exports[index] = exports;
                }
                Err(Unusable) => {
                    failed[index] = true;
                    staged.changes[index] = Change::Failed;
                }
            }
        }
        self.depth -= 1;
        if self.mode == Mode::Validate {
            self.unused_declares(&plan);
        }
        let exported = plan.nodes.iter().enumerate().filter(|(_, node)| matches!(node.kind, NodeKind::Export));
        staged.module_exports = exported
            .filter_map(|(index, node)| {
                let value = staged.exports[index].get("value")?.clone();
                Some((node.label.clone().unwrap_or_default(), value))
            })
            .collect();
        staged
    }

    /// What is wrong inside declares that nothing uses keeps nothing from running, but its author should know.
    fn unused_declares(&mut self, plan: &Arc<Plan>) {
        for declare in plan.names.declares.values() {
            let inside = declare.plan(&self.engine.catalogue, &plan.names);
            if !self.reported.insert(Arc::as_ptr(inside).addr()) {
                continue;
            }
            for diagnostic in inside.diagnostics.clone().0 {
                self.diagnostics.push(Diagnostic { severity: Severity::Warning, ..diagnostic });
            }
        }
    }

    /// The live node of the same id and kind, or a new one.
    fn node_for(
        &self,
        planned: &PlannedNode,
        module: &Arc<str>,
        inputs: &Inputs,
        old: Option<&Arc<Module>>,
    ) -> Arc<Node> {
        if let Some(node) = old.and_then(|old| old.node(&planned.id))
            && same_kind(&planned.kind, &node.kind)
        {
            return node.clone();
        }
        Arc::new(match &planned.kind {
            NodeKind::Component(definition) => component::new_node(self.engine, planned, module, *definition, inputs),
            NodeKind::Custom(_) => Node::new(planned, module, Kind::Custom(Mutex::default())),
            NodeKind::Foreach(_) => Node::new(planned, module, Kind::Foreach(Mutex::default())),
            NodeKind::Import(_) => Node::new(planned, module, Kind::Import(Default::default())),
            NodeKind::Service(_) => Node::new(planned, module, Kind::Service),
            NodeKind::Declare | NodeKind::Argument | NodeKind::Export => Node::new(planned, module, Kind::Plain),
        })
    }

    /// Evaluates one node.
    pub async fn node(&mut self, subject: &Subject<'_>) -> Result<(Change, Object), Unusable> {
        let started = Instant::now();
        let outcome = match &subject.planned().kind {
            NodeKind::Component(definition) => self.component(subject, definition),
            NodeKind::Service(definition) => self.service(subject, definition),
            NodeKind::Custom(name) => self.custom(subject, name).await,
            NodeKind::Foreach(foreach) => self.foreach(subject, foreach).await,
            NodeKind::Import(kind) => self.import(subject, *kind).await,
            NodeKind::Argument => self.argument(subject),
            NodeKind::Export => self.export(subject),
            NodeKind::Declare => Ok((Change::Nothing, Object::default())),
        };
        let took = started.elapsed();
        self.timings.push((subject.node().clone(), took));
        self.tell(subject.node(), took);
        outcome
    }

    fn tell(&self, node: &Node, took: Duration) {
        let (controller_path, controller_id) = controller(&node.module);
        let (node_id, duration) = (&*node.id, took.as_nanos() as u64);
        let controller_path = &*controller_path;
        if self.loading {
            tracing::info!(controller_path, controller_id, node_id, duration, "finished node evaluation");
        } else if self.mode == Mode::Run {
            tracing::debug!(controller_path, controller_id, node_id, duration, "finished node evaluation");
        }
    }

    /// What can be said of a node that cannot be evaluated, as what it depends on is faulty.
    fn check(&mut self, subject: &Subject<'_>) {
        let check = match &subject.planned().kind {
            NodeKind::Component(definition) => definition.check,
            NodeKind::Service(definition) => definition.check,
            _ => return,
        };
        let found = check(subject.body());
        // What the plan has already said of a place is not said again.
        for diagnostic in found.0 {
            let known = self.diagnostics.0.iter().any(|earlier| same_place(earlier, &diagnostic));
            if !known {
                self.diagnostics.push(diagnostic);
            }
        }
    }

    /// How bad a problem of this machine is.
    fn environment(&self) -> Severity {
        match self.mode {
            Mode::Run => Severity::Error,
            Mode::Validate => Severity::Warning,
        }
    }
}

fn same_kind(planned: &NodeKind, live: &Kind) -> bool {
    match (planned, live) {
        (NodeKind::Component(definition), Kind::Component(component)) => definition.name == component.definition.name,
        (NodeKind::Custom(_), Kind::Custom(_))
        | (NodeKind::Foreach(_), Kind::Foreach(_))
        | (NodeKind::Import(_), Kind::Import(_))
        | (NodeKind::Service(_), Kind::Service)
        | (NodeKind::Declare | NodeKind::Argument | NodeKind::Export, Kind::Plain) => true,
        _ => false,
    }
}

fn same_place(one: &Diagnostic, other: &Diagnostic) -> bool {
    match (&one.location, &other.location) {
        (Some(one), Some(other)) => one.span == other.span && Arc::ptr_eq(&one.source, &other.source),
        _ => false,
    }
}

/// The exports a live node's dependants were evaluated with.
pub(crate) fn live_body(node: &Node) -> Arc<Vec<BodyNode>> {
    lock(&node.body).clone()
}
