//! What a browser says of itself.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use base_re2::{Regex, Slots};
use sdk_protocols_otlp::model::{Map, Text};

use super::{Function, Kind, converter, everywhere, required};
use crate::coerce;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[everywhere("UserAgent", &[required("UserAgent", Kind::Text)], |a| {
    let target = a.expression(0)?;
    let known: Known = Known::default();
    converter(move |on| {
        let text = coerce::text(&target, on)?;
        Ok(Value::map(known.get(&text)))
    })
})];

/// So many different texts are remembered; then all are forgotten.
const MAX_KNOWN: usize = 1024;

/// The answers of late. There are few browsers and many expressions.
#[derive(Default)]
struct Known(Mutex<HashMap<Text, Arc<Map>>>);

impl Known {
    fn get(&self, text: &Text) -> Map {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        if let Some(known) = known {
            return (*known).clone();
        }
        let map = parse(text);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(text.owned(), Arc::new(map.clone()));
        map
    }
}

/// An expression, and what stands for the family and for each part of the version.
struct Rule {
    regex: Regex,
    replacements: Vec<String>,
}

struct Rules {
    agents: Vec<Rule>,
    systems: Vec<Rule>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut rules = Rules { agents: Vec::new(), systems: Vec::new() };
    for line in include_str!("user_agent/regexes.tsv").lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.split('\t');
        let (Some(kind), Some(regex)) = (parts.next(), parts.next()) else { continue };
        let Ok(regex) = Regex::new(regex) else { continue };
        let (rules, count) = if kind == "U" { (&mut rules.agents, 4) } else { (&mut rules.systems, 5) };
        let given: Vec<&str> = parts.collect();
        let replacements = (0..count).map(|at| match given.get(at) {
            Some(given) if !given.is_empty() => (*given).to_owned(),
            _ => format!("${}", at + 1),
        });
        rules.push(Rule { regex, replacements: replacements.collect() });
    }
    rules
});

fn parse(text: &Text) -> Map {
    let (name, version) = first(&RULES.agents, &text.as_str());
    let (system, system_version) = first(&RULES.systems, &text.as_str());
    let mut map = Map::default();
    map.set("user_agent.name", name);
    map.set("user_agent.original", text.clone());
    map.set("user_agent.version", version);
    map.set("os.name", system);
    if !system_version.is_empty() {
        map.set("os.version", system_version);
    }
    map
}

/// The family and the version by the first rule that gives a family.
fn first(rules: &[Rule], text: &str) -> (String, String) {
    let mut slots = Slots::default();
    for rule in rules {
        if !rule.regex.captures(text, &mut slots) {
            continue;
        }
        let expand = |template: &String| {
            let mut out = String::new();
            rule.regex.expand(template, text, &slots, &mut out);
            out
        };
        let family = expand(&rule.replacements[0]);
        if family.is_empty() {
            continue;
        }
        let mut version = String::new();
        for (at, part) in rule.replacements[1..].iter().map(expand).enumerate().filter(|(_, part)| !part.is_empty()) {
            if at > 0 {
                version.push('.');
            }
            version.push_str(&part);
        }
        return (family, version);
    }
    ("Other".to_owned(), String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::json;

    #[test]
    fn browsers_are_told_apart() {
        let shown = |text: &str| {
            let mut out = String::new();
            let mut map = parse(&Text::from(text));
            map.remove("user_agent.original");
            json::map(&map, &mut out).unwrap();
            out
        };
        assert_eq!(
            shown("curl/7.81.0"),
            r#"{"os.name":"Other","user_agent.name":"curl","user_agent.version":"7.81.0"}"#
        );
        assert_eq!(
            shown(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
            ),
            r#"{"os.name":"Windows","os.version":"10","user_agent.name":"Chrome","user_agent.version":"120.0.0"}"#
        );
        assert_eq!(shown("-"), r#"{"os.name":"Other","user_agent.name":"Other","user_agent.version":""}"#);
        assert_eq!(
            shown(
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 Version/17.1 Mobile/15E148 Safari/604.1"
            ),
            r#"{"os.name":"iOS","os.version":"17.1","user_agent.name":"Mobile Safari","user_agent.version":"17.1"}"#
        );
        let lines = include_str!("user_agent/regexes.tsv").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(RULES.agents.len() + RULES.systems.len(), lines, "each expression compiles");
    }
}
