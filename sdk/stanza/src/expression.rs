//! The language of `if`, `expr` and `EXPR(…)`: `body matches "^ERROR" and attributes["stream"] != "stdout"`.
//!
//! A part of expr-lang, which the Collector uses: comparisons, `and or not`, `in`, `matches contains startsWith endsWith`,
//! arithmetic, `?:`, `??`, `?.`, lists, functions and the predicates over lists. It knows `body` (also written `$`),
//! `attributes`, `resource` and `env("NAME")`. What does not exist here is refused when it is read, with its place.

mod functions;
mod lexer;
mod parser;
mod run;

use std::borrow::Cow;

use base_re2::Regex;
use sdk_protocols_otlp::model::{AnyValue, Map};

use crate::entry::Entry;
use crate::field::Root;
use functions::{Function, Predicate};

/// An expression, ready to run.
#[derive(Debug)]
pub struct Expression {
    root: Node,
}

/// Text with expressions in it: `host-EXPR(env("HOST"))`.
#[derive(Debug)]
pub struct Template {
    /// Each text, and the expression behind it.
    parts: Vec<(String, Option<Expression>)>,
}

/// A part of an expression.
#[derive(Debug)]
enum Node {
    Constant(AnyValue),
    Root(Root),
    /// `#`: the element that a predicate looks at.
    Element,
    Member {
        of: Box<Node>,
        key: Box<Node>,
        optional: bool,
    },
    Not(Box<Node>),
    Negative(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    /// With a pattern that was compiled when it was read.
    Matches(Box<Node>, Regex),
    Condition(Box<Node>, Box<Node>, Box<Node>),
    List(Vec<Node>),
    Pairs(Vec<(String, Node)>),
    Call(Function, Vec<Node>),
    Over(Predicate, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    Greater,
    AtMost,
    AtLeast,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Plus,
    Minus,
    Times,
    Divided,
    Modulo,
    Power,
    Coalesce,
}

/// What a part comes to.
#[derive(Clone, Debug)]
enum Val<'e> {
    Value(Cow<'e, AnyValue>),
    Map(&'e Map),
}

// === impl Expression ===

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong and where in the text.
    pub fn new(text: &str) -> Result<Expression, String> {
        parser::parse(text).map(|root| Expression { root })
    }

    /// Reads an expression that must come to a truth value.
    ///
    /// # Errors
    /// What is wrong and where in the text.
    pub fn truth(text: &str) -> Result<Expression, String> {
        let expression = Expression::new(text)?;
        match expression.root.kind() {
            Some(kind) if kind != "bool" => Err(format!("it comes to a {kind}, not to true or false: {text}")),
            _ => Ok(expression),
        }
    }

    /// What it comes to.
    ///
    /// # Errors
    /// Its parts do not go together in this record.
    pub fn value(&self, entry: &Entry) -> Result<AnyValue, String> {
        run::Run { entry, element: None }.node(&self.root).map(Val::into_value)
    }

    /// Whether it is true.
    ///
    /// # Errors
    /// Its parts do not go together in this record, or it comes to something else.
    pub fn is_true(&self, entry: &Entry) -> Result<bool, String> {
        run::Run { entry, element: None }.truth(&self.root)
    }
}

// === impl Template ===

impl Template {
    /// Reads a text. An expression goes from `EXPR(` to the last parenthesis before the next one.
    ///
    /// # Errors
    /// What is wrong in an expression.
    pub fn new(text: &str) -> Result<Template, String> {
        const START: &str = "EXPR(";
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find(START) {
            let inner = &rest[start + START.len()..];
            let end = inner.find(START).unwrap_or(inner.len());
            let Some(end) = inner[..end].rfind(')') else { break };
            parts.push((rest[..start].to_owned(), Some(Expression::new(&inner[..end])?)));
            rest = &inner[end + 1..];
        }
        parts.push((rest.to_owned(), None));
        Ok(Template { parts })
    }

    /// The text for a record.
    ///
    /// # Errors
    /// An expression does not come to text.
    pub fn render(&self, entry: &Entry) -> Result<String, String> {
        let mut out = String::new();
        for (text, expression) in &self.parts {
            out.push_str(text);
            match expression.as_ref().map(|expression| expression.value(entry)).transpose()? {
                None => {}
                Some(AnyValue::Text(text)) => out.push_str(&text.as_str()),
                Some(other) => return Err(format!("embedded expression returned non-string {}", other.to_text())),
            }
        }
        Ok(out)
    }
}

// === impl Node ===

impl Node {
    /// What it comes to, where that does not depend on the record.
    fn kind(&self) -> Option<&'static str> {
        match self {
            Node::Constant(value) => Some(crate::entry::type_of(value)).filter(|kind| *kind != "<nil>"),
            Node::Root(Root::Attributes | Root::Resource) | Node::Pairs(_) => Some("map"),
            Node::List(_) => Some("list"),
            Node::Not(_) | Node::Matches(..) => Some("bool"),
            Node::Negative(_) => Some("number"),
            Node::Binary(operator, ..) => match operator {
                Operator::Plus | Operator::Coalesce => None,
                Operator::Minus | Operator::Times | Operator::Divided | Operator::Modulo | Operator::Power => {
                    Some("number")
                }
                _ => Some("bool"),
            },
            _ => None,
        }
    }
}

// === impl Val ===

impl<'e> Val<'e> {
    fn own(value: impl Into<AnyValue>) -> Val<'e> {
        Val::Value(Cow::Owned(value.into()))
    }

    fn into_value(self) -> AnyValue {
        match self {
            Val::Value(value) => value.into_owned(),
            Val::Map(map) => AnyValue::Map(map.clone()),
        }
    }

    fn is_nil(&self) -> bool {
        matches!(self, Val::Value(value) if **value == AnyValue::Empty)
    }

    fn type_of(&self) -> &'static str {
        match self {
            Val::Value(value) => crate::entry::type_of(value),
            Val::Map(_) => "map[string]interface {}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let mut entry = Entry::new("ERROR: disk full", 0, 0);
        entry.attributes =
            [("stream", AnyValue::from("stderr")), ("code", AnyValue::Double(503.0))].into_iter().collect();
        entry.attributes.set("k8s.pod", "web-1");
        entry.attributes.set("tags", vec![AnyValue::from("a"), AnyValue::from("bc")]);
        entry.attributes.set("empty", AnyValue::Empty);
        entry.resource = [("host", "h1")].into_iter().collect();
        entry
    }

    #[test]
    fn expressions_come_to_values() {
        let entry = entry();
        for (text, expected) in [
            ("body", "ERROR: disk full"),
            ("$", "ERROR: disk full"),
            ("attributes.stream == 'stderr'", "true"),
            ("attributes[\"k8s.pod\"] + '/' + resource.host", "web-1/h1"),
            ("body matches '^ERR' and not (attributes.code == 200)", "true"),
            ("body not matches '^ERR'", "false"),
            ("attributes.missing matches '^x'", "false"),
            ("attributes.missing == nil", "true"),
            ("attributes.missing?.deep == nil", "true"),
            ("attributes.missing ?? \"none\"", "none"),
            ("attributes.code in [500, 503]", "true"),
            ("attributes.code >= 500 && attributes.code < 600", "true"),
            ("\"stream\" in attributes", "true"),
            ("\"other\" not in attributes", "true"),
            ("body contains 'disk' || body startsWith 'x'", "true"),
            ("body endsWith \"full\" ? 'yes' : 'no'", "yes"),
            ("1 + 2 * 3 - 10 / 4", "4.5"),
            ("2 ** 3 ** 2", "512"),
            ("7 % 4", "3"),
            ("-2 + 3", "1"),
            ("len(attributes.tags)", "2"),
            ("attributes.tags[-1]", "bc"),
            ("any(attributes.tags, {# == 'a'})", "true"),
            ("all(attributes.tags, len(#) == 1)", "false"),
            ("count(attributes.tags, # startsWith 'b')", "1"),
            ("attributes.tags | first() | upper()", "A"),
            ("split('a,b', ',')[1] + \"\\t\" + trim('  x ')", "b\tx"),
            ("type(attributes.code) /* a remark */", "float"),
            ("int('42') + 0x10", "58"),
            ("{a: 1, 'b c': [true, nil]}", "{\"a\":1,\"b c\":[true,null]}"),
            ("`raw\\n`", "raw\\n"),
            ("env('STANZA_TEST_THAT_IS_NOT_SET') == ''", "true"),
            ("not true or true", "true"),
        ] {
            let value = Expression::new(text).map_err(|error| format!("{text}: {error}")).unwrap().value(&entry);
            assert_eq!(value.map(|value| value.to_text().into_owned()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let entry = entry();
        for (text, part) in [
            ("attributes.missing.deep == 1", "cannot fetch deep from <nil>"),
            ("attributes.missing > 1", "invalid operation: <nil> > int64"),
            ("body + 1", "invalid operation: string + int64"),
            ("len(attributes.missing)", "invalid argument for len"),
            ("attributes.tags[5]", "index out of range"),
            ("1 in body", "not defined on string"),
            ("body and true", "string"),
            ("1 % 0", "divide by zero"),
        ] {
            let error = Expression::new(text).unwrap().value(&entry).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Expression::truth("body").unwrap().is_true(&entry).is_err());
    }

    #[test]
    fn faults_of_the_text_have_their_place() {
        for (text, part) in [
            ("", "at 1: an expression is expected"),
            ("body ==", "at 8: an expression is expected"),
            ("body = 1", "at 6"),
            ("bodi == 1", "at 1: there is no \"bodi\"; did you mean \"body\"?"),
            ("lenn(body)", "at 1: there is no function \"lenn\"; did you mean \"len\"?"),
            ("len(body, 1)", "at 1: len takes 1 argument, not 2"),
            ("body matches '('", "at 14: "),
            ("(body", "at 6: ) is expected"),
            ("body 'x'", "at 6: "),
            ("'open", "at 1: the text has no end"),
            ("'\\q'", "at 2: "),
            ("1 ? 2", "at 6: : is expected"),
            ("# == 1", "at 1: "),
        ] {
            let error = Expression::new(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Expression::truth("'x'").unwrap_err().contains("not to true or false"));
        assert!(Expression::new(&"(".repeat(10_000)).unwrap_err().contains("nested"));
        assert!(Expression::new(&format!("{}body", "not ".repeat(10_000))).unwrap_err().contains("nested"));
    }

    #[test]
    fn templates_hold_expressions() {
        let entry = entry();
        let shown = |text: &str| Template::new(text).and_then(|template| template.render(&entry));
        assert_eq!(shown("x-EXPR(attributes.stream)-EXPR(upper('y'))."), Ok("x-stderr-Y.".to_owned()));
        assert_eq!(shown("EXPR(open"), Ok("EXPR(open".to_owned()));
        assert!(shown("EXPR(attributes.code)").is_err());
        assert!(shown("EXPR(==)").is_err());
    }
}
