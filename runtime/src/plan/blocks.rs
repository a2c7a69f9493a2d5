//! Statements to nodes: which kind each is, whether it may stand where it does, and whether its id is free.

use std::collections::HashMap;
use std::sync::Arc;

use base_stdx::nearest;
use language_syntax::{Diagnostic, Diagnostics, Location, ast};
use sdk_component::Stability;

use super::{
    BlockRef, Body, Catalogue, Declare, Foreach, ImportKind, Names, NodeKind, Outer, Place, Plan, PlannedNode,
};

/// Services of Alloy that no block can configure (spec §3.1).
const NOT_CONFIGURABLE: &[&str] = &["cluster", "graphql", "otel", "ui"];

/// Words of the language at the root (spec §3.16); for "did you mean".
const CONFIGURATION_WORDS: &[&str] =
    &["argument", "declare", "export", "foreach", "import.file", "import.git", "import.http", "import.string"];

/// Services of Alloy that a block can configure, whether or not we have them.
const CONFIGURABLE: &[&str] = &["http", "labelstore", "livedebugging", "logging", "remotecfg", "tracing"];

/// The blocks of a body whose ids are free, and the names they declare.
pub(super) struct Sorted {
    blocks: Vec<BlockRef>,
    pub names: Arc<Names>,
}

/// First pass: ids and declared names, which all kinds depend on.
pub(super) fn sort(catalogue: &Catalogue, body: &Body<'_>, diagnostics: &mut Diagnostics) -> Sorted {
    let mut taken: HashMap<String, Location> = HashMap::new();
    let mut blocks = Vec::new();
    let mut names = Names { parent: body.parent.clone(), ..Names::default() };
    for (source, statement) in &body.statements {
        let block = match statement {
            ast::Statement::Attribute(attribute) => {
                diagnostics.push(
                    Diagnostic::error(
                        attribute.name.span.in_source(source),
                        format!("unrecognized attribute {}", attribute.name.name),
                    )
                    .with_hint("only blocks may stand here"),
                );
                continue;
            }
            ast::Statement::Block(block) => BlockRef { source: source.clone(), block: Arc::new(block.clone()) },
        };
        let id = node_id(catalogue, body.place, &block.block);
        if let Some(first) = taken.get(&id) {
            let (line, message) = (block.location(), format!("block {id} already declared at {first}"));
            diagnostics.push(Diagnostic::error(line, message).with_label("a second time"));
            continue;
        }
        taken.insert(id.clone(), block.location());
        let (name, label) = (block.block.full_name(), label(&block.block).map(str::to_owned));
        if name == "declare" {
            if let Some(label) = label {
                if label == "declare" {
                    let message = "'declare' is not a valid label for a declare block";
                    diagnostics.push(Diagnostic::error(block.location(), message));
                    continue;
                }
                names.declares.insert(label, Declare::new(block.clone()));
            }
        } else if ImportKind::from_block_name(&name).is_some()
            && let Some(label) = label
        {
            // Alloy takes either of two imports of one label at random (spec §3.9, Q).
            if let Some(other) = names.imports.insert(label.clone(), id.clone()) {
                let message = format!("the label {label:?} is already taken by {other} at {}", taken[&other]);
                diagnostics.push(
                    Diagnostic::warning(block.location(), message).with_hint("only the last of the two can be used"),
                );
            }
        }
        blocks.push(block);
    }
    Sorted { blocks, names: Arc::new(names) }
}

/// Second pass: the kinds.
pub(super) fn nodes(
    catalogue: &Catalogue,
    body: &Body<'_>,
    sorted: Sorted,
    diagnostics: &mut Diagnostics,
) -> Vec<PlannedNode> {
    let Sorted { blocks, names } = sorted;
    let ids = blocks.iter().map(|block| node_id(catalogue, body.place, &block.block));
    let mut outer = body.outer.clone();
    outer.ids.extend(ids);
    let mut nodes = Vec::with_capacity(blocks.len());
    for block in blocks {
        let id = node_id(catalogue, body.place, &block.block);
        let found = Sorter { catalogue, names: &names, outer: &outer, place: body.place, block: &block };
        match found.kind(diagnostics) {
            Ok(kind) => nodes.push(planned(id, block, kind)),
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                // What refers to it shall not be blamed as well; without a label nothing can.
                if label(&block.block).is_none() {
                    continue;
                }
                nodes.push(PlannedNode { faulty: true, ..planned(id, block, NodeKind::Argument) });
            }
        }
    }
    if body.place == Place::Root {
        let mut services: Vec<_> = catalogue.services.values().collect();
        services.sort_by_key(|service| service.name);
        for service in services {
            if !nodes.iter().any(|node| node.name == service.name) {
                let kind = NodeKind::Service(service.clone());
                nodes.push(planned(service.name.to_owned(), BlockRef::absent(service.name), kind));
            }
        }
    }
    nodes
}

fn planned(id: String, block: BlockRef, kind: NodeKind) -> PlannedNode {
    PlannedNode {
        id,
        name: block.block.full_name(),
        label: label(&block.block).map(str::to_owned),
        block,
        kind,
        references: Vec::new(),
        requires: Vec::new(),
        outer_references: Default::default(),
        faulty: false,
    }
}

fn label(block: &ast::Block) -> Option<&str> {
    block.label.as_ref().map(|label| label.name.as_str()).filter(|label| !label.is_empty())
}

/// `logging` and `tracing` are one per process whatever their label says; every other block is its name and label.
fn node_id(catalogue: &Catalogue, place: Place, block: &ast::Block) -> String {
    let name = block.full_name();
    let single = place == Place::Root && takes_stray_label(&name) && catalogue.services.contains_key(name.as_str());
    if single { name } else { block.id() }
}

/// Alloy accepts a label there without saying so (spec §3.10, Q).
fn takes_stray_label(name: &str) -> bool {
    matches!(name, "logging" | "tracing")
}

/// Finds the kind of one block.
struct Sorter<'a> {
    catalogue: &'a Catalogue,
    names: &'a Arc<Names>,
    outer: &'a Outer,
    place: Place,
    block: &'a BlockRef,
}

impl Sorter<'_> {
    fn kind(&self, diagnostics: &mut Diagnostics) -> Result<NodeKind, Box<Diagnostic>> {
        let name = self.block.block.full_name();
        let import = ImportKind::from_block_name(&name);
        if self.place == Place::Import && name != "declare" && import.is_none() {
            let message = format!("only declare and import blocks are allowed in a module, got {name}");
            return Err(self.error(message));
        }
        if let Some(kind) = import {
            return Ok(NodeKind::Import(kind));
        }
        match name.as_str() {
            "declare" => self.declare(),
            "argument" | "export" if self.place == Place::Root => {
                Err(self.error(format!("{name} blocks only allowed inside a module")))
            }
            "argument" => Ok(NodeKind::Argument),
            "export" => Ok(NodeKind::Export),
            "foreach" => self.foreach(diagnostics),
            "logging" | "tracing" if self.place != Place::Root => {
                Err(self.error(format!("{name} block not allowed inside a module")))
            }
            _ if CONFIGURABLE.contains(&name.as_str()) || NOT_CONFIGURABLE.contains(&name.as_str()) => {
                self.service(&name, diagnostics)
            }
            _ => self.component(&name, diagnostics),
        }
    }

    fn declare(&self) -> Result<NodeKind, Box<Diagnostic>> {
        match label(&self.block.block) {
            Some(_) => Ok(NodeKind::Declare),
            None => Err(self.error("declare block must have a label")),
        }
    }

    fn foreach(&self, diagnostics: &mut Diagnostics) -> Result<NodeKind, Box<Diagnostic>> {
        Stability::Experimental
            .check(self.catalogue.minimum_stability, "config block \"foreach\"")
            .map_err(|message| self.error(message))?;
        let block = &self.block.block;
        let is_template = |statement: &&ast::Statement| matches!(statement, ast::Statement::Block(block) if block.full_name() == "template");
        let arguments = ast::Body {
            statements: block.body.statements.iter().filter(|statement| !is_template(statement)).cloned().collect(),
            span: block.body.span,
        };
        let mut templates = block.body.statements.iter().filter(is_template);
        let template = templates.next();
        if let Some(second) = templates.next() {
            let message = "block \"template\" may only be specified once";
            return Err(Box::new(Diagnostic::error(second.span().in_source(&self.block.source), message)));
        }
        let template = template.map(|template| {
            let ast::Statement::Block(template) = template else { unreachable!("filtered to blocks above") };
            let statements =
                template.body.statements.iter().map(|statement| (self.block.source.clone(), statement)).collect();
            let outer = self.outer.with_variable(&block.body, &self.block.source);
            let plan = Plan::new(
                self.catalogue,
                Body { statements, place: Place::Foreach, parent: Some(self.names.clone()), outer },
            );
            diagnostics.extend(plan.diagnostics.clone());
            Arc::new(plan)
        });
        Ok(NodeKind::Foreach(Foreach { template, arguments }))
    }

    fn service(&self, name: &str, diagnostics: &mut Diagnostics) -> Result<NodeKind, Box<Diagnostic>> {
        if self.place != Place::Root {
            return Err(self.error(format!("service blocks not allowed inside a module: {name:?}")));
        }
        if let Some(label) = &self.block.block.label {
            if !takes_stray_label(name) {
                return Err(Box::new(self.unknown(name).with_hint(format!("a {name} block takes no label"))));
            }
            let place = label.span.in_source(&self.block.source);
            diagnostics.push(Diagnostic::warning(place, format!("the label of a {name} block has no effect")));
        }
        if NOT_CONFIGURABLE.contains(&name) {
            return Err(self.error(format!("service {name:?} does not support being configured")));
        }
        match self.catalogue.services.get(name) {
            Some(service) => Ok(NodeKind::Service(service.clone())),
            None => {
                let message = format!("{name:?} is not supported yet by this version of Ferroalloy");
                Err(Box::new(self.name_error(message).with_hint("remove the block")))
            }
        }
    }

    fn component(&self, name: &str, diagnostics: &mut Diagnostics) -> Result<NodeKind, Box<Diagnostic>> {
        if let Some(custom) = self.names.custom(name) {
            return Ok(NodeKind::Custom(custom));
        }
        let labelled = label(&self.block.block).is_some();
        let Some(definition) = self.catalogue.components.get(name) else {
            if !labelled {
                diagnostics.push(self.unlabelled(name));
            }
            return Err(Box::new(self.unknown(name)));
        };
        if definition.community {
            if !self.catalogue.community {
                return Err(self.name_error(format!(
                    "the component {name:?} is a community component. Use the --feature.community-components.enabled \
                     command-line flag to enable community components"
                )));
            }
        } else {
            definition
                .stability
                .check(self.catalogue.minimum_stability, &format!("component {name:?}"))
                .map_err(|message| self.name_error(message))?;
        }
        if !labelled {
            return Err(Box::new(self.unlabelled(name)));
        }
        Ok(NodeKind::Component(*definition))
    }

    fn unlabelled(&self, name: &str) -> Diagnostic {
        Diagnostic::error(self.block.location(), format!("component {name:?} must have a label"))
            .with_hint(format!("write {name} \"default\" {{ … }}"))
    }

    fn unknown(&self, name: &str) -> Diagnostic {
        let message = format!("cannot find the definition of component name {name:?}");
        let diagnostic = *self.name_error(message);
        if self.catalogue.not_yet.contains(&name) {
            let diagnostic = diagnostic.with_hint("Alloy has this component; this version of Ferroalloy does not");
            return match name.starts_with("prometheus.exporter.") {
                true => {
                    diagnostic.with_hint("run the exporter as a process of its own, and read it with prometheus.scrape")
                }
                false => diagnostic,
            };
        }
        let mut known: Vec<&str> = self.catalogue.components.keys().copied().collect();
        known.extend(CONFIGURATION_WORDS.iter().chain(CONFIGURABLE));
        known.extend(self.names.levels().flat_map(|level| level.declares.keys()).map(String::as_str));
        known.sort_unstable();
        match nearest(name, known) {
            Some(near) => diagnostic.with_hint(format!("did you mean {near:?}?")),
            None => diagnostic,
        }
    }

    fn error(&self, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(self.block.location(), message))
    }

    /// An error about the name of the block, whatever its label.
    fn name_error(&self, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(self.block.block.name_span().in_source(&self.block.source), message))
    }
}

impl Outer {
    /// This and the variable of a foreach block.
    fn with_variable(&self, foreach: &ast::Body, source: &language_syntax::Source) -> Outer {
        let mut outer = self.clone();
        let variable = foreach.statements.iter().find_map(|statement| match statement {
            ast::Statement::Attribute(attribute) if attribute.name.name == "var" => Some(&attribute.value),
            _ => None,
        });
        match variable {
            Some(value) if matches!(value.kind, ast::ExprKind::Literal(ast::Literal::String)) => {
                let text = value.text(source);
                if let Some(name) = base_stdx::quote::unquote(text.as_bytes()) {
                    outer.variables.insert(String::from_utf8_lossy(&name).into_owned());
                }
            }
            // It is refused when evaluated, or not a literal.
            _ => outer.any_variable = true,
        }
        outer
    }
}
