//! Custom components: a module per instance.

use std::sync::Arc;

use base_stdx::nearest;
use language_eval::{BodyNode, Object, decode_attributes};
use language_syntax::{Diagnostic, ast};

use super::{Change, Request, Stager, Subject, Unusable};
use crate::module::{Inputs, Missing};
use crate::node::{Kind, lock};
use crate::plan::{CustomName, NodeKind, Plan};

impl Stager<'_> {
    pub(super) async fn custom(
        &mut self,
        subject: &Subject<'_>,
        name: &CustomName,
    ) -> Result<(Change, Object), Unusable> {
        let planned = subject.planned();
        let found = subject.module.environment.find(name);
        let (declare, environment) = match found {
            Ok(found) => found,
            Err(missing) => return Err(self.not_found(subject, name, missing)),
        };
        let plan = declare.plan(&self.engine.catalogue, &environment.names).clone();
        let before = self.errors();
        let arguments = decode_attributes(&planned.block.block.body, &planned.block.source, &subject.scope)
            .map_err(|found| self.refuse(found))?;
        self.unknown_arguments(subject, &plan);
        let old = match &subject.node().kind {
            Kind::Custom(module) => lock(module).clone(),
            _ => None,
        };
        let body = arguments
            .iter()
            .map(|(name, value)| BodyNode::Attribute { name: name.to_owned(), value: value.clone() })
            .collect();
        let request = Request {
            id: subject.node().global_id().into(),
            plan,
            module_path: environment.module_path.clone(),
            parent: Some(environment),
            inputs: Inputs {
                arguments,
                call: Some(planned.location()),
                hide_metrics: subject.module.inputs.hide_metrics,
                ..Inputs::default()
            },
            old,
        };
        let staged = self.module(request).await;
        if self.errors() > before || staged.has_failed() {
            return Err(Unusable);
        }
        let exports = staged.module_exports.clone();
        Ok((Change::Custom { body, module: Box::new(staged) }, exports))
    }

    pub(super) fn errors(&self) -> usize {
        self.diagnostics.0.iter().filter(|found| found.severity == language_syntax::Severity::Error).count()
    }

    fn not_found(&mut self, subject: &Subject<'_>, name: &CustomName, missing: Missing) -> Unusable {
        let (namespace, name) = match name {
            CustomName::Local(name) => ("", name),
            CustomName::Imported { namespace, name } => (&**namespace, name),
        };
        let message = format!(
            "Failed to build component: loading custom component controller: custom component config not found in the \
             registry, namespace: {namespace:?}, componentName: {name:?}"
        );
        let mut diagnostic = Diagnostic::error(subject.planned().location(), message);
        if let Some(near) = nearest(&subject.planned().name, missing.known.iter().map(String::as_str)) {
            diagnostic = diagnostic.with_hint(format!("did you mean {near:?}?"));
        } else if !missing.known.is_empty() {
            diagnostic = diagnostic.with_hint(format!("{namespace} has {}", missing.known.join(", ")));
        }
        if let Some(broken) = missing.broken {
            diagnostic = diagnostic.with_hint(format!("what was imported could not be used: {broken}"));
        } else if self.mode == super::Mode::Validate && subject.module.environment.is_unfetched(namespace) {
            // The import could not be read here; on the machine that runs this it may be.
            diagnostic.severity = language_syntax::Severity::Warning;
        }
        self.diagnostics.push(diagnostic);
        Unusable
    }

    /// An argument that the module does not have is blamed where it is written.
    fn unknown_arguments(&mut self, subject: &Subject<'_>, plan: &Arc<Plan>) {
        let known: Vec<&str> = plan
            .nodes
            .iter()
            .filter(|node| matches!(node.kind, NodeKind::Argument))
            .filter_map(|node| node.label.as_deref())
            .collect();
        let planned = subject.planned();
        for statement in &planned.block.block.body.statements {
            let ast::Statement::Attribute(attribute) = statement else { continue };
            let name = &attribute.name;
            if known.contains(&name.name.as_str()) {
                continue;
            }
            let message = format!("unrecognized attribute name {:?}", name.name);
            let mut diagnostic = Diagnostic::error(name.span.in_source(&planned.block.source), message);
            if let Some(near) = nearest(&name.name, known.iter().copied()) {
                diagnostic = diagnostic.with_hint(format!("did you mean {near:?}?"));
            } else if known.is_empty() {
                diagnostic = diagnostic.with_hint(format!("{} takes no arguments", planned.name));
            } else {
                diagnostic = diagnostic.with_hint(format!("{} takes {}", planned.name, known.join(", ")));
            }
            self.diagnostics.push(diagnostic);
        }
    }
}
