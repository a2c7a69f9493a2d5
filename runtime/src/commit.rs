//! From staged to live: nothing here can fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use language_eval::Object;

use crate::blame::guarded;
use crate::engine::Engine;
use crate::import::StagedImport;
use crate::module::Module;
use crate::node::{Kind, Node, lock};
use crate::stage::{Change, StagedModule};

/// What a commit leaves to start and to stop.
#[derive(Default)]
pub(crate) struct Transition {
    /// Dependencies first.
    pub start: Vec<Arc<Node>>,
    /// In groups, dependants first; the nodes of one group stop together.
    pub stop: Vec<Vec<Arc<Node>>>,
}

impl StagedModule {
    /// Whether any of its nodes could not be evaluated.
    pub fn has_failed(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Failed))
            || self.changes.len() != self.module.plan.nodes.len()
    }

    /// Makes it live.
    pub fn commit(self, engine: &Arc<Engine>, transition: &mut Transition) -> Arc<Module> {
        let StagedModule { module, old, changes, mut exports, module_exports } = self;
        *lock(&module.exports) = module_exports;
        let mut changes: Vec<Option<Change>> = changes.into_iter().map(Some).collect();
        for &index in &module.plan.order {
            let Some(change) = changes[index].take() else { continue };
            let node = &module.nodes[index];
            commit_node(engine, node, change, std::mem::take(&mut exports[index]), transition);
            let stays = old.as_ref().and_then(|old| old.node(&node.id)).is_some_and(|before| Arc::ptr_eq(before, node));
            if !stays {
                transition.start.push(node.clone());
            }
        }
        if let Some(old) = old {
            for rank in old.plan.ranks().into_iter().rev() {
                let gone = rank
                    .into_iter()
                    .map(|index| &old.nodes[index])
                    .filter(|node| !module.node(&node.id).is_some_and(|stays| Arc::ptr_eq(stays, node)));
                let gone: Vec<Arc<Node>> = gone.cloned().collect();
                stop_all(&gone, transition);
            }
        }
        module
    }
}

/// Makes the change of one node live.
pub(crate) fn commit_node(
    engine: &Arc<Engine>,
    node: &Arc<Node>,
    change: Change,
    exports: Object,
    transition: &mut Transition,
) {
    match change {
        Change::Nothing | Change::Failed => {}
        Change::Build { body, instance } => {
            *lock(&node.body) = Arc::new(body);
            if let Some(component) = node.component() {
                *lock(&component.instance) = Some(instance);
                if component.broken.swap(false, Ordering::AcqRel) {
                    component.rebuilt.notify_one();
                }
            }
        }
        Change::Update { body, update } => {
            *lock(&node.body) = Arc::new(body);
            if let Err(panic) = guarded(update.commit) {
                // It may be half of each: another one is built in its place.
                tracing::error!(node = node.global_id(), panic, "a component panicked while it took new arguments");
                if let Some(component) = node.component() {
                    component.broken.store(true, Ordering::Release);
                    transition.stop.push(vec![node.clone()]);
                    transition.start.push(node.clone());
                }
            }
            if let (Some(component), Some(exports)) = (node.component(), update.exports) {
                component.context.publish_object(exports);
            }
        }
        Change::Custom { body, module } => {
            *lock(&node.body) = Arc::new(body);
            let module = module.commit(engine, transition);
            if let Kind::Custom(live) = &node.kind {
                *lock(live) = Some(module);
            }
        }
        Change::Foreach { body, modules } => {
            *lock(&node.body) = Arc::new(body);
            let Kind::Foreach(live) = &node.kind else { return };
            let modules: Vec<Arc<Module>> =
                modules.into_iter().map(|module| module.commit(engine, transition)).collect();
            let before = std::mem::replace(&mut *lock(live), modules.clone());
            for gone in before.iter().filter(|before| !modules.iter().any(|module| module.id == before.id)) {
                stop_module(gone, transition);
            }
        }
        Change::Import(staged) => commit_import(engine, node, *staged, transition),
    }
    *lock(&node.seen) = exports;
    let message = match &node.kind {
        Kind::Foreach(_) => "foreach evaluated",
        Kind::Import(_) => return,
        _ => "component evaluated",
    };
    node.evaluated(Ok(message));
}

fn commit_import(engine: &Arc<Engine>, node: &Arc<Node>, staged: StagedImport, transition: &mut Transition) {
    let Kind::Import(import) = &node.kind else { return };
    let StagedImport { body, arguments, imported, module, problem } = staged;
    *lock(&node.body) = Arc::new(body);
    if lock(&import.arguments).replace(arguments.clone()) != Some(arguments) {
        import.rearranged.notify_one();
    }
    if let Some(module) = module
        && imported.is_some()
    {
        module.commit(engine, transition);
    }
    if let Some(imported) = imported {
        *lock(&import.current) = Some(imported);
        *lock(&import.newest) = None;
    }
    match problem {
        None => node.evaluated(Ok("source evaluated")),
        Some(problem) => {
            tracing::error!(node = node.global_id(), error = problem, "imported content cannot be used");
            node.evaluated(Err(format!("imported content from {:?} cannot be used: {problem}", node.id)));
        }
    }
}

/// Everything inside a module, dependants first.
pub(crate) fn stop_module(module: &Module, transition: &mut Transition) {
    for rank in module.plan.ranks().into_iter().rev() {
        let nodes: Vec<Arc<Node>> = rank.into_iter().map(|index| module.nodes[index].clone()).collect();
        stop_all(&nodes, transition);
    }
}

fn stop_all(nodes: &[Arc<Node>], transition: &mut Transition) {
    for node in nodes {
        for module in node.modules() {
            stop_module(&module, transition);
        }
        if let Kind::Import(import) = &node.kind
            && let Some(imported) = lock(&import.current).as_ref()
        {
            stop_module(&imported.module, transition);
        }
    }
    if !nodes.is_empty() {
        transition.stop.push(nodes.to_vec());
    }
}
