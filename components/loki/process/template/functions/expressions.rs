//! Regular expressions.

use std::sync::{LazyLock, Mutex, PoisonError};

use base_re2::{Cursor, Regex, Slots};
use gotmpl::Value;

use super::{Functions, Result, fail, int_of, list, string, text_of};
use crate::recent::Recent;

/// How many expressions that templates give to functions are kept compiled.
const MAX_EXPRESSIONS: usize = 100;

pub fn add(functions: &mut Functions) {
    functions.add(&["regexReplaceAll", "mustRegexReplaceAll"], 3..=3, |a| {
        string(expression(text_of(a, 0)?)?.replace_all(text_of(a, 1)?, text_of(a, 2)?).into_owned())
    });
    functions.add(&["regexReplaceAllLiteral", "mustRegexReplaceAllLiteral"], 3..=3, |a| {
        let literal = text_of(a, 2)?.replace('$', "$$");
        string(expression(text_of(a, 0)?)?.replace_all(text_of(a, 1)?, &literal).into_owned())
    });
    // Without "must", what is no expression matches nothing.
    functions.add(&["regexMatch"], 2..=2, |a| {
        let text = text_of(a, 1)?;
        Ok(Value::Bool(expression(text_of(a, 0)?).is_ok_and(|expression| expression.is_match(text))))
    });
    functions
        .add(&["mustRegexMatch"], 2..=2, |a| Ok(Value::Bool(expression(text_of(a, 0)?)?.is_match(text_of(a, 1)?))));
    functions.add(&["regexFind", "mustRegexFind"], 2..=2, |a| {
        let text = text_of(a, 1)?;
        string(expression(text_of(a, 0)?)?.find(text).map_or("", |found| &text[found]))
    });
    functions.add(&["regexFindAll", "mustRegexFindAll"], 3..=3, |a| {
        let (text, count) = (text_of(a, 1)?, usize::try_from(int_of(a, 2)?).unwrap_or(usize::MAX));
        let found = all_matches(&expression(text_of(a, 0)?)?, text, count);
        list(found.into_iter().map(|found| Value::String(text[found].into())))
    });
    functions.add(&["regexSplit", "mustRegexSplit"], 3..=3, |a| {
        let (text, count) = (text_of(a, 1)?, usize::try_from(int_of(a, 2)?).unwrap_or(usize::MAX));
        if count == 0 {
            return list([]);
        }
        let mut parts = Vec::new();
        let mut start = 0;
        for found in all_matches(&expression(text_of(a, 0)?)?, text, count - 1) {
            // As in Go, an empty match at the very start parts nothing.
            if found.end == 0 {
                continue;
            }
            parts.push(Value::String(text[start..found.start].into()));
            start = found.end;
        }
        parts.push(Value::String(text[start..].into()));
        list(parts)
    });
    functions.add(&["regexQuoteMeta"], 1..=1, |a| {
        let mut quoted = String::new();
        for character in text_of(a, 0)?.chars() {
            if "\\.+*?()|[]{}^$".contains(character) {
                quoted.push('\\');
            }
            quoted.push(character);
        }
        string(quoted)
    });
}

fn all_matches(expression: &Regex, text: &str, count: usize) -> Vec<std::ops::Range<usize>> {
    let (mut cursor, mut slots, mut found) = (Cursor::default(), Slots::default(), Vec::new());
    while found.len() < count && expression.next_match(text, &mut cursor, &mut slots) {
        found.extend(slots.get(0));
    }
    found
}

/// Compiles an expression, or finds it compiled.
fn expression(text: &str) -> Result<Regex> {
    static COMPILED: LazyLock<Mutex<Recent<String, Regex>>> =
        LazyLock::new(|| Mutex::new(Recent::new(MAX_EXPRESSIONS)));
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = text.to_owned();
    if let Some(expression) = compiled.get(&key) {
        return Ok(expression.clone());
    }
    match Regex::new(text) {
        Ok(expression) => {
            compiled.insert(key, expression.clone());
            Ok(expression)
        }
        Err(error) => fail(error.to_string()),
    }
}
