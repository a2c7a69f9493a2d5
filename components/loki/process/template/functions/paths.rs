//! Paths, and what surrounds the process.

use base_sys::chance::Chance;
use gotmpl::Value;

use super::{Functions, string, text_of};

pub fn add(functions: &mut Functions) {
    functions.add(&["env"], 1..=1, |a| string(std::env::var(text_of(a, 0)?).unwrap_or_default()));
    functions.add(&["expandenv"], 1..=1, |a| string(expanded(text_of(a, 0)?)));
    functions.add(&["uuidv4"], 0..=0, |_| {
        let mut chance = Chance::new();
        let high = chance.number() & !0xf000 | 0x4000;
        let low = chance.number() & !(3 << 62) | 1 << 63;
        let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
        string(format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff))
    });
    functions.add(&["base", "osBase"], 1..=1, |a| {
        let path = text_of(a, 0)?;
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or("");
        string(match (path, name) {
            ("", _) => ".",
            (_, "") => "/",
            (_, name) => name,
        })
    });
    functions.add(&["dir", "osDir"], 1..=1, |a| {
        let path = text_of(a, 0)?;
        string(clean(path.rfind('/').map_or("", |at| &path[..=at])))
    });
    functions.add(&["ext", "osExt"], 1..=1, |a| {
        let name = text_of(a, 0)?.rsplit('/').next().unwrap_or("");
        string(name.rfind('.').map_or("", |at| &name[at..]))
    });
    functions.add(&["clean", "osClean"], 1..=1, |a| string(clean(text_of(a, 0)?)));
    functions.add(&["isAbs", "osIsAbs"], 1..=1, |a| Ok(Value::Bool(text_of(a, 0)?.starts_with('/'))));
}

/// `$NAME` and `${NAME}`.
fn expanded(text: &str) -> String {
    let mut to = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        to.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, after) = match rest.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some(braced) => braced,
            None => rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())),
        };
        to.push_str(&std::env::var(name).unwrap_or_default());
        rest = after;
    }
    to + rest
}

/// A path without `.`, `..` and repeated slashes.
fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.as_str()) {
        (true, _) => format!("/{joined}"),
        (false, "") => ".".to_owned(),
        (false, _) => joined,
    }
}
