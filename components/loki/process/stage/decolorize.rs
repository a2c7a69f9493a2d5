//! `stage.decolorize`: ANSI escapes go.

use base_re2::{Cursor, Regex, Slots};
use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::work::Work;

/// Removes ANSI escape sequences from the line.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct DecolorizeStage {}

/// An introducer, and either a text up to the bell (titles) or numbers and a final letter. Derived from recordings; the
/// letters are those that Alloy takes.
const SEQUENCE: &str = "[\\x{1b}\\x{9b}][\\[\\]()#;?]*(?:(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\\x07|(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-nqrty=><~])";

struct Decolorize {
    sequence: Regex,
    slots: Slots,
    plain: Vec<u8>,
}

impl StageConfig for DecolorizeStage {
    fn build(&self, _: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        let sequence = Regex::new(SEQUENCE).map_err(|error| Problem::new(error.to_string()))?;
        Ok(Box::new(Decolorize { sequence, slots: Slots::default(), plain: Vec::new() }))
    }
}

impl Stage for Decolorize {
    fn run(&mut self, work: &mut Work) {
        for line in &mut work.lines {
            let text = work.store.text(line);
            // Both introducers have one of these bytes: escape, and the second byte of U+009B.
            if memchr::memchr2(0x1b, 0x9b, text).is_none() {
                continue;
            }
            self.plain.clear();
            let mut copied = 0;
            let mut cursor = Cursor::default();
            while self.sequence.next_match(text, &mut cursor, &mut self.slots) {
                let Some(found) = self.slots.get(0) else { break };
                self.plain.extend_from_slice(&text[copied..found.start]);
                copied = found.end;
            }
            if copied == 0 {
                continue;
            }
            self.plain.extend_from_slice(&text[copied..]);
            if let Some(plain) = work.store.push(&self.plain) {
                line.text = plain;
            }
        }
    }
}
