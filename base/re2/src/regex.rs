//! The compiled expression.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, meta};
use regex_syntax::hir::Hir;

use crate::error::{Error, ErrorKind};
use crate::expand::{Part, parts};
use crate::parser;
use crate::shortcut::{Group, Shortcut};
use crate::steps::{Steps, TooHard};

/// The largest automaton, in bytes. Prometheus takes large alternations, and so do we.
const MAX_AUTOMATON: usize = 100 << 20;

/// A compiled expression; cloning counts a reference. Two are equal when their texts are.
#[derive(Clone)]
pub struct Regex(Arc<Inner>);

struct Inner {
    text: Box<str>,
    anchored: bool,
    names: Vec<Option<Box<str>>>,
    shortcut: Option<Shortcut>,
    /// Where the only group is when the shortcut matches, if that is plain to see.
    group: Option<Group>,
    /// The way to the groups without the engine, where there are groups and such a way.
    steps: Option<Steps>,
    /// Built when first needed: most expressions have a shortcut and never do.
    engine: OnceLock<meta::Regex>,
    hir: Option<Hir>,
}

impl Regex {
    /// Compiles an expression that may match anywhere in a text.
    pub fn new(text: &str) -> Result<Regex, Error> {
        Regex::compile(text, text, false)
    }

    /// Compiles an expression that must match a text from end to end, and whose dot takes newlines: `^(?s:text)$`, as
    /// all of Prometheus' matchers and relabelling rules do. Errors show the expression with that frame, as there.
    pub fn anchored(text: &str) -> Result<Regex, Error> {
        Regex::compile(text, &format!("^(?s:{text})$"), true)
    }

    fn compile(text: &str, framed: &str, anchored: bool) -> Result<Regex, Error> {
        let parsed = parser::parse(framed)?;
        let shortcut = Shortcut::find(&parsed.hir);
        let mut inner = Inner {
            text: text.into(),
            anchored,
            group: shortcut.as_ref().and_then(|shortcut| shortcut.group(&parsed.hir)),
            steps: if parsed.names.len() > 1 { Steps::find(&parsed.hir) } else { None },
            names: parsed.names,
            shortcut,
            engine: OnceLock::new(),
            hir: None,
        };
        if inner.shortcut.is_some() {
            inner.hir = Some(parsed.hir);
        } else {
            let engine = build(&parsed.hir).ok_or_else(|| Error::new(ErrorKind::TooLarge, framed))?;
            inner.engine = OnceLock::from(engine);
        }
        Ok(Regex(Arc::new(inner)))
    }

    /// The expression as it was written, without the frame of [`Regex::anchored`].
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Names of the groups by number; group 0 is the whole match, and unnamed groups have none.
    pub fn group_names(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.0.names.iter().map(|name| name.as_deref())
    }

    /// How many groups there are, the whole match included.
    pub fn groups(&self) -> usize {
        self.0.names.len()
    }

    /// Whether the text matches.
    pub fn is_match(&self, text: impl AsRef<[u8]>) -> bool {
        let text = text.as_ref();
        match &self.0.shortcut {
            Some(shortcut) => shortcut.matches(text),
            None => self.engine().is_match(text),
        }
    }

    /// The leftmost match.
    pub fn find(&self, text: impl AsRef<[u8]>) -> Option<Range<usize>> {
        let text = text.as_ref();
        match &self.0.shortcut {
            Some(shortcut) => shortcut.matches(text).then_some(0..text.len()),
            None => self.engine().find(text).map(|found| found.range()),
        }
    }

    /// Fills `slots` with the groups of the leftmost match; false, and empty slots, when there is none.
    pub fn captures(&self, text: impl AsRef<[u8]>, slots: &mut Slots) -> bool {
        let text = text.as_ref();
        let Some(shortcut) = &self.0.shortcut else { return self.captures_in_steps(text, slots) };
        let group = match &self.0.group {
            _ if self.groups() == 1 => None,
            Some(Group::Whole) if self.groups() == 2 => Some(0..text.len()),
            Some(Group::Between { before, behind }) if self.groups() == 2 => {
                // Saturating: whether the text is long enough is only known below.
                Some(*before..text.len().saturating_sub(*behind))
            }
            _ => return self.captures_in_steps(text, slots),
        };
        slots.clear(self.groups());
        if !shortcut.matches(text) {
            return false;
        }
        slots.put(0, 0..text.len());
        if let Some(group) = group {
            slots.put(1, group);
        }
        true
    }

    fn captures_in_steps(&self, text: &[u8], slots: &mut Slots) -> bool {
        if let Some(steps) = &self.0.steps {
            slots.clear(self.groups());
            match steps.captures(text, slots) {
                Ok(true) => return true,
                Ok(false) => {
                    slots.clear(self.groups());
                    return false;
                }
                Err(TooHard) => {}
            }
        }
        self.captures_from(text, 0, slots)
    }

    #[cfg(test)]
    pub(crate) fn captures_by_engine(&self, text: &[u8], slots: &mut Slots) -> bool {
        self.captures_from(text, 0, slots)
    }

    fn captures_from(&self, text: &[u8], at: usize, slots: &mut Slots) -> bool {
        slots.clear(self.groups());
        let input = Input::new(text).range(at..);
        self.engine().search_slots(&input, &mut slots.0).is_some()
    }

    /// Fills `slots` with the next match in a text; call it with the same text and cursor until it says false. As in
    /// Go, an empty match right behind the match before does not count.
    pub fn next_match(&self, text: impl AsRef<[u8]>, cursor: &mut Cursor, slots: &mut Slots) -> bool {
        let text = text.as_ref();
        while cursor.at <= text.len() {
            if !self.captures_from(text, cursor.at, slots) {
                cursor.at = text.len() + 1;
                return false;
            }
            let Some(found) = slots.get(0) else { return false };
            if found.end > cursor.at {
                cursor.at = found.end;
            } else {
                cursor.at += char_len(text, cursor.at);
            }
            let repeated = found.is_empty() && cursor.last_end == Some(found.start);
            cursor.last_end = Some(found.end);
            if !repeated {
                return true;
            }
        }
        false
    }

    /// Appends `template` to `to` with Go's references filled in from a match: `$1`, `${1}`, `$name`, `$$`. A group that
    /// does not exist or did not take part is "".
    pub fn expand(&self, template: &str, text: &str, slots: &Slots, to: &mut String) {
        let mut group = |index: usize| text.get(slots.get(index)?);
        for part in parts(template) {
            let value = match part {
                Part::Text(text) => Some(text),
                Part::Group(index) => group(index),
                // Two groups may share a name; the first that took part counts.
                Part::Name(name) => {
                    let named = self.group_names().enumerate().filter(|(_, n)| *n == Some(name));
                    named.map(|(index, _)| index).find_map(&mut group)
                }
            };
            to.push_str(value.unwrap_or(""));
        }
    }

    /// Replaces every match by the template, expanded. Gives the text itself back when nothing matches.
    pub fn replace_all<'t>(&self, text: &'t str, template: &str) -> Cow<'t, str> {
        let mut slots = Slots::default();
        let mut cursor = Cursor::default();
        let mut to = String::new();
        let mut copied = 0;
        let mut any = false;
        while self.next_match(text, &mut cursor, &mut slots) {
            let Some(found) = slots.get(0) else { break };
            any = true;
            to.push_str(&text[copied..found.start]);
            self.expand(template, text, &slots, &mut to);
            copied = found.end;
        }
        if !any {
            return Cow::Borrowed(text);
        }
        to.push_str(&text[copied..]);
        Cow::Owned(to)
    }

    fn engine(&self) -> &meta::Regex {
        self.0.engine.get_or_init(|| {
            let hir = self.0.hir.as_ref().expect("kept as long as the engine is not built");
            build(hir).expect("what has a shortcut is small")
        })
    }
}

fn build(hir: &Hir) -> Option<meta::Regex> {
    let config = meta::Config::new().utf8_empty(true).nfa_size_limit(Some(MAX_AUTOMATON));
    meta::Builder::new().configure(config).build_from_hir(hir).ok()
}

/// The length of the character that begins at `at`; 1 for bytes that are none and at the end.
fn char_len(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..) => 4,
        _ => 1,
    }
}

/// Places of a match's groups; reused from match to match.
#[derive(Default, Clone)]
pub struct Slots(Vec<Option<NonMaxUsize>>);

impl Slots {
    /// Where the group matched, in bytes; None if it took no part.
    pub fn get(&self, group: usize) -> Option<Range<usize>> {
        let start = (*self.0.get(group * 2)?)?;
        let end = (*self.0.get(group * 2 + 1)?)?;
        Some(start.get()..end.get())
    }

    pub(crate) fn clear(&mut self, groups: usize) {
        self.0.clear();
        self.0.resize(groups * 2, None);
    }

    pub(crate) fn put(&mut self, group: usize, range: Range<usize>) {
        self.set(group * 2, range.start);
        self.set(group * 2 + 1, range.end);
    }

    /// Starts have even numbers, ends odd ones.
    pub(crate) fn set(&mut self, slot: usize, at: usize) {
        self.0[slot] = NonMaxUsize::new(at);
    }
}

/// How far a search for all matches has come; see [`Regex::next_match`].
#[derive(Default, Clone)]
pub struct Cursor {
    at: usize,
    last_end: Option<usize>,
}

// === impl Regex ===

impl PartialEq for Regex {
    fn eq(&self, other: &Regex) -> bool {
        self.0.text == other.0.text && self.0.anchored == other.0.anchored
    }
}

impl Eq for Regex {}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
