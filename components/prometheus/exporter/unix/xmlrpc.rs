//! As much of XML-RPC as asking supervisord takes: a call without parameters, and the values of an answer.

use std::borrow::Cow;

/// A value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A whole number, or a truth.
    Number(i64),
    /// A text, and whatever is neither a number nor has parts.
    Text(String),
    /// Values one behind the other.
    List(Vec<Value>),
    /// Values by name.
    Members(Vec<(String, Value)>),
}

/// Values within values.
const DEEPEST: usize = 32;

/// A call of a method.
pub(crate) fn call(method: &str) -> String {
    format!("<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params></params></methodCall>")
}

/// The value of an answer, or why there is none.
pub(crate) fn answer(text: &str) -> Result<Value, String> {
    let mut reader = Reader { rest: text, depth: 0 };
    let value = (|| {
        reader.past("methodResponse")?;
        match reader.next()? {
            Part::Open("params") => {
                reader.past("param")?;
                reader.past("value")?;
                Some(Ok(reader.value()?))
            }
            Part::Open("fault") => {
                reader.past("value")?;
                Some(Err(reader.value()?))
            }
            _ => None,
        }
    })();
    match value {
        Some(Ok(value)) => Ok(value),
        Some(Err(fault)) => {
            let told = fault.member("faultString").and_then(Value::text).unwrap_or("no reason given");
            Err(format!("it answers with a fault: {told}"))
        }
        None => Err("the answer is not one of XML-RPC".to_owned()),
    }
}

// === impl Value ===

impl Value {
    /// Its number, if it is one.
    pub fn number(&self) -> Option<i64> {
        if let Value::Number(number) = self { Some(*number) } else { None }
    }

    /// Its text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// Its values, if it has some.
    pub fn list(&self) -> &[Value] {
        if let Value::List(values) = self { values } else { &[] }
    }

    /// The value of a name.
    pub fn member(&self, name: &str) -> Option<&Value> {
        let Value::Members(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

// === reading ===

/// What comes next. Attributes are left out: XML-RPC has none.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part<'t> {
    Open(&'t str),
    Close(&'t str),
    /// Opened and closed at once.
    Empty(&'t str),
    Text(&'t str),
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// None at the end, and where no markup can be.
    fn part(&mut self) -> Option<Part<'t>> {
        loop {
            if !self.rest.starts_with('<') {
                let end = self.rest.find('<')?;
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                return Some(Part::Text(text));
            }
            let (skipped, end) = match self.rest {
                rest if rest.starts_with("<!--") => (true, "-->"),
                rest if rest.starts_with("<?") => (true, "?>"),
                rest if rest.starts_with("<!") => (true, ">"),
                _ => (false, ">"),
            };
            let (tag, rest) = self.rest.split_once(end)?;
            self.rest = rest;
            if !skipped {
                let tag = &tag[1..];
                let name = |tag: &'t str| tag.split_whitespace().next().unwrap_or_default();
                return Some(match (tag.strip_prefix('/'), tag.strip_suffix('/')) {
                    (Some(tag), _) => Part::Close(name(tag)),
                    (None, Some(tag)) => Part::Empty(name(tag)),
                    (None, None) => Part::Open(name(tag)),
                });
            }
        }
    }

    /// The next one that is more than blanks.
    fn next(&mut self) -> Option<Part<'t>> {
        loop {
            match self.part()? {
                Part::Text(text) if text.trim().is_empty() => {}
                part => return Some(part),
            }
        }
    }

    fn past(&mut self, name: &str) -> Option<()> {
        (self.next()? == Part::Open(name)).then_some(())
    }

    fn end(&mut self, name: &str) -> Option<()> {
        (self.next()? == Part::Close(name)).then_some(())
    }

    /// The text up to the end of an element.
    fn text(&mut self, name: &str) -> Option<String> {
        match self.part()? {
            Part::Close(closed) if closed == name => Some(String::new()),
            Part::Text(text) => {
                self.end(name)?;
                unescaped(text)
            }
            _ => None,
        }
    }

    /// What is in a `value` that was opened, and its end.
    fn value(&mut self) -> Option<Value> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let value = match self.part()? {
            // Without a type it is a text, and so are blanks if nothing else is there.
            Part::Text(text) => match self.part()? {
                Part::Close("value") => {
                    self.depth -= 1;
                    return Some(Value::Text(unescaped(text)?));
                }
                part if text.trim().is_empty() => self.typed(part)?,
                _ => return None,
            },
            Part::Close("value") => {
                self.depth -= 1;
                return Some(Value::Text(String::new()));
            }
            part => self.typed(part)?,
        };
        self.end("value")?;
        self.depth -= 1;
        Some(value)
    }

    fn typed(&mut self, part: Part<'t>) -> Option<Value> {
        match part {
            Part::Open(kind @ ("int" | "i4" | "i8" | "boolean")) => {
                Some(Value::Number(self.text(kind)?.trim().parse().ok()?))
            }
            Part::Open("array") => {
                let mut values = Vec::new();
                match self.next()? {
                    Part::Empty("data") => {}
                    Part::Open("data") => loop {
                        match self.next()? {
                            Part::Open("value") => values.push(self.value()?),
                            Part::Empty("value") => values.push(Value::Text(String::new())),
                            Part::Close("data") => break,
                            _ => return None,
                        }
                    },
                    _ => return None,
                }
                self.end("array")?;
                Some(Value::List(values))
            }
            Part::Open("struct") => {
                let mut members = Vec::new();
                loop {
                    match self.next()? {
                        Part::Open("member") => {}
                        Part::Close("struct") => break,
                        _ => return None,
                    }
                    self.past("name")?;
                    let name = self.text("name")?;
                    let value = match self.next()? {
                        Part::Open("value") => self.value()?,
                        Part::Empty("value") => Value::Text(String::new()),
                        _ => return None,
                    };
                    self.end("member")?;
                    members.push((name, value));
                }
                Some(Value::Members(members))
            }
            Part::Empty("struct") => Some(Value::Members(Vec::new())),
            Part::Open(kind) => Some(Value::Text(self.text(kind)?)),
            Part::Empty(_) => Some(Value::Text(String::new())),
            Part::Close(_) | Part::Text(_) => None,
        }
    }
}

/// A text with its entities as what they stand for.
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let (name, after) = after.split_once(';')?;
        let character: Cow<'_, str> = match name {
            "lt" => "<".into(),
            "gt" => ">".into(),
            "amp" => "&".into(),
            "quot" => "\"".into(),
            "apos" => "'".into(),
            number => {
                let number = number.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?.to_string().into()
            }
        };
        plain.push_str(&character);
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: &str) -> String {
        format!(
            "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n{value}\n</param>\n</params>\n</methodResponse>\n"
        )
    }

    #[test]
    fn values_of_all_kinds_are_read() {
        let text = params(
            "<value><array><data>
              <value><struct>
                <member><name>n</name><value><int>-5</int></value></member>
                <member><name>i</name><value><i4>7</i4></value></member>
                <member><name>s</name><value><string>a &lt;&#x41;&#66;&gt; &amp;b</string></value></member>
                <member><name>e</name><value><string></string></value></member>
                <member><name>u</name><value> bare </value></member>
                <member><name>t</name><value><boolean>1</boolean></value></member>
                <member><name>d</name><value><double>1.5</double></value></member>
                <!-- and nothing --><member><name>z</name><value/></member>
              </struct></value>
              <value><array><data/></array></value>
            </data></array></value>",
        );
        let value = answer(&text).unwrap();
        let [first, second] = value.list() else { panic!("two values: {value:?}") };
        assert_eq!(first.member("n").and_then(Value::number), Some(-5));
        assert_eq!(first.member("i").and_then(Value::number), Some(7));
        assert_eq!(first.member("t").and_then(Value::number), Some(1));
        for (name, text) in [("s", "a <AB> &b"), ("e", ""), ("u", " bare "), ("d", "1.5"), ("z", "")] {
            assert_eq!(first.member(name).and_then(Value::text), Some(text), "{name}");
        }
        assert!(second.list().is_empty() && first.member("none").is_none());
    }

    #[test]
    fn faults_and_nonsense_are_told_apart() {
        let fault = "<methodResponse><fault><value><struct><member><name>faultString</name><value><string>UNKNOWN_METHOD</string></value></member></struct></value></fault></methodResponse>";
        assert_eq!(answer(fault), Err("it answers with a fault: UNKNOWN_METHOD".to_owned()));
        let deep = params(&"<value><array><data>".repeat(100));
        for nonsense in [
            "",
            "<",
            "<a",
            "<html></html>",
            "<methodResponse><params>",
            &params("<value><int>x</int></value>"),
            &params("<value>&nope;</value>"),
            &deep,
        ] {
            assert_eq!(answer(nonsense), Err("the answer is not one of XML-RPC".to_owned()), "{nonsense}");
        }
        // Whatever a server sends that stops in the middle.
        let whole = params("<value><array><data><value><int>5</int></value></data></array></value>");
        let end = whole.find("</value>\n</param>").unwrap();
        for end in 0..end {
            assert!(answer(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
    }
}
