//! `foreach`: a module per item of a collection (spec §3.9).

use std::collections::HashMap;
use std::sync::Arc;

use language_eval::{Arguments, Block, BodyNode, Number, Object, Value};
use language_syntax::Diagnostic;
use sha2::{Digest, Sha256};

use super::{Change, Request, Stager, Subject, Unusable};
use crate::measure::hex;
use crate::module::Inputs;
use crate::node::{Kind, lock};
use crate::plan::Foreach;

/// The arguments of a `foreach` block, beside its template.
#[derive(Arguments)]
struct ForeachBlock {
    /// One module per item.
    #[attr]
    collection: Vec<Value>,
    /// What the template calls an item.
    #[attr]
    var: String,
    /// The field of an item that tells it from others.
    #[attr(optional)]
    id: String,
    /// Ids of strings are hashes.
    #[attr(optional)]
    hash_string_id: bool,
    /// Metrics of what is inside are shown.
    #[attr(optional)]
    enable_metrics: bool,
}

impl Stager<'_> {
    pub(super) async fn foreach(
        &mut self,
        subject: &Subject<'_>,
        foreach: &Foreach,
    ) -> Result<(Change, Object), Unusable> {
        let planned = subject.planned();
        let block: ForeachBlock = match subject.source(&foreach.arguments).decode() {
            Ok(block) => block,
            Err(found) => return Err(self.refuse(found)),
        };
        let Some(template) = &foreach.template else {
            let message = "Failed to build component: the block template is missing in the foreach block";
            self.diagnostics.push(Diagnostic::error(planned.location(), message));
            return Err(Unusable);
        };
        let body: Vec<BodyNode> = block.encode();
        let old = match &subject.node().kind {
            Kind::Foreach(modules) => lock(modules).clone(),
            _ => Vec::new(),
        };
        let old: HashMap<Arc<str>, _> = old.into_iter().map(|module| (module.id.clone(), module)).collect();
        let outer = self.around(subject);
        let before = self.errors();
        let (mut modules, mut seen, mut failed) = (Vec::new(), HashMap::new(), false);
        for item in &block.collection {
            let fingerprint = self.fingerprint(subject, &block, item);
            let count = seen.entry(fingerprint.clone()).and_modify(|count| *count += 1).or_insert(1);
            let id: Arc<str> = format!("{}/foreach_{fingerprint}_{count}", subject.node().global_id()).into();
            let inputs = &subject.module.inputs;
            let mut variables = inputs.variables.clone();
            variables.retain(|(name, _)| *name != block.var);
            variables.push((block.var.clone(), item.clone()));
            let request = Request {
                plan: template.clone(),
                parent: Some(subject.module.environment.clone()),
                module_path: subject.module.environment.module_path.clone(),
                inputs: Inputs {
                    call: Some(planned.location()),
                    outer: outer.clone(),
                    variables,
                    hide_metrics: inputs.hide_metrics || !block.enable_metrics,
                    ..Inputs::default()
                },
                old: old.get(&id).cloned(),
                id,
            };
            let staged = self.module(request).await;
            failed |= staged.has_failed();
            modules.push(staged);
            if self.errors() > before {
                // The other items would say the same again.
                break;
            }
        }
        if failed || self.errors() > before {
            return Err(Unusable);
        }
        Ok((Change::Foreach { body, modules }, Object::default()))
    }

    /// The exports that the template may mention.
    fn around(&self, subject: &Subject<'_>) -> Vec<(String, Object)> {
        let plan = &subject.module.plan;
        let own = subject.planned().references.iter().map(|index| plan.nodes[*index].id.as_str());
        let further = subject.planned().outer_references.iter().map(String::as_str);
        own.chain(further)
            .filter_map(|id| match subject.scope.get(id) {
                Some(Value::Object(exports)) => Some((id.to_owned(), exports.clone())),
                _ => None,
            })
            .collect()
    }

    /// What tells an item from others: the field that `id` names, or the item itself.
    fn fingerprint(&mut self, subject: &Subject<'_>, block: &ForeachBlock, item: &Value) -> String {
        let mut value = item.clone();
        if !block.id.is_empty() {
            let field = match item {
                Value::Object(object) => object.get(&block.id).cloned(),
                Value::Target(target) => target.get(&block.id).map(Value::from),
                _ => None,
            };
            match (field, item) {
                (Some(field), _) => value = field,
                (None, Value::Object(_) | Value::Target(_)) => {
                    tracing::warn!(
                        node = subject.node().id,
                        id = block.id,
                        "specified id not found in collection item"
                    );
                }
                (None, _) => {}
            }
        }
        match &value {
            Value::String(text) if block.hash_string_id => hex(&Sha256::digest(text.as_bytes())),
            Value::Secret(secret) if !secret.is_secret() && !block.hash_string_id => {
                identifier(&secret.value.to_string_lossy())
            }
            Value::String(text) => identifier(&text.to_string_lossy()),
            Value::Bool(truth) => truth.to_string(),
            // A sign is no part of an id (Alloy fails there, spec §3.9, Q).
            Value::Number(Number::Int(number)) => identifier(&number.to_string()),
            Value::Number(Number::Float(number)) => identifier(&format!("{number:.6}")),
            other => {
                let mut hasher = Sha256::new();
                describe(other, &mut hasher);
                hex(&hasher.finalize())
            }
        }
    }
}

fn identifier(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// Feeds a value to a hash so that equal values, and no others, give equal hashes. Secrets count by their text.
fn describe(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items.iter() {
                describe(item, hasher);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        Value::Object(object) => {
            hasher.update(b"{");
            for (name, value) in object.iter() {
                hasher.update(base_stdx::quote::quote(name.as_bytes()));
                hasher.update(b"=");
                describe(value, hasher);
                hasher.update(b",");
            }
            hasher.update(b"}");
        }
        Value::Secret(secret) => {
            hasher.update(b"secret");
            hasher.update(base_stdx::quote::quote(secret.value.as_bytes()));
        }
        other => {
            hasher.update(other.kind());
            hasher.update(format!("{other:?}"));
        }
    }
}
