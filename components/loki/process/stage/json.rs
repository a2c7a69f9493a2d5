//! `stage.json`: values of a JSON line become extracted values.

use std::collections::BTreeMap;

use base_re2::Regex;
use language_eval::Block;
use sdk_component::Problem;

use crate::process::jmespath::Expression;
use crate::process::json::{Head, Json, Kind, Malformed, Raw, Scanner, encode, number, unescape};
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::work::{Line, Source, Span, Store, Value, Work};

/// Extracts values of a JSON object by JMESPath expressions.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct JsonStage {
    /// Name of the extracted value → JMESPath expression; an empty expression means the name.
    #[attr(optional)]
    expressions: BTreeMap<String, String>,
    /// Extract every key of the object that this expression matches, under its own name.
    #[attr(optional)]
    regex: String,
    /// Name of the extracted value to look at; the line when left out.
    #[attr]
    source: Option<String>,
    /// Drop lines that are no JSON objects.
    #[attr(default = false)]
    drop_malformed: bool,
}

struct JsonValues {
    source: Source,
    /// Keys that are looked up while the text is scanned. Number 0 is the object itself.
    keys: Vec<Key>,
    /// What scanning found for each of `paths`.
    found: Vec<Raw>,
    /// Where the values behind paths of keys go.
    paths: Vec<Slot>,
    /// Expressions that need the decoded object.
    expressions: Vec<(Slot, Expression)>,
    regex: Option<Regex>,
    by_regex: Vec<(Raw, Raw)>,
    drop_malformed: bool,
    scratch: Vec<u8>,
}

/// A key on the way to a value.
#[derive(Default)]
struct Key {
    name: Box<[u8]>,
    /// Numbers in `found` that its value answers.
    answers: Vec<usize>,
    /// Keys inside its value, each with the head of its name.
    inside: Vec<(Head, usize)>,
}

impl StageConfig for JsonStage {
    fn names(&self, plan: &mut Plan) {
        self.expressions.keys().for_each(|name| plan.write(name));
        if let Some(source) = &self.source {
            plan.read(source);
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.expressions.is_empty() && self.regex.is_empty() {
            return Err(Problem::at("expressions", "JMES expressions or regex is required"));
        }
        if self.source.as_deref() == Some("") {
            return Err(Problem::at("source", "empty source"));
        }
        let regex = match self.regex.as_str() {
            "" => None,
            regex => Some(Regex::new(regex).map_err(|error| Problem::at("regex", error.to_string()))?),
        };
        let mut stage = JsonValues {
            source: site.source(self.source.as_deref()),
            keys: vec![Key::default()],
            found: Vec::new(),
            paths: Vec::new(),
            expressions: Vec::new(),
            regex,
            by_regex: Vec::new(),
            drop_malformed: self.drop_malformed,
            scratch: Vec::new(),
        };
        for (name, expression) in &self.expressions {
            let text = if expression.is_empty() { name } else { expression };
            let expression = Expression::new(text).map_err(|error| {
                Problem::at("expressions", format!("could not compile JMES expression {text:?}: {error}"))
            })?;
            let Some(slot) = site.plan.slot(name) else { continue };
            match expression.keys() {
                Some(keys) => stage.want(&keys, slot),
                None => stage.expressions.push((slot, expression)),
            }
        }
        stage.found = vec![Raw::NULL; stage.paths.len()];
        Ok(Box::new(stage))
    }
}

// === impl JsonValues ===

impl Stage for JsonValues {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        let mut any_malformed = false;
        // Malformed lines are marked by a place that no line has.
        const MALFORMED: u32 = u32::MAX;
        for line in lines.iter_mut() {
            let Some(text) = self.source.span(store, line, streams) else { continue };
            if self.extract(line, text, store).is_err() && self.drop_malformed {
                any_malformed = true;
                line.order = MALFORMED;
            }
        }
        if any_malformed {
            lines.retain(|line| line.order != MALFORMED);
        }
    }
}

impl JsonValues {
    /// The value behind these keys goes into the slot.
    fn want(&mut self, keys: &[&str], slot: Slot) {
        let mut at = 0;
        for name in keys {
            let name = name.as_bytes();
            at = find(&self.keys, at, Head::of(name), name).unwrap_or_else(|| {
                let key = self.keys.len();
                self.keys.push(Key { name: name.into(), ..Key::default() });
                self.keys[at].inside.push((Head::of(name), key));
                key
            });
        }
        self.keys[at].answers.push(self.paths.len());
        self.paths.push(slot);
    }

    fn extract(&mut self, line: &mut Line, text: Span, store: &mut Store) -> Result<(), Malformed> {
        let bytes = store.bytes(line, text);
        self.found.fill(Raw::NULL);
        self.by_regex.clear();
        let mut scanner = Scanner::new(bytes);
        match scanner.peek()? {
            // Null decodes into an object without keys.
            Kind::Null => scanner.value().map(|_| ())?,
            _ => {
                let search = Search { keys: &self.keys, regex: self.regex.as_ref() };
                search.object(0, &mut scanner, &mut self.found, Some(&mut self.by_regex))?;
            }
        }
        scanner.end()?;
        let results = if self.expressions.is_empty() { Vec::new() } else { self.search(bytes)? };
        for (raw, slot) in self.found.iter().zip(&self.paths) {
            let value = simple(raw, line, text, store, &mut self.scratch);
            store.set(line, *slot, value);
        }
        for (slot, made, value) in results {
            let value = made.map_or(value, |made| store.push(&made).map_or(Value::Null, Value::Text));
            store.set(line, slot, value);
        }
        for (key, raw) in self.by_regex.drain(..) {
            let value = simple(&raw, line, text, store, &mut self.scratch);
            let mut name = Vec::new();
            unescape(&store.bytes(line, text)[key.range()], &mut name);
            store.set_by_name(line, &String::from_utf8_lossy(&name), value);
        }
        Ok(())
    }

    /// What the expressions find that need the decoded object; texts that were made for it stand beside the value.
    #[inline(never)]
    fn search(&self, bytes: &[u8]) -> Result<Vec<(Slot, Option<Vec<u8>>, Value)>, Malformed> {
        let data = match Json::parse(bytes)? {
            Json::Null => Json::Object(Vec::new()),
            data => data,
        };
        let mut results = Vec::new();
        for (slot, expression) in &self.expressions {
            let Ok(result) = expression.search(&data) else { continue };
            results.push(match result {
                Json::Null => (*slot, None, Value::Null),
                Json::Bool(value) => (*slot, None, Value::Bool(value)),
                Json::Number(value) => (*slot, None, Value::Number(value)),
                Json::String(text) => (*slot, Some(text.into_owned().into_bytes()), Value::Null),
                composite => {
                    let mut json = Vec::new();
                    encode(&composite, &mut json);
                    (*slot, Some(json), Value::Null)
                }
            });
        }
        Ok(results)
    }
}

struct Search<'s> {
    keys: &'s [Key],
    regex: Option<&'s Regex>,
}

impl Search<'_> {
    /// Scans an object and notes the values of the keys inside `at`. Of a key that comes twice, the later value counts.
    fn object<'a>(
        &self,
        at: usize,
        scanner: &mut Scanner<'a>,
        found: &mut [Raw],
        mut by_regex: Option<&mut Vec<(Raw, Raw)>>,
    ) -> Result<(), Malformed> {
        let mut unescaped = Vec::new();
        scanner.object(|key, head, scanner| {
            let mut name = scanner.bytes(key);
            let mut head = head;
            if key.escaped {
                unescaped.clear();
                unescape(name, &mut unescaped);
                (name, head) = (&unescaped, Head::of(&unescaped));
            }
            let raw = match find(self.keys, at, head, name) {
                None => scanner.value()?,
                Some(wanted) => {
                    let raw = match self.keys[wanted].inside.is_empty() {
                        true => scanner.value()?,
                        false => self.value(wanted, scanner, found)?,
                    };
                    for answer in &self.keys[wanted].answers {
                        found[*answer] = raw;
                    }
                    raw
                }
            };
            if let (Some(regex), Some(by_regex)) = (self.regex, by_regex.as_deref_mut())
                && regex.is_match(name)
            {
                by_regex.push((*key, raw));
            }
            Ok(())
        })
    }

    /// A value that has wanted keys inside, if it is an object.
    #[inline(never)]
    fn value(&self, wanted: usize, scanner: &mut Scanner<'_>, found: &mut [Raw]) -> Result<Raw, Malformed> {
        self.forget(wanted, found);
        if scanner.peek()? != Kind::Object {
            return scanner.value();
        }
        let start = scanner.position();
        self.object(wanted, scanner, found, None)?;
        Ok(Raw::new(Kind::Object, start..scanner.position()))
    }

    fn forget(&self, key: usize, found: &mut [Raw]) {
        for answer in &self.keys[key].answers {
            found[*answer] = Raw::NULL;
        }
        for (_, inside) in &self.keys[key].inside {
            self.forget(*inside, found);
        }
    }
}

/// The key inside `at` that has this name.
#[inline(always)]
fn find(keys: &[Key], at: usize, head: Head, name: &[u8]) -> Option<usize> {
    for (of, key) in &keys[at].inside {
        if *of == head && (head.is_whole() || *keys[*key].name == *name) {
            return Some(*key);
        }
    }
    None
}

/// A scanned value as an extracted one: lists and objects are text, encoded anew (spec §9.2).
fn simple(raw: &Raw, line: &Line, text: Span, store: &mut Store, scratch: &mut Vec<u8>) -> Value {
    let bytes = || &store.bytes(line, text)[raw.range()];
    match raw.kind {
        Kind::Null => return Value::Null,
        Kind::True => return Value::Bool(true),
        Kind::False => return Value::Bool(false),
        Kind::Number => return Value::Number(number(bytes())),
        Kind::String if !raw.escaped => return Value::Text(text.part(raw.range())),
        Kind::String => {
            scratch.clear();
            unescape(bytes(), scratch);
        }
        Kind::Array | Kind::Object => {
            scratch.clear();
            match Json::parse(bytes()) {
                Ok(value) => encode(&value, scratch),
                Err(Malformed) => return Value::Null,
            }
        }
    }
    store.push(scratch).map_or(Value::Null, Value::Text)
}
