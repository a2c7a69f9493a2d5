//! The functions of expressions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sdk_ottl::text::json;
use sdk_protocols_otlp::model::{AnyValue, Map};

use crate::entry::type_of;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Env,
    Len,
    Type,
    Lower,
    Upper,
    Trim,
    TrimPrefix,
    TrimSuffix,
    Split,
    Replace,
    Join,
    IndexOf,
    LastIndexOf,
    HasPrefix,
    HasSuffix,
    Int,
    Float,
    String,
    Abs,
    Ceil,
    Floor,
    Round,
    Max,
    Min,
    First,
    Last,
    Get,
    Keys,
    Values,
    ToJson,
    FromJson,
    ToBase64,
    FromBase64,
}

/// Looks at each element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predicate {
    Any,
    All,
    None,
    One,
    Count,
    Filter,
    Map,
}

/// With the least and the greatest number of arguments.
pub(super) const FUNCTIONS: [(&str, Function, usize, usize); 33] = [
    ("env", Function::Env, 1, 1),
    ("len", Function::Len, 1, 1),
    ("type", Function::Type, 1, 1),
    ("lower", Function::Lower, 1, 1),
    ("upper", Function::Upper, 1, 1),
    ("trim", Function::Trim, 1, 2),
    ("trimPrefix", Function::TrimPrefix, 2, 2),
    ("trimSuffix", Function::TrimSuffix, 2, 2),
    ("split", Function::Split, 2, 2),
    ("replace", Function::Replace, 3, 3),
    ("join", Function::Join, 1, 2),
    ("indexOf", Function::IndexOf, 2, 2),
    ("lastIndexOf", Function::LastIndexOf, 2, 2),
    ("hasPrefix", Function::HasPrefix, 2, 2),
    ("hasSuffix", Function::HasSuffix, 2, 2),
    ("int", Function::Int, 1, 1),
    ("float", Function::Float, 1, 1),
    ("string", Function::String, 1, 1),
    ("abs", Function::Abs, 1, 1),
    ("ceil", Function::Ceil, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("round", Function::Round, 1, 1),
    ("max", Function::Max, 1, 16),
    ("min", Function::Min, 1, 16),
    ("first", Function::First, 1, 1),
    ("last", Function::Last, 1, 1),
    ("get", Function::Get, 2, 2),
    ("keys", Function::Keys, 1, 1),
    ("values", Function::Values, 1, 1),
    ("toJSON", Function::ToJson, 1, 1),
    ("fromJSON", Function::FromJson, 1, 1),
    ("toBase64", Function::ToBase64, 1, 1),
    ("fromBase64", Function::FromBase64, 1, 1),
];

pub(super) const PREDICATES: [(&str, Predicate); 7] = [
    ("any", Predicate::Any),
    ("all", Predicate::All),
    ("none", Predicate::None),
    ("one", Predicate::One),
    ("count", Predicate::Count),
    ("filter", Predicate::Filter),
    ("map", Predicate::Map),
];

/// What a function makes of its arguments, of which there are as many as it takes.
pub(super) fn call(function: Function, arguments: &[AnyValue]) -> Result<AnyValue, String> {
    let name = FUNCTIONS.iter().find(|(_, known, ..)| *known == function).map_or("", |(name, ..)| name);
    let wrong = |value: &AnyValue| format!("invalid argument for {name} (type {})", type_of(value));
    let text = |at: usize| match arguments.get(at) {
        Some(AnyValue::Text(text)) => Ok(text.as_str().into_owned()),
        Some(other) => Err(wrong(other)),
        None => Ok(String::new()),
    };
    let list = |at: usize| match &arguments[at] {
        AnyValue::Array(list) => Ok(list),
        other => Err(wrong(other)),
    };
    let map = |at: usize| match &arguments[at] {
        AnyValue::Map(map) => Ok(map),
        other => Err(wrong(other)),
    };
    let float = |at: usize| match &arguments[at] {
        AnyValue::Int(value) => Ok(*value as f64),
        AnyValue::Double(value) => Ok(*value),
        other => Err(wrong(other)),
    };
    let position = |found: Option<usize>| AnyValue::Int(found.map_or(-1, |at| at as i64));
    Ok(match function {
        Function::Env => std::env::var(text(0)?).unwrap_or_default().into(),
        Function::Len => AnyValue::Int(match &arguments[0] {
            AnyValue::Text(text) => text.as_bytes().len() as i64,
            AnyValue::Array(list) => list.len() as i64,
            AnyValue::Map(map) => map.0.len() as i64,
            other => return Err(wrong(other)),
        }),
        Function::Type => match &arguments[0] {
            AnyValue::Empty => "nil",
            AnyValue::Text(_) => "string",
            AnyValue::Bool(_) => "bool",
            AnyValue::Int(_) => "int",
            AnyValue::Double(_) => "float",
            AnyValue::Array(_) | AnyValue::Bytes(_) => "array",
            AnyValue::Map(_) => "map",
        }
        .into(),
        Function::Lower => text(0)?.to_lowercase().into(),
        Function::Upper => text(0)?.to_uppercase().into(),
        Function::Trim if arguments.len() == 1 => text(0)?.trim().into(),
        Function::Trim => {
            let cut = text(1)?;
            text(0)?.trim_matches(|c| cut.contains(c)).into()
        }
        Function::TrimPrefix => {
            let value = text(0)?;
            value.strip_prefix(&*text(1)?).unwrap_or(&value).into()
        }
        Function::TrimSuffix => {
            let value = text(0)?;
            value.strip_suffix(&*text(1)?).unwrap_or(&value).into()
        }
        Function::Split => {
            let (value, by) = (text(0)?, text(1)?);
            match by.is_empty() {
                true => value.chars().map(|c| AnyValue::from(c.to_string())).collect::<Vec<_>>().into(),
                false => value.split(&*by).map(AnyValue::from).collect::<Vec<_>>().into(),
            }
        }
        Function::Replace => text(0)?.replace(&*text(1)?, &text(2)?).into(),
        Function::Join => {
            let parts: Result<Vec<_>, _> = list(0)?
                .iter()
                .map(|value| value.text().map(|text| text.as_str().into_owned()).ok_or_else(|| wrong(value)))
                .collect();
            parts?.join(&text(1)?).into()
        }
        Function::IndexOf => position(text(0)?.find(&*text(1)?)),
        Function::LastIndexOf => position(text(0)?.rfind(&*text(1)?)),
        Function::HasPrefix => text(0)?.starts_with(&*text(1)?).into(),
        Function::HasSuffix => text(0)?.ends_with(&*text(1)?).into(),
        Function::Int => match &arguments[0] {
            AnyValue::Int(value) => AnyValue::Int(*value),
            AnyValue::Double(value) => AnyValue::Int(*value as i64),
            AnyValue::Text(text) => {
                let text = text.as_str();
                AnyValue::Int(text.parse().map_err(|_| format!("invalid operation: int({text})"))?)
            }
            other => return Err(wrong(other)),
        },
        Function::Float => match &arguments[0] {
            AnyValue::Text(text) => {
                let text = text.as_str();
                AnyValue::Double(text.parse().map_err(|_| format!("invalid operation: float({text})"))?)
            }
            _ => AnyValue::Double(float(0)?),
        },
        Function::String => match &arguments[0] {
            AnyValue::Empty => "<nil>".into(),
            other => other.to_text().into_owned().into(),
        },
        Function::Abs => match &arguments[0] {
            AnyValue::Int(value) => AnyValue::Int(value.wrapping_abs()),
            _ => AnyValue::Double(float(0)?.abs()),
        },
        Function::Ceil => AnyValue::Double(float(0)?.ceil()),
        Function::Floor => AnyValue::Double(float(0)?.floor()),
        Function::Round => AnyValue::Double(float(0)?.round()),
        Function::Max | Function::Min => {
            let mut best = (float(0)?, 0);
            for at in 1..arguments.len() {
                let value = float(at)?;
                if if function == Function::Max { value > best.0 } else { value < best.0 } {
                    best = (value, at);
                }
            }
            arguments[best.1].clone()
        }
        Function::First => list(0)?.first().cloned().unwrap_or_default(),
        Function::Last => list(0)?.last().cloned().unwrap_or_default(),
        Function::Get => match (&arguments[0], &arguments[1]) {
            (AnyValue::Map(map), AnyValue::Text(key)) => map.get(&key.as_str()).cloned().unwrap_or_default(),
            (AnyValue::Array(list), AnyValue::Int(at)) => super::run::element(list, *at).cloned().unwrap_or_default(),
            _ => AnyValue::Empty,
        },
        Function::Keys => map(0)?.0.iter().map(|pair| AnyValue::Text(pair.key.clone())).collect::<Vec<_>>().into(),
        Function::Values => map(0)?.0.iter().map(|pair| pair.value().clone()).collect::<Vec<_>>().into(),
        Function::ToJson => {
            let mut out = String::new();
            json::write(&arguments[0], &mut out)?;
            out.into()
        }
        Function::FromJson => json::read::<false>(text(0)?.as_bytes())?,
        Function::ToBase64 => STANDARD.encode(text(0)?).into(),
        Function::FromBase64 => {
            let bytes = STANDARD.decode(text(0)?).map_err(|error| error.to_string())?;
            String::from_utf8_lossy(&bytes).into_owned().into()
        }
    })
}

/// Gathers what a predicate's test says of each element.
pub(super) fn over(
    predicate: Predicate,
    list: &[AnyValue],
    mut test: impl FnMut(&AnyValue) -> Result<AnyValue, String>,
) -> Result<AnyValue, String> {
    let mut found = Vec::new();
    let mut holds = 0;
    for element in list {
        let said = test(element)?;
        match (predicate, said) {
            (Predicate::Map, said) => found.push(said),
            (_, AnyValue::Bool(true)) => {
                holds += 1;
                if predicate == Predicate::Filter {
                    found.push(element.clone());
                }
            }
            (_, AnyValue::Bool(false)) => {}
            (_, other) => return Err(format!("a predicate must be true or false, not a {}", type_of(&other))),
        }
    }
    Ok(match predicate {
        Predicate::Any => (holds > 0).into(),
        Predicate::All => (holds == list.len()).into(),
        Predicate::None => (holds == 0).into(),
        Predicate::One => (holds == 1).into(),
        Predicate::Count => AnyValue::Int(holds as i64),
        Predicate::Filter | Predicate::Map => found.into(),
    })
}

/// Keys in the order in which they were written; the last of equal ones wins.
pub(super) fn pairs(pairs: Vec<(String, AnyValue)>) -> AnyValue {
    let mut map = Map::default();
    for (key, value) in pairs {
        map.set(key, value);
    }
    AnyValue::Map(map)
}
