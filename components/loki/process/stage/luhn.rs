//! `stage.luhn`: card numbers are hidden.

use base_re2::{Cursor, Regex, Slots};
use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::work::{Seen, Work};

/// Replaces numbers that pass the Luhn check, as card numbers do.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct LuhnStage {
    /// What stands in their place; `**REDACTED**` when empty.
    #[attr(optional)]
    replacement: String,
    /// Name of the extracted text to look at; the line when left out. The result always becomes the line.
    #[attr]
    source: Option<String>,
    /// Shorter numbers stay; 13 when below 1.
    #[attr(optional)]
    min_length: i64,
    /// Characters that may stand inside a number.
    #[attr(optional)]
    delimiters: String,
    /// Numbers inside a match of this expression stay.
    #[attr(optional)]
    skip_regex: String,
}

struct Luhn {
    source: Option<Slot>,
    replacement: String,
    min_length: usize,
    delimiters: String,
    skip: Option<Regex>,
}

impl StageConfig for LuhnStage {
    fn names(&self, plan: &mut Plan) {
        if let Some(source) = &self.source {
            plan.read(source);
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.source.as_deref() == Some("") {
            return Err(Problem::at("source", "empty source"));
        }
        let skip = match self.skip_regex.as_str() {
            "" => None,
            skip => Some(Regex::new(skip).map_err(|error| {
                Problem::at("skip_regex", format!("could not compile regular expression: {error}"))
            })?),
        };
        Ok(Box::new(Luhn {
            source: self.source.as_deref().map(|source| site.plan.slot_of(source)),
            replacement: if self.replacement.is_empty() { "**REDACTED**".to_owned() } else { self.replacement.clone() },
            min_length: usize::try_from(self.min_length).ok().filter(|length| *length > 0).unwrap_or(13),
            delimiters: self.delimiters.clone(),
            skip,
        }))
    }
}

// === impl Luhn ===

impl Stage for Luhn {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        for line in lines {
            let text = match self.source {
                None => store.text(line),
                Some(slot) => match store.see(line, slot, streams) {
                    Seen::Text(text) => text,
                    // Only text is looked at; a JSON number is none (spec §9.16).
                    _ => continue,
                },
            };
            let redacted = match std::str::from_utf8(text) {
                Ok(text) => self.redact(text),
                Err(_) => self.redact(&String::from_utf8_lossy(text)),
            };
            match (redacted, self.source) {
                (Some(redacted), _) => {
                    if let Some(span) = store.push(redacted.as_bytes()) {
                        line.text = span;
                    }
                }
                (None, Some(slot)) => {
                    if let Some(span) = store.span_of(line, slot, streams) {
                        line.text = span;
                    }
                }
                (None, None) => {}
            }
        }
    }
}

impl Luhn {
    /// The text with its numbers replaced; `None` when there are none to replace.
    fn redact(&self, text: &str) -> Option<String> {
        let mut to = String::new();
        let mut copied = 0;
        let mut skipped: Option<Vec<std::ops::Range<usize>>> = None;
        let mut at = 0;
        while let Some(step) = text.as_bytes()[at..].iter().position(u8::is_ascii_digit) {
            let start = at + step;
            // Only what fits 64 bits is a number (spec §9.16).
            let (mut digits, mut number) = (0, Some(0i64));
            let (mut end, mut last_digit) = (start, start);
            for (offset, character) in text[start..].char_indices() {
                let after = start + offset + character.len_utf8();
                if let Some(digit) = character.to_digit(10) {
                    digits += 1;
                    number = number.and_then(|number| number.checked_mul(10)?.checked_add(i64::from(digit)));
                    (end, last_digit) = (after, after);
                } else if self.delimiters.contains(character) {
                    end = after;
                } else {
                    break;
                }
            }
            at = end;
            if digits < self.min_length || !number.is_some_and(passes) {
                continue;
            }
            let skipped =
                skipped.get_or_insert_with(|| self.skip.as_ref().map_or_else(Vec::new, |skip| matches(skip, text)));
            if skipped.iter().any(|skip| skip.start <= start && last_digit <= skip.end) {
                continue;
            }
            to.push_str(&text[copied..start]);
            to.push_str(&self.replacement);
            // Of the delimiters behind the number the last one stays.
            let last = text[last_digit..end].chars().next_back();
            to.extend(last);
            copied = end;
        }
        if copied == 0 {
            return None;
        }
        to.push_str(&text[copied..]);
        Some(to)
    }
}

fn matches(expression: &Regex, text: &str) -> Vec<std::ops::Range<usize>> {
    let (mut cursor, mut slots, mut found) = (Cursor::default(), Slots::default(), Vec::new());
    while expression.next_match(text, &mut cursor, &mut slots) {
        found.extend(slots.get(0));
    }
    found
}

fn passes(mut number: i64) -> bool {
    let mut sum = 0;
    let mut is_second = false;
    while number > 0 {
        sum += match number % 10 {
            digit if !is_second => digit,
            digit if digit > 4 => digit * 2 - 9,
            digit => digit * 2,
        };
        is_second = !is_second;
        number /= 10;
    }
    sum % 10 == 0
}
