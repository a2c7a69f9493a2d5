//! `stage.pattern`: parts of a line between fixed texts become extracted values.

use language_eval::Block;
use sdk_component::Problem;
use sdk_labels::is_legacy_label_name;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Changes;
use crate::process::work::{Source, Value, Work};

/// Extracts parts of a line by a LogQL pattern such as `<ip> - <_> "<method> <path>"`.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct PatternStage {
    /// Text as it stands, `<name>` for a part to extract, `<_>` for one to skip.
    #[attr]
    pattern: String,
    /// Name of the extracted value to look at; the line when left out.
    #[attr]
    source: Option<String>,
    /// Make every part a label too.
    #[attr(default = false)]
    labels_from_groups: bool,
}

/// A pattern taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `None` is `<_>`.
    Capture(Option<String>),
}

struct Pattern {
    /// Text at the very start.
    lead: Vec<u8>,
    /// What a capture is called, and the text behind it; without text it takes the rest.
    captures: Vec<(Option<Name>, Option<Vec<u8>>)>,
    source: Source,
    changes: Changes,
}

struct Name {
    slot: Option<Slot>,
    label: Option<String>,
}

impl StageConfig for PatternStage {
    fn names(&self, plan: &mut Plan) {
        if let Some(source) = &self.source {
            plan.read(source);
        }
        for part in parts(&self.pattern) {
            if let Part::Capture(Some(name)) = part {
                plan.write(&name);
            }
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.pattern.is_empty() {
            return Err(Problem::at("pattern", "pattern is required"));
        }
        if self.source.as_deref() == Some("") {
            return Err(Problem::at("source", "empty source"));
        }
        let parts = parts(&self.pattern);
        check(&parts).map_err(|error| Problem::at("pattern", format!("failed to parse pattern: {error}")))?;
        let mut lead = Vec::new();
        let mut captures: Vec<(Option<Name>, Option<Vec<u8>>)> = Vec::new();
        for part in parts {
            match (part, captures.last_mut()) {
                (Part::Capture(name), _) => {
                    let name = name.map(|name| Name {
                        slot: site.plan.slot(&name),
                        label: self.labels_from_groups.then_some(name),
                    });
                    captures.push((name, None));
                }
                (Part::Text(text), Some((_, behind))) => *behind = Some(text.into_bytes()),
                (Part::Text(text), None) => lead = text.into_bytes(),
            }
        }
        let source = site.source(self.source.as_deref());
        Ok(Box::new(Pattern { lead, captures, source, changes: Changes::default() }))
    }
}

/// `<name>` is a capture if the name could be a variable; whatever else is text.
fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let capture = rest.strip_prefix('<').and_then(|inside| inside.split_once('>'));
        match capture {
            Some((name, after)) if is_legacy_label_name(name) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Capture((name != "_").then(|| name.to_owned())));
                rest = after;
            }
            _ => {
                text.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

fn check(parts: &[Part]) -> Result<(), String> {
    let mut names: Vec<&str> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let Part::Capture(name) = part else { continue };
        if at > 0 && matches!(parts[at - 1], Part::Capture(_)) {
            return Err("found consecutive capture: invalid expression".to_owned());
        }
        let Some(name) = name else { continue };
        if names.contains(&name.as_str()) {
            return Err(format!("duplicate capture name ({name}): invalid expression"));
        }
        names.push(name);
    }
    if names.is_empty() { Err("at least one capture is required".to_owned()) } else { Ok(()) }
}

impl Stage for Pattern {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        for line in lines {
            let Some(text) = self.source.span(store, line, streams) else { continue };
            let bytes = store.bytes(line, text);
            if bytes.is_empty() || !bytes.starts_with(&self.lead) {
                continue;
            }
            self.changes.begin(line.stream);
            let mut at = self.lead.len();
            for (name, behind) in &self.captures {
                let rest = &store.bytes(line, text)[at..];
                let found = behind.as_ref().map(|behind| (memchr::memmem::find(rest, behind), behind.len()));
                // Without what should stand behind it, a capture takes the rest and is the last one (spec §9.9).
                let (end, next) = match found {
                    Some((Some(length), behind)) => (at + length, Some(at + length + behind)),
                    _ => (text.len(), None),
                };
                if let Some(name) = name {
                    let value = text.part(at..end);
                    if let Some(label) = &name.label
                        && let Ok(value) = std::str::from_utf8(store.bytes(line, value))
                    {
                        self.changes.set(label, value);
                    }
                    store.set_if_read(line, name.slot, Value::Text(value));
                }
                match next {
                    Some(next) => at = next,
                    None => break,
                }
            }
            line.stream = streams.changed(&self.changes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_what_is_wrong_with_them() {
        let capture = |name: &str| Part::Capture(Some(name.to_owned()));
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(parts("<ip> - <_>]"), [capture("ip"), text(" - "), Part::Capture(None), text("]")]);
        assert_eq!(parts("<a-b> x"), [text("<a-b> x")]);
        assert_eq!(parts("a<"), [text("a<")]);
        for bad in ["<_>", "<a> <a>", "<a><b>", "text"] {
            assert!(check(&parts(bad)).is_err(), "{bad}");
        }
    }
}
