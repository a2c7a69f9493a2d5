//! Which nodes a block mentions (spec §3.2).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use base_stdx::nearest;
use language_eval::{Scope, stdlib};
use language_syntax::{Diagnostic, Diagnostics, Span, ast};
use sdk_component::Stability;

use super::{Catalogue, Names, NodeKind, Outer, PlannedNode};

/// `a.b.c` as written, up to the first index or call.
pub(super) struct Traversal<'a> {
    pub parts: Vec<&'a str>,
    pub span: Span,
}

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
        let mut traversals = Vec::new();
        in_body(body, &mut traversals);
        for traversal in traversals {
            let first = traversal.parts[0];
            let mut id = String::new();
            let hit = traversal.parts.iter().any(|part| {
                if !id.is_empty() {
                    id.push('.');
                }
                id.push_str(part);
                self.by_id.contains_key(&id) || self.outer.ids.contains(&id)
            });
            if hit {
                match self.by_id.get(&id) {
                    Some(index) => found.references.insert(*index),
                    None => found.outer.insert(id),
                };
            } else if !self.known(first) {
                let message = format!("component \"{}\" does not exist or is out of scope", traversal.parts.join("."));
                let diagnostic = Diagnostic::error(traversal.span.in_source(&node.block.source), message);
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
    fn function(&self, node: &PlannedNode, traversal: &Traversal<'_>, diagnostics: &mut Diagnostics) -> bool {
        let name = &traversal.parts[..traversal.parts.len().min(2)].join(".");
        let Some(function) = stdlib::info(name).or_else(|| stdlib::info(traversal.parts[0])) else { return false };
        let location = traversal.span.in_source(&node.block.source);
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

    /// The traversal with the id in it put right.
    fn similar(&self, traversal: &Traversal<'_>) -> Option<String> {
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
        (1..=traversal.parts.len()).rev().find_map(|length| {
            let (head, rest) = traversal.parts.split_at(length);
            let same_length = ids.iter().copied().filter(|id| id.split('.').count() == length);
            let near = nearest(&head.join("."), same_length)?;
            Some(std::iter::once(near).chain(rest.iter().copied()).collect::<Vec<_>>().join("."))
        })
    }
}

/// Every traversal in the expressions of a body, blocks inside included.
pub(super) fn in_body<'a>(body: &'a ast::Body, found: &mut Vec<Traversal<'a>>) {
    for statement in &body.statements {
        match statement {
            ast::Statement::Attribute(attribute) => in_expression(&attribute.value, found),
            ast::Statement::Block(block) => in_body(&block.body, found),
        }
    }
}

fn in_expression<'a>(expression: &'a ast::Expr, found: &mut Vec<Traversal<'a>>) {
    // A chain of accesses is walked in a loop, so that only nesting that the parser bounds recurses.
    if let Some(traversal) = as_traversal(expression) {
        found.push(traversal);
        return;
    }
    match &expression.kind {
        ast::ExprKind::Ident(_) | ast::ExprKind::Literal(_) | ast::ExprKind::Missing => {}
        ast::ExprKind::Array(items) => items.iter().for_each(|item| in_expression(item, found)),
        ast::ExprKind::Object(fields) => fields.iter().for_each(|field| in_expression(&field.value, found)),
        ast::ExprKind::Access { value, .. } => in_expression(value, found),
        ast::ExprKind::Index { value, index } => {
            in_expression(value, found);
            in_expression(index, found);
        }
        ast::ExprKind::Call { callee, arguments, .. } => {
            in_expression(callee, found);
            arguments.iter().for_each(|argument| in_expression(argument, found));
        }
        ast::ExprKind::Unary { operand, .. } => in_expression(operand, found),
        ast::ExprKind::Binary { left, right, .. } => {
            in_expression(left, found);
            in_expression(right, found);
        }
        ast::ExprKind::Paren(inner) => in_expression(inner, found),
    }
}

fn as_traversal(expression: &ast::Expr) -> Option<Traversal<'_>> {
    let mut parts = Vec::new();
    let mut current = expression;
    loop {
        match &current.kind {
            ast::ExprKind::Ident(name) => {
                parts.push(name.as_str());
                parts.reverse();
                return Some(Traversal { parts, span: expression.span });
            }
            ast::ExprKind::Access { value, name } => {
                parts.push(name.name.as_str());
                current = value;
            }
            _ => return None,
        }
    }
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
