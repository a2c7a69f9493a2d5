//! Which nodes a block mentions (spec §3.2).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use base_stdx::nearest;
use language_eval::references::FunctionUse;
use language_eval::{Scope, Traversal, body_references, stdlib};
use language_syntax::{Diagnostic, Diagnostics, ast};
use sdk_component::Stability;

use super::{Catalogue, Names, NodeKind, Outer, PlannedNode};

/// Fills `references`, `requires` and `outer_references` of all nodes; returns all outer references together.
pub(super) fn connect(
    catalogue: &Catalogue,
    nodes: &mut [PlannedNode],
    by_id: &HashMap<String, usize>,
    names: &Arc<Names>,
    outer: &Outer,
    diagnostics: &mut Diagnostics,
) -> BTreeSet<String> {
    let (mut all_outer, library) = (BTreeSet::new(), Scope::new());
    for index in 0..nodes.len() {
        let mut found = Found::default();
        if !nodes[index].faulty {
            let minimum_stability = catalogue.minimum_stability;
            let resolver = Resolver { nodes, by_id, outer, library: &library, minimum_stability };
            resolver.node(&nodes[index], names, &mut found, diagnostics);
        }
        let node = &mut nodes[index];
        node.faulty |= found.missing;
        node.references = found.references.into_iter().collect();
        node.requires = found.requires.into_iter().collect();
        all_outer.extend(found.outer.iter().cloned());
        node.outer_references = found.outer;
    }
    all_outer
}

#[derive(Default)]
struct Found {
    references: BTreeSet<usize>,
    requires: BTreeSet<usize>,
    outer: BTreeSet<String>,
    missing: bool,
}

struct Resolver<'a> {
    nodes: &'a [PlannedNode],
    by_id: &'a HashMap<String, usize>,
    outer: &'a Outer,
    /// Knows the names of the standard library.
    library: &'a Scope,
    minimum_stability: Stability,
}

impl Resolver<'_> {
    fn node(&self, node: &PlannedNode, names: &Arc<Names>, found: &mut Found, diagnostics: &mut Diagnostics) {
        match &node.kind {
            // Its body is a module of its own: it sees nothing of this one but names.
            NodeKind::Declare => {
                let mut used = BTreeSet::new();
                custom_names(&node.block.block.body, &mut Vec::new(), &mut used);
                for name in used {
                    self.require(names, &name, found);
                }
            }
            NodeKind::Foreach(foreach) => {
                self.body(node, &foreach.arguments, found, diagnostics);
                let Some(template) = &foreach.template else { return };
                for id in &template.outer_references {
                    match self.by_id.get(id) {
                        Some(index) => found.references.insert(*index),
                        None => found.outer.insert(id.clone()),
                    };
                }
                let mut used = BTreeSet::new();
                custom_names(&node.block.block.body, &mut Vec::new(), &mut used);
                for name in used {
                    self.require(names, &name, found);
                }
            }
            NodeKind::Custom(custom) => {
                self.body(node, &node.block.block.body, found, diagnostics);
                self.require(names, custom.first(), found);
            }
            _ => self.body(node, &node.block.block.body, found, diagnostics),
        }
    }

    /// An edge to the declare or import of this module that a custom component's name begins with.
    fn require(&self, names: &Names, first: &str, found: &mut Found) {
        let id = match (names.declares.contains_key(first), names.imports.get(first)) {
            (true, _) => Some(format!("declare.{first}")),
            (false, import) => import.cloned(),
        };
        if let Some(index) = id.and_then(|id| self.by_id.get(&id)) {
            found.requires.insert(*index);
        }
    }

    fn body(&self, node: &PlannedNode, body: &ast::Body, found: &mut Found, diagnostics: &mut Diagnostics) {
        for traversal in body_references(body) {
            let first = traversal.names[0].name.as_str();
            let id = traversal.prefixes().find(|id| self.by_id.contains_key(id) || self.outer.ids.contains(id));
            if let Some(id) = id {
                match self.by_id.get(&id) {
                    Some(index) => found.references.insert(*index),
                    None => found.outer.insert(id),
                };
            } else if !self.known(first) {
                let message = format!("component \"{}\" does not exist or is out of scope", traversal.text());
                let diagnostic = Diagnostic::error(traversal.span().in_source(&node.block.source), message);
                diagnostics.push(match self.similar(&traversal) {
                    Some(near) => diagnostic.with_hint(format!("did you mean \"{near}\"?")),
                    None => diagnostic,
                });
                found.missing = true;
            } else if !self.variable(first) {
                found.missing |= self.function(node, &traversal, diagnostics);
            }
        }
    }

    /// Says so when a function of the standard library has a newer name, or may not be used; true if it may not.
    fn function(&self, node: &PlannedNode, traversal: &Traversal, diagnostics: &mut Diagnostics) -> bool {
        let Some(FunctionUse { function, span }) = traversal.function() else { return false };
        let location = span.in_source(&node.block.source);
        if let Some(new) = function.replaced_by {
            diagnostics.push(Diagnostic::warning(location.clone(), stdlib::DEPRECATED).with_hint(format!("use {new}")));
        }
        let stability = if function.experimental { Stability::Experimental } else { Stability::GenerallyAvailable };
        match stability.check(self.minimum_stability, function.name) {
            Ok(()) => false,
            Err(message) => {
                diagnostics.push(Diagnostic::error(location, message));
                true
            }
        }
    }

    /// Whether a name is a variable here, and so hides what the standard library has under it.
    fn variable(&self, first: &str) -> bool {
        first == "module_path" || self.outer.variables.contains(first)
    }

    /// Whether a name means something without any node.
    fn known(&self, first: &str) -> bool {
        self.variable(first) || self.outer.any_variable || self.library.knows(first)
    }

    /// The traversal with the id in it put right; for a word that stands alone, what its author may have meant by it.
    fn similar(&self, traversal: &Traversal) -> Option<String> {
        if let [only] = traversal.names.as_slice() {
            return word(&only.name).map(str::to_owned);
        }
        let ids: HashSet<&str> = self
            .nodes
            .iter()
            .filter(|node| !matches!(node.kind, NodeKind::Service(_) | NodeKind::Declare | NodeKind::Export))
            .map(|node| node.id.as_str())
            .chain(self.outer.ids.iter().map(String::as_str))
            .collect();
        let mut ids: Vec<&str> = ids.into_iter().collect();
        ids.sort_unstable();
        // Longer ids first: they say more.
        let names: Vec<&str> = traversal.names.iter().map(|name| name.name.as_str()).collect();
        (1..=names.len()).rev().find_map(|length| {
            let (head, rest) = names.split_at(length);
            let same_length = ids.iter().copied().filter(|id| id.split('.').count() == length);
            let near = nearest(&head.join("."), same_length)?;
            Some(std::iter::once(near).chain(rest.iter().copied()).collect::<Vec<_>>().join("."))
        })
    }
}

/// A value in the spelling of another language, or a function nearly by its name.
fn word(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => return Some("true"),
        "false" | "no" | "off" => return Some("false"),
        "null" | "nil" | "none" => return Some("null"),
        _ => {}
    }
    let functions = stdlib::FUNCTIONS.iter();
    let near = nearest(name, functions.clone().map(|function| function.name).chain(stdlib::first_names()))?;
    // Of an old name, the one that is used now.
    Some(
        functions
            .clone()
            .find(|function| function.name == near)
            .and_then(|function| function.replaced_by)
            .unwrap_or(near),
    )
}

/// First parts of all block names in a body that may be custom components of the module around it; what a nested
/// declare or import of the body itself provides hides the outer one.
fn custom_names(body: &ast::Body, hidden: &mut Vec<String>, used: &mut BTreeSet<String>) {
    let before = hidden.len();
    for statement in &body.statements {
        if let ast::Statement::Block(block) = statement
            && let Some(label) = &block.label
            && (block.full_name() == "declare" || block.full_name().starts_with("import."))
        {
            hidden.push(label.name.clone());
        }
    }
    for statement in &body.statements {
        if let ast::Statement::Block(block) = statement {
            match block.full_name().as_str() {
                "declare" | "foreach" | "template" => custom_names(&block.body, hidden, used),
                name => {
                    let first = name.split('.').next().unwrap_or(name);
                    if !hidden.iter().any(|hidden| hidden == first) {
                        used.insert(first.to_owned());
                    }
                }
            }
        }
    }
    hidden.truncate(before);
}
