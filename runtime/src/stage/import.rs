//! Imports: their text is fetched, parsed and made a module of declares.

use std::sync::Arc;

use language_eval::Object;
use language_syntax::{Diagnostic, Diagnostics, Severity};
use sdk_component::Problem;

use super::{Change, Request, Stager, Subject, Unusable};
use crate::blame;
use crate::import::{Arguments, FetchError, ImportNode, Imported, StagedImport, Texts};
use crate::module::Inputs;
use crate::node::{Kind, lock};
use crate::plan::{ImportKind, NodeKind, Place, Plan};

/// What Alloy begins errors of imports with.
const PREFIX: &str = "Failed to evaluate node for config block";

impl Stager<'_> {
    pub(super) async fn import(
        &mut self,
        subject: &Subject<'_>,
        kind: ImportKind,
    ) -> Result<(Change, Object), Unusable> {
        let node = subject.node();
        let Kind::Import(live) = &node.kind else { return Err(Unusable) };
        let arguments = match Arguments::decode(kind, &subject.body()) {
            Ok(arguments) => arguments,
            Err(found) => return Err(self.refuse(found)),
        };
        let current = lock(&live.current).clone();
        let same = lock(&live.arguments).as_ref() == Some(&arguments);
        let newest = lock(&live.newest).clone();
        let texts = match newest.or_else(|| current.as_ref().map(|current| current.texts.clone())) {
            Some(texts) if same => texts,
            _ => {
                let directory = self.engine.options.storage_path.join(node.global_id());
                match arguments
                    .fetch(&self.engine.options, directory, &node.id, &subject.module.environment.module_path)
                    .await
                {
                    Ok(texts) => texts,
                    Err(error) => return self.unfetched(subject, live, arguments, error),
                }
            }
        };
        let unchanged = current.as_ref().is_some_and(|current| current.texts.same(&texts));
        if same && unchanged {
            self.provide(subject, current.expect("there is one to be the same as"));
            return Ok((Change::Nothing, Object::default()));
        }
        let (plan, broken) = self.parsed(subject, kind, &texts);
        let request = Request {
            id: node.global_id().into(),
            plan,
            parent: None,
            module_path: texts.module_path.as_str().into(),
            inputs: Inputs { call: Some(subject.planned().location()), ..Inputs::default() },
            old: current.as_ref().map(|current| current.module.clone()),
        };
        let staged = self.module(request).await;
        if staged.has_failed() {
            return Err(Unusable);
        }
        // Broken content keeps the last good (spec §3.9).
        if let (Some(broken), Some(current)) = (&broken, &current)
            && current.broken.is_none()
        {
            self.provide(subject, current.clone());
            let kept = StagedImport {
                body: arguments.encode(),
                arguments,
                imported: None,
                module: None,
                problem: Some(broken.clone()),
            };
            return Ok((Change::Import(Box::new(kept)), Object::default()));
        }
        let imported = Arc::new(Imported {
            texts,
            environment: staged.module.environment.clone(),
            module: staged.module.clone(),
            broken: broken.clone(),
            unfetched: false,
        });
        self.provide(subject, imported.clone());
        let change = StagedImport {
            body: arguments.encode(),
            arguments,
            imported: Some(imported),
            module: Some(staged),
            problem: broken,
        };
        Ok((Change::Import(Box::new(change)), Object::default()))
    }

    /// From here on custom components of this evaluation find it.
    fn provide(&self, subject: &Subject<'_>, imported: Arc<Imported>) {
        if let Some(label) = &subject.planned().label {
            lock(&subject.module.environment.imports).insert(label.clone(), imported);
        }
    }

    /// The declares of a text; what is wrong with it is said in words and makes the import unhealthy, no more.
    fn parsed(&mut self, subject: &Subject<'_>, kind: ImportKind, texts: &Texts) -> (Arc<Plan>, Option<String>) {
        let (mut files, mut found) = (Vec::new(), Diagnostics::default());
        for source in &texts.files {
            let (file, diagnostics) = language_syntax::parse(source.clone());
            found.extend(diagnostics);
            files.push(file);
        }
        let mut broken = None;
        if found.has_errors() {
            broken = Some(found.to_string());
        }
        let plan = match broken {
            Some(_) => Plan::of_files(&self.engine.catalogue, &[], Place::Import),
            None => Plan::of_files(&self.engine.catalogue, &files, Place::Import),
        };
        if plan.diagnostics.has_errors() {
            broken = Some(plan.diagnostics.to_string());
        }
        if kind == ImportKind::Http
            && let Some(file) = plan.nodes.iter().find(|node| matches!(node.kind, NodeKind::Import(ImportKind::File)))
        {
            broken = Some(format!(
                "importing a module via import.http (nodeID: {}) that contains an import.file block is not supported: {}",
                subject.node().id,
                file.location()
            ));
        }
        let Some(broken) = broken else { return (Arc::new(plan), None) };
        let location = subject.planned().location();
        let message = format!("what {} imports cannot be used: {broken}", subject.node().id);
        self.diagnostics.push(Diagnostic::warning(location, message));
        (Arc::new(Plan::of_files(&self.engine.catalogue, &[], Place::Import)), Some(broken))
    }

    fn unfetched(
        &mut self,
        subject: &Subject<'_>,
        live: &ImportNode,
        arguments: Arguments,
        error: FetchError,
    ) -> Result<(Change, Object), Unusable> {
        let _ = live;
        let problem = match error {
            FetchError::Refused(problem) => problem,
            FetchError::Unreachable(message) => Problem::environment(message),
        };
        let environment = self.environment();
        let diagnostic = blame::diagnostic(subject.planned(), PREFIX, problem, environment);
        let warning = diagnostic.severity == Severity::Warning;
        self.diagnostics.push(diagnostic);
        if warning {
            self.provide(subject, Arc::new(Imported::unfetched(&self.engine.catalogue)));
        }
        let _ = arguments;
        Err(Unusable)
    }
}
