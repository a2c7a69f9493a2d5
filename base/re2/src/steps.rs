//! Groups of expressions that are read from left to right.
//!
//! What takes a line of a log apart is nearly always texts and runs of characters in a row: `^(\S+) (\S+) \[([^\]]+)\]`.
//! Where a run ends is mostly plain from what follows it, so one pass over the text finds the groups, where the engine
//! needs a search and then a simulation of the automaton. Where it is not plain, places are tried in the order of
//! preference that the engine has; work has a bound, and beyond it the engine takes over. So it does for texts that are
//! not ASCII: a byte is a character here.

use memchr::memmem::Finder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::regex::Slots;

/// A longer expression is left to the engine.
const MAX_STEPS: usize = 128;

/// So are groups inside of so many others.
const MAX_DEPTH: usize = 16;

/// How often a text may be gone through before it is left to the engine.
const MAX_PASSES: usize = 8;

/// An expression in steps.
pub(crate) struct Steps {
    start: Start,
    steps: Vec<Step>,
}

/// Where a match may begin.
enum Start {
    /// At the start of the text only.
    Text,
    /// Where the first step, a literal, is found.
    Literal(Box<Finder<'static>>),
}

enum Step {
    Literal(Box<[u8]>),
    Run(Box<Run>),
    /// A group begins or ends.
    Save(usize),
    EndOfText,
}

/// Characters of one class, one after the other.
struct Run {
    class: Set,
    least: usize,
    most: usize,
    is_lazy: bool,
    /// Bytes that what follows can begin with.
    next: Set,
    /// Nothing of the class can begin what follows, and something must: the run ends where the class does.
    is_plain: bool,
}

#[derive(Clone, Copy, PartialEq)]
struct Set([bool; 256]);

/// The engine has to do it.
#[derive(Debug, PartialEq)]
pub(crate) struct TooHard;

/// One text on its way through the steps.
struct Search<'a> {
    steps: &'a [Step],
    text: &'a [u8],
    slots: &'a mut Slots,
    /// Bytes that may still be looked at.
    budget: usize,
}

// === impl Steps ===

impl Steps {
    /// The steps of an expression, if it is made of nothing else.
    pub(crate) fn find(hir: &Hir) -> Option<Steps> {
        let mut steps = Vec::new();
        let mut is_anchored = false;
        collect(hir, &mut steps, &mut is_anchored, MAX_DEPTH)?;
        if steps.len() > MAX_STEPS {
            return None;
        }
        for at in (0..steps.len()).rev() {
            let (next, must) = beginning(&steps[at + 1..]);
            if let Step::Run(run) = &mut steps[at] {
                run.is_plain = must && !run.class.meets(&next);
                run.next = if must { next } else { Set::ALL };
            }
        }
        let start = match steps.iter().find(|step| !matches!(step, Step::Save(_))) {
            _ if is_anchored => Start::Text,
            Some(Step::Literal(literal)) => Start::Literal(Box::new(Finder::new(literal).into_owned())),
            _ => return None,
        };
        Some(Steps { start, steps })
    }

    /// Fills `slots`, which are empty and enough, with the groups of the leftmost match.
    pub(crate) fn captures(&self, text: &[u8], slots: &mut Slots) -> Result<bool, TooHard> {
        if !text.is_ascii() {
            return Err(TooHard);
        }
        let budget = MAX_PASSES * (text.len() + 16);
        let mut search = Search { steps: &self.steps, text, slots, budget };
        let found = match &self.start {
            Start::Text => search.go(0, 0).map(|end| end.map(|end| 0..end)),
            Start::Literal(finder) => search.at_literals(finder),
        };
        if let Ok(Some(found)) = &found {
            slots.put(0, found.clone());
        }
        found.map(|found| found.is_some())
    }
}

fn collect(hir: &Hir, steps: &mut Vec<Step>, is_anchored: &mut bool, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| collect(part, steps, is_anchored, depth))?,
        HirKind::Capture(capture) => {
            let group = capture.index as usize;
            steps.push(Step::Save(group * 2));
            collect(&capture.sub, steps, is_anchored, depth)?;
            steps.push(Step::Save(group * 2 + 1));
        }
        HirKind::Look(Look::Start) if steps.is_empty() => *is_anchored = true,
        HirKind::Look(Look::End) => steps.push(Step::EndOfText),
        HirKind::Literal(literal) if literal.0.is_ascii() => match steps.last_mut() {
            Some(Step::Literal(before)) => *before = [&**before, &*literal.0].concat().into(),
            _ => steps.push(Step::Literal(literal.0.clone())),
        },
        HirKind::Class(_) => steps.push(Step::Run(Box::new(Run::new(Set::of(hir)?, 1, Some(1), false)))),
        HirKind::Repetition(run) => {
            let run = Run::new(Set::of(&run.sub)?, run.min, run.max, !run.greedy);
            steps.push(Step::Run(Box::new(run)));
        }
        HirKind::Literal(_) | HirKind::Look(_) | HirKind::Alternation(_) => return None,
    }
    Some(())
}

/// Bytes that these steps can begin with, and whether they must: nothing can follow the end of the text.
fn beginning(steps: &[Step]) -> (Set, bool) {
    let mut set = Set::NONE;
    for step in steps {
        match step {
            Step::Save(_) => {}
            Step::EndOfText => return (set, true),
            Step::Literal(literal) => {
                set.0[usize::from(literal[0])] = true;
                return (set, true);
            }
            Step::Run(run) => {
                set.add(&run.class);
                if run.least > 0 {
                    return (set, true);
                }
            }
        }
    }
    (set, false)
}

// === impl Run ===

impl Run {
    fn new(class: Set, least: u32, most: Option<u32>, is_lazy: bool) -> Run {
        let most = most.map_or(usize::MAX, |most| most as usize);
        Run { class, least: least as usize, most, is_lazy, next: Set::ALL, is_plain: false }
    }

    /// How many characters of the class the text begins with; not more than may be.
    fn length(&self, text: &[u8]) -> usize {
        let text = &text[..text.len().min(self.most)];
        text.iter().position(|byte| !self.class.has(*byte)).unwrap_or(text.len())
    }
}

// === impl Set ===

impl Set {
    const NONE: Set = Set([false; 256]);
    const ALL: Set = Set([true; 256]);

    /// What of a class, or of one character, is ASCII.
    fn of(hir: &Hir) -> Option<Set> {
        let mut set = Set::NONE;
        match hir.kind() {
            HirKind::Class(Class::Unicode(class)) => {
                for range in class.ranges().iter().filter(|range| range.start().is_ascii()) {
                    let end = if range.end().is_ascii() { range.end() as usize } else { 127 };
                    set.0[range.start() as usize..=end].fill(true);
                }
            }
            HirKind::Literal(literal) if literal.0.len() == 1 => set.0[usize::from(literal.0[0])] = true,
            _ => return None,
        }
        Some(set)
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    fn add(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, other)| *mine |= other);
    }

    fn meets(&self, other: &Set) -> bool {
        self.0.iter().zip(&other.0).any(|(mine, other)| *mine && *other)
    }
}

// === impl Search ===

impl Search<'_> {
    fn at_literals(&mut self, finder: &Finder<'static>) -> Result<Option<std::ops::Range<usize>>, TooHard> {
        let mut from = 0;
        while let Some(step) = finder.find(&self.text[from..]) {
            let start = from + step;
            self.spend(step + 1)?;
            if let Some(end) = self.go(0, start)? {
                return Ok(Some(start..end));
            }
            from = start + 1;
        }
        Ok(None)
    }

    /// Where a match of the steps from this one on ends that begins at this place.
    ///
    /// Every way through the steps passes all groups, so what was noted of a way that failed is written over.
    fn go(&mut self, step: usize, mut at: usize) -> Result<Option<usize>, TooHard> {
        for (number, step) in self.steps.iter().enumerate().skip(step) {
            match step {
                Step::Save(slot) => self.slots.set(*slot, at),
                Step::EndOfText if at == self.text.len() => {}
                Step::Literal(literal) if self.text[at..].starts_with(literal) => at += literal.len(),
                Step::EndOfText | Step::Literal(_) => return Ok(None),
                Step::Run(run) => {
                    let length = run.length(&self.text[at..]);
                    self.spend(length + 1)?;
                    if length < run.least {
                        return Ok(None);
                    }
                    if !run.is_plain && length > run.least {
                        return self.try_each(number + 1, run, at + run.least, at + length);
                    }
                    at += length;
                }
            }
        }
        Ok(Some(at))
    }

    /// Ends the run at each place where what follows may begin.
    fn try_each(&mut self, next: usize, run: &Run, least: usize, most: usize) -> Result<Option<usize>, TooHard> {
        for tried in 0..=most - least {
            let at = if run.is_lazy { least + tried } else { most - tried };
            self.spend(1)?;
            // At the end of the text nothing can follow but what needs no byte; the steps will tell.
            if self.text.get(at).is_none_or(|byte| run.next.has(*byte))
                && let Some(end) = self.go(next, at)?
            {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), TooHard> {
        self.budget = self.budget.checked_sub(bytes).ok_or(TooHard)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Regex;

    /// Groups as the engine finds them and as the steps do; none where there is no match.
    type Groups = Vec<Option<std::ops::Range<usize>>>;

    fn both(expression: &str, text: &str) -> (Option<Groups>, Option<Result<Option<Groups>, TooHard>>) {
        let regex = Regex::new(expression).unwrap();
        let groups = |slots: &Slots| (0..regex.groups()).map(|group| slots.get(group)).collect::<Groups>();
        let mut slots = Slots::default();
        let by_engine = regex.captures_by_engine(text.as_bytes(), &mut slots).then(|| groups(&slots));
        let by_steps = Steps::find(&crate::parser::parse(expression).unwrap().hir).map(|steps| {
            let mut slots = Slots::default();
            slots.clear(regex.groups());
            let found = steps.captures(text.as_bytes(), &mut slots)?;
            Ok(found.then(|| groups(&slots)))
        });
        (by_engine, by_steps)
    }

    #[test]
    fn lines_of_web_servers_need_no_engine() {
        let expression = r#"^(?P<ip>\S+) \S+ (\S+) \[([\w:/]+\s[+\-]\d{4})\] "(\S+) (\S+) (\S+)" (\d{3}) (\d+|)"#;
        assert!(both(expression, "").1.is_none(), "an alternation is no step");
        let expression = r#"^(?P<ip>\S+) \S+ (\S+) \[([\w:/]+\s[+\-]\d{4})\] "(\S+) (\S+) (\S+)" (\d{3}) (\d+)"#;
        for text in [
            r#"10.1.2.3 - frank [21/Nov/2026:12:00:00 +0000] "GET /a"b HTTP/1.1" 200 123 "-""#,
            r#"10.1.2.3 - frank [21/Nov/2026:12:00:00 +0000] "GET /a HTTP/1.1 200 123 "-""#,
            "",
        ] {
            let (engine, steps) = both(expression, text);
            assert_eq!(Some(Ok(engine)), steps, "{text}");
        }
        let (engine, steps) = both(r"level=(\w+) .*took=(\d*)(?:ms)$", "level= level=warn x took=1 took=15ms");
        assert_eq!(Some(Ok(engine)), steps);
    }

    #[test]
    fn what_is_hard_is_left_to_the_engine() {
        let text = "a".repeat(2000);
        assert_eq!(both("^(a*)(a*)(a*)b", &text).1, Some(Err(TooHard)));
        assert_eq!(both("^(.*)", "\u{e4}").1, Some(Err(TooHard)));
        for expression in ["(a+)b", "^(?:ab|c)c", "^(a)?b", r"^\ba", "^(ab)+", "(?m)^a", "^\u{e4}"] {
            assert!(both(expression, "").1.is_none(), "{expression}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_engine_finds_the_same(
            pieces in proptest::collection::vec(
                (
                    proptest::sample::select(vec!["a", "b", "ab", " ", "\"", ".", r"\S", r"\w", r"\d", "[^ ]", "[ab]", "(?i:a)"]),
                    proptest::sample::select(vec!["", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}"]),
                    any::<bool>(),
                ),
                1..6,
            ),
            frame in 0..4usize,
            text in r#"[ab1 "\n]{0,12}"#,
        ) {
            let mut expression = String::new();
            for (piece, often, is_group) in &pieces {
                // A literal of two letters repeats its last one alone, which is fine.
                let one = format!("{piece}{often}");
                expression.push_str(&if *is_group { format!("({one})") } else { one });
            }
            let expression = match frame {
                0 => format!("^{expression}"),
                1 => format!("^{expression}$"),
                2 => format!("^(?s:{expression})$"),
                _ => format!("ab{expression}"),
            };
            let (engine, steps) = both(&expression, &text);
            if let Some(Ok(steps)) = steps {
                prop_assert_eq!(engine, steps, "{}", expression);
            }
        }
    }
}
