//! `stage.multiline`: lines that belong together become one.

use std::time::Duration;

use base_re2::Regex;
use base_stdx::GoDuration;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;
use sdk_labels::Labels;
use tokio::time::Instant;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::work::{Held, Line, Work};

/// Joins lines that do not look like the first line of a message to the one that did. Blocks are kept for each label
/// set.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct MultilineStage {
    /// What the first line of a block looks like.
    #[attr]
    firstline: String,
    /// A block of so many lines goes on, and the next line begins another.
    #[attr(default = 128)]
    max_lines: u64,
    /// A block goes on when so long no line came for it.
    #[attr(default = GoDuration::from_secs(3))]
    max_wait_time: GoDuration,
    /// Cut newlines at the ends of lines.
    #[attr(default = true)]
    trim_newlines: bool,
}

impl Validate for MultilineStage {
    fn validate(&self) -> Result<(), Invalid> {
        if self.max_wait_time.0 <= 0 {
            return Err(Invalid::field("max_wait_time", "max_wait_time must be greater than 0"));
        }
        Ok(())
    }
}

struct Multiline {
    first: Regex,
    max_lines: u64,
    max_wait: Duration,
    trim_newlines: bool,
    blocks: HashMap<Labels, BlockOfLines, RandomState>,
}

struct BlockOfLines {
    /// The first line; its text is the block so far. It stays when the block has gone on at `max_lines`, as what follows
    /// goes on under its name.
    start: Held,
    lines: u64,
    last: Instant,
}

impl StageConfig for MultilineStage {
    fn build(&self, _: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.firstline.is_empty() {
            return Err(Problem::at("firstline", "multiline stage config must define `firstline` regular expression"));
        }
        let first = Regex::new(&self.firstline).map_err(|error| {
            Problem::at("firstline", format!("multiline stage first line regex compilation error: {error}"))
        })?;
        Ok(Box::new(Multiline {
            first,
            max_lines: self.max_lines,
            max_wait: self.max_wait_time.to_std().unwrap_or(Duration::MAX),
            trim_newlines: self.trim_newlines,
            blocks: HashMap::default(),
        }))
    }
}

// === impl Multiline ===

impl Stage for Multiline {
    fn run(&mut self, work: &mut Work) {
        let lines = std::mem::take(&mut work.lines);
        let mut done = Vec::with_capacity(lines.len());
        for line in lines {
            self.take(line, work, &mut done);
        }
        work.lines = done;
    }

    fn holds(&self) -> bool {
        true
    }

    fn deadline(&self) -> Option<Instant> {
        self.blocks.values().map(|block| block.last + self.max_wait).min()
    }

    fn release(&mut self, work: &mut Work, all: bool) {
        let due = |block: &BlockOfLines| all || block.last + self.max_wait <= work.now;
        let mut ended: Vec<BlockOfLines> =
            self.blocks.extract_if(|_, block| due(block)).map(|(_, block)| block).collect();
        ended.sort_by_key(|block| block.last);
        for block in ended {
            if block.lines > 0 {
                let line = work.release(block.start, 0);
                work.lines.push(line);
            }
        }
    }
}

impl Multiline {
    fn take(&mut self, line: Line, work: &mut Work, done: &mut Vec<Line>) {
        let is_first = self.first.is_match(work.store.text(&line));
        let labels = work.streams.labels(line.stream).clone();
        let order = line.order;
        let Some(block) = self.blocks.get_mut(&labels) else {
            // Lines before the first start of a block pass.
            if !is_first {
                return done.push(line);
            }
            let mut start = work.hold(line);
            if self.trim_newlines {
                trim(&mut start.text);
            }
            let mut block = BlockOfLines { start, lines: 1, last: work.now };
            if self.max_lines == 1 {
                done.push(block.go_on(work, order));
            }
            self.blocks.insert(labels, block);
            return;
        };
        let waited_too_long = work.now.duration_since(block.last) >= self.max_wait;
        if block.lines > 0 && (waited_too_long || is_first) {
            done.push(block.go_on(work, order));
        }
        if is_first {
            let mut start = work.hold(line);
            if self.trim_newlines {
                trim(&mut start.text);
            }
            block.start = start;
        } else {
            let mut text = work.store.text(&line);
            if self.trim_newlines {
                text = trimmed(text);
            }
            if !block.start.text.is_empty() {
                block.start.text.push(b'\n');
            }
            block.start.text.extend_from_slice(text);
            work.absorb(&mut block.start, line);
        }
        block.lines += 1;
        block.last = work.now;
        if block.lines == self.max_lines {
            done.push(block.go_on(work, order));
        }
    }
}

impl BlockOfLines {
    fn go_on(&mut self, work: &mut Work, order: u32) -> Line {
        self.lines = 0;
        let text = std::mem::take(&mut self.start.text);
        work.release_copy(&mut self.start, text, order)
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    &text[..end]
}

fn trim(text: &mut Vec<u8>) {
    text.truncate(trimmed(text).len());
}
