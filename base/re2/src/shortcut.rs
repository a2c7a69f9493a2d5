//! Expressions that need no engine.
//!
//! Nearly all expressions in relabelling rules and matchers are `(.*)`, `a|b|c`, `prefix.*` or the like, anchored at
//! both ends. They are seen here and matched by comparing bytes.

use std::collections::HashSet;

use foldhash::fast::FixedState;
use memchr::memmem::Finder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// More literals than this are left to the engine.
const MAX_LITERALS: usize = 4096;
/// Up to so many literals are compared one by one.
const FEW: usize = 8;

/// A way to match without the engine, for an expression anchored at both ends.
pub(crate) enum Shortcut {
    /// One of a few.
    Few(Vec<Box<[u8]>>),
    /// One of many.
    Many(HashSet<Box<[u8]>, FixedState>),
    /// Begins and ends so, with at least `between` bytes between.
    Around { prefix: Box<[u8]>, suffix: Box<[u8]>, between: usize },
    /// Has this inside, with at least so many bytes before and behind it.
    Inside { finder: Box<Finder<'static>>, before: usize, behind: usize },
}

impl Shortcut {
    pub(crate) fn find(hir: &Hir) -> Option<Shortcut> {
        let mut pieces = Vec::new();
        flatten(hir, &mut pieces);
        // Some write anchors of their own into an expression that is anchored anyway.
        let starts = pieces.iter().take_while(|hir| is_look(hir, Look::Start)).count();
        let ends = pieces.iter().rev().take_while(|hir| is_look(hir, Look::End)).count();
        if starts == 0 || ends == 0 {
            return None;
        }
        let middle = &pieces[starts..pieces.len() - ends];

        let mut shapes: Vec<Shape> = Vec::new();
        for piece in middle {
            match (any_run(piece), shapes.last_mut()) {
                // `.*.*` and `.+.*` are runs as well; `.+.+` would need to count characters.
                (Some(least), Some(Shape::Run(sum))) if least + *sum <= 1 => *sum += least,
                (Some(_), Some(Shape::Run(_))) => return None,
                (Some(least), _) => shapes.push(Shape::Run(least)),
                (None, Some(Shape::Literals(before))) => *before = product(before, &literals(piece)?)?,
                (None, _) => shapes.push(Shape::Literals(literals(piece)?)),
            }
        }
        match shapes.as_slice() {
            [] => Some(Shortcut::Few(vec![Box::default()])),
            [Shape::Literals(all)] if all.len() <= FEW => Some(Shortcut::Few(all.clone())),
            [Shape::Literals(all)] => Some(Shortcut::Many(all.iter().cloned().collect())),
            [Shape::Run(between)] => Some(around(&[], &[], *between)),
            [Shape::Literals(prefix), Shape::Run(between)] => Some(around(single(prefix)?, &[], *between)),
            [Shape::Run(between), Shape::Literals(suffix)] => Some(around(&[], single(suffix)?, *between)),
            [Shape::Literals(prefix), Shape::Run(between), Shape::Literals(suffix)] => {
                Some(around(single(prefix)?, single(suffix)?, *between))
            }
            [Shape::Run(before), Shape::Literals(inside), Shape::Run(behind)] => {
                let finder = Box::new(Finder::new(single(inside)?).into_owned());
                Some(Shortcut::Inside { finder, before: *before, behind: *behind })
            }
            _ => None,
        }
    }

    /// Where the only group is, for a text that matches, if that can be told without the engine.
    pub(crate) fn group(&self, hir: &Hir) -> Option<Group> {
        let HirKind::Concat(parts) = hir.kind() else { return None };
        let mut inner = parts.iter().filter(|hir| !is_look(hir, Look::Start) && !is_look(hir, Look::End));
        let is_group = |hir: &Hir| matches!(hir.kind(), HirKind::Capture(_));
        let run_group = |hir: &Hir| matches!(hir.kind(), HirKind::Capture(c) if any_run(&c.sub).is_some());
        let count = inner.clone().count();
        match self {
            _ if count == 1 && inner.clone().all(is_group) => Some(Group::Whole),
            Shortcut::Around { prefix, suffix, .. }
                if inner.clone().any(run_group) && inner.all(|hir| run_group(hir) || any_run(hir).is_none()) =>
            {
                Some(Group::Between { before: prefix.len(), behind: suffix.len() })
            }
            _ => None,
        }
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        match self {
            Shortcut::Few(all) => all.iter().any(|one| **one == *text),
            Shortcut::Many(all) => all.contains(text),
            Shortcut::Around { prefix, suffix, between } => {
                text.len() >= prefix.len() + suffix.len() + between
                    && text.starts_with(prefix)
                    && text.ends_with(suffix)
            }
            Shortcut::Inside { finder, before, behind } => {
                text.len() >= before + behind && finder.find(&text[*before..text.len() - behind]).is_some()
            }
        }
    }
}

/// The place of the only group.
pub(crate) enum Group {
    Whole,
    /// All but so many bytes at both ends.
    Between {
        before: usize,
        behind: usize,
    },
}

enum Shape {
    Literals(Vec<Box<[u8]>>),
    /// Any characters, at least so many: none or one.
    Run(usize),
}

fn around(prefix: &[u8], suffix: &[u8], between: usize) -> Shortcut {
    Shortcut::Around { prefix: prefix.into(), suffix: suffix.into(), between }
}

fn single(literals: &[Box<[u8]>]) -> Option<&[u8]> {
    match literals {
        [one] => Some(one),
        _ => None,
    }
}

/// The parts of a sequence, through captures, which do not change whether it matches.
fn flatten<'h>(hir: &'h Hir, into: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Concat(parts) => parts.iter().for_each(|part| flatten(part, into)),
        HirKind::Capture(capture) => flatten(&capture.sub, into),
        HirKind::Empty => {}
        _ => into.push(hir),
    }
}

fn is_look(hir: &Hir, look: Look) -> bool {
    matches!(hir.kind(), HirKind::Look(l) if *l == look)
}

/// `.*` or `.+` that takes newlines too: the least number of characters.
fn any_run(hir: &Hir) -> Option<usize> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    let HirKind::Class(Class::Unicode(class)) = repetition.sub.kind() else { return None };
    let any = matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX);
    match (any, repetition.min, repetition.max) {
        (true, min @ 0..=1, None) => Some(min as usize),
        _ => None,
    }
}

/// All texts that the expression matches, if they are few enough.
fn literals(hir: &Hir) -> Option<Vec<Box<[u8]>>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![Box::default()]),
        HirKind::Literal(literal) => Some(vec![literal.0.clone()]),
        HirKind::Class(class) => {
            let literal = |c: char| c.encode_utf8(&mut [0; 4]).as_bytes().into();
            match class {
                Class::Unicode(set) => {
                    let count: usize = set.iter().map(|range| range.len()).sum();
                    (count <= 16).then(|| set.iter().flat_map(|r| (r.start()..=r.end()).map(literal)).collect())
                }
                Class::Bytes(_) => None,
            }
        }
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Concat(parts) => {
            let mut all = vec![Box::default()];
            for part in parts {
                all = product(&all, &literals(part)?)?;
            }
            Some(all)
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(literals(part)?);
                if all.len() > MAX_LITERALS {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, Some(1)) => {
            let mut all = literals(&repetition.sub)?;
            all.push(Box::default());
            Some(all)
        }
        HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

fn product(left: &[Box<[u8]>], right: &[Box<[u8]>]) -> Option<Vec<Box<[u8]>>> {
    if left.len() * right.len() > MAX_LITERALS {
        return None;
    }
    Some(left.iter().flat_map(|l| right.iter().map(move |r| [&**l, &**r].concat().into())).collect())
}
