//! A place in a record: `body`, `body.message`, `attributes["k8s.pod.name"]`, `resource.host`.

use std::fmt;

use sdk_protocols_otlp::model::{AnyValue, Map};

use crate::entry::Entry;

/// A place in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it begins.
    pub root: Root,
    /// The keys below, outermost first.
    pub keys: Vec<String>,
}

/// Where a place begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `body`
    Body,
    /// `attributes`
    Attributes,
    /// `resource`
    Resource,
}

// === impl Field ===

impl Field {
    /// The body itself.
    #[must_use]
    pub fn body() -> Field {
        Field { root: Root::Body, keys: Vec::new() }
    }

    /// All attributes.
    #[must_use]
    pub fn attributes() -> Field {
        Field { root: Root::Attributes, keys: Vec::new() }
    }

    /// One attribute.
    #[must_use]
    pub fn attribute(key: &str) -> Field {
        Field { root: Root::Attributes, keys: vec![key.to_owned()] }
    }

    /// The place of a key in what is here.
    #[must_use]
    pub fn below(&self, key: &str) -> Field {
        let keys = self.keys.iter().cloned().chain([key.to_owned()]).collect();
        Field { root: self.root, keys }
    }

    /// A place as it is written; `attributes` and `resource` need a key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Field, String> {
        let field = Field::parse_rootable(text)?;
        if field.keys.is_empty() && field.root != Root::Body {
            return Err(format!("{text} cannot be referenced without subfield"));
        }
        Ok(field)
    }

    /// A place as it is written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_rootable(text: &str) -> Result<Field, String> {
        let mut keys = split(text)?.into_iter();
        let root = match keys.next().as_deref() {
            Some("body") => Root::Body,
            Some("attributes") => Root::Attributes,
            Some("resource") => Root::Resource,
            _ => return Err(format!("{text:?} begins with none of body, attributes and resource")),
        };
        Ok(Field { root, keys: keys.collect() })
    }

    /// The value there.
    #[must_use]
    pub fn get<'e>(&self, entry: &'e Entry) -> Option<Found<'e>> {
        let map = match self.root {
            Root::Body => {
                let value = self.keys.iter().try_fold(&entry.body, |value, key| below(value, key))?;
                return Some(Found::Value(value));
            }
            Root::Attributes => &entry.attributes,
            Root::Resource => &entry.resource,
        };
        let Some((first, rest)) = self.keys.split_first() else {
            return Some(Found::Map(map)).filter(|_| !map.0.is_empty());
        };
        rest.iter().try_fold(map.get(first)?, |value, key| below(value, key)).map(Found::Value)
    }

    /// The text there.
    #[must_use]
    pub fn text<'e>(&self, entry: &'e Entry) -> Option<std::borrow::Cow<'e, str>> {
        match self.get(entry)? {
            Found::Value(AnyValue::Text(text)) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Puts a value there; the pairs of a map join those that are there.
    ///
    /// # Errors
    /// All attributes cannot become something that is no map.
    pub fn set(&self, entry: &mut Entry, value: AnyValue) -> Result<(), String> {
        if let AnyValue::Map(pairs) = value {
            merge(self.map(entry, self.keys.len()), pairs);
            return Ok(());
        }
        match self.keys.last() {
            Some(last) => self.map(entry, self.keys.len() - 1).set(last.as_str(), value),
            None if self.root == Root::Body => entry.body = value,
            None => return Err(format!("cannot set {self} root")),
        }
        Ok(())
    }

    /// Takes the value out.
    pub fn delete(&self, entry: &mut Entry) -> Option<AnyValue> {
        let Some((last, above)) = self.keys.split_last() else {
            return match self.root {
                Root::Body => Some(std::mem::take(&mut entry.body)),
                Root::Attributes => Some(AnyValue::Map(std::mem::take(&mut entry.attributes))),
                Root::Resource => Some(AnyValue::Map(std::mem::take(&mut entry.resource))),
            };
        };
        let mut map = match self.root {
            Root::Body => match &mut entry.body {
                AnyValue::Map(map) => map,
                _ => return None,
            },
            Root::Attributes => &mut entry.attributes,
            Root::Resource => &mut entry.resource,
        };
        for key in above {
            map = match map.get_mut(key)? {
                AnyValue::Map(map) => map,
                _ => return None,
            };
        }
        map.remove(last)
    }

    /// The field that it is a part of; the root's is the root.
    #[must_use]
    pub fn parent(&self) -> Field {
        let above = self.keys.len().saturating_sub(1);
        Field { root: self.root, keys: self.keys[..above].to_vec() }
    }

    /// A part of it.
    #[must_use]
    pub fn child(&self, key: &str) -> Field {
        let mut field = self.clone();
        field.keys.push(key.to_owned());
        field
    }

    /// The map at the first `depth` keys; what is in the way of one is replaced.
    fn map<'e>(&self, entry: &'e mut Entry, depth: usize) -> &'e mut Map {
        let mut map = match self.root {
            Root::Body => as_map(&mut entry.body),
            Root::Attributes => &mut entry.attributes,
            Root::Resource => &mut entry.resource,
        };
        for key in &self.keys[..depth] {
            if map.get(key).is_none() {
                map.set(key.as_str(), Map::default());
            }
            map = as_map(map.get_mut(key).expect("it was just put there"));
        }
        map
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.root {
            Root::Body => "body",
            Root::Attributes => "attributes",
            Root::Resource => "resource",
        })?;
        let dotted = self.keys.iter().any(|key| key.contains('.'));
        self.keys.iter().try_for_each(|key| if dotted { write!(f, "['{key}']") } else { write!(f, ".{key}") })
    }
}

/// What is at a place.
#[derive(Clone, Copy, Debug)]
pub enum Found<'e> {
    /// A value.
    Value(&'e AnyValue),
    /// All attributes, or all of the resource.
    Map(&'e Map),
}

impl Found<'_> {
    /// A copy.
    #[must_use]
    pub fn cloned(self) -> AnyValue {
        match self {
            Found::Value(value) => value.clone(),
            Found::Map(map) => AnyValue::Map(map.clone()),
        }
    }
}

fn below<'v>(value: &'v AnyValue, key: &str) -> Option<&'v AnyValue> {
    match value {
        AnyValue::Map(map) => map.get(key),
        _ => None,
    }
}

fn as_map(value: &mut AnyValue) -> &mut Map {
    if !matches!(value, AnyValue::Map(_)) {
        *value = AnyValue::Map(Map::default());
    }
    match value {
        AnyValue::Map(map) => map,
        _ => unreachable!("it was just made one"),
    }
}

/// Sets each pair.
fn merge(map: &mut Map, pairs: Map) {
    if map.0.is_empty() {
        *map = pairs;
        return;
    }
    for pair in pairs.0 {
        let value = pair.value().clone();
        map.set(pair.key, value);
    }
}

/// `a.b["c.d"]['e']` as its keys.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut keys = Vec::new();
    let mut rest = text;
    let fault = |what: &str| Err(format!("{what} in {text:?}"));
    // A key outside brackets may begin here; behind a bracket only a dot or another bracket may come.
    let mut plain = !rest.starts_with('[');
    while plain || !rest.is_empty() {
        if plain {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            keys.push(rest[..end].to_owned());
            rest = &rest[end..];
            plain = false;
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            plain = true;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let Some(quote) = inner.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
                return fault("a key in brackets is not in quotes");
            };
            let Some(end) = inner[1..].find(quote) else { return fault("a quote is not closed") };
            keys.push(inner[1..=end].to_owned());
            let Some(after) = inner[end + 2..].strip_prefix(']') else { return fault("a bracket is not closed") };
            rest = after;
        } else {
            return fault("neither a dot nor a bracket follows a bracket");
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_shown() {
        let keys = |text: &str| Field::parse(text).map(|field| field.keys).unwrap();
        assert_eq!(keys("body"), Vec::<String>::new());
        assert_eq!(keys("attributes.a.b"), ["a", "b"]);
        assert_eq!(keys("attributes[\"a.b\"]['c'].d"), ["a.b", "c", "d"]);
        assert_eq!(Field::parse("resource[\"a.b\"].c").unwrap().to_string(), "resource['a.b']['c']");
        for bad in ["", "attributes", "message", "body[a]", "body['a'", "body['a]", "body['a']b", "[\"x\"]"] {
            assert!(Field::parse(bad).is_err(), "{bad}");
        }
        assert!(Field::parse_rootable("attributes").is_ok());
    }

    #[test]
    fn what_is_in_the_way_of_a_map_is_replaced_and_maps_join() {
        let mut entry = Entry::new("line", 0, 0);
        let deep = Field::parse("body.a.b").unwrap();
        deep.set(&mut entry, AnyValue::Int(1)).unwrap();
        assert_eq!(deep.get(&entry).map(Found::cloned), Some(AnyValue::Int(1)));
        let more: Map = [("c", 2i64)].into_iter().collect();
        Field::parse("body.a").unwrap().set(&mut entry, AnyValue::Map(more)).unwrap();
        assert_eq!(entry.body.to_text(), r#"{"a":{"b":1,"c":2}}"#);
        assert_eq!(deep.delete(&mut entry), Some(AnyValue::Int(1)));
        assert_eq!(deep.delete(&mut entry), None);
        assert!(Field::attributes().set(&mut entry, AnyValue::Int(1)).is_err());
    }
}
