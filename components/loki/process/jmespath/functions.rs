//! The functions of the language.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Failed;
use super::eval::{Scope, eval};
use super::parse::Node;
use crate::process::json::{Json, encode};

/// Longest text that `pad_left` and `pad_right` make.
const MAX_PADDED: usize = 1 << 20;

type Result<T> = std::result::Result<T, Failed>;

pub fn call<'s, 'a>(name: &str, nodes: &'s [Node], data: &Json<'a>, scope: &mut Scope<'s, 'a>) -> Result<Json<'a>> {
    match (name, nodes) {
        ("map", [Node::Reference(node), list]) => {
            let mapped: Result<Vec<_>> =
                array(eval(list, data, scope)?)?.iter().map(|one| eval(node, one, scope)).collect();
            Ok(Json::Array(mapped?))
        }
        ("sort_by", [list, Node::Reference(node)]) => {
            let mut keyed = keyed(list, node, data, scope)?;
            check_comparable(keyed.iter().map(|(key, _)| key))?;
            keyed.sort_by(|a, b| compare(&a.0, &b.0));
            Ok(Json::Array(keyed.into_iter().map(|(_, value)| value).collect()))
        }
        ("max_by" | "min_by", [list, Node::Reference(node)]) => {
            let keyed = keyed(list, node, data, scope)?;
            check_comparable(keyed.iter().map(|(key, _)| key))?;
            let wanted = if name == "max_by" { Ordering::Greater } else { Ordering::Less };
            let best =
                keyed.into_iter().reduce(|best, next| if compare(&next.0, &best.0) == wanted { next } else { best });
            Ok(best.map_or(Json::Null, |(_, value)| value))
        }
        ("group_by", [list, Node::Reference(node)]) => {
            let mut groups: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
            for (key, value) in keyed(list, node, data, scope)? {
                let key = match key {
                    Json::String(key) => key,
                    Json::Null => continue,
                    _ => return Err(Failed),
                };
                match groups.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, Json::Array(members))) => members.push(value),
                    _ => groups.push((key, Json::Array(vec![value]))),
                }
            }
            Ok(Json::Object(groups))
        }
        _ => {
            let arguments: Result<Vec<_>> = nodes.iter().map(|node| eval(node, data, scope)).collect();
            plain(name, arguments?)
        }
    }
}

fn keyed<'s, 'a>(
    list: &'s Node,
    node: &'s Node,
    data: &Json<'a>,
    scope: &mut Scope<'s, 'a>,
) -> Result<Vec<(Json<'a>, Json<'a>)>> {
    let mut keyed = Vec::new();
    for element in array(eval(list, data, scope)?)? {
        keyed.push((eval(node, &element, scope)?, element));
    }
    Ok(keyed)
}

fn plain<'a>(name: &str, arguments: Vec<Json<'a>>) -> Result<Json<'a>> {
    let count = arguments.len();
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().ok_or(Failed);
    Ok(match (name, count) {
        ("abs", 1) => Json::Number(number(next()?)?.abs()),
        ("ceil", 1) => Json::Number(number(next()?)?.ceil()),
        ("floor", 1) => Json::Number(number(next()?)?.floor()),
        ("sum", 1) => Json::Number(numbers(next()?)?.iter().sum()),
        ("avg", 1) => {
            let numbers = numbers(next()?)?;
            if numbers.is_empty() {
                Json::Null
            } else {
                Json::Number(numbers.iter().sum::<f64>() / numbers.len() as f64)
            }
        }
        ("contains", 2) => match (next()?, next()?) {
            (Json::Array(elements), wanted) => Json::Bool(elements.contains(&wanted)),
            (Json::String(text), Json::String(wanted)) => Json::Bool(text.contains(&*wanted)),
            (Json::String(_), _) => Json::Bool(false),
            _ => return Err(Failed),
        },
        ("starts_with", 2) => Json::Bool(string(next()?)?.starts_with(&*string(next()?)?)),
        ("ends_with", 2) => Json::Bool(string(next()?)?.ends_with(&*string(next()?)?)),
        ("find_first" | "find_last", 2..=4) => {
            let (text, wanted) = (string(next()?)?, string(next()?)?);
            let bounds = (
                if count > 2 { Some(integer(next()?)?) } else { None },
                if count > 3 { Some(integer(next()?)?) } else { None },
            );
            find(&text, &wanted, bounds, name == "find_first")
        }
        ("from_items", 1) => {
            let mut object: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
            for pair in array(next()?)? {
                let Ok([Json::String(key), value]) = <[Json<'a>; 2]>::try_from(array(pair)?) else {
                    return Err(Failed);
                };
                object.retain(|(known, _)| *known != key);
                object.push((key, value));
            }
            Json::Object(object)
        }
        ("items", 1) => {
            let pairs = object(next()?)?.into_iter().map(|(key, value)| Json::Array(vec![Json::String(key), value]));
            Json::Array(pairs.collect())
        }
        ("join", 2) => {
            let glue = string(next()?)?;
            let parts: Result<Vec<_>> = array(next()?)?.into_iter().map(string).collect();
            Json::String(parts?.join(&*glue).into())
        }
        ("keys", 1) => Json::Array(object(next()?)?.into_iter().map(|(key, _)| Json::String(key)).collect()),
        ("values", 1) => Json::Array(object(next()?)?.into_iter().map(|(_, value)| value).collect()),
        ("length", 1) => Json::Number(match next()? {
            Json::String(text) => text.chars().count(),
            Json::Array(elements) => elements.len(),
            Json::Object(fields) => fields.len(),
            _ => return Err(Failed),
        } as f64),
        ("lower", 1) => Json::String(string(next()?)?.to_lowercase().into()),
        ("upper", 1) => Json::String(string(next()?)?.to_uppercase().into()),
        ("max" | "min", 1) => {
            let elements = array(next()?)?;
            check_comparable(elements.iter())?;
            let wanted = if name == "max" { Ordering::Greater } else { Ordering::Less };
            elements
                .into_iter()
                .reduce(|best, next| if compare(&next, &best) == wanted { next } else { best })
                .unwrap_or(Json::Null)
        }
        ("merge", 1..) => {
            let mut merged: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
            for _ in 0..count {
                for (key, value) in object(next()?)? {
                    match merged.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, old)) => *old = value,
                        None => merged.push((key, value)),
                    }
                }
            }
            Json::Object(merged)
        }
        ("not_null", 1..) => {
            let mut found = Json::Null;
            for _ in 0..count {
                let value = next()?;
                if found == Json::Null {
                    found = value;
                }
            }
            found
        }
        ("pad_left" | "pad_right", 2..=3) => {
            let (text, width) = (string(next()?)?, integer(next()?)?);
            let pad = if count > 2 { string(next()?)? } else { Cow::Borrowed(" ") };
            let missing = usize::try_from(width).map_err(|_| Failed)?.saturating_sub(text.chars().count());
            if pad.chars().count() != 1 || missing > MAX_PADDED {
                return Err(Failed);
            }
            let pad = pad.repeat(missing);
            Json::String(if name == "pad_left" { format!("{pad}{text}") } else { format!("{text}{pad}") }.into())
        }
        ("replace", 3..=4) => {
            let (text, from, to) = (string(next()?)?, string(next()?)?, string(next()?)?);
            Json::String(
                match count {
                    3 => text.replace(&*from, &to),
                    _ => text.replacen(&*from, &to, usize::try_from(integer(next()?)?).map_err(|_| Failed)?),
                }
                .into(),
            )
        }
        ("reverse", 1) => match next()? {
            Json::Array(mut elements) => {
                elements.reverse();
                Json::Array(elements)
            }
            Json::String(text) => Json::String(text.chars().rev().collect::<String>().into()),
            _ => return Err(Failed),
        },
        ("sort", 1) => {
            let mut elements = array(next()?)?;
            check_comparable(elements.iter())?;
            elements.sort_by(compare);
            Json::Array(elements)
        }
        ("split", 2..=3) => {
            let (text, by) = (string(next()?)?, string(next()?)?);
            let limit =
                if count > 2 { usize::try_from(integer(next()?)?).map_err(|_| Failed)? } else { usize::MAX - 1 };
            let parts: Vec<Json<'a>> = if by.is_empty() {
                text.chars().map(|one| Json::String(one.to_string().into())).collect()
            } else {
                text.splitn(limit + 1, &*by).map(|part| Json::String(part.to_owned().into())).collect()
            };
            Json::Array(parts)
        }
        ("to_array", 1) => match next()? {
            Json::Array(elements) => Json::Array(elements),
            other => Json::Array(vec![other]),
        },
        ("to_number", 1) => match next()? {
            Json::Number(number) => Json::Number(number),
            Json::String(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Json::Number(number),
                _ => Json::Null,
            },
            _ => Json::Null,
        },
        ("to_string", 1) => match next()? {
            Json::String(text) => Json::String(text),
            other => {
                let mut text = Vec::new();
                encode(&other, &mut text);
                Json::String(String::from_utf8(text).map_err(|_| Failed)?.into())
            }
        },
        ("trim" | "trim_left" | "trim_right", 1..=2) => {
            let text = string(next()?)?;
            let cut = if count > 1 { string(next()?)? } else { Cow::Borrowed("") };
            let is_cut = |c: char| if cut.is_empty() { c.is_whitespace() } else { cut.contains(c) };
            Json::String(
                match name {
                    "trim" => text.trim_matches(is_cut),
                    "trim_left" => text.trim_start_matches(is_cut),
                    _ => text.trim_end_matches(is_cut),
                }
                .to_owned()
                .into(),
            )
        }
        ("type", 1) => Json::String(
            match next()? {
                Json::Null => "null",
                Json::Bool(_) => "boolean",
                Json::Number(_) => "number",
                Json::String(_) => "string",
                Json::Array(_) => "array",
                Json::Object(_) => "object",
            }
            .into(),
        ),
        ("zip", 1..) => {
            let lists: Result<Vec<Vec<Json<'a>>>> = (0..count).map(|_| array(next()?)).collect();
            let lists = lists?;
            let shortest = lists.iter().map(Vec::len).min().unwrap_or(0);
            Json::Array(
                (0..shortest).map(|at| Json::Array(lists.iter().map(|list| list[at].clone()).collect())).collect(),
            )
        }
        _ => return Err(Failed),
    })
}

fn find<'a>(text: &str, wanted: &str, bounds: (Option<i64>, Option<i64>), first: bool) -> Json<'a> {
    if text.is_empty() || wanted.is_empty() {
        return Json::Null;
    }
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    let length = characters.len() as i64;
    let place = |bound: i64| if bound < 0 { (length + bound).max(0) } else { bound.min(length) };
    let byte = |place: i64| characters.get(place as usize).map_or(text.len(), |(at, _)| *at);
    let (from, to) = (byte(bounds.0.map_or(0, place)), byte(bounds.1.map_or(length, place)));
    let part = text.get(from..to).unwrap_or("");
    let found = if first { part.find(wanted) } else { part.rfind(wanted) };
    found.map_or(Json::Null, |at| Json::Number(text[..from + at].chars().count() as f64))
}

fn check_comparable<'x, 'a: 'x>(mut values: impl Iterator<Item = &'x Json<'a>>) -> Result<()> {
    let Some(first) = values.next() else { return Ok(()) };
    let alike = |value: &Json<'_>| match first {
        Json::Number(_) => matches!(value, Json::Number(_)),
        Json::String(_) => matches!(value, Json::String(_)),
        _ => false,
    };
    if alike(first) && values.all(alike) { Ok(()) } else { Err(Failed) }
}

fn compare(a: &Json<'_>, b: &Json<'_>) -> Ordering {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.total_cmp(b),
        (Json::String(a), Json::String(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

fn number(value: Json<'_>) -> Result<f64> {
    if let Json::Number(number) = value { Ok(number) } else { Err(Failed) }
}

fn integer(value: Json<'_>) -> Result<i64> {
    let number = number(value)?;
    if number.fract() == 0.0 && number.abs() < 9e15 { Ok(number as i64) } else { Err(Failed) }
}

fn numbers(value: Json<'_>) -> Result<Vec<f64>> {
    array(value)?.into_iter().map(number).collect()
}

fn string<'a>(value: Json<'a>) -> Result<Cow<'a, str>> {
    if let Json::String(text) = value { Ok(text) } else { Err(Failed) }
}

fn array<'a>(value: Json<'a>) -> Result<Vec<Json<'a>>> {
    if let Json::Array(elements) = value { Ok(elements) } else { Err(Failed) }
}

fn object<'a>(value: Json<'a>) -> Result<Vec<(Cow<'a, str>, Json<'a>)>> {
    if let Json::Object(fields) = value { Ok(fields) } else { Err(Failed) }
}
