//! Which custom components a module can see (spec §3.9).

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::{BlockRef, Body, Catalogue, Outer, Place, Plan};

/// The declares and imports of a module, and of those around it.
#[derive(Default)]
pub(crate) struct Names {
    pub parent: Option<Arc<Names>>,
    pub declares: BTreeMap<String, Arc<Declare>>,
    /// Labels of imports, with the id of the import's node. What they hold is known only when they are evaluated.
    pub imports: BTreeMap<String, String>,
}

/// A `declare`: the kind of a custom component.
pub(crate) struct Declare {
    pub block: BlockRef,
    /// Made when first used: most modules of a large import never are.
    plan: OnceLock<Arc<Plan>>,
}

/// The name of a custom component's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CustomName {
    /// A declare that the module can see.
    Local(String),
    /// A declare of an import that the module can see.
    Imported {
        /// The import's label.
        namespace: String,
        /// The declare's name.
        name: String,
    },
}

impl Names {
    /// A name is custom as soon as its first part is a declare or an import that can be seen, whatever follows.
    pub fn custom(&self, block_name: &str) -> Option<CustomName> {
        let (first, rest) = match block_name.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (block_name, None),
        };
        let known = self.levels().any(|level| level.declares.contains_key(first) || level.imports.contains_key(first));
        if !known {
            return None;
        }
        Some(match rest {
            None => CustomName::Local(first.to_owned()),
            Some(rest) => CustomName::Imported { namespace: first.to_owned(), name: rest.to_owned() },
        })
    }

    /// This module's names, then those around it.
    pub fn levels(&self) -> impl Iterator<Item = &Names> {
        std::iter::successors(Some(self), |names| names.parent.as_deref())
    }
}

impl Declare {
    pub fn new(block: BlockRef) -> Arc<Declare> {
        Arc::new(Declare { block, plan: OnceLock::new() })
    }

    /// The plan of its body; `names` are those of the module that holds the declare.
    pub fn plan(&self, catalogue: &Catalogue, names: &Arc<Names>) -> &Arc<Plan> {
        self.plan.get_or_init(|| {
            let statements = self
                .block
                .block
                .body
                .statements
                .iter()
                .map(|statement| (self.block.source.clone(), statement))
                .collect();
            let body = Body { statements, place: Place::Declare, parent: Some(names.clone()), outer: Outer::default() };
            Arc::new(Plan::new(catalogue, body))
        })
    }
}

impl CustomName {
    /// Its first part.
    pub fn first(&self) -> &str {
        match self {
            CustomName::Local(name) => name,
            CustomName::Imported { namespace, .. } => namespace,
        }
    }
}
