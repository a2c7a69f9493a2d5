//! Lists and dictionaries.

use std::sync::Arc;

use gotmpl::Value;

use super::{Functions, MANY, Result, fail, int_of, list, list_of, map_of, shown, string, text_of};

/// Longest list that one function makes.
const MAX_MADE: u64 = 100_000;

pub fn add(functions: &mut Functions) {
    functions.add(&["list", "tuple"], 0..=MANY, |a| list(a.iter().cloned()));
    functions.add(&["first", "mustFirst"], 1..=1, |a| Ok(list_of(a, 0)?.first().cloned().unwrap_or(Value::Nil)));
    functions.add(&["last", "mustLast"], 1..=1, |a| Ok(list_of(a, 0)?.last().cloned().unwrap_or(Value::Nil)));
    functions.add(&["rest", "mustRest"], 1..=1, |a| list(list_of(a, 0)?.iter().skip(1).cloned()));
    functions.add(&["initial", "mustInitial"], 1..=1, |a| {
        let values = list_of(a, 0)?;
        list(values[..values.len().saturating_sub(1)].iter().cloned())
    });
    functions.add(&["append", "mustAppend", "push", "mustPush"], 2..=2, |a| {
        list(list_of(a, 0)?.iter().chain([&a[1]]).cloned())
    });
    functions.add(&["prepend", "mustPrepend"], 2..=2, |a| list([&a[1]].into_iter().chain(list_of(a, 0)?).cloned()));
    functions.add(&["reverse", "mustReverse"], 1..=1, |a| list(list_of(a, 0)?.iter().rev().cloned()));
    functions.add(&["concat"], 0..=MANY, |a| {
        let mut all = Vec::new();
        for at in 0..a.len() {
            all.extend_from_slice(list_of(a, at)?);
        }
        list(all)
    });
    functions.add(&["uniq", "mustUniq"], 1..=1, |a| {
        let mut unique: Vec<Value> = Vec::new();
        for value in list_of(a, 0)? {
            if !unique.contains(value) {
                unique.push(value.clone());
            }
        }
        list(unique)
    });
    functions.add(&["without", "mustWithout"], 1..=MANY, |a| {
        list(list_of(a, 0)?.iter().filter(|value| !a[1..].contains(value)).cloned())
    });
    functions.add(&["has", "mustHas"], 2..=2, |a| Ok(Value::Bool(list_of(a, 1)?.contains(&a[0]))));
    functions.add(&["compact", "mustCompact"], 1..=1, |a| {
        list(list_of(a, 0)?.iter().filter(|value| value.is_truthy()).cloned())
    });
    functions.add(&["slice", "mustSlice"], 1..=3, |a| {
        let values = list_of(a, 0)?;
        let bound = |at: usize, absent: usize| -> Result<usize> {
            if a.len() <= at {
                return Ok(absent);
            }
            usize::try_from(int_of(a, at)?).or_else(|_| fail("slice: a negative bound"))
        };
        let (start, end) = (bound(1, 0)?, bound(2, values.len())?);
        match values.get(start..end) {
            Some(part) => list(part.iter().cloned()),
            None => fail("slice: bounds outside of the list"),
        }
    });
    functions.add(&["chunk", "mustChunk"], 2..=2, |a| {
        let size = usize::try_from(int_of(a, 0)?).unwrap_or(0);
        if size == 0 {
            return fail("chunk: the size must be above 0");
        }
        list(list_of(a, 1)?.chunks(size).map(|part| Value::List(part.to_vec().into())))
    });
    functions.add(&["sortAlpha"], 1..=1, |a| match &a[0] {
        Value::List(values) => {
            let mut texts: Vec<String> = values.iter().map(shown).collect();
            texts.sort();
            list(texts.into_iter().map(|text| Value::String(text.into())))
        }
        other => list([Value::String(shown(other).into())]),
    });
    functions.add(&["until"], 1..=1, |a| {
        let count = int_of(a, 0)?;
        steps(0, count, if count < 0 { -1 } else { 1 })
    });
    functions.add(&["untilStep"], 3..=3, |a| steps(int_of(a, 0)?, int_of(a, 1)?, int_of(a, 2)?));
    functions.add(&["seq"], 0..=3, |a| {
        let numbers: Result<Vec<i64>> = (0..a.len()).map(|at| int_of(a, at)).collect();
        let (start, step, end) = match numbers?[..] {
            [end] => (1, if end < 1 { -1 } else { 1 }, end),
            [start, end] => (start, if end < start { -1 } else { 1 }, end),
            [start, step, end] => (start, step, end),
            _ => return string(""),
        };
        let Value::List(values) = steps(start, end.saturating_add(step.signum()), step)? else { return string("") };
        string(values.iter().map(shown).collect::<Vec<_>>().join(" "))
    });
    dictionaries(functions);
}

fn dictionaries(functions: &mut Functions) {
    functions.add(&["dict"], 0..=MANY, |a| {
        let pairs = a.chunks(2).map(|pair| {
            let value = pair.get(1).cloned().unwrap_or_else(|| Value::String("".into()));
            (Arc::from(shown(&pair[0])), value)
        });
        Ok(Value::Map(Arc::new(pairs.collect())))
    });
    functions.add(&["get"], 2..=2, |a| {
        Ok(map_of(a, 0)?.get(text_of(a, 1)?).cloned().unwrap_or_else(|| Value::String("".into())))
    });
    functions.add(&["hasKey"], 2..=2, |a| Ok(Value::Bool(map_of(a, 0)?.contains_key(text_of(a, 1)?))));
    functions.add(&["keys"], 0..=MANY, |a| {
        let mut keys = Vec::new();
        for at in 0..a.len() {
            keys.extend(map_of(a, at)?.keys().cloned().map(Value::String));
        }
        list(keys)
    });
    functions.add(&["values"], 1..=1, |a| list(map_of(a, 0)?.values().cloned()));
    functions.add(&["pluck"], 1..=MANY, |a| {
        let key = text_of(a, 0)?;
        let mut found = Vec::new();
        for at in 1..a.len() {
            found.extend(map_of(a, at)?.get(key).cloned());
        }
        list(found)
    });
    for (name, keep) in [("pick", true), ("omit", false)] {
        functions.add(&[name], 1..=MANY, move |a| {
            let keys: Vec<String> = a[1..].iter().map(shown).collect();
            let kept = map_of(a, 0)?.iter().filter(|(key, _)| keys.iter().any(|known| **known == ***key) == keep);
            Ok(Value::Map(Arc::new(kept.map(|(key, value)| (key.clone(), value.clone())).collect())))
        });
    }
    functions.add(&["dig"], 3..=MANY, |a| {
        let (last, default) = (a.len() - 1, a.len() - 2);
        let mut at = &a[last];
        for key in 0..default {
            match at.field(text_of(a, key)?) {
                Some(inside) => at = inside,
                None => return Ok(a[default].clone()),
            }
        }
        Ok(at.clone())
    });
    // The first of two equal keys counts; with `Overwrite` the last does.
    for (names, overwrite) in [(["merge", "mustMerge"], false), (["mergeOverwrite", "mustMergeOverwrite"], true)] {
        functions.add(&names, 1..=MANY, move |a| {
            let mut merged = map_of(a, 0)?.clone();
            for at in 1..a.len() {
                for (key, value) in map_of(a, at)? {
                    if overwrite || !merged.contains_key(key) {
                        merged.insert(key.clone(), value.clone());
                    }
                }
            }
            Ok(Value::Map(Arc::new(merged)))
        });
    }
}

fn steps(start: i64, end: i64, step: i64) -> Result<Value> {
    let leads_there = (step > 0 && start < end) || (step < 0 && start > end);
    if !leads_there {
        return list([]);
    }
    if start.abs_diff(end) / step.unsigned_abs() > MAX_MADE {
        return fail("too long a list");
    }
    let mut values = Vec::new();
    let mut at = start;
    while (step > 0 && at < end) || (step < 0 && at > end) {
        values.push(Value::Int(at));
        at = at.saturating_add(step);
    }
    list(values)
}
