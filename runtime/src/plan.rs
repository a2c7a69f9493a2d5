//! The plan of one module: its blocks as nodes of a graph, each with what it refers to, in an order to evaluate them.
//!
//! A plan knows text and names only; nothing is evaluated. Everything that is wrong with the names is found in one go:
//! unknown blocks, missing labels, duplicates, gates, references to nothing, cycles. A plan is made even of a faulty
//! text, so that evaluating what could be understood finds the rest.

mod blocks;
mod cycles;
mod names;
mod references;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use language_syntax::doubts::octal_numbers;
use language_syntax::{Diagnostics, Location, Source, Span, ast};
use sdk_component::{Definition, ServiceDefinition, Stability};

pub(crate) use names::{CustomName, Declare, Names};

/// What the process offers: looked up by every plan.
pub(crate) struct Catalogue {
    /// By name.
    pub components: HashMap<&'static str, Definition>,
    /// Names of components that Alloy has and we do not yet.
    pub not_yet: &'static [&'static str],
    /// By name.
    pub services: HashMap<&'static str, ServiceDefinition>,
    /// The least settled that may be used.
    pub minimum_stability: Stability,
    /// `--feature.community-components.enabled`
    pub community: bool,
}

/// A block together with the text it stands in.
#[derive(Clone)]
pub(crate) struct BlockRef {
    pub source: Arc<Source>,
    pub block: Arc<ast::Block>,
}

/// The graph of one module.
pub(crate) struct Plan {
    /// In source order, configurable services without a block last.
    pub nodes: Vec<PlannedNode>,
    /// Indexes of `nodes`, dependencies first.
    pub order: Vec<usize>,
    /// The declares and imports of this module and those around it.
    pub names: Arc<Names>,
    /// Ids of nodes of the surrounding modules that a `foreach` template refers to.
    pub outer_references: BTreeSet<String>,
    /// What is wrong; nodes that are to blame are marked `faulty`.
    pub diagnostics: Diagnostics,
    by_id: HashMap<String, usize>,
}

/// One node of a plan.
pub(crate) struct PlannedNode {
    /// Block name and label: `loki.write.default`.
    pub id: String,
    /// `loki.write`
    pub name: String,
    pub label: Option<String>,
    pub block: BlockRef,
    pub kind: NodeKind,
    /// Nodes whose exports its expressions mention, sorted.
    pub references: Vec<usize>,
    /// Nodes that must be evaluated before it without being mentioned: declares and imports of custom components.
    pub requires: Vec<usize>,
    /// Nodes of surrounding modules it mentions (inside a `foreach` template).
    pub outer_references: BTreeSet<String>,
    /// A diagnostic of the plan is about it: it is not evaluated.
    pub faulty: bool,
}

/// What a node is.
pub(crate) enum NodeKind {
    Component(Definition),
    Custom(CustomName),
    Service(ServiceDefinition),
    Declare,
    Import(ImportKind),
    Foreach(Foreach),
    Argument,
    Export,
}

impl PlannedNode {
    /// Whether it does, or brings in, anything that does something.
    pub fn runs(&self) -> bool {
        use NodeKind::{Component, Custom, Foreach, Import};
        matches!(self.kind, Component(_) | Custom(_) | Foreach(_) | Import(_))
    }
}

/// The four ways to import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ImportKind {
    File,
    String,
    Http,
    Git,
}

/// The inside of a `foreach`.
pub(crate) struct Foreach {
    /// `None` when it is missing; evaluation says so.
    pub template: Option<Arc<Plan>>,
    /// The block without its template: what its arguments decode from.
    pub arguments: ast::Body,
}

/// Where a plan is made for: decides which blocks may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The configuration itself.
    Root,
    /// The body of a declare.
    Declare,
    /// The template of a foreach.
    Foreach,
    /// Imported text: declares and imports only.
    Import,
}

/// What a `foreach` template sees of its surroundings.
#[derive(Clone, Default)]
pub(crate) struct Outer {
    /// Ids of nodes.
    pub ids: BTreeSet<String>,
    /// Names of variables, as literal `var` attributes give them.
    pub variables: BTreeSet<String>,
    /// A `var` is not a literal: any name may be a variable.
    pub any_variable: bool,
}

/// What a plan is made from.
pub(crate) struct Body<'a> {
    /// Statements with the texts they are in.
    pub statements: Vec<(Arc<Source>, &'a ast::Statement)>,
    pub place: Place,
    /// The names visible around it.
    pub parent: Option<Arc<Names>>,
    /// For templates.
    pub outer: Outer,
}

impl Plan {
    /// Sorts the statements into nodes and connects them.
    pub fn new(catalogue: &Catalogue, body: Body<'_>) -> Plan {
        let mut diagnostics = Diagnostics::default();
        let sorted = blocks::sort(catalogue, &body, &mut diagnostics);
        let names = sorted.names.clone();
        let mut nodes = blocks::nodes(catalogue, &body, sorted, &mut diagnostics);
        let by_id = nodes.iter().enumerate().map(|(index, node)| (node.id.clone(), index)).collect();
        let outer_references =
            references::connect(catalogue, &mut nodes, &by_id, &names, &body.outer, &mut diagnostics);
        let order = cycles::order(&mut nodes, &mut diagnostics);
        Plan { nodes, order, names, outer_references, diagnostics, by_id }
    }

    /// A plan of whole files, in name order.
    pub fn of_files(catalogue: &Catalogue, files: &[ast::File], place: Place) -> Plan {
        let statements = files
            .iter()
            .flat_map(|file| file.body.statements.iter().map(|statement| (file.source.clone(), statement)))
            .collect();
        let mut plan = Plan::new(catalogue, Body { statements, place, parent: None, outer: Outer::default() });
        for file in files {
            plan.diagnostics.extend(octal_numbers(&file.body, &file.source));
        }
        plan
    }

    /// The node of that id.
    pub fn index(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// For each node, those to evaluate again when it changes.
    pub fn dependants(&self) -> Vec<Vec<usize>> {
        let mut dependants = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for dependency in node.dependencies() {
                if !dependants[dependency].contains(&index) {
                    dependants[dependency].push(index);
                }
            }
        }
        dependants
    }

    /// Nodes in groups: each group depends on earlier groups only, so one group can stop at a time, last group first.
    pub fn ranks(&self) -> Vec<Vec<usize>> {
        let mut rank = vec![0; self.nodes.len()];
        let mut ranks: Vec<Vec<usize>> = Vec::new();
        for &index in &self.order {
            let own = self.nodes[index].dependencies().map(|dependency| rank[dependency] + 1).max().unwrap_or(0);
            rank[index] = own;
            if ranks.len() <= own {
                ranks.resize(own + 1, Vec::new());
            }
            ranks[own].push(index);
        }
        ranks
    }
}

impl PlannedNode {
    /// All nodes that must be evaluated before it.
    pub fn dependencies(&self) -> impl Iterator<Item = usize> + '_ {
        self.references.iter().chain(&self.requires).copied()
    }

    /// Where errors about the node as a whole point.
    pub fn location(&self) -> Location {
        self.block.location()
    }
}

impl BlockRef {
    /// Its header.
    pub fn location(&self) -> Location {
        self.block.header_span().in_source(&self.source)
    }

    /// The block of a service that the configuration does not mention.
    fn absent(name: &str) -> BlockRef {
        let ident = ast::Ident { name: name.to_owned(), span: Span::default() };
        let block = ast::Block {
            name: vec![ident],
            label: None,
            body: ast::Body::default(),
            open: Span::default(),
            close: Span::default(),
        };
        BlockRef { source: Source::new("", Vec::new()), block: Arc::new(block) }
    }
}

impl ImportKind {
    /// `import.file`
    pub fn block_name(self) -> &'static str {
        match self {
            ImportKind::File => "import.file",
            ImportKind::String => "import.string",
            ImportKind::Http => "import.http",
            ImportKind::Git => "import.git",
        }
    }

    fn from_block_name(name: &str) -> Option<ImportKind> {
        [ImportKind::File, ImportKind::String, ImportKind::Http, ImportKind::Git]
            .into_iter()
            .find(|kind| kind.block_name() == name)
    }
}
