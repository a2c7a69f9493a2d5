//! Editors: `set`, and those that change maps and lists.

use std::collections::HashMap;

use sdk_protocols_otlp::model::{AnyValue, KeyValue, Map, Text};

use super::{Arguments, Built, Function, Kind, editor, everywhere, optional, required};
use crate::coerce;
use crate::error::{Error, Result};
use crate::path::key::entry;
use crate::value::{Value, as_text};

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("set", &[required("Target", Kind::Target), required("Value", Kind::Any)], set),
    everywhere(
        "append",
        &[required("Target", Kind::Target), optional("Value", Kind::Any), optional("Values", Kind::Anys)],
        append,
    ),
    everywhere(
        "delete_index",
        &[required("Target", Kind::ListTarget), required("StartIndex", Kind::Int), optional("EndIndex", Kind::Int)],
        delete_index,
    ),
    everywhere("delete_key", &[required("Target", Kind::MapTarget), required("Key", Kind::Text)], delete_key),
    everywhere("delete_matching_keys", &[required("Target", Kind::MapTarget), required("Pattern", Kind::Text)], |a| {
        matching_keys(a, "delete_matching_keys", false)
    }),
    everywhere("keep_matching_keys", &[required("Target", Kind::MapTarget), required("Pattern", Kind::Text)], |a| {
        matching_keys(a, "keep_matching_keys", true)
    }),
    everywhere("keep_keys", &[required("Target", Kind::MapTarget), required("Keys", Kind::Texts)], keep_keys),
    everywhere(
        "flatten",
        &[
            required("Target", Kind::MapTarget),
            optional("Prefix", Kind::LiteralText),
            optional("Depth", Kind::LiteralInt),
            optional("ResolveConflicts", Kind::LiteralBool),
        ],
        flatten,
    ),
    everywhere(
        "limit",
        &[
            required("Target", Kind::MapTarget),
            required("Limit", Kind::LiteralInt),
            required("PriorityKeys", Kind::LiteralTexts),
        ],
        limit,
    ),
    everywhere(
        "merge_maps",
        &[required("Target", Kind::MapTarget), required("Source", Kind::Map), required("Strategy", Kind::LiteralText)],
        merge_maps,
    ),
    everywhere("stringify_all", &[required("Target", Kind::MapTarget)], stringify_all),
    everywhere(
        "truncate_all",
        &[
            required("Target", Kind::MapTarget),
            required("Limit", Kind::LiteralInt),
            optional("Utf8Safe", Kind::LiteralBool),
            optional("TruncationMarker", Kind::LiteralText),
        ],
        truncate_all,
    ),
];

fn set(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, value) = (a.target(0)?, a.expression(1)?);
    editor(move |on| {
        let value = value.get(on)?.into_owned();
        // Nil sets nothing.
        if matches!(value, Value::Nil) { Ok(()) } else { target.set(on, value) }
    })
}

fn append(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, value, values) = (a.target(0)?, a.given_expression(1), a.given_expressions(2));
    if value.is_none() && values.is_none() {
        return Err("append takes at least one of \"value\" and \"values\"".to_owned());
    }
    editor(move |on| {
        let mut list = match target.get(on)? {
            Value::Nil => Vec::new(),
            Value::Slice(list) => list.into_owned(),
            list @ Value::List(_) => coerce::as_list(list)?.into_owned(),
            other => vec![other.into_raw()?],
        };
        for value in value.iter().chain(values.iter().flatten()) {
            list.push(value.get(on)?.into_raw()?);
        }
        target.set(on, Value::list(list))
    })
}

fn delete_index(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, start, end) = (a.target(0)?, a.expression(1)?, a.given_expression(2));
    editor(move |on| {
        let start = coerce::int(&start, on)?;
        let end = match &end {
            Some(end) => coerce::int(end, on)?,
            None => start.saturating_add(1),
        };
        let list = target.list_mut(on)?;
        let length = list.len() as i64;
        if start == 0 && end == length {
            list.clear();
            return Ok(());
        }
        if start < 0 || start >= length {
            return Err(Error::new(format!("startIndex {start} out of bounds for slice of length {length}")));
        }
        if end < start {
            return Err(Error::new(format!("endIndex {end} cannot be less than startIndex {start}")));
        }
        if end > length {
            return Err(Error::new(format!(
                "deletion range [{start}:{end}] out of bounds for slice of length {length}"
            )));
        }
        list.drain(start as usize..end as usize);
        Ok(())
    })
}

fn delete_key(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, key) = (a.target(0)?, a.expression(1)?);
    editor(move |on| {
        let key = coerce::text(&key, on)?;
        let map = target.map_mut(on)?;
        if let Some(at) = map.0.iter().position(|pair| pair.key == key) {
            map.0.remove(at);
        }
        Ok(())
    })
}

fn matching_keys(a: &mut Arguments, name: &'static str, keep: bool) -> std::result::Result<Built, String> {
    let (target, pattern) = (a.target(0)?, a.pattern(1, name)?);
    editor(move |on| {
        let pattern = pattern.get(on)?;
        target.map_mut(on)?.0.retain(|pair| pattern.is_match(pair.key.as_bytes()) == keep);
        Ok(())
    })
}

fn keep_keys(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, keys) = (a.target(0)?, a.expressions(1)?);
    editor(move |on| {
        let keys = keys.iter().map(|key| coerce::text(key, on)).collect::<Result<Vec<_>>>()?;
        target.map_mut(on)?.0.retain(|pair| keys.contains(&pair.key));
        Ok(())
    })
}

fn limit(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, limit, priority) = (a.target(0)?, a.int(1)?, a.texts(2)?);
    let Ok(limit) = usize::try_from(limit) else {
        return Err(format!("invalid limit for limit function, {limit} cannot be negative"));
    };
    if limit < priority.len() {
        let count = priority.len();
        return Err(format!("the limit {limit} is less than the number of priority keys, {count}"));
    }
    editor(move |on| {
        let map = target.map_mut(on)?;
        if map.0.len() <= limit {
            return Ok(());
        }
        let mut kept = priority.iter().filter(|key| map.get(key).is_some()).count();
        map.0.retain(|pair| {
            if priority.iter().any(|key| pair.key == *key.as_str()) {
                return true;
            }
            kept += 1;
            kept <= limit
        });
        Ok(())
    })
}

fn merge_maps(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, source, strategy) = (a.target(0)?, a.expression(1)?, a.text(2)?);
    let (insert, update) = match strategy.as_str() {
        "insert" => (true, false),
        "update" => (false, true),
        "upsert" => (true, true),
        _ => return Err(format!("invalid value for strategy, {strategy}, must be 'insert', 'update' or 'upsert'")),
    };
    editor(move |on| {
        let source = coerce::map(&source, on)?.into_owned();
        let map = target.map_mut(on)?;
        for pair in source.0 {
            let known = map.0.iter().any(|other| other.key == pair.key);
            if if known { update } else { insert } {
                *entry(map, &pair.key) = pair.value.unwrap_or_default();
            }
        }
        Ok(())
    })
}

fn stringify_all(a: &mut Arguments) -> std::result::Result<Built, String> {
    let target = a.target(0)?;
    editor(move |on| {
        for pair in &mut target.map_mut(on)?.0 {
            if !matches!(pair.value, Some(AnyValue::Text(_))) {
                pair.value = Some(AnyValue::Text(as_text(pair.value())));
            }
        }
        Ok(())
    })
}

fn truncate_all(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, limit) = (a.target(0)?, a.int(1)?);
    let (utf8_safe, marker) = (a.given_bool(2).unwrap_or(true), a.given_text(3).unwrap_or_default());
    let Ok(limit) = usize::try_from(limit) else {
        return Err(format!("invalid limit for truncate_all function, {limit} cannot be negative"));
    };
    if marker.len() > limit {
        return Err(format!("the truncation marker of {} bytes is longer than the limit {limit}", marker.len()));
    }
    editor(move |on| {
        for pair in &mut target.map_mut(on)?.0 {
            let Some(AnyValue::Text(text)) = &mut pair.value else { continue };
            let bytes = text.as_bytes();
            if bytes.len() <= limit {
                continue;
            }
            let mut end = limit - marker.len();
            while utf8_safe && end > 0 && bytes[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            *text = if marker.is_empty() {
                Text::from(bytes.slice(..end))
            } else {
                Text::from(bytes::Bytes::from([&bytes[..end], marker.as_bytes()].concat()))
            };
        }
        Ok(())
    })
}

fn flatten(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, prefix, depth) = (a.target(0)?, a.given_text(1).unwrap_or_default(), a.given_int(2));
    let resolve_conflicts = a.given_bool(3).unwrap_or(false);
    let depth = depth.unwrap_or(i64::MAX);
    if depth < 1 {
        return Err(format!("invalid depth '{depth}' for flatten function, must be greater than 0"));
    }
    editor(move |on| {
        let map = target.map_mut(on)?;
        let mut flat = Flat { depth, conflicts: resolve_conflicts.then(HashMap::new), out: Map::default() };
        flat.map(std::mem::take(map), prefix.as_bytes().to_vec(), 0);
        *map = flat.out;
        Ok(())
    })
}

/// A map being flattened.
struct Flat {
    depth: i64,
    /// How often a key has come, if keys that come again get a number.
    conflicts: Option<HashMap<Vec<u8>, u64>>,
    out: Map,
}

impl Flat {
    fn map(&mut self, map: Map, mut prefix: Vec<u8>, depth: i64) {
        if !prefix.is_empty() {
            prefix.push(b'.');
        }
        for pair in map.0 {
            let KeyValue { key, value, .. } = pair;
            self.value([&prefix[..], key.as_bytes()].concat(), value.unwrap_or_default(), depth);
        }
    }

    fn value(&mut self, key: Vec<u8>, value: AnyValue, depth: i64) {
        match value {
            AnyValue::Map(map) if depth < self.depth => self.map(map, key, depth + 1),
            AnyValue::Array(list) if depth < self.depth => {
                for (at, value) in list.into_iter().enumerate() {
                    let numbered = [&key[..], format!(".{at}").as_bytes()].concat();
                    match value {
                        AnyValue::Map(map) if depth + 1 < self.depth => self.map(map, numbered, depth + 2),
                        AnyValue::Array(list) if depth + 1 < self.depth => {
                            // A list in a list gets no dot before its numbers.
                            for (at, value) in list.into_iter().enumerate() {
                                self.value([&numbered[..], at.to_string().as_bytes()].concat(), value, depth + 3);
                            }
                        }
                        value if self.conflicts.is_some() => self.put(key.clone(), value),
                        value => self.put(numbered, value),
                    }
                }
            }
            value => self.put(key, value),
        }
    }

    fn put(&mut self, mut key: Vec<u8>, value: AnyValue) {
        if let Some(conflicts) = &mut self.conflicts {
            match conflicts.get_mut(&key) {
                Some(count) => {
                    let number = *count;
                    *count += 1;
                    key.extend_from_slice(format!(".{number}").as_bytes());
                }
                None => drop(conflicts.insert(key.clone(), 0)),
            }
        }
        let key = Text::from(bytes::Bytes::from(key));
        *entry(&mut self.out, &key) = value;
    }
}
