//! Texts.

use base_sys::chance::Chance;
use gotmpl::Value;

use super::{Functions, MANY, Result, fail, int_of, list, list_of, shown, string, text_of};

/// Longest text that one function makes.
const MAX_MADE: usize = 16 << 20;

pub fn add(functions: &mut Functions) {
    // Alloy's own, which take their arguments in the order of Go's library.
    functions.add(&["ToLower", "lower"], 1..=1, |a| string(text_of(a, 0)?.to_lowercase()));
    functions.add(&["ToUpper", "upper"], 1..=1, |a| string(text_of(a, 0)?.to_uppercase()));
    functions.add(&["Replace"], 4..=4, |a| {
        let count = usize::try_from(int_of(a, 3)?).unwrap_or(usize::MAX);
        string(text_of(a, 0)?.replacen(text_of(a, 1)?, text_of(a, 2)?, count))
    });
    functions.add(&["Trim"], 2..=2, |a| string(cut(text_of(a, 0)?, text_of(a, 1)?, true, true)));
    functions.add(&["TrimLeft"], 2..=2, |a| string(cut(text_of(a, 0)?, text_of(a, 1)?, true, false)));
    functions.add(&["TrimRight"], 2..=2, |a| string(cut(text_of(a, 0)?, text_of(a, 1)?, false, true)));
    functions.add(&["TrimPrefix"], 2..=2, |a| {
        let text = text_of(a, 0)?;
        string(text.strip_prefix(text_of(a, 1)?).unwrap_or(text))
    });
    functions.add(&["TrimSuffix"], 2..=2, |a| {
        let text = text_of(a, 0)?;
        string(text.strip_suffix(text_of(a, 1)?).unwrap_or(text))
    });
    functions.add(&["TrimSpace", "trim"], 1..=1, |a| string(text_of(a, 0)?.trim()));

    // Sprig's take the text last.
    functions.add(&["trimAll", "trimall"], 2..=2, |a| string(cut(text_of(a, 1)?, text_of(a, 0)?, true, true)));
    functions.add(&["trimPrefix"], 2..=2, |a| {
        let text = text_of(a, 1)?;
        string(text.strip_prefix(text_of(a, 0)?).unwrap_or(text))
    });
    functions.add(&["trimSuffix"], 2..=2, |a| {
        let text = text_of(a, 1)?;
        string(text.strip_suffix(text_of(a, 0)?).unwrap_or(text))
    });
    functions.add(&["replace"], 3..=3, |a| string(text_of(a, 2)?.replace(text_of(a, 0)?, text_of(a, 1)?)));
    functions.add(&["contains"], 2..=2, |a| Ok(Value::Bool(text_of(a, 1)?.contains(text_of(a, 0)?))));
    functions.add(&["hasPrefix"], 2..=2, |a| Ok(Value::Bool(text_of(a, 1)?.starts_with(text_of(a, 0)?))));
    functions.add(&["hasSuffix"], 2..=2, |a| Ok(Value::Bool(text_of(a, 1)?.ends_with(text_of(a, 0)?))));
    functions.add(&["title"], 1..=1, |a| string(per_word(text_of(a, 0)?, |c| c.to_uppercase().collect())));
    functions.add(&["untitle"], 1..=1, |a| string(per_word(text_of(a, 0)?, |c| c.to_lowercase().collect())));
    functions.add(&["swapcase"], 1..=1, |a| {
        let swap = |c: char| -> String {
            if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
        };
        string(text_of(a, 0)?.chars().map(swap).collect::<String>())
    });
    functions.add(&["snakecase"], 1..=1, |a| string(joined_words(text_of(a, 0)?, '_')));
    functions.add(&["kebabcase"], 1..=1, |a| string(joined_words(text_of(a, 0)?, '-')));
    functions.add(&["camelcase"], 1..=1, |a| string(camel_case(text_of(a, 0)?)));
    functions.add(&["repeat"], 2..=2, |a| {
        let (count, text) = (usize::try_from(int_of(a, 0)?), text_of(a, 1)?);
        match count {
            Ok(count) if count.saturating_mul(text.len()) <= MAX_MADE => string(text.repeat(count)),
            _ => fail("repeat: a negative count, or too much text"),
        }
    });
    functions.add(&["substr"], 3..=3, |a| {
        let (start, end, text) = (int_of(a, 0)?, int_of(a, 1)?, text_of(a, 2)?);
        let end = usize::try_from(end).map_or(text.len(), |end| end.min(text.len()));
        let start = usize::try_from(start).unwrap_or(0);
        if start > end { fail("substr: start behind the end") } else { string(between(text, start, end)) }
    });
    functions.add(&["trunc"], 2..=2, |a| {
        let (count, text) = (int_of(a, 0)?, text_of(a, 1)?);
        let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        if length >= text.len() {
            return string(text);
        }
        string(if count < 0 { between(text, text.len() - length, text.len()) } else { between(text, 0, length) })
    });
    functions.add(&["abbrev"], 2..=2, |a| string(abbreviated(text_of(a, 1)?, int_of(a, 0)?)));
    functions.add(&["nospace"], 1..=1, |a| string(text_of(a, 0)?.replace(char::is_whitespace, "")));
    functions.add(&["initials"], 1..=1, |a| {
        string(text_of(a, 0)?.split_whitespace().filter_map(|word| word.chars().next()).collect::<String>())
    });
    functions.add(&["wrap"], 2..=2, |a| string(wrapped(text_of(a, 1)?, int_of(a, 0)?, "\n")));
    functions.add(&["wrapWith"], 3..=3, |a| string(wrapped(text_of(a, 2)?, int_of(a, 0)?, text_of(a, 1)?)));
    functions.add(&["plural"], 3..=3, |a| string(text_of(a, usize::from(int_of(a, 2)? != 1))?));
    functions.add(&["quote"], 0..=MANY, |a| {
        let given = a.iter().filter(|one| !matches!(one, Value::Nil));
        string(given.map(|one| base_stdx::quote::quote(shown(one).as_bytes())).collect::<Vec<_>>().join(" "))
    });
    functions.add(&["squote"], 0..=MANY, |a| {
        let given = a.iter().filter(|one| !matches!(one, Value::Nil));
        string(given.map(|one| format!("'{}'", shown(one))).collect::<Vec<_>>().join(" "))
    });
    functions.add(&["cat"], 0..=MANY, |a| {
        string(a.iter().filter(|one| !matches!(one, Value::Nil)).map(shown).collect::<Vec<_>>().join(" "))
    });
    functions.add(&["indent"], 2..=2, |a| string(indented(text_of(a, 1)?, int_of(a, 0)?)?));
    functions.add(&["nindent"], 2..=2, |a| string(format!("\n{}", indented(text_of(a, 1)?, int_of(a, 0)?)?)));
    functions.add(&["toString"], 1..=1, |a| string(shown(&a[0])));
    functions.add(&["toStrings"], 1..=1, |a| list(list_of(a, 0)?.iter().map(|one| Value::String(shown(one).into()))));
    functions.add(&["join"], 2..=2, |a| match &a[1] {
        Value::List(values) => {
            let glue = text_of(a, 0)?;
            string(values.iter().filter(|one| !matches!(one, Value::Nil)).map(shown).collect::<Vec<_>>().join(glue))
        }
        other => string(shown(other)),
    });
    functions.add(&["splitList"], 2..=2, |a| list(pieces(text_of(a, 1)?, text_of(a, 0)?, usize::MAX)));
    functions.add(&["split"], 2..=2, |a| Ok(numbered(pieces(text_of(a, 1)?, text_of(a, 0)?, usize::MAX))));
    functions.add(&["splitn"], 3..=3, |a| {
        let count = usize::try_from(int_of(a, 1)?).unwrap_or(usize::MAX);
        Ok(numbered(pieces(text_of(a, 2)?, text_of(a, 0)?, count)))
    });
    functions.add(&["hello"], 0..=0, |_| string("Hello!"));
    for (name, letters) in [
        ("randAlphaNum", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
        ("randAlpha", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        ("randNumeric", "0123456789"),
    ] {
        functions.add(&[name], 1..=1, move |a| {
            let count = usize::try_from(int_of(a, 0)?).unwrap_or(0);
            if count > MAX_MADE {
                return fail("too much text");
            }
            let mut chance = Chance::new();
            let letter = |_| char::from(letters.as_bytes()[chance.number() as usize % letters.len()]);
            string((0..count).map(letter).collect::<String>())
        });
    }
}

fn cut(text: &str, characters: &str, left: bool, right: bool) -> String {
    let is_cut = |c: char| characters.contains(c);
    let text = if left { text.trim_start_matches(is_cut) } else { text };
    if right { text.trim_end_matches(is_cut) } else { text }.to_owned()
}

/// Part of a text by bytes, where templates hold only whole characters: one that does not fit goes.
fn between(text: &str, start: usize, end: usize) -> &str {
    let (start, end) = (text.ceil_char_boundary(start), text.floor_char_boundary(end));
    if start < end { &text[start..end] } else { "" }
}

fn is_connector(character: char) -> bool {
    matches!(character, '-' | '_') || character.is_whitespace()
}

/// `userID` as `user_id`: words end where a capital follows a small letter or a number, and before the last of several
/// capitals that a small letter follows. A number belongs to the word before it, unless small letters follow it.
fn joined_words(text: &str, connector: char) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut joined = String::with_capacity(text.len() + 8);
    let mut word_begins_with_number = false;
    let mut before = None;
    for (at, letter) in letters.iter().copied().enumerate() {
        if is_connector(letter) {
            joined.push(connector);
            before = None;
            continue;
        }
        let begins = match before {
            None => {
                word_begins_with_number = letter.is_numeric();
                false
            }
            Some(before) if letter.is_uppercase() => {
                let next = letters.get(at + 1).copied();
                char::is_lowercase(before)
                    || char::is_numeric(before)
                    || char::is_uppercase(before) && next.is_some_and(char::is_lowercase)
            }
            Some(before) if letter.is_numeric() && char::is_alphabetic(before) && !word_begins_with_number => {
                letters[at..].iter().find(|letter| !letter.is_numeric()).is_some_and(|next| next.is_lowercase())
            }
            Some(_) => false,
        };
        if begins {
            joined.push(connector);
            word_begins_with_number = letter.is_numeric();
        }
        joined.extend(letter.to_lowercase());
        before = Some(letter);
    }
    joined
}

/// `user_name` as `UserName`. Of several capitals at the start of a word all but the first become small; a connector at the start or
/// the end stays, and of several between words all but one.
fn camel_case(text: &str) -> String {
    let mut changed = String::with_capacity(text.len());
    let start = text.find(|character| !is_connector(character)).unwrap_or(text.len());
    changed.push_str(&text[..start]);
    let (mut at_start, mut in_capitals, mut connector) = (true, false, None);
    for letter in text[start..].chars() {
        if is_connector(letter) {
            changed.extend(connector.replace(letter));
            at_start = true;
        } else if at_start {
            (at_start, in_capitals, connector) = (false, letter.is_uppercase(), None);
            changed.extend(letter.to_uppercase());
        } else if in_capitals && letter.is_uppercase() {
            changed.extend(letter.to_lowercase());
        } else {
            in_capitals = false;
            changed.push(letter);
        }
    }
    changed.extend(connector);
    changed
}

fn per_word(text: &str, change: impl Fn(char) -> String) -> String {
    let mut changed = String::new();
    let mut before = ' ';
    for character in text.chars() {
        let in_word = before.is_alphanumeric() || matches!(before, '_' | '\'');
        if in_word {
            changed.push(character)
        } else {
            changed.push_str(&change(character))
        }
        before = character;
    }
    changed
}

fn abbreviated(text: &str, width: i64) -> String {
    let width = usize::try_from(width).unwrap_or(0);
    if width < 4 || text.len() <= width {
        return text.to_owned();
    }
    format!("{}...", between(text, 0, width - 3))
}

/// Words of a text in lines of at most so many bytes; longer words stay whole.
fn wrapped(text: &str, width: i64, newline: &str) -> String {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let mut lines = String::new();
    let mut rest = text.trim_start_matches(' ');
    while rest.len() > width {
        let fits = rest.floor_char_boundary(width);
        let head = &rest[..rest[fits..].chars().next().map_or(fits, |c| fits + c.len_utf8())];
        let end = head.rfind(' ').filter(|end| *end > 0).or_else(|| rest.find(' '));
        let Some(end) = end else { break };
        lines.push_str(&rest[..end]);
        lines.push_str(newline);
        rest = rest[end..].trim_start_matches(' ');
    }
    lines + rest
}

fn indented(text: &str, spaces: i64) -> Result<String> {
    let pad = usize::try_from(spaces).unwrap_or(0);
    if pad.saturating_mul(text.matches('\n').count() + 1) > MAX_MADE {
        return fail("too much text");
    }
    let pad = " ".repeat(pad);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn pieces(text: &str, by: &str, count: usize) -> Vec<Value> {
    if by.is_empty() {
        return text.chars().map(|c| Value::String(c.to_string().into())).collect();
    }
    text.splitn(count.max(1), by).map(|piece| Value::String(piece.into())).collect()
}

fn numbered(pieces: Vec<Value>) -> Value {
    let map = pieces.into_iter().enumerate().map(|(at, piece)| (format!("_{at}").into(), piece));
    Value::Map(std::sync::Arc::new(map.collect()))
}
