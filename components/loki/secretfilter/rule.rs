//! Rules that know a secret when they see one: an expression, words that must be there at all, how random it must look,
//! and what is no secret after all.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base_re2::{Cursor, Regex, Slots};
use tokio::time::Instant;

/// A line with these words is not looked at, as for gitleaks.
const ALLOWED: &[u8] = b"gitleaks:allow";
/// Secrets of one line; more make no difference to whoever reads it.
const MAX_FINDINGS: usize = 1000;

/// One kind of secret.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name, as metrics and `$SECRET_NAME` have it.
    pub id: String,
    pattern: Pattern,
    /// The group that is the secret; 0: the first one that is not empty, or else the whole match.
    pub secret_group: usize,
    /// Bits per character that a secret must exceed; 0 asks nothing.
    pub entropy: f64,
    /// One of them must be in a line, in large or small letters; none means that every line is searched.
    pub keywords: Vec<String>,
    /// What is no secret after all.
    pub allowed: Vec<Allowlist>,
}

/// Compiled when it is needed first: most rules never are.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    compiled: OnceLock<Regex>,
}

/// What is no secret.
#[derive(Debug, Clone, Default)]
pub struct Allowlist {
    /// All that is given must hold, not one of it.
    pub all: bool,
    /// What the expressions look at.
    pub target: Target,
    /// One must match.
    pub regexes: Vec<Regex>,
    /// One must be in the secret; in small letters.
    pub stopwords: Vec<String>,
    /// It also asks for a file or a commit, which a log line has not.
    pub elsewhere: bool,
}

/// What an allowlist's expressions look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Target {
    /// The secret.
    #[default]
    Secret,
    /// The whole match of the rule.
    Match,
    /// The line.
    Line,
}

/// A secret in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding<'r> {
    /// Which rule knew it.
    pub rule: &'r str,
    /// Where it is.
    pub secret: Range<usize>,
}

/// All rules, and the one search that says which of them to try.
pub struct Detector {
    rules: Vec<Rule>,
    /// What is no secret of any rule.
    allowed: Vec<Allowlist>,
    keywords: AhoCorasick,
    /// The rules of each keyword.
    of_keyword: Vec<Vec<usize>>,
    /// Rules without keywords.
    always: Vec<usize>,
}

/// What was found, and whether there was time to look for everything.
pub struct Found<'r> {
    pub findings: Vec<Finding<'r>>,
    pub timed_out: bool,
}

// === impl Rule ===

impl Rule {
    /// A rule whose expression is good.
    pub fn new(id: &str, pattern: &str, entropy: f64, keywords: &[&str]) -> Rule {
        Rule {
            id: id.to_owned(),
            pattern: Pattern { text: pattern.to_owned(), compiled: OnceLock::new() },
            secret_group: 0,
            entropy,
            keywords: keywords.iter().map(|word| (*word).to_owned()).collect(),
            allowed: Vec::new(),
        }
    }

    /// A rule of an expression that was compiled.
    pub fn compiled(id: String, regex: Regex) -> Rule {
        let text = regex.as_str().to_owned();
        let mut rule = Rule::new(&id, &text, 0.0, &[]);
        rule.pattern.compiled = OnceLock::from(regex);
        rule
    }

    /// Its expression.
    pub fn regex(&self) -> &Regex {
        self.pattern.compiled.get_or_init(|| {
            Regex::new(&self.pattern.text).unwrap_or_else(|error| {
                unreachable!("the expression of {} was checked: {error}", self.id);
            })
        })
    }

    /// The expression of another rule.
    pub fn take_regex_of(&mut self, other: &Rule) {
        self.pattern = other.pattern.clone();
    }

    fn search<'r>(&'r self, line: &[u8], allowed: &[Allowlist], findings: &mut Vec<Match<'r>>) {
        let (mut cursor, mut slots, mut groups) = (Cursor::default(), Slots::default(), Slots::default());
        while findings.len() < MAX_FINDINGS && self.regex().next_match(line, &mut cursor, &mut slots) {
            let Some(whole) = slots.get(0).map(|whole| without_line_ends(line, whole)) else { continue };
            let text = &line[whole.clone()];
            // As gitleaks does: the groups are those of the match alone, without what stands around it.
            let grouped = self.regex().groups() > 1 && self.regex().captures(text, &mut groups);
            let secret = match self.secret_group {
                _ if !grouped => Some(0..text.len()),
                0 => {
                    let mut named = (1..self.regex().groups()).filter_map(|group| groups.get(group));
                    Some(named.find(|group| !group.is_empty()).unwrap_or(0..text.len()))
                }
                group => groups.get(group),
            };
            let Some(secret) = secret.filter(|secret| !secret.is_empty()) else { continue };
            let secret = whole.start + secret.start..whole.start + secret.end;
            if self.entropy > 0.0 && entropy(&line[secret.clone()]) <= self.entropy {
                continue;
            }
            let mut lists = allowed.iter().chain(&self.allowed);
            if !lists.any(|list| list.allows(&line[secret.clone()], text, line)) {
                findings.push(Match { rule: self, secret });
            }
        }
    }
}

struct Match<'r> {
    rule: &'r Rule,
    secret: Range<usize>,
}

fn without_line_ends(line: &[u8], whole: Range<usize>) -> Range<usize> {
    let text = &line[whole.clone()];
    let before = text.iter().take_while(|byte| **byte == b'\n').count();
    let behind = text[before..].iter().rev().take_while(|byte| **byte == b'\n').count();
    whole.start + before..whole.end - behind
}

/// Shannon's, in bits per byte.
fn entropy(secret: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(secret);
    let mut counts: HashMap<char, usize> = HashMap::new();
    for letter in text.chars() {
        *counts.entry(letter).or_default() += 1;
    }
    let length = secret.len() as f64;
    counts.values().map(|count| *count as f64 / length).map(|share| -share * share.log2()).sum()
}

// === impl Allowlist ===

impl Allowlist {
    fn allows(&self, secret: &[u8], whole: &[u8], line: &[u8]) -> bool {
        let looked_at = match self.target {
            Target::Secret => secret,
            Target::Match => whole,
            Target::Line => line,
        };
        let matched = || self.regexes.iter().any(|regex| regex.is_match(looked_at));
        let stopped = || {
            let small = secret.to_ascii_lowercase();
            self.stopwords.iter().any(|word| memchr::memmem::find(&small, word.as_bytes()).is_some())
        };
        if !self.all {
            return matched() || stopped();
        }
        let nothing = self.regexes.is_empty() && self.stopwords.is_empty();
        !self.elsewhere
            && !nothing
            && (self.regexes.is_empty() || matched())
            && (self.stopwords.is_empty() || stopped())
    }
}

// === impl Detector ===

impl Detector {
    /// Of these rules; `allowed` holds for all of them.
    pub fn new(rules: Vec<Rule>, allowed: Vec<Allowlist>) -> Result<Detector, String> {
        let mut words: Vec<String> = Vec::new();
        let mut of_keyword: Vec<Vec<usize>> = Vec::new();
        let mut always = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            if rule.keywords.is_empty() {
                always.push(index);
            }
            for word in rule.keywords.iter().map(|word| word.to_ascii_lowercase()) {
                match words.iter().position(|known| *known == word) {
                    Some(known) => of_keyword[known].push(index),
                    None => {
                        words.push(word);
                        of_keyword.push(vec![index]);
                    }
                }
            }
        }
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&words)
            .map_err(|error| format!("the keywords cannot be searched: {error}"))?;
        Ok(Detector { rules, allowed, keywords, of_keyword, always })
    }

    /// Every secret of a line, as far as time allows.
    pub fn find(&self, line: &[u8], limit: Option<Duration>) -> Found<'_> {
        let mut candidates = self.always.clone();
        for keyword in self.keywords.find_overlapping_iter(line) {
            candidates.extend_from_slice(&self.of_keyword[keyword.pattern().as_usize()]);
        }
        let mut found = Found { findings: Vec::new(), timed_out: false };
        if candidates.is_empty() || memchr::memmem::find(line, ALLOWED).is_some() {
            return found;
        }
        candidates.sort_unstable();
        candidates.dedup();
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut matches = Vec::new();
        for candidate in candidates {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                found.timed_out = true;
                break;
            }
            self.rules[candidate].search(line, &self.allowed, &mut matches);
        }
        found.timed_out |= deadline.is_some_and(|deadline| Instant::now() >= deadline);
        // What a rule knows by name is not also something generic.
        let generic = |rule: &Rule| rule.id.to_ascii_lowercase().contains("generic");
        let better = |one: &Match<'_>| {
            matches.iter().any(|other| {
                let (inner, outer) = (&line[one.secret.clone()], &line[other.secret.clone()]);
                other.rule.id != one.rule.id && !generic(other.rule) && memchr::memmem::find(outer, inner).is_some()
            })
        };
        let kept = matches.iter().filter(|one| !generic(one.rule) || !better(one));
        found.findings = kept.map(|one| Finding { rule: &one.rule.id, secret: one.secret.clone() }).collect();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_shannons() {
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert_eq!(entropy(b"abcd"), 2.0);
        assert!((entropy(b"aab") - 0.918_295).abs() < 1e-6);
    }

    #[test]
    fn a_rule_needs_its_keyword_its_entropy_and_no_allowlist() {
        let mut rule = Rule::new("x-token", r"x_([a-z0-9]{8})\b", 2.0, &["X_"]);
        rule.allowed.push(Allowlist { stopwords: vec!["example".to_owned()], ..Allowlist::default() });
        let detector = Detector::new(vec![rule], Vec::new()).unwrap();
        let secrets = |line: &str| -> Vec<String> {
            let found = detector.find(line.as_bytes(), None);
            found.findings.into_iter().map(|finding| line[finding.secret].to_owned()).collect()
        };
        assert_eq!(secrets("a x_abcd1234, x_zyxw9876."), ["abcd1234", "zyxw9876"]);
        assert_eq!(secrets("x_aaaaaaaa"), [""; 0]);
        assert_eq!(secrets("x_example1"), [""; 0]);
        assert_eq!(secrets("x_abcd1234 # gitleaks:allow"), [""; 0]);
    }

    #[test]
    fn what_has_a_name_is_not_generic_too() {
        let rules = vec![
            Rule::new("generic-thing", r"key=(\w+)", 0.0, &["key"]),
            Rule::new("known", r"(kn_\w+)", 0.0, &["kn_"]),
        ];
        let detector = Detector::new(rules, Vec::new()).unwrap();
        let names = |line: &str| -> Vec<String> {
            detector.find(line.as_bytes(), None).findings.into_iter().map(|finding| finding.rule.to_owned()).collect()
        };
        assert_eq!(names("key=kn_1"), ["known"]);
        assert_eq!(names("key=other"), ["generic-thing"]);
    }
}
