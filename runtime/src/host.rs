//! What services and the web API see of the graph.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use language_eval::{BodyNode, DataEdge, Value};
use sdk_component::host::{ComponentInfo, Host, LoadReport};
use sdk_component::{BoxFuture, HttpHandler, Tap};

use crate::blame::guarded;
use crate::module::Module;
use crate::node::{Kind, Node, lock};
use crate::runtime::{LoadError, Shared};

pub(crate) struct Hosted(pub Arc<Shared>);

impl Hosted {
    /// The node of a global id: what stands before the last `/` that is a module's id, and the rest.
    fn find(&self, id: &str) -> Option<(Arc<Module>, usize)> {
        let (module, node) = id.rsplit_once('/').unwrap_or(("", id));
        let module = self.0.engine.module(module)?.module;
        let index = module.plan.index(node)?;
        module.nodes[index].is_listed().then_some((module, index))
    }
}

impl Host for Hosted {
    fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    fn components(&self, module: &str) -> Option<Vec<ComponentInfo>> {
        let module = self.0.engine.module(module)?.module;
        let dependants = module.plan.dependants();
        let listed = (0..module.nodes.len()).filter(|index| module.nodes[*index].is_listed());
        Some(listed.map(|index| describe(&module, index, &dependants, false)).collect())
    }

    fn component(&self, id: &str) -> Option<ComponentInfo> {
        let (module, index) = self.find(id)?;
        Some(describe(&module, index, &module.plan.dependants(), true))
    }

    fn http_handler(&self, id: &str) -> Option<HttpHandler> {
        let (module, index) = self.find(id)?;
        module.nodes[index].component()?.instance()?.http()
    }

    fn tap(&self, id: &str) -> Option<Tap> {
        let (module, index) = self.find(id)?;
        module.nodes[index].component()?.context.taken_tap()
    }

    fn taps(&self, module: &str) -> Option<Vec<Tap>> {
        let module = self.0.engine.module(module)?.module;
        Some(module.nodes.iter().filter_map(|node| node.component()?.context.taken_tap()).collect())
    }

    fn reload(&self) -> BoxFuture<'static, Result<(), String>> {
        let shared = self.0.clone();
        Box::pin(async move {
            match shared.load().await {
                Ok(_) => Ok(()),
                Err(refused @ LoadError::Refused(_)) => Err(format!("error during the initial load: {refused}")),
                Err(error) => Err(format!("reading config path {:?}: {error}", shared.sources.name())),
            }
        })
    }

    fn sources(&self) -> Vec<(String, String)> {
        let texts = lock(&self.0.loaded).clone();
        let files = texts.iter().flat_map(|texts| &texts.files);
        files.map(|file| (file.name().to_owned(), crate::mask::masked(&self.0.engine.catalogue, file))).collect()
    }

    fn last_load(&self) -> Option<LoadReport> {
        lock(&self.0.last_load).clone()
    }

    fn metrics(&self) -> Arc<base_metrics::Registry> {
        Arc::new(self.0.engine.options.metrics.clone())
    }

    fn version(&self) -> &str {
        &self.0.engine.options.version
    }
}

fn describe(module: &Arc<Module>, index: usize, dependants: &[Vec<usize>], bodies: bool) -> ComponentInfo {
    let (planned, node) = (&module.plan.nodes[index], &module.nodes[index]);
    let listed = |indexes: &[usize]| {
        let mut ids: Vec<String> = indexes
            .iter()
            .filter(|index| module.nodes[**index].is_listed())
            .map(|index| module.nodes[*index].id.clone())
            .collect();
        ids.sort();
        ids
    };
    let instance = node.component().and_then(|component| component.instance());
    // A component that panics while it is asked shows nothing, and the page goes on.
    let debug_info = match (&instance, bodies) {
        (Some(instance), true) => guarded(|| instance.describe().debug_info).unwrap_or_default(),
        _ => Vec::new(),
    };
    let mut created_module_ids: Vec<String> = node.modules().iter().map(|module| module.id.to_string()).collect();
    created_module_ids.sort();
    let exports = node.exports();
    let exported =
        exports.iter().map(|(name, value)| BodyNode::Attribute { name: name.to_owned(), value: value.clone() });
    ComponentInfo {
        name: node.name.clone(),
        local_id: node.id.clone(),
        module_id: module.id.to_string(),
        label: node.label.clone(),
        references_to: listed(&planned.references),
        referenced_by: listed(&dependants[index]),
        data_flow_edges_to: flows(module, index, dependants),
        health: node.health(),
        arguments: if bodies { lock(&node.body).to_vec() } else { Vec::new() },
        exports: if bodies { exported.collect() } else { Vec::new() },
        debug_info,
        created_module_ids,
        live_debugging_enabled: node.component().is_some_and(|component| component.context.taken_tap().is_some()),
    }
}

/// Where a node's data goes: to those whose receivers it was given, and to those that take its exports.
pub(crate) fn flows(module: &Module, index: usize, dependants: &[Vec<usize>]) -> Vec<DataEdge> {
    let node = &module.nodes[index];
    let mut edges = node.data_edges();
    if node.component().is_none() {
        return edges;
    }
    let id = node.global_id();
    for taker in dependants[index].iter().map(|taker| &module.nodes[*taker]).filter(|taker| taker.component().is_some())
    {
        // Whoever was given a receiver sends there; nothing comes from it.
        let sends = taker.data_edges().iter().any(|edge| edge.component == id);
        let edge = DataEdge { component: taker.global_id(), signal: "target" };
        if !sends && !edges.iter().any(|known| known.component == edge.component) {
            edges.push(edge);
        }
    }
    edges
}

impl Node {
    /// Where its data goes, as the capsules in its arguments tell.
    pub fn data_edges(&self) -> Vec<DataEdge> {
        let mut edges = Vec::new();
        if matches!(self.kind, Kind::Component(_) | Kind::Custom(_)) {
            in_body(&lock(&self.body), &mut edges);
        }
        edges
    }

    /// Whether `running_components` counts it.
    pub fn counts_as_running(&self) -> bool {
        self.is_listed() || matches!(self.kind, Kind::Import(_))
    }
}

fn in_body(body: &[BodyNode], edges: &mut Vec<DataEdge>) {
    for node in body {
        match node {
            BodyNode::Attribute { value, .. } => in_value(value, edges),
            BodyNode::Block { body, .. } => in_body(body, edges),
        }
    }
}

fn in_value(value: &Value, edges: &mut Vec<DataEdge>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| in_value(item, edges)),
        Value::Object(object) => object.iter().for_each(|(_, value)| in_value(value, edges)),
        Value::Capsule(capsule) => {
            if let Some(edge) = capsule.object().data_edge()
                && !edges.contains(&edge)
            {
                edges.push(edge);
            }
        }
        _ => {}
    }
}
