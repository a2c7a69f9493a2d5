//! Changed exports, imports and components to build again: what depends on them is evaluated again, in waves.
//!
//! One wave goes through a module in its order of evaluation, so a node with two changed dependencies is evaluated once,
//! after both. What leaves a module by its exports goes on in the module around it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::commit::{Transition, commit_node};
use crate::engine::Engine;
use crate::marks::{Mark, Place};
use crate::module::Module;
use crate::node::{Kind, Node, lock};
use crate::plan::NodeKind;
use crate::stage::{Mode, Stager, Subject};

/// Works off all marks there are; what is marked meanwhile waits for the next time.
pub(crate) async fn propagate(engine: &Arc<Engine>, transition: &mut Transition) {
    let mut waiting: BTreeMap<Order, BTreeMap<Arc<str>, Mark>> = BTreeMap::new();
    for (place, mark) in engine.marks.take() {
        waiting.entry(Order::of(place.module)).or_default().insert(place.node, mark);
    }
    // Inner modules first: their exports may be what the outer ones wait for.
    while let Some((Order { module, .. }, here)) = waiting.pop_last() {
        let Some(indexed) = engine.module(&module) else { continue };
        let mut wave = Wave { engine, module: &indexed.module, transition: &mut *transition, restructured: false };
        let told = wave.run(&here).await;
        if wave.restructured
            && let Some(root) = engine.root()
        {
            engine.index(&root);
        }
        if let (Some(told), Some(Place { module, node })) = (told, indexed.parent) {
            let since = here.values().map(|mark| mark.since).min().unwrap_or_else(Instant::now);
            let outside = waiting.entry(Order::of(module)).or_default();
            let mark = outside.entry(node).or_insert(Mark { evaluate: false, changed: false, since });
            mark.changed |= told == Told::Changed;
        }
    }
}

/// Modules by how deep they are.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    depth: usize,
    module: Arc<str>,
}

impl Order {
    fn of(module: Arc<str>) -> Order {
        let depth = if module.is_empty() { 0 } else { 1 + module.matches('/').count() };
        Order { depth, module }
    }
}

/// What a wave tells the module around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Its exports may have changed.
    Exports,
    /// What its declares lead to has changed.
    Changed,
}

struct Wave<'a> {
    engine: &'a Arc<Engine>,
    module: &'a Arc<Module>,
    transition: &'a mut Transition,
    /// Modules came or went.
    restructured: bool,
}

impl Wave<'_> {
    async fn run(&mut self, marks: &BTreeMap<Arc<str>, Mark>) -> Option<Told> {
        let plan = &self.module.plan;
        let dependants = plan.dependants();
        let mut affected: Vec<Option<Instant>> = vec![None; plan.nodes.len()];
        let (mut exported, mut imported) = (false, false);
        for &index in &plan.order {
            let node = &self.module.nodes[index];
            let mark = marks.get(node.id.as_str());
            let mut changed = mark.is_some_and(|mark| mark.changed);
            imported |= changed && matches!(node.kind, Kind::Import(_));
            let since = affected[index].or(mark.filter(|mark| mark.evaluate).map(|mark| mark.since));
            if let Some(since) = since {
                self.engine.measures.waited(&self.module.id, since.elapsed());
                changed |= self.evaluate(index).await;
                exported |= changed && matches!(plan.nodes[index].kind, NodeKind::Export);
                imported |= changed && matches!(node.kind, Kind::Import(_));
            }
            changed |= self.has_new_exports(node);
            if changed {
                let since = since.or(mark.map(|mark| mark.since)).unwrap_or_else(Instant::now);
                for &dependant in &dependants[index] {
                    affected[dependant] = Some(affected[dependant].map_or(since, |earlier| earlier.min(since)));
                }
            }
        }
        if exported {
            self.gather_exports();
        }
        match (imported, exported) {
            (true, _) => Some(Told::Changed),
            (_, true) => Some(Told::Exports),
            _ => None,
        }
    }

    /// Notes what the node exports now; true when its dependants have not seen that.
    fn has_new_exports(&self, node: &Arc<Node>) -> bool {
        if !matches!(node.kind, Kind::Component(_) | Kind::Custom(_)) {
            return false;
        }
        let exports = node.exports();
        let mut seen = lock(&node.seen);
        let differs = *seen != exports;
        if differs {
            *seen = exports;
        }
        differs
    }

    /// Evaluates a node and commits it by itself; true when what depends on it must follow. A failure leaves it as it
    /// is, unhealthy.
    async fn evaluate(&mut self, index: usize) -> bool {
        let (engine, module) = (self.engine, self.module);
        let (planned, node) = (&module.plan.nodes[index], &module.nodes[index]);
        if matches!(planned.kind, NodeKind::Declare) {
            return true;
        }
        let subject = Subject { module, index, scope: module.scope(planned, &**module) };
        let mut stager = Stager::new(engine, Mode::Run);
        let staged = stager.node(&subject).await;
        engine.measures.evaluated(&stager.timings);
        let Ok((change, exports)) = staged else {
            let found = stager.diagnostics;
            tracing::error!(node = node.global_id(), err = %found, "failed to evaluate config");
            node.evaluated(Err(format!("{} evaluation failed: {found}", kind_in_words(node))));
            return false;
        };
        let before = lock(&node.seen).clone();
        let imports = matches!(node.kind, Kind::Import(_)) && !matches!(change, crate::stage::Change::Nothing);
        commit_node(engine, node, change, exports.clone(), self.transition);
        self.restructured |= imports || !node.modules().is_empty();
        imports || before != exports
    }

    /// The module's exports from its export blocks.
    fn gather_exports(&self) {
        let nodes = self.module.plan.nodes.iter().zip(&self.module.nodes);
        let exports = nodes
            .filter(|(planned, _)| matches!(planned.kind, NodeKind::Export))
            .filter_map(|(planned, node)| {
                let value = lock(&node.seen).get("value")?.clone();
                Some((planned.label.clone().unwrap_or_default(), value))
            })
            .collect();
        *lock(&self.module.exports) = exports;
    }
}

fn kind_in_words(node: &Node) -> &'static str {
    match &node.kind {
        Kind::Foreach(_) => "foreach",
        Kind::Import(_) => "source",
        _ => "component",
    }
}
