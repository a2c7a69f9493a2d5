//! Replacement templates: `$1`, `${1}`, `$name`, `${name}`, `$$`.

/// What a template is made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'t> {
    Text(&'t str),
    Group(usize),
    Name(&'t str),
}

/// Splits a template. As in Go, a name reaches as far as letters, digits and `_` go (`$1x` is the group called "1x"),
/// and a `$` that begins no name stands for itself.
pub(crate) fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(after) = rest.strip_prefix('$') else {
            let (text, tail) = rest.split_at(rest.find('$').unwrap_or(rest.len()));
            rest = tail;
            return Some(Part::Text(text));
        };
        if let Some(tail) = after.strip_prefix('$') {
            rest = tail;
            return Some(Part::Text("$"));
        }
        match reference(after) {
            Some((name, tail)) => {
                rest = tail;
                Some(number(name).map_or(Part::Name(name), Part::Group))
            }
            None => {
                rest = after;
                Some(Part::Text("$"))
            }
        }
    })
}

/// The name behind a `$` and what follows it.
fn reference(after: &str) -> Option<(&str, &str)> {
    let braced = after.strip_prefix('{');
    let from = braced.unwrap_or(after);
    let end = from.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(from.len());
    let (name, tail) = from.split_at(end);
    if name.is_empty() {
        return None;
    }
    match braced {
        Some(_) => tail.strip_prefix('}').map(|tail| (name, tail)),
        None => Some((name, tail)),
    }
}

/// The number that a name is, if it is one: digits only, no leading zero, below ten digits.
fn number(name: &str) -> Option<usize> {
    let leading_zero = name.len() > 1 && name.starts_with('0');
    let digits = name.len() <= 9 && name.bytes().all(|b| b.is_ascii_digit());
    if digits && !leading_zero { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expect: &[Part<'_>]) {
        assert_eq!(parts(template).collect::<Vec<_>>(), expect, "{template}");
    }

    #[test]
    fn templates_are_split_as_go_splits_them() {
        use Part::{Group, Name, Text};
        check("a$1b", &[Text("a"), Name("1b")]);
        check("a${1}b$$", &[Text("a"), Group(1), Text("b"), Text("$")]);
        check(
            "$0|$-|${}|${1",
            &[Group(0), Text("|"), Text("$"), Text("-|"), Text("$"), Text("{}|"), Text("$"), Text("{1")],
        );
        check("$01$é_1.", &[Name("01"), Name("é_1"), Text(".")]);
        check("$", &[Text("$")]);
        check("", &[]);
    }
}
