//! `json_path`: the matches of a path, in the order of the text.
//!
//! The dialect is that of Alloy's library: `$` may be left out; `.name`, `['name']`, `[1]`, `[-1]`, `[1:5:2]`, `[1,'a']`,
//! `*`, `..` and filters `?(@.price < 10 && @.tag == 'x')`.

mod filter;
mod parse;

use super::arguments::{bounded, count, get};
use super::json::Json;
use crate::value::{FunctionError, Text, Value};

use filter::Filter;

/// How many steps a path may have, and how deep a filter may nest.
const MAX_STEPS: usize = 100;

/// One step of a path.
#[derive(Clone, Debug)]
enum Step {
    /// Only these children.
    Pick(Vec<Selector>),
    /// All descendants, and the value itself.
    Descend,
}

#[derive(Clone, Debug)]
enum Selector {
    Name(String),
    Index(i64),
    Slice { start: Option<i64>, end: Option<i64>, step: i64 },
    All,
    Filter(Box<Filter>),
}

pub fn json_path(arguments: &[Value]) -> Result<Value, FunctionError> {
    count(arguments, 2)?;
    let (text, path): (Text, String) = (get(arguments, 0)?, get(arguments, 1)?);
    let steps = parse::path(&path).map_err(FunctionError::new)?;
    if text.as_bytes().iter().all(u8::is_ascii_whitespace) || path.is_empty() {
        return Ok(Value::Array([].into()));
    }
    let root = Json::parse(&text)?;
    let found = select(&steps, &root, &root)?;
    Ok(Value::Array(found.into_iter().map(Json::to_value).collect()))
}

/// All that the steps lead to from a value.
fn select<'j>(steps: &[Step], from: &'j Json, root: &'j Json) -> Result<Vec<&'j Json>, FunctionError> {
    let mut found = vec![from];
    for step in steps {
        let mut next = Vec::new();
        for value in found {
            // A few `..` after another would reach each value again and again.
            bounded(next.len() * 16)?;
            match step {
                Step::Descend => descend(value, &mut next)?,
                Step::Pick(selectors) => selectors.iter().for_each(|selector| pick(selector, value, root, &mut next)),
            }
        }
        found = next;
    }
    Ok(found)
}

fn descend<'j>(value: &'j Json, found: &mut Vec<&'j Json>) -> Result<(), FunctionError> {
    bounded(found.len() * 16)?;
    found.push(value);
    match value {
        Json::Array(items) => items.iter().try_for_each(|item| descend(item, found)),
        Json::Object(fields) => fields.iter().try_for_each(|(_, field)| descend(field, found)),
        _ => Ok(()),
    }
}

fn pick<'j>(selector: &Selector, value: &'j Json, root: &'j Json, found: &mut Vec<&'j Json>) {
    match (selector, value) {
        (Selector::Name(name), Json::Object(fields)) => {
            found.extend(fields.iter().rev().find(|(known, _)| known == name).map(|(_, field)| field));
        }
        (Selector::Index(index), Json::Array(items)) => {
            let at = if *index < 0 { *index + items.len() as i64 } else { *index };
            found.extend(usize::try_from(at).ok().and_then(|at| items.get(at)));
        }
        (Selector::Slice { start, end, step }, Json::Array(items)) => slice(items, *start, *end, *step, found),
        (Selector::All, Json::Array(items)) => found.extend(items),
        (Selector::All, Json::Object(fields)) => found.extend(fields.iter().map(|(_, field)| field)),
        (Selector::Filter(filter), Json::Array(items)) => {
            found.extend(items.iter().filter(|item| filter.holds(item, root)));
        }
        (Selector::Filter(filter), Json::Object(fields)) => {
            found.extend(fields.iter().map(|(_, field)| field).filter(|field| filter.holds(field, root)));
        }
        _ => {}
    }
}

fn slice<'j>(items: &'j [Json], start: Option<i64>, end: Option<i64>, step: i64, found: &mut Vec<&'j Json>) {
    let length = items.len() as i64;
    let place = |at: i64| if at < 0 { at + length } else { at };
    if step > 0 {
        let end = place(end.unwrap_or(length)).min(length);
        let mut at = place(start.unwrap_or(0)).max(0);
        while at < end {
            found.push(&items[at as usize]);
            at = at.saturating_add(step);
        }
    } else if step < 0 {
        let end = end.map_or(-1, |end| place(end).max(-1));
        let mut at = place(start.unwrap_or(length - 1)).min(length - 1);
        while at > end {
            found.push(&items[at as usize]);
            at = at.saturating_add(step);
        }
    }
}
