//! Components and services: decoded, then built or prepared for an update.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use language_eval::Object;
use language_syntax::Diagnostic;
use sdk_component::{Context, ContextParts, Decoded, Definition, Problem, ServiceDefinition};
use tokio::sync::Notify;

use super::{Change, Stager, Subject, Unusable, live_body, same_place};
use crate::blame;
use crate::engine::Engine;
use crate::marks::Place;
use crate::module::Inputs;
use crate::node::{ComponentNode, Kind, Node, global_id, health, lock};
use crate::plan::PlannedNode;

/// What Alloy begins errors of components with.
const COMPONENT: &str = "Failed to build component";

/// What Alloy begins errors of services with.
const SERVICE: &str = "Failed to evaluate service";

pub(super) fn new_node(
    engine: &Arc<Engine>,
    planned: &PlannedNode,
    module: &Arc<str>,
    definition: Definition,
    inputs: &Inputs,
) -> Node {
    let place = Place { module: module.clone(), node: planned.id.as_str().into() };
    let module_path = format!("/{module}");
    let metrics = if inputs.hide_metrics {
        base_metrics::Scope::detached()
    } else {
        engine.options.metrics.scope(&[("component_path", &module_path), ("component_id", &planned.id)])
    };
    let id = global_id(module, &planned.id);
    let reported: Arc<std::sync::Mutex<Option<sdk_component::Health>>> = Arc::default();
    let (marks, said) = (engine.marks.clone(), reported.clone());
    let context = Context::new(ContextParts {
        data_path: engine.options.storage_path.join(&id),
        id,
        module_path,
        local_id: planned.id.clone(),
        minimum_stability: engine.options.minimum_stability,
        metrics,
        on_exports: Box::new(move |_| marks.exports(place.clone())),
        on_health: Box::new(move |state, message| {
            let mut said = lock(&said);
            // The same again is no news: the time stays that of the change.
            if said.as_ref().is_none_or(|said| said.state != state || said.message != message) {
                *said = Some(health(state, message));
            }
        }),
        memory_http: engine.options.memory_http.clone(),
        listen_address: engine.options.listen_address.clone(),
    });
    let component = ComponentNode {
        definition,
        context,
        instance: Default::default(),
        broken: AtomicBool::new(false),
        rebuilt: Notify::new(),
    };
    Node { reported, ..Node::new(planned, module, Kind::Component(component)) }
}

impl Stager<'_> {
    pub(super) fn component(
        &mut self,
        subject: &Subject<'_>,
        definition: &Definition,
    ) -> Result<(Change, Object), Unusable> {
        let node = subject.node();
        let component = node.component().expect("a planned component has a component's node");
        let decoded = self.decoded(subject, COMPONENT, || (definition.decode)(subject.body()))?;
        if component.must_build() {
            self.doubts(subject, definition, &decoded);
            let body = decoded.body.clone();
            let build = || blame::guarded(|| (definition.build)(&component.context, decoded));
            // What it says there names it, too.
            let built = component.context.span().in_scope(build);
            let instance = self.sound(subject, COMPONENT, built)?;
            return Ok((Change::Build { body, instance }, component.exports()));
        }
        if *live_body(node) == decoded.body {
            return Ok((Change::Nothing, component.exports()));
        }
        let Some(instance) = component.instance() else { return Err(Unusable) };
        self.doubts(subject, definition, &decoded);
        let body = decoded.body.clone();
        let updated = component.context.span().in_scope(|| blame::guarded(|| instance.update(decoded)));
        let update = self.sound(subject, COMPONENT, updated)?;
        let exports = update.exports.clone().unwrap_or_else(|| component.exports());
        Ok((Change::Update { body, update }, exports))
    }

    pub(super) fn service(
        &mut self,
        subject: &Subject<'_>,
        definition: &ServiceDefinition,
    ) -> Result<(Change, Object), Unusable> {
        let node = subject.node();
        let decoded = self.decoded(subject, SERVICE, || (definition.decode)(subject.body()))?;
        let fresh = lock(&node.health).evaluation.state == sdk_component::HealthState::Unknown;
        if !fresh && *live_body(node) == decoded.body {
            return Ok((Change::Nothing, Object::default()));
        }
        let body = decoded.body.clone();
        let updated = blame::guarded(|| definition.instance.update(decoded));
        let update = self.sound(subject, SERVICE, updated)?;
        Ok((Change::Update { body, update }, Object::default()))
    }

    fn decoded(
        &mut self,
        subject: &Subject<'_>,
        prefix: &str,
        decode: impl FnOnce() -> Result<Decoded, language_syntax::Diagnostics>,
    ) -> Result<Decoded, Unusable> {
        match blame::guarded(decode) {
            Ok(Ok(mut decoded)) => {
                for warning in std::mem::take(&mut decoded.warnings).0 {
                    self.warn_once(warning);
                }
                Ok(decoded)
            }
            Ok(Err(diagnostics)) => {
                self.diagnostics.extend(diagnostics);
                Err(Unusable)
            }
            Err(panic) => {
                let message = format!("{prefix}: {panic}");
                self.diagnostics.push(Diagnostic::error(subject.planned().location(), message));
                Err(Unusable)
            }
        }
    }

    /// What its author should know of new arguments that are none of the configuration's faults.
    fn doubts(&mut self, subject: &Subject<'_>, definition: &Definition, decoded: &Decoded) {
        // What panics here is asked nothing else: that it cannot be built is the news.
        for doubt in blame::guarded(|| (definition.doubts)(decoded)).unwrap_or_default() {
            self.warn_once(blame::doubt(subject.planned(), doubt));
        }
    }

    /// A declare is decoded for each of its components, and is one text.
    fn warn_once(&mut self, warning: Diagnostic) {
        let told = |earlier: &Diagnostic| same_place(earlier, &warning) && earlier.message == warning.message;
        if !self.diagnostics.0.iter().any(told) {
            self.diagnostics.push(warning);
        }
    }

    fn sound<T>(
        &mut self,
        subject: &Subject<'_>,
        prefix: &str,
        outcome: Result<Result<T, Problem>, String>,
    ) -> Result<T, Unusable> {
        let problem = match outcome {
            Ok(Ok(sound)) => return Ok(sound),
            Ok(Err(problem)) => problem,
            Err(panic) => Problem::new(panic),
        };
        let environment = self.environment();
        self.diagnostics.push(blame::diagnostic(subject.planned(), prefix, problem, environment));
        Err(Unusable)
    }
}
