//! XML as a tree, read strictly and written back.

pub(crate) mod xpath;

/// How deep elements may nest.
const MAX_DEPTH: usize = 200;

/// A document. Nodes are known by their numbers; the document itself is 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    pub nodes: Vec<Node>,
}

/// A node of a document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub kind: Kind,
    pub parent: usize,
    pub children: Vec<usize>,
}

/// What a node is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Kind {
    #[default]
    Document,
    /// Its name, perhaps with a prefix, and its attributes.
    Element(String, Vec<(String, String)>),
    Text(String),
    /// `<![CDATA[…]]>`
    Data(String),
    Comment(String),
    /// `<?…?>`
    Instruction(String),
    /// `<!…>`
    Notation(String),
}

// === impl Document ===

impl Document {
    /// Reads a document, or several elements beside each other.
    pub fn parse(text: &str) -> Result<Document, String> {
        let mut document = Document { nodes: vec![Node::default()] };
        let mut reader = Reader { text, at: 0 };
        let (mut open, mut depth) = (0, 0);
        while reader.at < text.len() {
            let rest = &text[reader.at..];
            if let Some(comment) = rest.strip_prefix("<!--") {
                let end = comment.find("-->").ok_or("XML syntax error: unexpected EOF")?;
                document.add(open, Kind::Comment(comment[..end].to_owned()));
                reader.at += end + 7;
            } else if let Some(data) = rest.strip_prefix("<![CDATA[") {
                let end = data.find("]]>").ok_or("XML syntax error: unexpected EOF in CDATA section")?;
                document.add(open, Kind::Data(data[..end].to_owned()));
                reader.at += end + 12;
            } else if let Some(instruction) = rest.strip_prefix("<?") {
                let end = instruction.find("?>").ok_or("XML syntax error: unexpected EOF")?;
                document.add(open, Kind::Instruction(instruction[..end].trim_end().to_owned()));
                reader.at += end + 4;
            } else if rest.starts_with("<!") {
                let end = directive_end(rest).ok_or("XML syntax error: unexpected EOF")?;
                document.add(open, Kind::Notation(rest[2..end].to_owned()));
                reader.at += end + 1;
            } else if rest.starts_with("</") {
                reader.at += 2;
                let name = reader.name()?;
                reader.blanks();
                reader.expect('>')?;
                match &document.nodes[open].kind {
                    Kind::Element(opened, _) if opened == name => {}
                    Kind::Element(opened, _) => {
                        return Err(format!("XML syntax error: element <{opened}> closed by </{name}>"));
                    }
                    _ => return Err(format!("XML syntax error: unexpected end element </{name}>")),
                }
                open = document.nodes[open].parent;
                depth -= 1;
            } else if rest.starts_with('<') {
                reader.at += 1;
                let (element, closed) = reader.element()?;
                let node = document.add(open, element);
                if !closed {
                    open = node;
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(format!("exceeded maximum XML nesting depth of {MAX_DEPTH}"));
                    }
                }
            } else {
                let end = rest.find('<').unwrap_or(rest.len());
                document.add(open, Kind::Text(unescape(&rest[..end])?));
                reader.at += end;
            }
        }
        if open != 0 {
            return Err("XML syntax error: unexpected EOF".to_owned());
        }
        Ok(document)
    }

    /// Appends a node to another.
    pub fn add(&mut self, parent: usize, kind: Kind) -> usize {
        self.nodes.push(Node { kind, parent, children: Vec::new() });
        let node = self.nodes.len() - 1;
        self.nodes[parent].children.push(node);
        node
    }

    /// Takes a node out of its parent.
    pub fn remove(&mut self, node: usize) {
        let parent = self.nodes[node].parent;
        self.nodes[parent].children.retain(|child| *child != node);
    }

    /// Copies the children of another document's node to the end of a node.
    pub fn graft(&mut self, to: usize, from: &Document, node: usize) {
        for child in &from.nodes[node].children {
            let copy = self.add(to, from.nodes[*child].kind.clone());
            self.graft(copy, from, *child);
        }
    }

    /// All text inside a node.
    pub fn inner_text(&self, node: usize) -> String {
        let mut out = String::new();
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            match &self.nodes[node].kind {
                Kind::Text(text) | Kind::Data(text) => out.push_str(text),
                Kind::Comment(text) if todo.is_empty() && out.is_empty() => out.push_str(text),
                Kind::Element(..) | Kind::Document => todo.extend(self.nodes[node].children.iter().rev()),
                _ => {}
            }
        }
        out
    }

    /// The document written; where `xml:space` is `default`, text without the blanks around it.
    pub fn write(&self) -> String {
        let mut out = String::new();
        for child in &self.nodes[0].children {
            self.write_node(*child, true, &mut out);
        }
        out
    }

    /// One node written.
    pub fn write_node(&self, node: usize, mut preserve: bool, out: &mut String) {
        match &self.nodes[node].kind {
            Kind::Document => {}
            Kind::Text(text) => escape(if preserve { text } else { text.trim() }, out),
            Kind::Data(text) => out.push_str(&format!("<![CDATA[{text}]]>")),
            Kind::Comment(text) => out.push_str(&format!("<!--{text}-->")),
            Kind::Instruction(text) => out.push_str(&format!("<?{text}?>")),
            Kind::Notation(text) => out.push_str(&format!("<!{text}>")),
            Kind::Element(name, attributes) => {
                match attributes.iter().find(|(name, _)| name == "xml:space").map(|(_, value)| value.as_str()) {
                    Some("preserve") => preserve = true,
                    Some("default") => preserve = false,
                    _ => {}
                }
                out.push_str(&format!("<{name}"));
                for (name, value) in attributes {
                    out.push_str(&format!(" {name}=\""));
                    escape(value, out);
                    out.push('"');
                }
                out.push('>');
                for child in &self.nodes[node].children {
                    self.write_node(*child, preserve, out);
                }
                out.push_str(&format!("</{name}>"));
            }
        }
    }
}

/// A name without its prefix.
pub(crate) fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn directive_end(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '<') => depth += 1,
            (None, '>') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn expect(&mut self, character: char) -> Result<(), String> {
        if !self.rest().starts_with(character) {
            return Err(match self.rest().chars().next() {
                None => "XML syntax error: unexpected EOF".to_owned(),
                Some(found) => format!("XML syntax error: expected {character:?}, found {found:?}"),
            });
        }
        self.at += character.len_utf8();
        Ok(())
    }

    fn name(&mut self) -> Result<&'t str, String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "_:.-".contains(c))).unwrap_or(rest.len());
        let name = &rest[..end];
        if name.is_empty() || name.starts_with(|c: char| c.is_numeric() || c == '.' || c == '-') {
            return Err("XML syntax error: expected a name".to_owned());
        }
        self.at += end;
        Ok(name)
    }

    /// What follows `<`; and whether it ends with `/>`.
    fn element(&mut self) -> Result<(Kind, bool), String> {
        let name = self.name()?.to_owned();
        let mut attributes = Vec::new();
        loop {
            self.blanks();
            if self.rest().starts_with("/>") {
                self.at += 2;
                return Ok((Kind::Element(name, attributes), true));
            }
            if self.rest().starts_with('>') {
                self.at += 1;
                return Ok((Kind::Element(name, attributes), false));
            }
            let key = self.name()?.to_owned();
            self.blanks();
            self.expect('=')?;
            self.blanks();
            let quote = match self.rest().chars().next() {
                Some(quote @ ('"' | '\'')) => quote,
                _ => return Err("XML syntax error: unquoted or missing attribute value in element".to_owned()),
            };
            self.at += 1;
            let end = self.rest().find(quote).ok_or("XML syntax error: unexpected EOF")?;
            let value = &self.rest()[..end];
            if value.contains('<') {
                return Err("XML syntax error: unescaped < inside quoted string".to_owned());
            }
            attributes.push((key, unescape(value)?));
            self.at += end + 1;
        }
    }
}

fn unescape(text: &str) -> Result<String, String> {
    if !text.contains(['&', '\r']) {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut rest = text.as_str();
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let entity = &rest[at + 1..];
        let bad =
            || format!("XML syntax error: invalid character entity &{}", entity.chars().take(10).collect::<String>());
        let end = entity.find(';').ok_or_else(bad)?;
        let name = &entity[..end];
        let character = match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => match name.strip_prefix("#x") {
                Some(digits) => u32::from_str_radix(digits, 16).ok().and_then(char::from_u32),
                None => name.strip_prefix('#').and_then(|digits| digits.parse().ok()).and_then(char::from_u32),
            },
        };
        out.push(character.ok_or_else(bad)?);
        rest = &entity[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// As HTML is escaped, which is how the Collector's library does it.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_written_as_they_were_read() {
        for (text, expected) in [
            ("<a x=\"1\"><b>t</b><c/></a>", "<a x=\"1\"><b>t</b><c></c></a>"),
            (
                "<?xml version=\"1.0\"?><n:a><!--c--><![CDATA[x<y]]> t &lt; </n:a>",
                "<?xml version=\"1.0\"?><n:a><!--c--><![CDATA[x<y]]> t &lt; </n:a>",
            ),
            ("<a/><b y='&#65;&quot;'/>", "<a></a><b y=\"A&#34;\"></b>"),
        ] {
            assert_eq!(Document::parse(text).unwrap().write(), expected);
        }
        for bad in ["<a>", "<a></b>", "</a>", "<a x=1/>", "<a>&no;</a>", "<a x=\"<\"/>", "<", "<!--"] {
            assert!(Document::parse(bad).is_err(), "{bad}");
        }
        assert!(Document::parse(&"<a>".repeat(100_000)).is_err());
    }
}
