//! The parser of Go's syntax.
//!
//! It goes through the text once and keeps a stack of open groups, so nesting costs no stack of ours. What it builds is
//! the engine's tree; beside each node it keeps the three numbers by which Go limits an expression.

use regex_syntax::hir::{Capture, Class as HirClass, Dot, Hir, Look, Repetition};

use crate::class::{self, Class};
use crate::error::{Error, ErrorKind};
use crate::unicode;

/// Go's limit for `{n}`, also when nested repetitions are multiplied.
const MAX_REPEAT: u32 = 1000;
/// Go's limit for nodes inside each other.
const MAX_HEIGHT: u32 = 1000;
/// Go's limit for the size of the program, counted in its instructions: 128 MiB of 40 bytes.
const MAX_SIZE: u64 = (128 << 20) / 40;

/// A parsed expression.
pub(crate) struct Parsed {
    pub(crate) hir: Hir,
    /// Names of the groups; the first is the whole match, and unnamed groups have none.
    pub(crate) names: Vec<Option<Box<str>>>,
}

pub(crate) fn parse(text: &str) -> Result<Parsed, Error> {
    Parser::new(text).run()
}

#[derive(Clone, Copy, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
    swap_greed: bool,
}

struct Node {
    hir: Hir,
    height: u32,
    /// The largest product of counted repetitions on a way down from here.
    repeats: u32,
    size: u64,
}

impl Node {
    fn leaf(hir: Hir) -> Node {
        Node { hir, height: 1, repeats: 1, size: 1 }
    }

    fn join(mut nodes: Vec<Node>, build: fn(Vec<Hir>) -> Hir, extra: u64) -> Node {
        if nodes.len() == 1 {
            return nodes.remove(0);
        }
        let height = 1 + nodes.iter().map(|n| n.height).max().unwrap_or(0);
        let repeats = nodes.iter().map(|n| n.repeats).max().unwrap_or(1);
        let size = nodes.iter().fold(extra, |sum, n| sum.saturating_add(n.size)).max(1);
        Node { hir: build(nodes.into_iter().map(|n| n.hir).collect()), height, repeats, size }
    }
}

/// A group that is still open; the outermost one is the expression.
#[derive(Default)]
struct Group {
    capture: Option<u32>,
    /// What held before the group and holds again after it.
    outer_flags: Flags,
    alternatives: Vec<Node>,
    sequence: Vec<Node>,
}

impl Group {
    fn next_alternative(&mut self) {
        let sequence = std::mem::take(&mut self.sequence);
        // A run of plain characters is one node in Go, so it must not count as nested.
        let literal = sequence.iter().all(|n| n.height == 1);
        let mut node = Node::join(sequence, Hir::concat, 0);
        if literal {
            node.height = 1;
        }
        self.alternatives.push(node);
    }

    fn finish(mut self) -> Node {
        self.next_alternative();
        let extra = self.alternatives.len() as u64 - 1;
        Node::join(self.alternatives, Hir::alternation, extra)
    }
}

struct Parser<'t> {
    whole: &'t str,
    rest: &'t str,
    flags: Flags,
    open: Vec<Group>,
    names: Vec<Option<Box<str>>>,
}

impl<'t> Parser<'t> {
    fn new(whole: &'t str) -> Parser<'t> {
        Parser { whole, rest: whole, flags: Flags::default(), open: vec![Group::default()], names: vec![None] }
    }

    fn run(mut self) -> Result<Parsed, Error> {
        // Where the repetition began that ended just before `rest`.
        let mut last_repeat: Option<&'t str> = None;
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            let mut repeat = None;
            match c {
                '(' => self.open_group()?,
                '|' => {
                    self.skip(1);
                    self.group().next_alternative();
                }
                ')' => self.close_group()?,
                '^' => self.look(1, if self.flags.multi_line { Look::StartLF } else { Look::Start }),
                '$' => self.look(1, if self.flags.multi_line { Look::EndLF } else { Look::End }),
                '.' => {
                    self.skip(1);
                    let dot = if self.flags.dot_newline { Dot::AnyChar } else { Dot::AnyCharExceptLF };
                    self.push(Hir::dot(dot));
                }
                '[' => self.bracket()?,
                '*' | '+' | '?' => {
                    self.skip(1);
                    let (min, max) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(before, last_repeat, min, max, false)?;
                    repeat = Some(before);
                }
                '{' => match counts(before) {
                    Some((min, max, rest)) => {
                        self.rest = rest;
                        let (Some(min), Ok(max)) = (min, max) else {
                            return Err(self.error_since(ErrorKind::InvalidRepeatSize, before));
                        };
                        if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || min > max) {
                            return Err(self.error_since(ErrorKind::InvalidRepeatSize, before));
                        }
                        self.repeat(before, last_repeat, min, max, true)?;
                        repeat = Some(before);
                    }
                    None => {
                        self.skip(1);
                        self.literal('{');
                    }
                },
                '\\' => self.escape()?,
                c => {
                    self.skip(c.len_utf8());
                    self.literal(c);
                }
            }
            last_repeat = repeat;
        }
        if self.open.len() > 1 {
            return Err(Error::new(ErrorKind::MissingParen, self.whole));
        }
        let node = self.open.pop().expect("the outermost group is open to the end").finish();
        self.check_limits(&node)?;
        Ok(Parsed { hir: node.hir, names: self.names })
    }

    // === groups ===

    fn open_group(&mut self) -> Result<(), Error> {
        if self.rest.starts_with("(?") {
            return self.perl_group();
        }
        self.skip(1);
        self.open_capture(None);
        Ok(())
    }

    fn open_capture(&mut self, name: Option<&str>) {
        let index = self.names.len() as u32;
        self.names.push(name.map(Into::into));
        self.open.push(Group { capture: Some(index), outer_flags: self.flags, ..Group::default() });
    }

    /// `(?P<name>`, `(?<name>`, `(?flags)`, `(?flags:`.
    fn perl_group(&mut self) -> Result<(), Error> {
        let text = self.rest;
        let named = (text.strip_prefix("(?P<").filter(|rest| !rest.is_empty()))
            .or_else(|| text.strip_prefix("(?<").filter(|rest| !rest.is_empty()));
        if let Some(from) = named {
            let Some(end) = from.find('>') else {
                return Err(Error::new(ErrorKind::InvalidNamedCapture, text));
            };
            let name = &from[..end];
            self.rest = &from[end + 1..];
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return Err(self.error_since(ErrorKind::InvalidNamedCapture, text));
            }
            self.open_capture(Some(name));
            return Ok(());
        }

        self.skip(2);
        let mut flags = self.flags;
        let mut on = true;
        let mut saw_flag = true; // a minus wants one behind it
        while let Some(c) = self.rest.chars().next() {
            self.skip(c.len_utf8());
            match c {
                'i' => flags.fold_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_newline = on,
                'U' => flags.swap_greed = on,
                '-' if on => {
                    on = false;
                    saw_flag = false;
                    continue;
                }
                ':' | ')' if saw_flag => {
                    if c == ':' {
                        self.open.push(Group { outer_flags: self.flags, ..Group::default() });
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            saw_flag = true;
        }
        Err(self.error_since(ErrorKind::InvalidPerlOp, text))
    }

    fn close_group(&mut self) -> Result<(), Error> {
        if self.open.len() == 1 {
            return Err(Error::new(ErrorKind::UnexpectedParen, self.whole));
        }
        self.skip(1);
        let group = self.open.pop().expect("two are open");
        self.flags = group.outer_flags;
        let capture = group.capture;
        let mut node = group.finish();
        if let Some(index) = capture {
            node = Node {
                // Names stay with us: Go lets two groups share one, the engine does not.
                hir: Hir::capture(Capture { index, name: None, sub: Box::new(node.hir) }),
                height: node.height + 1,
                repeats: node.repeats,
                size: node.size.saturating_add(2),
            };
        }
        self.check_limits(&node)?;
        self.group().sequence.push(node);
        Ok(())
    }

    // === repetition ===

    /// Repeats what stands before. `before` begins with the operator.
    fn repeat(
        &mut self,
        before: &'t str,
        last_repeat: Option<&'t str>,
        min: u32,
        max: Option<u32>,
        counted: bool,
    ) -> Result<(), Error> {
        let mut greedy = !self.flags.swap_greed;
        if self.rest.starts_with('?') {
            self.skip(1);
            greedy = !greedy;
        }
        if let Some(last) = last_repeat {
            return Err(self.error_since(ErrorKind::InvalidRepeatOp, last));
        }
        let Some(node) = self.group().sequence.pop() else {
            return Err(self.error_since(ErrorKind::MissingRepeatArgument, before));
        };

        let mut repeats = node.repeats;
        if counted {
            // {0} drops what it repeats, so what is inside does not count either.
            repeats = if max == Some(0) { 1 } else { repeats.saturating_mul(max.unwrap_or(min).max(1)) };
            if repeats > MAX_REPEAT && (min >= 2 || max.is_some_and(|max| max >= 2)) {
                return Err(self.error_since(ErrorKind::InvalidRepeatSize, before));
            }
        }
        let size = match (min, max) {
            (0, None) => node.size.saturating_add(2),
            (min, None) => node.size.saturating_mul(u64::from(min)).saturating_add(1),
            (min, Some(max)) => node.size.saturating_mul(u64::from(max)).saturating_add(u64::from(max - min)),
        };
        let repeated = Node {
            hir: Hir::repetition(Repetition { min, max, greedy, sub: Box::new(node.hir) }),
            height: node.height + 1,
            repeats,
            size: size.max(1),
        };
        self.check_limits(&repeated)?;
        self.group().sequence.push(repeated);
        Ok(())
    }

    // === single characters ===

    fn escape(&mut self) -> Result<(), Error> {
        let letter = self.rest[1..].chars().next();
        match letter {
            Some('A') => self.look(2, Look::Start),
            Some('z') => self.look(2, Look::End),
            Some('b') => self.look(2, Look::WordAscii),
            Some('B') => self.look(2, Look::WordAsciiNegate),
            Some('C') => return Err(Error::new(ErrorKind::InvalidEscape, &self.rest[..2])),
            Some('Q') => {
                let (quoted, rest) = self.rest[2..].split_once(r"\E").unwrap_or((&self.rest[2..], ""));
                self.rest = rest;
                for c in quoted.chars() {
                    self.literal(c);
                }
            }
            _ => {
                if let Some(class) = self.escaped_class()? {
                    self.push_class(class);
                } else {
                    let code = self.escaped_char()?;
                    self.literal_code(code);
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, skip: usize, look: Look) {
        self.skip(skip);
        self.push(Hir::look(look));
    }

    fn literal(&mut self, c: char) {
        self.literal_code(u32::from(c));
    }

    fn literal_code(&mut self, code: u32) {
        if !self.flags.fold_case
            && let Some(c) = char::from_u32(code)
        {
            return self.push(Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes().to_vec()));
        }
        let mut class = Class::of(&[(code, code)]);
        if self.flags.fold_case {
            class.fold_case();
        }
        self.push_class(class);
    }

    /// `\x7f`, `\101`, `\n`, `\.`: a code point, which may be a surrogate.
    fn escaped_char(&mut self) -> Result<u32, Error> {
        let text = self.rest;
        self.skip(1);
        let Some(c) = self.rest.chars().next() else {
            return Err(Error::new(ErrorKind::TrailingBackslash, ""));
        };
        self.skip(c.len_utf8());
        let found = match c {
            '0' => Some(self.octal(c)),
            // A digit alone would be a back reference.
            '1'..='7' if self.rest.starts_with(|c: char| c.is_digit(8)) => Some(self.octal(c)),
            'x' => self.hexadecimal(),
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        found.ok_or_else(|| self.error_since(ErrorKind::InvalidEscape, text))
    }

    /// Up to three octal digits, the first of which is read.
    fn octal(&mut self, first: char) -> u32 {
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else { break };
            code = code * 8 + digit;
            self.skip(1);
        }
        code
    }

    /// `41` or `{1F600}` behind `\x`. What it has read when it fails is what Go shows.
    fn hexadecimal(&mut self) -> Option<u32> {
        let first = self.next_char()?;
        if first != '{' {
            let second = self.next_char()?;
            return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
        }
        let mut code = None;
        loop {
            let c = self.next_char()?;
            if c == '}' {
                return code;
            }
            let sum = code.unwrap_or(0) * 16 + c.to_digit(16)?;
            if sum > u32::from(char::MAX) {
                return None;
            }
            code = Some(sum);
        }
    }

    // === classes ===

    /// `\d` or `\p{...}` at the front, if it is one.
    fn escaped_class(&mut self) -> Result<Option<Class>, Error> {
        let text = self.rest;
        let Some(letter) = text.strip_prefix('\\').and_then(|rest| rest.chars().next()) else {
            return Ok(None);
        };
        if let Some((class, negated)) = class::perl(letter) {
            self.skip(2);
            return Ok(Some(self.finish_class(class, negated)));
        }
        if letter != 'p' && letter != 'P' {
            return Ok(None);
        }

        let from = &text[2..];
        let name;
        if let Some(braced) = from.strip_prefix('{') {
            let Some(end) = braced.find('}') else {
                return Err(Error::new(ErrorKind::InvalidClassRange, text));
            };
            name = &braced[..end];
            self.rest = &braced[end + 1..];
        } else {
            name = &from[..from.chars().next().map_or(0, char::len_utf8)];
            self.rest = &from[name.len()..];
        }
        let (bare, caret) = match name.strip_prefix('^') {
            Some(bare) => (bare, true),
            None => (name, false),
        };
        match unicode::named(bare) {
            Some(class) => Ok(Some(self.finish_class(class, (letter == 'P') != caret))),
            None => Err(self.error_since(ErrorKind::InvalidClassRange, text)),
        }
    }

    /// `[...]`
    fn bracket(&mut self) -> Result<(), Error> {
        let text = self.rest;
        self.skip(1);
        let negated = self.rest.starts_with('^');
        if negated {
            self.skip(1);
        }
        let mut class = Class::empty();
        let mut ranges = Class::empty();
        let mut first = true; // a closing bracket in the first place is a character
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.len() > 2
                && let Some(from) = self.rest.strip_prefix("[:")
                && let Some(end) = from.find(":]")
            {
                let named = self.rest;
                self.rest = &from[end + 2..];
                let Some((posix, negated)) = class::posix(&from[..end]) else {
                    return Err(self.error_since(ErrorKind::InvalidClassRange, named));
                };
                class.union(&self.finish_class(posix, negated));
                continue;
            }
            if let Some(escaped) = self.escaped_class()? {
                class.union(&escaped);
                continue;
            }
            let range = self.rest;
            let low = self.class_char(text)?;
            let mut high = low;
            // In [a-] the hyphen is a character.
            if self.rest.len() >= 2 && self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.skip(1);
                high = self.class_char(text)?;
                if high < low {
                    return Err(self.error_since(ErrorKind::InvalidClassRange, range));
                }
            }
            ranges.add(low, high);
        }
        self.skip(1);
        if self.flags.fold_case {
            ranges.fold_case();
        }
        class.union(&ranges);
        if negated {
            class.negate();
        }
        self.push_class(class);
        Ok(())
    }

    fn class_char(&mut self, bracket: &str) -> Result<u32, Error> {
        if self.rest.starts_with('\\') {
            return self.escaped_char();
        }
        match self.next_char() {
            Some(c) => Ok(u32::from(c)),
            None => Err(Error::new(ErrorKind::MissingBracket, bracket)),
        }
    }

    fn finish_class(&self, mut class: Class, negated: bool) -> Class {
        if self.flags.fold_case {
            class.fold_case();
        }
        if negated {
            class.negate();
        }
        class
    }

    // === odds ===

    fn push(&mut self, hir: Hir) {
        self.group().sequence.push(Node::leaf(hir));
    }

    fn push_class(&mut self, class: Class) {
        self.push(Hir::class(HirClass::Unicode(class.into_inner())));
    }

    fn group(&mut self) -> &mut Group {
        self.open.last_mut().expect("the outermost group is open to the end")
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    /// Shows what was read since `from`, which is an earlier `rest`.
    fn error_since(&self, kind: ErrorKind, from: &str) -> Error {
        Error::new(kind, &from[..from.len() - self.rest.len()])
    }

    fn check_limits(&self, node: &Node) -> Result<(), Error> {
        if node.size > MAX_SIZE {
            return Err(Error::new(ErrorKind::TooLarge, self.whole));
        }
        if node.height > MAX_HEIGHT {
            return Err(Error::new(ErrorKind::NestingDepth, self.whole));
        }
        Ok(())
    }
}

/// A number in a repetition that does not fit.
struct TooBig;

/// Reads `{2}`, `{2,}` or `{2,5}`; anything else is a literal brace. The least is None and the most `Err` when the
/// number has more digits than Go reads.
fn counts(text: &str) -> Option<(Option<u32>, Result<Option<u32>, TooBig>, &str)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, min.map(Some).ok_or(TooBig), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, Ok(None), rest));
    }
    let (max, rest) = count(rest)?;
    Some((min, max.map(Some).ok_or(TooBig), rest.strip_prefix('}')?))
}

/// Digits without a leading zero, and what follows; None inside when there are too many.
fn count(text: &str) -> Option<(Option<u32>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().ok().filter(|n| *n < 100_000_000), rest))
}
