//! Grok: regular expressions made of named patterns, `%{NAME}`, `%{NAME:field}`, `%{NAME:field:type}`.

use std::collections::HashMap;
use std::sync::LazyLock;

use base_re2::{Regex, Slots};
use sdk_protocols_otlp::model::{AnyValue, Map, Text};

use super::json;
use crate::coerce::{parse_bool, parse_float};
use crate::error::{Error, Result};

/// The patterns that everybody knows: a name, a blank, the expression, one per line.
static LIBRARY: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lines = include_str!("grok/patterns.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).collect()
});

/// A name may not be a group's name in a regular expression; its points are written like this there.
const POINT: &str = "___";
/// How long an expression may become.
const MAX_LENGTH: usize = 256 << 10;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Grok {
    regex: Regex,
    types: HashMap<String, String>,
}

impl Grok {
    /// Compiles a pattern; own patterns go before the library's.
    pub fn new(pattern: &str, named_only: bool, own: &[(String, String)]) -> std::result::Result<Grok, String> {
        let mut types = HashMap::new();
        let mut expanded = String::new();
        expand(pattern, named_only, own, &mut types, &mut Vec::new(), &mut expanded)?;
        let regex = Regex::new(&expanded).map_err(|error| error.to_string())?;
        Ok(Grok { regex, types })
    }

    /// Whether it catches anything by name.
    pub fn has_names(&self) -> bool {
        self.regex.group_names().any(|name| name.is_some_and(|name| !name.is_empty()))
    }

    /// What it catches in a text; nothing where it does not match.
    pub fn parse(&self, text: &Text) -> Result<Map> {
        let mut slots = Slots::default();
        if !self.regex.captures(text.as_bytes(), &mut slots) {
            return Ok(Map::default());
        }
        let mut found = Vec::new();
        for (group, name) in self.regex.group_names().enumerate() {
            let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
            let Some(place) = slots.get(group).filter(|place| !place.is_empty()) else { continue };
            let part = Text::from(text.as_bytes().slice(place));
            let value = match self.types.get(name).map(String::as_str) {
                None | Some("string") => AnyValue::Text(part),
                Some("double" | "float") => AnyValue::Double(parse_float(&part.as_str())?),
                Some("int" | "long") => {
                    let quoted = base_stdx::quote::quote(part.as_bytes());
                    let bad = |_| Error::new(format!("strconv.Atoi: parsing {quoted}: invalid syntax"));
                    AnyValue::Int(part.as_str().parse().map_err(bad)?)
                }
                Some("bool" | "boolean") => AnyValue::Bool(parse_bool(&part.as_str())?),
                Some(_) => return Err(Error::new(format!("invalid type for {name}: type not specified"))),
            };
            found.push((Text::from(name.replace(POINT, ".")), value));
        }
        Ok(json::unique(found))
    }
}

fn expand(
    pattern: &str,
    named_only: bool,
    own: &[(String, String)],
    types: &mut HashMap<String, String>,
    inside: &mut Vec<String>,
    out: &mut String,
) -> std::result::Result<(), String> {
    let mut rest = pattern;
    while let Some(start) = rest.find("%{") {
        let Some((name, field, kind, length)) = reference(&rest[start..]) else {
            out.push_str(&rest[..start + 2]);
            rest = &rest[start + 2..];
            continue;
        };
        out.push_str(&rest[..start]);
        rest = &rest[start + length..];
        let known = own.iter().rev().find(|(known, _)| known == name).map(|(_, expression)| expression.as_str());
        let known = known.or_else(|| LIBRARY.get(name).copied());
        let known = known.ok_or_else(|| format!("pattern definition {name:?} unknown: parsing failed"))?;
        if inside.iter().any(|outer| outer == name) {
            return Err(format!("the pattern {name:?} refers to itself"));
        }
        let target = field.unwrap_or(name).replace('.', POINT);
        if let Some(kind) = kind {
            types.insert(target.clone(), kind.to_owned());
        }
        if named_only && field.is_none() {
            out.push('(');
        } else {
            out.push_str(&format!("(?P<{target}>"));
        }
        inside.push(name.to_owned());
        expand(known, named_only, own, types, inside, out)?;
        inside.pop();
        out.push(')');
        if out.len() > MAX_LENGTH {
            return Err("the pattern becomes too long".to_owned());
        }
    }
    out.push_str(rest);
    Ok(())
}

/// `%{NAME:field:type}` at the start of a text: its parts and its length.
fn reference(text: &str) -> Option<(&str, Option<&str>, Option<&str>, usize)> {
    let end = text.find('}')?;
    let mut parts = text[2..end].split(':');
    let word = |part: &str, points: bool| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || (points && b".+".contains(&byte)))
    };
    let name = parts.next().filter(|name| word(name, false))?;
    let field = parts.next();
    let kind = parts.next();
    let fits = field.is_none_or(|field| word(field, true)) && kind.is_none_or(|kind| word(kind, false));
    (fits && parts.next().is_none()).then_some((name, field, kind, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pattern: &str, named_only: bool, text: &str) -> String {
        let mut out = String::new();
        let map = Grok::new(pattern, named_only, &[("MINE".into(), "x%{INT:n:int}".into())]).unwrap();
        json::map(&map.parse(&Text::from(text)).unwrap(), &mut out).unwrap();
        out
    }

    #[test]
    fn patterns_catch_by_name_and_type() {
        assert_eq!(
            shown("%{IPV4:client.ip} %{WORD:verb}", true, "10.0.0.1 GET"),
            r#"{"client.ip":"10.0.0.1","verb":"GET"}"#
        );
        assert_eq!(shown("%{MINE} %{NUMBER:f:float}", true, "x42 1.5"), r#"{"f":1.5,"n":42}"#);
        assert_eq!(shown("%{WORD}", false, "abc"), r#"{"WORD":"abc"}"#);
        assert_eq!(shown("%{INT:n}", true, "abc"), "{}");
        assert!(Grok::new("%{NOSUCH}", true, &[]).is_err());
        assert!(Grok::new("%{A}", true, &[("A".into(), "%{A}".into())]).is_err());
    }

    #[test]
    fn the_library_catches_what_its_names_say() {
        let log = r#"10.0.0.1 - ann [21/Nov/2026:12:00:01 +0000] "GET /a?b=1 HTTP/1.1" 200 12"#;
        let caught = shown("%{COMMONAPACHELOG}", true, log);
        assert!(
            caught.contains(r#""http.response.status_code":200"#) && caught.contains(r#""url.original":"/a?b=1""#),
            "{caught}"
        );
        for (name, text) in [
            ("TIMESTAMP_ISO8601", "2026-11-21T12:00:01.5+01:00"),
            ("SYSLOGTIMESTAMP", "Nov  1 12:00:01"),
            ("IP", "2001:db8::1"),
            ("IP", "::ffff:10.0.0.1"),
            ("URI", "https://ann@host:8080/a/b?c=d"),
            ("UUID", "01234567-89ab-cdef-0123-456789abcdef"),
            ("EMAILADDRESS", "ann.b+c@example.org"),
            ("MAC", "00:1b:2c:3d:4e:5f"),
            ("QS", r#""a \"b\" c""#),
            ("LOGLEVEL", "WARNING"),
            ("PATH", "/var/log/a b"),
        ] {
            let caught = shown(&format!("^%{{{name}:x}}"), true, text);
            let expected = if name == "PATH" { "/var/log/a" } else { text };
            let expected = serde_json::json!({ "x": expected }).to_string();
            assert_eq!(caught, expected, "{name}");
        }
    }

    #[test]
    fn the_whole_library_compiles() {
        for name in LIBRARY.keys() {
            assert_eq!(Grok::new(&format!("%{{{name}}}"), false, &[]).err(), None, "{name}");
        }
    }
}
