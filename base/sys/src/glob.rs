//! Finding files by pattern, as Go's doublestar library reads them.
//!
//! `*` any text within a name, `?` one character, `[a-c]` and `[^a-c]` one of (not) these, `{one,two}` alternatives, `**`
//! as a whole name any number of directories, `\` takes the next character as it is. Links to directories are followed
//! where the pattern names them, and not below `**`, where they could lead in circles.

use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};

use crate::clock;

/// A pattern, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// One for each way through the braces.
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    absolute: bool,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**`
    AnyDirectories,
    Name(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    AnyChar,
    AnyText,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// Something that matches.
struct Entry {
    path: PathBuf,
    /// What it is itself, as far as that was told on the way.
    kind: Option<FileType>,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPattern(String);

/// A pattern may not branch into more than this many by its braces.
const MAX_ALTERNATIVES: usize = 1024;

// === impl BadPattern ===

impl std::fmt::Display for BadPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadPattern {}

// === impl Glob ===

impl Glob {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Result<Glob, BadPattern> {
        let chars: Vec<char> = pattern.chars().collect();
        let mut texts = Vec::new();
        expand(&chars, &mut texts).map_err(|why| BadPattern(format!("syntax error in pattern {pattern:?}: {why}")))?;
        let alternatives: Result<Vec<_>, _> = texts.iter().map(|text| Alternative::new(text)).collect();
        let alternatives =
            alternatives.map_err(|why| BadPattern(format!("syntax error in pattern {pattern:?}: {why}")))?;
        Ok(Glob { alternatives })
    }

    /// Whether a path matches.
    pub fn matches(&self, path: &Path) -> bool {
        let Some(text) = path.to_str() else { return false };
        let absolute = text.starts_with('/');
        let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty()).collect();
        self.alternatives.iter().any(|one| one.absolute == absolute && segments_match(&one.segments, &names))
    }

    /// Every file, directory or link that matches, by name. A directory that cannot be read counts as empty.
    pub fn find(&self) -> Vec<PathBuf> {
        self.entries().into_iter().map(|entry| entry.path).collect()
    }

    /// Every file that matches, by name: what is no directory, and no link to one or to nothing; last written to at most so
    /// many nanoseconds ago, where 0 is any time. What the folder tells is believed, so that none is looked at for itself.
    pub fn files(&self, max_age: i64) -> Vec<PathBuf> {
        let oldest = clock::now_ns().saturating_sub(max_age);
        let is_wanted = |entry: &Entry| match entry.kind {
            Some(kind) if max_age == 0 && !kind.is_symlink() => !kind.is_dir(),
            _ => std::fs::metadata(&entry.path).is_ok_and(|metadata| {
                let is_young = || metadata.modified().is_ok_and(|at| clock::to_ns(at) >= oldest);
                !metadata.is_dir() && (max_age == 0 || is_young())
            }),
        };
        self.entries().into_iter().filter(is_wanted).map(|entry| entry.path).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        let mut found = Vec::new();
        for one in &self.alternatives {
            let start = if one.absolute { PathBuf::from("/") } else { PathBuf::new() };
            walk(&start, None, &one.segments, &mut found);
        }
        // One way through the braces finds names in their order, unless it goes down and comes up again.
        let is_straight = |one: &Alternative| !one.segments.contains(&Segment::AnyDirectories);
        if !matches!(&*self.alternatives, [one] if is_straight(one)) {
            found.sort_by(|one, other| one.path.cmp(&other.path));
            found.dedup_by(|one, other| one.path == other.path);
        }
        found
    }
}

// === impl Alternative ===

impl Alternative {
    fn new(text: &[char]) -> Result<Alternative, &'static str> {
        let absolute = text.first() == Some(&'/');
        let mut segments = Vec::new();
        for name in split_names(text).into_iter().filter(|name| !name.is_empty()) {
            let segment = if name == ['*', '*'] { Segment::AnyDirectories } else { Segment::Name(tokens(name)?) };
            // Two in a row mean one.
            if segment != Segment::AnyDirectories || segments.last() != Some(&Segment::AnyDirectories) {
                segments.push(segment);
            }
        }
        Ok(Alternative { absolute, segments })
    }
}

/// At slashes that are not inside a class.
fn split_names(text: &[char]) -> Vec<&[char]> {
    let (mut names, mut start, mut at, mut in_class) = (Vec::new(), 0, 0, false);
    while at < text.len() {
        match text[at] {
            '\\' => at += 1,
            '[' if !in_class => in_class = true,
            ']' if in_class => in_class = false,
            '/' if !in_class => {
                names.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    names.push(&text[start..]);
    names
}

/// All ways through the braces.
fn expand(text: &[char], out: &mut Vec<Vec<char>>) -> Result<(), &'static str> {
    let (mut depth, mut open, mut cuts, mut at) = (0usize, 0, Vec::new(), 0);
    while at < text.len() {
        match text[at] {
            '\\' => at += 1,
            '{' => {
                if depth == 0 {
                    open = at;
                    cuts = vec![at];
                }
                depth += 1;
            }
            ',' if depth == 1 => cuts.push(at),
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    cuts.push(at);
                    for pair in cuts.windows(2) {
                        let one = [&text[..open], &text[pair[0] + 1..pair[1]], &text[at + 1..]].concat();
                        expand(&one, out)?;
                    }
                    return Ok(());
                }
            }
            _ => {}
        }
        at += 1;
    }
    if depth > 0 {
        return Err("a { is not closed");
    }
    if out.len() >= MAX_ALTERNATIVES {
        return Err("too many alternatives in braces");
    }
    out.push(text.to_vec());
    Ok(())
}

fn tokens(name: &[char]) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = name.iter().copied().peekable();
    while let Some(next) = rest.next() {
        let token = match next {
            '*' => Token::AnyText,
            '?' => Token::AnyChar,
            '\\' => Token::Char(rest.next().ok_or("it ends in a backslash")?),
            '[' => class(&mut rest)?,
            other => Token::Char(other),
        };
        if token != Token::AnyText || tokens.last() != Some(&Token::AnyText) {
            tokens.push(token);
        }
    }
    Ok(tokens)
}

fn class(rest: &mut std::iter::Peekable<impl Iterator<Item = char>>) -> Result<Token, &'static str> {
    const OPEN: &str = "a [ is not closed";
    let negated = rest.next_if(|&next| next == '^' || next == '!').is_some();
    let mut ranges = Vec::new();
    loop {
        let mut from = rest.next().ok_or(OPEN)?;
        if from == ']' && !ranges.is_empty() {
            return Ok(Token::Class { negated, ranges });
        }
        if from == '\\' {
            from = rest.next().ok_or(OPEN)?;
        }
        let mut to = from;
        if rest.next_if_eq(&'-').is_some() {
            to = rest.next().ok_or(OPEN)?;
            if to == ']' {
                ranges.extend([(from, from), ('-', '-')]);
                return Ok(Token::Class { negated, ranges });
            }
            if to == '\\' {
                to = rest.next().ok_or(OPEN)?;
            }
        }
        ranges.push((from, to));
    }
}

fn segments_match(segments: &[Segment], names: &[&str]) -> bool {
    match segments {
        [] => names.is_empty(),
        [Segment::AnyDirectories, rest @ ..] => (0..=names.len()).any(|skip| segments_match(rest, &names[skip..])),
        [Segment::Name(tokens), rest @ ..] => {
            names.split_first().is_some_and(|(name, behind)| name_matches(tokens, name) && segments_match(rest, behind))
        }
    }
}

/// Linear in practice: on a mismatch only the last `*` is tried again.
fn name_matches(tokens: &[Token], name: &str) -> bool {
    let (mut token, mut rest) = (0, name.chars());
    let mut star = None;
    loop {
        let before = rest.clone();
        let Some(next) = rest.next() else { break };
        let fits = match tokens.get(token) {
            Some(Token::AnyText) => {
                star = Some((token, before.clone()));
                (token, rest) = (token + 1, before);
                continue;
            }
            Some(Token::AnyChar) => true,
            Some(Token::Char(wanted)) => *wanted == next,
            Some(Token::Class { negated, ranges }) => {
                ranges.iter().any(|(from, to)| (from..=to).contains(&&next)) != *negated
            }
            None => false,
        };
        if fits {
            token += 1;
        } else if let Some((star_token, from)) = &mut star {
            from.next();
            (token, rest) = (*star_token + 1, from.clone());
        } else {
            return false;
        }
    }
    tokens[token..].iter().all(|token| *token == Token::AnyText)
}

fn walk(at: &Path, kind: Option<FileType>, segments: &[Segment], found: &mut Vec<Entry>) {
    let Some((segment, rest)) = segments.split_first() else {
        if !at.as_os_str().is_empty() {
            found.push(Entry { path: at.to_owned(), kind });
        }
        return;
    };
    match segment {
        Segment::Name(tokens) => {
            if let Some(literal) = literal(tokens) {
                let path = at.join(literal);
                if let Ok(metadata) = std::fs::symlink_metadata(&path) {
                    walk(&path, Some(metadata.file_type()), rest, found);
                }
                return;
            }
            for (name, kind) in entries(at) {
                if !name_matches(tokens, &name) {
                    continue;
                }
                let path = at.join(name);
                if rest.is_empty() {
                    found.push(Entry { path, kind });
                } else {
                    walk(&path, kind, rest, found);
                }
            }
        }
        Segment::AnyDirectories => {
            walk(at, kind, rest, found);
            for (name, kind) in entries(at) {
                if kind.is_some_and(|kind| kind.is_dir()) {
                    walk(&at.join(name), kind, segments, found);
                } else if rest.is_empty() {
                    found.push(Entry { path: at.join(name), kind });
                }
            }
        }
    }
}

fn literal(tokens: &[Token]) -> Option<String> {
    tokens.iter().map(|token| if let Token::Char(char) = token { Some(*char) } else { None }).collect()
}

/// Names in a directory, sorted, and what they are themselves (a link is a link).
fn entries(directory: &Path) -> Vec<(String, Option<FileType>)> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let read = || -> io::Result<Vec<(String, Option<FileType>)>> {
        let entry = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry.ok()?;
            Some((entry.file_name().into_string().ok()?, entry.file_type().ok()))
        };
        Ok(std::fs::read_dir(directory)?.filter_map(entry).collect())
    };
    let mut entries = read().unwrap_or_default();
    entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_doublestar_does() {
        for (pattern, path, expected) in [
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/sub/a.log", false),
            ("/var/log/*.log", "var/log/a.log", false),
            ("/var/**/*.log", "/var/a.log", true),
            ("/var/**/*.log", "/var/x/y/a.log", true),
            ("/var/**", "/var/x/y", true),
            ("**/b", "a/b", true),
            ("/a?c", "/abc", true),
            ("/a?c", "/a/c", false),
            ("/[a-c]x", "/bx", true),
            ("/[^a-c]x", "/bx", false),
            ("/[!a-c]x", "/dx", true),
            ("/[]x]y", "/]y", true),
            ("/{one,two}/x", "/two/x", true),
            ("/{one,t{w,}o}/x", "/to/x", true),
            ("/{one,two}/x", "/three/x", false),
            (r"/a\*b", "/a*b", true),
            (r"/a\*b", "/axb", false),
            ("/*a*b*", "/xaxbx", true),
            ("/*a*b*", "/xbxax", false),
            ("/*", "/.hidden", true),
            ("/", "/", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(Path::new(path)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn unfinished_patterns_are_refused() {
        for pattern in ["/[a", "/{a", r"/a\", "/[a-"] {
            let error = Glob::new(pattern).unwrap_err().to_string();
            assert!(error.starts_with("syntax error in pattern"), "{error}");
        }
        assert!(Glob::new(&"{a,b}".repeat(20)).is_err());
    }

    #[test]
    fn a_hostile_pattern_is_answered_at_once() {
        let glob = Glob::new(&format!("/{}b", "a*".repeat(50))).unwrap();
        assert!(!glob.matches(Path::new(&format!("/{}", "a".repeat(200)))));
    }

    #[test]
    fn files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a.log", "b.txt", "sub/deep/c.log", "sub/d.log"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let find = |pattern: &str| -> Vec<String> {
            let found = Glob::new(&format!("{}/{pattern}", dir.path().display())).unwrap().find();
            let relative = found.iter().map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string());
            relative.collect()
        };
        assert_eq!(find("*.log"), ["a.log"]);
        assert_eq!(find("**/*.log"), ["a.log", "sub/d.log", "sub/deep/c.log"]);
        assert_eq!(find("{a,b}.*"), ["a.log", "b.txt"]);
        assert_eq!(find("sub/*/c.log"), ["sub/deep/c.log"]);
        assert_eq!(find("missing/**"), [""; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn directories_and_links_to_nothing_are_no_files() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("z.log"), "").unwrap();
        std::fs::create_dir(at("dir.log")).unwrap();
        for (to, link) in [("z.log", "file.log"), ("dir.log", "folder.log"), ("nothing", "dangling.log")] {
            symlink(to, at(link)).unwrap();
        }
        let day = 86_400_000_000_000;
        let old = std::fs::File::create(at("old.log")).unwrap();
        old.set_modified(clock::from_ns(clock::now_ns() - 2 * day)).unwrap();
        let files = |pattern: &str, max_age: i64| -> Vec<String> {
            let found = Glob::new(&format!("{}/{pattern}", dir.path().display())).unwrap().files(max_age);
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        for pattern in ["*.log", "{*,*.log,z.log}", "**"] {
            assert_eq!(files(pattern, 0), ["file.log", "old.log", "z.log"], "{pattern}");
            assert_eq!(files(pattern, day), ["file.log", "z.log"], "{pattern}");
        }
        assert_eq!(files("z.log", 0), ["z.log"]);
        assert_eq!(files("dir.log", 0), [""; 0]);
    }
}
