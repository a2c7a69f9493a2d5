//! The names an expression may use: exports of components by their dotted id, an outer scope, the standard library.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::value::{Object, Value};

/// Values by dotted id: the exports of `loki.write.default` stand at `loki`, `write`, `default`.
///
/// A clone is a snapshot and costs two reference counts. Setting a name copies only the maps along its id, and not even
/// those when no snapshot is alive; reading a name touches only the maps along it, however many components there are.
#[derive(Clone, Default)]
pub struct Scope {
    names: Names,
    outer: Option<Arc<Scope>>,
}

type Names = Arc<BTreeMap<Arc<str>, Node>>;

#[derive(Clone)]
enum Node {
    Namespace(Names),
    Value(Value),
}

/// One id is a proper prefix of another, so one of them could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeConflict {
    /// The part of the id at which there already is a value.
    pub name: String,
    /// The id that was to be set.
    pub id: String,
}

/// What a chain of names leads to.
pub(crate) enum Found {
    /// A value, after so many names of the chain; what remains is looked up inside it.
    Value { value: Value, used: usize },
    /// The name at this place of the chain does not exist in the namespace before it; 0 means that nothing is known
    /// under the first name.
    Missing { at: usize },
}

// === impl Scope ===

impl Scope {
    /// No names but those of the standard library.
    pub fn new() -> Scope {
        Scope::default()
    }

    /// An empty scope inside this one: names it does not hold are looked up here.
    pub fn child(&self) -> Scope {
        Scope { names: Names::default(), outer: Some(Arc::new(self.clone())) }
    }

    /// Puts a value at an id, in place of the one that was there.
    pub fn set(&mut self, id: &str, value: Value) -> Result<(), ScopeConflict> {
        let conflict = |name: &str| ScopeConflict { name: name.to_owned(), id: id.to_owned() };
        let (path, last) = id.rsplit_once('.').map_or((None, id), |(path, last)| (Some(path), last));
        let mut names = Arc::make_mut(&mut self.names);
        for name in path.into_iter().flat_map(|path| path.split('.')) {
            if !names.contains_key(name) {
                names.insert(name.into(), Node::Namespace(Names::default()));
            }
            match names.get_mut(name) {
                Some(Node::Namespace(inner)) => names = Arc::make_mut(inner),
                _ => return Err(conflict(name)),
            }
        }
        match names.get_mut(last) {
            Some(Node::Namespace(_)) => return Err(conflict(last)),
            Some(node) => *node = Node::Value(value),
            None => {
                names.insert(last.into(), Node::Value(value));
            }
        }
        Ok(())
    }

    /// Takes the value at an id away.
    pub fn remove(&mut self, id: &str) {
        fn remove(names: &mut Names, id: &str) {
            let names = Arc::make_mut(names);
            match id.split_once('.') {
                None => {
                    if let Some(Node::Value(_)) = names.get(id) {
                        names.remove(id);
                    }
                }
                Some((first, rest)) => {
                    if let Some(Node::Namespace(inner)) = names.get_mut(first) {
                        remove(inner, rest);
                        if inner.is_empty() {
                            names.remove(first);
                        }
                    }
                }
            }
        }
        remove(&mut self.names, id);
    }

    /// The value at an id, here or in an outer scope.
    pub fn get(&self, id: &str) -> Option<&Value> {
        let path: Vec<&str> = id.split('.').collect();
        self.scopes().find_map(|scope| match walk(&scope.names, &path) {
            Walk::Value { value, used } if used == path.len() => Some(value),
            _ => None,
        })
    }

    /// Whether a name can begin a traversal: it is set here, in an outer scope or in the standard library.
    pub fn knows(&self, name: &str) -> bool {
        self.sets(name) || crate::stdlib::lookup(name).is_some()
    }

    /// Whether a name is set here or in an outer scope, so that one of the standard library is hidden.
    pub fn sets(&self, name: &str) -> bool {
        self.scopes().any(|scope| scope.names.contains_key(name))
    }

    /// Every first name, for "did you mean".
    pub(crate) fn first_names(&self) -> impl Iterator<Item = &str> {
        self.scopes()
            .flat_map(|scope| scope.names.keys().map(|name| &**name))
            .chain(crate::stdlib::first_names().map(|name| name as &str))
    }

    /// What a chain of names leads to. A namespace that lacks a name lets an outer scope answer.
    pub(crate) fn find(&self, chain: &[&str]) -> Found {
        let mut deepest = 0;
        for scope in self.scopes() {
            match walk(&scope.names, chain) {
                Walk::Value { value, used } => return Found::Value { value: value.clone(), used },
                Walk::Namespace(names) => {
                    return Found::Value { value: Value::Object(to_object(names)), used: chain.len() };
                }
                Walk::Missing { at } => deepest = deepest.max(at),
            }
        }
        if deepest == 0
            && let Some(value) = chain.first().and_then(|name| crate::stdlib::lookup(name))
        {
            return Found::Value { value, used: 1 };
        }
        Found::Missing { at: deepest }
    }

    /// The names that a namespace holds, for "did you mean".
    pub(crate) fn names_under(&self, chain: &[&str]) -> Vec<&str> {
        self.scopes()
            .filter_map(|scope| match walk(&scope.names, chain) {
                Walk::Namespace(names) => Some(names.keys().map(|name| &**name)),
                _ => None,
            })
            .flatten()
            .collect()
    }

    fn scopes(&self) -> impl Iterator<Item = &Scope> {
        std::iter::successors(Some(self), |scope| scope.outer.as_deref())
    }
}

enum Walk<'s> {
    Value { value: &'s Value, used: usize },
    Namespace(&'s Names),
    Missing { at: usize },
}

fn walk<'s>(names: &'s Names, chain: &[&str]) -> Walk<'s> {
    let mut names = names;
    for (at, name) in chain.iter().enumerate() {
        match names.get(*name) {
            None => return Walk::Missing { at },
            Some(Node::Value(value)) => return Walk::Value { value, used: at + 1 },
            Some(Node::Namespace(inner)) => names = inner,
        }
    }
    Walk::Namespace(names)
}

fn to_object(names: &Names) -> Object {
    let fields = names.iter().map(|(name, node)| {
        let value = match node {
            Node::Value(value) => value.clone(),
            Node::Namespace(inner) => Value::Object(to_object(inner)),
        };
        (name.clone(), value)
    });
    fields.collect()
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("names", &to_object(&self.names)).field("outer", &self.outer).finish()
    }
}

// === impl ScopeConflict ===

impl fmt::Display for ScopeConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a map but found a value for {:?} when trying to cache the export for {}",
            self.name, self.id
        )
    }
}

impl std::error::Error for ScopeConflict {}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain_value(scope: &Scope, chain: &[&str]) -> Option<Value> {
        match scope.find(chain) {
            Found::Value { value, used } if used == chain.len() => Some(value),
            _ => None,
        }
    }

    #[test]
    fn a_snapshot_keeps_what_it_saw() {
        let mut scope = Scope::new();
        scope.set("loki.write.a", Value::from(1_i64)).unwrap();
        let snapshot = scope.clone();
        scope.set("loki.write.a", Value::from(2_i64)).unwrap();
        scope.set("loki.write.b", Value::from(3_i64)).unwrap();
        assert_eq!(snapshot.get("loki.write.a"), Some(&Value::from(1_i64)));
        assert_eq!(snapshot.get("loki.write.b"), None);
        assert_eq!(scope.get("loki.write.a"), Some(&Value::from(2_i64)));
    }

    #[test]
    fn a_namespace_reads_as_an_object_and_outer_scopes_answer_what_an_inner_one_lacks() {
        let mut outer = Scope::new();
        outer.set("loki.write.a", Value::from(1_i64)).unwrap();
        let mut inner = outer.child();
        inner.set("loki.echo.b", Value::from(2_i64)).unwrap();
        assert_eq!(chain_value(&inner, &["loki", "write", "a"]), Some(Value::from(1_i64)));
        assert_eq!(chain_value(&inner, &["loki", "echo", "b"]), Some(Value::from(2_i64)));
        let Some(Value::Object(echo)) = chain_value(&inner, &["loki", "echo"]) else { panic!("an object") };
        assert_eq!(echo.get("b"), Some(&Value::from(2_i64)));
    }

    #[test]
    fn an_id_inside_another_id_is_refused() {
        let mut scope = Scope::new();
        scope.set("a.b", Value::from(1_i64)).unwrap();
        let conflict = scope.set("a.b.c", Value::from(1_i64)).unwrap_err();
        assert_eq!(
            conflict.to_string(),
            "expected a map but found a value for \"b\" when trying to cache the export for a.b.c"
        );
        assert!(scope.set("a", Value::from(1_i64)).is_err());
        scope.remove("a.b");
        assert!(!scope.knows("a"));
        scope.set("a", Value::from(1_i64)).unwrap();
    }
}
