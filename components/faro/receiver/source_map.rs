//! Source maps, revision 3: from places in minified code to places in the source.
//!
//! Of our own, as a place is looked up by the rules that users of Alloy know: columns are taken as browsers count them,
//! and a segment without a source belongs to the source before it.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use url::Url;

use super::payload::Frame;

/// Segments of one map, 24 bytes each.
const MAX_SEGMENTS: usize = 4 << 20;
/// Elements of a list in a map.
const MAX_ELEMENTS: usize = 1 << 20;
/// Bytes of the names of all sources, each of which may begin with the URL of the map.
const MAX_SOURCES: usize = 64 << 20;

/// A map that was read.
#[derive(Debug)]
pub(super) struct SourceMap {
    /// The last part of the code first.
    sections: Vec<Section>,
    bytes: usize,
}

#[derive(Debug)]
struct Section {
    line: i64,
    column: i64,
    sources: Vec<String>,
    names: Vec<String>,
    segments: Vec<Segment>,
}

/// From a place in the code to a place in a source. Lines count from 1, columns from 0.
#[derive(Clone, Copy, Debug)]
struct Segment {
    line: i32,
    column: i32,
    source: i32,
    source_line: i32,
    source_column: i32,
    name: Option<i32>,
}

/// Why a text is no source map.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceMapError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("it is of version {0}; version 3 is known")]
    Version(i64),
    #[error("it has no mappings")]
    Empty,
    #[error("its mappings are damaged")]
    Damaged,
    #[error("it has more than {MAX_SEGMENTS} mappings")]
    TooManySegments,
    #[error("the names of its sources have more than {MAX_SOURCES} bytes")]
    TooLongSources,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    version: Option<i64>,
    source_root: Option<String>,
    sources: Option<List<Option<String>>>,
    names: Option<List<Box<RawValue>>>,
    mappings: Option<String>,
    sections: Option<List<SectionText>>,
}

/// At most [`MAX_ELEMENTS`] elements: each takes more memory than its text.
struct List<T>(Vec<T>);

#[derive(Deserialize)]
struct SectionText {
    offset: Offset,
    map: Text,
}

#[derive(Deserialize)]
struct Offset {
    line: Option<i64>,
    column: Option<i64>,
}

// === impl SourceMap ===

impl SourceMap {
    /// Reads one; names of sources are relative to the URL of the map.
    pub fn read(json: &[u8], url: &str) -> Result<SourceMap, SourceMapError> {
        let mut text: Text = serde_json::from_slice(json)?;
        text.check()?;
        let mut left = Left { segments: MAX_SEGMENTS, source_bytes: MAX_SOURCES };
        let sections = text.sections.take().map(|List(sections)| sections).filter(|sections| !sections.is_empty());
        let sections = match sections {
            None => vec![text.section(0, 0, url, &mut left)?],
            Some(sections) => {
                let read = |section: SectionText| {
                    section.map.check()?;
                    let Offset { line, column } = section.offset;
                    section.map.section(line.unwrap_or_default(), column.unwrap_or_default(), url, &mut left)
                };
                sections.into_iter().rev().map(read).collect::<Result<_, SourceMapError>>()?
            }
        };
        let bytes = sections.iter().map(Section::bytes).sum();
        Ok(SourceMap { sections, bytes })
    }

    /// What it takes in memory, more or less.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The place in the source, if the map tells it.
    pub fn translate(&self, frame: &Frame) -> Option<Frame> {
        let section = self.sections.iter().find(|section| {
            section.line < frame.line
                || (section.line.checked_add(1) == Some(frame.line) && section.column <= frame.column)
        })?;
        let (line, column) = (frame.line.checked_sub(section.line)?, frame.column.checked_sub(section.column)?);
        let found = section.find(line, column)?;
        let text = |list: &[String], index: i32| usize::try_from(index).ok().and_then(|index| list.get(index).cloned());
        let function = found.name.and_then(|name| text(&section.names, name)).filter(|name| !name.is_empty());
        Some(Frame {
            function: function.unwrap_or_else(|| "?".to_owned()),
            module: String::new(),
            filename: text(&section.sources, found.source).unwrap_or_default(),
            line: found.source_line.into(),
            column: found.source_column.into(),
        })
    }
}

// === impl Section ===

impl Section {
    /// The first segment at the place, else the last one before it, which may be on an earlier line unless it is the last of all.
    fn find(&self, line: i64, column: i64) -> Option<&Segment> {
        let at = |segment: &Segment| (i64::from(segment.line), i64::from(segment.column));
        let next = self.segments.partition_point(|segment| at(segment) < (line, column));
        match self.segments.get(next) {
            Some(segment) if at(segment) == (line, column) => Some(segment),
            Some(_) => self.segments.get(next.checked_sub(1)?),
            None => self.segments.last().filter(|last| i64::from(last.line) == line),
        }
    }

    fn bytes(&self) -> usize {
        let texts = self.sources.iter().chain(&self.names).map(|text| text.len() + size_of::<String>()).sum::<usize>();
        texts + self.segments.len() * size_of::<Segment>()
    }
}

// === impl Text ===

impl Text {
    fn check(&self) -> Result<(), SourceMapError> {
        match self.version {
            None | Some(0 | 3) => Ok(()),
            Some(other) => Err(SourceMapError::Version(other)),
        }
    }

    fn section(self, line: i64, column: i64, url: &str, left: &mut Left) -> Result<Section, SourceMapError> {
        let root = self.source_root.unwrap_or_default();
        let base = match root.as_str() {
            "" => Url::parse(url).ok().and_then(|url| url.join(".").ok().map(|folder| with_query_of(folder, &url))),
            root => Url::parse(root).ok(),
        };
        let source = |source: Option<String>| {
            let source = absolute(source.unwrap_or_default(), base.as_ref(), &root);
            let rest = left.source_bytes.checked_sub(source.len());
            left.source_bytes = rest.ok_or(SourceMapError::TooLongSources)?;
            Ok(source)
        };
        let sources = self.sources.map_or_else(Vec::new, |List(sources)| sources);
        let names = self.names.map_or_else(Vec::new, |List(names)| names);
        // What is no string is named by its text.
        let name = |name: Box<RawValue>| serde_json::from_str(name.get()).unwrap_or_else(|_| name.get().to_owned());
        Ok(Section {
            line,
            column,
            sources: sources.into_iter().map(source).collect::<Result<_, SourceMapError>>()?,
            names: names.into_iter().map(name).collect(),
            segments: segments(self.mappings.as_deref().unwrap_or_default(), left)?,
        })
    }
}

/// What the sections of a map may still have.
struct Left {
    segments: usize,
    source_bytes: usize,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<List<T>, D::Error> {
        reader.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            if list.len() == MAX_ELEMENTS {
                return Err(A::Error::custom(format_args!("a list of more than {MAX_ELEMENTS} elements")));
            }
            list.push(element);
        }
        Ok(List(list))
    }
}

fn with_query_of(mut folder: Url, url: &Url) -> Url {
    folder.set_query(url.query());
    folder.set_fragment(url.fragment());
    folder
}

/// The name of a source, as a whole URL or path where the base tells it.
fn absolute(source: String, base: Option<&Url>, root: &str) -> String {
    if source.starts_with('/') || Url::parse(&source).is_ok() {
        return source;
    }
    match base {
        Some(base) => {
            let mut url = base.clone();
            url.set_path(&joined(base.path(), &source));
            url.to_string()
        }
        None if root.is_empty() => source,
        None => joined(root, &source),
    }
}

/// Both paths as one, without `.`, `..` and doubled slashes.
fn joined(base: &str, path: &str) -> String {
    let rooted = base.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    format!("{}{}", if rooted { "/" } else { "" }, parts.join("/"))
}

/// Reads `AAAA,CAAC;…`: numbers relative to the segment before, in groups of up to five.
fn segments(text: &str, left: &mut Left) -> Result<Vec<Segment>, SourceMapError> {
    if text.is_empty() {
        return Err(SourceMapError::Empty);
    }
    let mut segments = Vec::new();
    let mut last = Segment { line: 1, column: 0, source: 0, source_line: 1, source_column: 0, name: None };
    let mut last_name = 0_i32;
    for line in text.split(';') {
        last.column = 0;
        for group in line.split(',').filter(|group| !group.is_empty()) {
            let mut digits = group.bytes();
            last.name = None;
            let mut field = 0;
            while digits.len() > 0 {
                let number = number(&mut digits).ok_or(SourceMapError::Damaged)?;
                let value = match field {
                    0 => &mut last.column,
                    1 => &mut last.source,
                    2 => &mut last.source_line,
                    3 => &mut last.source_column,
                    _ => &mut last_name,
                };
                *value = value.wrapping_add(number);
                if field == 4 {
                    last.name = Some(last_name);
                }
                field = (field + 1) % 5;
            }
            left.segments = left.segments.checked_sub(1).ok_or(SourceMapError::TooManySegments)?;
            segments.push(last);
        }
        last.line = last.line.wrapping_add(1);
    }
    Ok(segments)
}

/// A number in base 64: five bits a letter, the sixth says that more follow, the lowest of all is the sign.
fn number(digits: &mut std::str::Bytes<'_>) -> Option<i32> {
    let (mut value, mut shift) = (0_u32, 0);
    loop {
        let digit = match digits.next()? {
            letter @ b'A'..=b'Z' => letter - b'A',
            letter @ b'a'..=b'z' => letter - b'a' + 26,
            letter @ b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        value |= u32::from(digit & 31).checked_shl(shift)?;
        shift += 5;
        if digit & 32 == 0 {
            break;
        }
    }
    let magnitude = (value >> 1) as i32;
    Some(if value & 1 == 1 { magnitude.wrapping_neg() } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(line: i64, column: i64) -> Frame {
        Frame { line, column, ..Frame::default() }
    }

    fn place(map: &SourceMap, line: i64, column: i64) -> Option<String> {
        let frame = map.translate(&frame(line, column))?;
        Some(format!("{} {}:{}:{}", frame.function, frame.filename, frame.line, frame.column))
    }

    const MAP: &str = r#"{"version":3,"sources":["../src/a.js","webpack://app/b.js",null],"names":["run",7],
        "mappings":"AAAA,IAACA,EACDC;;ACAA"}"#;

    #[test]
    fn a_place_is_where_the_segment_before_it_begins() {
        let map = SourceMap::read(MAP.as_bytes(), "https://x.example/js/a.js.map?v=1").unwrap();
        let a = "https://x.example/src/a.js?v=1";
        assert_eq!(place(&map, 1, 0), Some(format!("? {a}:1:0")));
        assert_eq!(place(&map, 1, 3), Some(format!("? {a}:1:0")));
        assert_eq!(place(&map, 1, 4), Some(format!("run {a}:1:1")));
        assert_eq!(place(&map, 1, 5), Some(format!("run {a}:1:1")));
        assert_eq!(place(&map, 1, 6), Some(format!("7 {a}:2:0")));
        assert_eq!(place(&map, 2, 9), Some(format!("7 {a}:2:0")), "an earlier line");
        assert_eq!(place(&map, 3, 1), Some("? webpack://app/b.js:2:0".to_owned()));
        assert_eq!(place(&map, 4, 0), None, "behind the last line");
        assert_eq!(place(&map, 0, 0), None);
        assert_eq!(place(&map, i64::MIN, i64::MAX), None);
    }

    #[test]
    fn sections_begin_at_their_offset() {
        let section = |line: u32, source: &str| {
            format!(r#"{{"offset":{{"line":{line},"column":0}},"map":{{"sources":["{source}"],"mappings":"AAAA"}}}}"#)
        };
        let json = format!(r#"{{"version":3,"sections":[{},{}]}}"#, section(0, "one"), section(10, "two"));
        let map = SourceMap::read(json.as_bytes(), "").unwrap();
        assert_eq!(place(&map, 1, 5), Some("? one:1:0".to_owned()));
        assert_eq!(place(&map, 11, 5), Some("? two:1:0".to_owned()));
    }

    #[test]
    fn what_is_no_source_map_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"version":4,"mappings":"AAAA"}"#,
            r#"{"mappings":"A-AA"}"#,
            r#"{"mappings":"AAAg"}"#,
            r#"{"mappings":"gggggggggggggg"}"#,
            r#"{"mappings":7}"#,
        ] {
            assert!(SourceMap::read(text.as_bytes(), "").is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let many = |count: usize, what: &str| vec![what; count].join(",");
        let url = format!("http://x/{}/a.js.map", "x".repeat(1000));
        let sections = |map: &str| many(3, &format!(r#"{{"offset":{{}},"map":{map}}}"#));
        for (json, why) in [
            (format!(r#"{{"names":[{}],"mappings":"AAAA"}}"#, many(MAX_ELEMENTS + 1, "0")), "a list of more than"),
            (format!(r#"{{"sources":[{}],"mappings":"AAAA"}}"#, many(100_000, "\"a\"")), "names of its sources"),
            (
                format!(
                    r#"{{"sections":[{}]}}"#,
                    sections(&format!(r#"{{"mappings":"{}"}}"#, many(MAX_SEGMENTS / 2, "A")))
                ),
                "more than 4194304 mappings",
            ),
        ] {
            let refused = SourceMap::read(json.as_bytes(), &url).err().map(|error| error.to_string());
            assert!(refused.as_ref().is_some_and(|refused| refused.contains(why)), "{refused:?}");
        }
    }

    #[test]
    fn sources_are_named_from_where_the_map_is() {
        let base = Url::parse("http://x/js/").unwrap();
        for (source, root, expected) in
            [("a.js", "", "http://x/js/a.js"), ("../../a b.js", "", "http://x/a%20b.js"), ("/abs.js", "", "/abs.js")]
        {
            assert_eq!(absolute(source.to_owned(), Some(&base), root), expected);
        }
        assert_eq!(absolute("./a.js".to_owned(), None, "src/../lib"), "lib/a.js");
        assert_eq!(absolute("./a.js".to_owned(), None, ""), "./a.js");
    }
}
