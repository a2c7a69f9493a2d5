//! A document as a tree.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// How deep a document may nest.
const MAX_DEPTH: usize = 100;
/// How much text aliases may repeat, in bytes: a long one and many aliases to it would become any size.
const MOST_REPEATED: usize = 8 << 20;

/// A value of a document, and the line where it begins, from 1.
#[derive(Clone, Debug)]
pub struct Node {
    /// From 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A text that may mean a number, a truth or nothing.
    Scalar(Scalar),
    /// In order. Aliases share what they name: a document of a million nodes may be nine lines.
    List(Rc<[Node]>),
    /// In order, keys of any kind; what was merged in (`<<`) comes last, and only where the mapping does not say otherwise itself.
    Map(Rc<[(Node, Node)]>),
}

/// A scalar as it was written.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// Quotes and escapes resolved.
    pub text: String,
    /// It stands without quotes: what it means follows from how it looks.
    pub plain: bool,
    /// `!!str` is `("tag:yaml.org,2002:", "str")`.
    pub tag: Option<(String, String)>,
}

struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Each with what it holds.
    anchors: HashMap<usize, (Node, Size)>,
    /// So far, aliases expanded.
    size: Size,
    most_nodes: usize,
    /// Of the text, what came by aliases.
    repeated: usize,
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    /// Of text.
    bytes: usize,
}

// === impl Node ===

impl Node {
    /// The first document of a text; without one, null. At most so many nodes, aliases expanded.
    pub fn of(text: &str, most_nodes: usize) -> Result<Node, String> {
        let parser = Parser::new_from_str(text);
        Loader { parser, anchors: HashMap::new(), size: Size::default(), most_nodes, repeated: 0 }.document()
    }

    /// Of a scalar, as which keys are compared.
    fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }
}

// === impl Loader ===

impl<'a> Loader<'a> {
    fn document(&mut self) -> Result<Node, String> {
        loop {
            let (event, span) = self.event()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::StreamEnd | Event::DocumentEnd => {
                    let nothing = Scalar { text: String::new(), plain: true, tag: None };
                    return Ok(Node { line: 1, kind: Kind::Scalar(nothing) });
                }
                event => return self.value(event, span, 0),
            }
        }
    }

    /// The next event that means something to a value.
    fn event(&mut self) -> Result<(Event<'a>, Span), String> {
        loop {
            match self.parser.next() {
                Some(Ok(event)) if is_content(&event.0) => return Ok(event),
                // Comments, which there are if another crate asks for them.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, String> {
        let line = span.start.line();
        if depth > MAX_DEPTH {
            return Err(format!("line {line}: nests too deep"));
        }
        let before = self.size;
        self.count(Size { nodes: 1, bytes: 0 }, line)?;
        let (kind, anchor) = match event {
            Event::Alias(anchor) => {
                let (node, size) =
                    self.anchors.get(&anchor).cloned().ok_or_else(|| format!("line {line}: unknown anchor"))?;
                self.repeated = self.repeated.saturating_add(size.bytes);
                self.count(size, line)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref().map(|tag| (tag.handle().to_owned(), tag.suffix().to_owned()));
                let plain = style == ScalarStyle::Plain;
                self.size.bytes = self.size.bytes.saturating_add(text.len());
                (Kind::Scalar(Scalar { text: text.into_owned(), plain, tag }), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(depth)?, anchor),
            _ => return Err(format!("line {line}: did not find expected node content")),
        };
        let node = Node { line, kind };
        if anchor != 0 {
            let Size { nodes, bytes } = self.size;
            let size = Size { nodes: nodes - before.nodes, bytes: bytes - before.bytes };
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn count(&mut self, more: Size, line: usize) -> Result<(), String> {
        self.size.nodes = self.size.nodes.saturating_add(more.nodes);
        self.size.bytes = self.size.bytes.saturating_add(more.bytes);
        if self.size.nodes > self.most_nodes {
            return Err(format!("line {line}: holds more than {} values", self.most_nodes));
        }
        if self.repeated > MOST_REPEATED {
            return Err(format!("line {line}: aliases repeat more than {MOST_REPEATED} bytes of text"));
        }
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Kind, String> {
        let mut items = Vec::new();
        loop {
            match self.event()? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(items.into())),
                (event, span) => items.push(self.value(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Kind, String> {
        let mut fields: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<Node> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.event()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.value(event, span, depth + 1)?;
            let (event, span) = self.event()?;
            let value = self.value(event, span, depth + 1)?;
            if merge {
                merged.push(value);
                continue;
            }
            if let Some(name) = key.text()
                && let Some(first) = lines.insert(name.to_owned(), key.line)
            {
                return Err(format!("line {}: mapping key {name:?} already defined at line {first}", key.line));
            }
            fields.push((key, value));
        }
        for node in merged {
            merge_into(&mut fields, &mut lines, &node)?;
        }
        Ok(Kind::Map(fields.into()))
    }
}

fn is_content(event: &Event<'_>) -> bool {
    use Event::*;
    matches!(
        event,
        StreamStart
            | StreamEnd
            | DocumentStart(..)
            | DocumentEnd
            | Alias(_)
            | Scalar(..)
            | SequenceStart(..)
            | SequenceEnd
            | MappingStart(..)
            | MappingEnd
    )
}

/// `<<: *defaults`: what stands in the mapping itself wins, then what was merged first.
fn merge_into(fields: &mut Vec<(Node, Node)>, lines: &mut HashMap<String, usize>, node: &Node) -> Result<(), String> {
    let wrong = || Err("map merge requires map or sequence of maps as the value".to_owned());
    match &node.kind {
        Kind::Map(more) => {
            for (key, value) in more.iter() {
                let is_there = key.text().is_some_and(|name| lines.contains_key(name));
                if !is_there {
                    lines.extend(key.text().map(|name| (name.to_owned(), key.line)));
                    fields.push((key.clone(), value.clone()));
                }
            }
            Ok(())
        }
        Kind::List(nodes) => nodes.iter().try_for_each(|node| match node.kind {
            Kind::List(_) => wrong(),
            _ => merge_into(fields, lines, node),
        }),
        Kind::Scalar(_) => wrong(),
    }
}
