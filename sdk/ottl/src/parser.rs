//! A statement's text read into its tree, in one pass and without going back.
//!
//! Arithmetic and conditions both use parentheses, and which of them a parenthesis holds is known only behind it. So one
//! ladder of precedence reads both, and what was read is asked afterwards whether it is a value or a condition.

use std::ops::Range;

use crate::fault::Blame;
use crate::lexer::{Kind, Token, tokens};
use crate::syntax::{Argument, Boolean, Call, Key, Operator, Path, Segment, Statement, Value, ValueKind};

/// How deep a statement may nest.
const MAX_DEPTH: usize = 48;
/// How many arithmetic operations a statement may hold: each nests the tree once more, and what walks the tree recurses.
const MAX_OPERATIONS: usize = 200;

/// Reads `editor(…) where condition`.
pub(crate) fn statement(text: &str) -> Result<Statement, Blame> {
    let mut parser = Parser::new(text)?;
    let editor = parser.editor()?;
    let condition = if parser.next_is(&Kind::Where) { Some(parser.condition()?) } else { None };
    parser.end(if condition.is_some() {
        "the end of the statement"
    } else {
        "\"where\" or the end of the statement"
    })?;
    Ok(Statement { editor, condition })
}

/// Reads a condition.
pub(crate) fn condition(text: &str) -> Result<Boolean, Blame> {
    let mut parser = Parser::new(text)?;
    let condition = parser.condition()?;
    parser.end("the end of the condition")?;
    Ok(condition)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    operations: usize,
}

/// What a rung of the ladder read.
enum Read {
    Value(Value),
    Condition(Boolean, Range<usize>),
}

// === impl Parser ===

impl Parser {
    fn new(text: &str) -> Result<Parser, Blame> {
        Ok(Parser { tokens: tokens(text)?, at: 0, depth: 0, operations: 0 })
    }

    fn peek(&self) -> &Token {
        // The last token is the end, and nothing steps over it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn kind_after(&self, steps: usize) -> &Kind {
        &self.tokens[(self.at + steps).min(self.tokens.len() - 1)].kind
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn next_is(&mut self, kind: &Kind) -> bool {
        let is = self.peek().kind == *kind;
        if is {
            self.take();
        }
        is
    }

    fn sign(&mut self, sign: u8) -> bool {
        self.next_is(&Kind::Sign(sign))
    }

    fn expect(&mut self, sign: u8, wanted: &str) -> Result<Range<usize>, Blame> {
        let at = self.peek().at.clone();
        if self.sign(sign) { Ok(at) } else { Err(self.unexpected(wanted)) }
    }

    fn end(&self, wanted: &str) -> Result<(), Blame> {
        if self.peek().kind == Kind::End { Ok(()) } else { Err(self.unexpected(wanted)) }
    }

    fn unexpected(&self, wanted: &str) -> Blame {
        let token = self.peek();
        Blame::new(token.at.clone(), format!("expected {wanted}, found {}", name(&token.kind)))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Parser) -> Result<T, Blame>) -> Result<T, Blame> {
        if self.depth >= MAX_DEPTH {
            return Err(Blame::new(self.peek().at.clone(), format!("nested more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn editor(&mut self) -> Result<Call, Blame> {
        match &self.peek().kind {
            Kind::Lower(_) if *self.kind_after(1) == Kind::Sign(b'(') => {}
            Kind::Upper(name) => {
                let message =
                    format!("a statement begins with an editor, whose name has a small first letter; {name:?} has not");
                return Err(Blame::new(self.peek().at.clone(), message));
            }
            _ => return Err(self.unexpected("an editor such as set(…)")),
        }
        let call = self.call()?;
        if !call.keys.is_empty() {
            let message = format!("only paths and converters may be indexed, not editors such as {:?}", call.name);
            return Err(Blame::new(call.at, message));
        }
        Ok(call)
    }

    /// A function's name, its arguments in parentheses, and keys behind them.
    fn call(&mut self) -> Result<Call, Blame> {
        let name = self.take();
        let (Kind::Lower(text) | Kind::Upper(text)) = name.kind else { return Err(self.unexpected("a function")) };
        let arguments = self.deeper(|parser| parser.arguments())?;
        let mut at = name.at.start..self.tokens[self.at - 1].at.end;
        let keys = self.keys()?;
        if !keys.is_empty() {
            at.end = self.tokens[self.at - 1].at.end;
        }
        Ok(Call { name: text, name_at: name.at, arguments, keys, at })
    }

    fn arguments(&mut self) -> Result<Vec<Argument>, Blame> {
        self.expect(b'(', "\"(\"")?;
        let mut arguments = Vec::new();
        if self.sign(b')') {
            return Ok(arguments);
        }
        loop {
            let mut name = None;
            if let Kind::Lower(text) = &self.peek().kind
                && *self.kind_after(1) == Kind::Equal
            {
                name = Some((text.clone(), self.peek().at.clone()));
                self.take();
                self.take();
            }
            arguments.push(Argument { name, value: self.value()? });
            if !self.sign(b',') {
                break;
            }
        }
        self.expect(b')', "\",\" or \")\"")?;
        Ok(arguments)
    }

    fn keys(&mut self) -> Result<Vec<Key>, Blame> {
        let mut keys = Vec::new();
        while self.sign(b'[') {
            let key = match (&self.peek().kind, self.kind_after(1)) {
                (Kind::Text(text), Kind::Sign(b']')) => {
                    let key = Key::Text(text.clone());
                    self.take();
                    key
                }
                (Kind::Text(_), _) => {
                    self.take();
                    return Err(self.unexpected("\"]\""));
                }
                _ => {
                    let value = self.deeper(|parser| parser.value())?;
                    match value.kind {
                        ValueKind::Int(index) => Key::Int(index),
                        _ if is_operand(&value) => Key::Expression(value),
                        _ => {
                            let message = "a key is a text, a number, a path, a converter's call or arithmetic";
                            return Err(Blame::new(value.at, message));
                        }
                    }
                }
            };
            self.expect(b']', "\"]\"")?;
            keys.push(key);
        }
        Ok(keys)
    }

    fn condition(&mut self) -> Result<Boolean, Blame> {
        let read = self.deeper(|parser| parser.or())?;
        self.as_condition(read)
    }

    fn value(&mut self) -> Result<Value, Blame> {
        match self.deeper(|parser| parser.sum())? {
            Read::Value(value) => Ok(value),
            Read::Condition(_, at) => Err(Blame::new(at, "expected a value, found a condition")),
        }
    }

    fn as_condition(&self, read: Read) -> Result<Boolean, Blame> {
        let value = match read {
            Read::Condition(condition, _) => return Ok(condition),
            Read::Value(value) => value,
        };
        match value.kind {
            ValueKind::Bool(value) => Ok(Boolean::Literal(value)),
            ValueKind::Converter(call) => Ok(Boolean::Converter(call)),
            _ if self.peek().kind == Kind::Equal => Err(self.unexpected("a comparison")),
            _ => {
                let message = "this is no condition: compare it with something, as in \"== true\" or \"!= nil\"";
                Err(Blame::new(value.at, message))
            }
        }
    }

    fn or(&mut self) -> Result<Read, Blame> {
        self.joined(&Kind::Or, Parser::and, Boolean::Or)
    }

    fn and(&mut self) -> Result<Read, Blame> {
        self.joined(&Kind::And, Parser::not, Boolean::And)
    }

    fn joined(
        &mut self,
        by: &Kind,
        part: fn(&mut Parser) -> Result<Read, Blame>,
        join: fn(Vec<Boolean>) -> Boolean,
    ) -> Result<Read, Blame> {
        let start = self.peek().at.start;
        let first = part(self)?;
        if self.peek().kind != *by {
            return Ok(first);
        }
        let mut all = vec![self.as_condition(first)?];
        while self.next_is(by) {
            let next = part(self)?;
            all.push(self.as_condition(next)?);
        }
        Ok(Read::Condition(join(all), self.since(start)))
    }

    fn since(&self, start: usize) -> Range<usize> {
        start..self.tokens[self.at.saturating_sub(1)].at.end
    }

    fn not(&mut self) -> Result<Read, Blame> {
        let start = self.peek().at.start;
        if !self.next_is(&Kind::Not) {
            return self.comparison();
        }
        let read = self.comparison()?;
        let inner = self.as_condition(read)?;
        Ok(Read::Condition(Boolean::Not(Box::new(inner)), self.since(start)))
    }

    fn comparison(&mut self) -> Result<Read, Blame> {
        let start = self.peek().at.start;
        let left = self.sum()?;
        let Kind::Compare(comparison) = self.peek().kind else { return Ok(left) };
        let left = match left {
            Read::Value(value) => value,
            Read::Condition(_, at) => return Err(Blame::new(at, "a condition cannot be compared")),
        };
        self.take();
        let right = self.value()?;
        let compared = Boolean::Compare(Box::new(left), comparison, Box::new(right));
        Ok(Read::Condition(compared, self.since(start)))
    }

    fn sum(&mut self) -> Result<Read, Blame> {
        self.arithmetic(Parser::product, |sign| match sign {
            b'+' => Some(Operator::Add),
            b'-' => Some(Operator::Subtract),
            _ => None,
        })
    }

    fn product(&mut self) -> Result<Read, Blame> {
        self.arithmetic(Parser::signed, |sign| match sign {
            b'*' => Some(Operator::Multiply),
            b'/' => Some(Operator::Divide),
            _ => None,
        })
    }

    fn arithmetic(
        &mut self,
        part: fn(&mut Parser) -> Result<Read, Blame>,
        operator: fn(u8) -> Option<Operator>,
    ) -> Result<Read, Blame> {
        let start = self.peek().at.start;
        let mut left = part(self)?;
        while let Kind::Sign(sign) = self.peek().kind
            && let Some(operator) = operator(sign)
        {
            self.operations += 1;
            if self.operations > MAX_OPERATIONS {
                let message = format!("more than {MAX_OPERATIONS} arithmetic operations");
                return Err(Blame::new(self.peek().at.clone(), message));
            }
            self.take();
            let right = part(self)?;
            let kind = ValueKind::Math(Box::new(operand(left)?), operator, Box::new(operand(right)?));
            left = Read::Value(Value { kind, at: self.since(start) });
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Read, Blame> {
        let start = self.peek().at.start;
        let sign = match self.peek().kind {
            Kind::Sign(sign @ (b'+' | b'-')) => sign,
            _ => return self.primary(),
        };
        self.take();
        let inner = operand(self.primary()?)?;
        let kind =
            if sign == b'-' { ValueKind::Negative(Box::new(inner)) } else { ValueKind::Positive(Box::new(inner)) };
        Ok(Read::Value(Value { kind, at: self.since(start) }))
    }

    fn primary(&mut self) -> Result<Read, Blame> {
        let token = self.peek().clone();
        let simple = match token.kind {
            Kind::Nil => ValueKind::Nil,
            Kind::True => ValueKind::Bool(true),
            Kind::False => ValueKind::Bool(false),
            Kind::Int(value) => ValueKind::Int(value),
            Kind::Float(value) => ValueKind::Float(value),
            Kind::Text(text) => ValueKind::Text(text),
            Kind::Bytes(bytes) => ValueKind::Bytes(bytes),
            Kind::Upper(_) if *self.kind_after(1) == Kind::Sign(b'(') => {
                let call = self.call()?;
                let at = call.at.clone();
                return Ok(Read::Value(Value { kind: ValueKind::Converter(call), at }));
            }
            Kind::Upper(name) => ValueKind::Name(name),
            Kind::Lower(name) if *self.kind_after(1) == Kind::Sign(b'(') => {
                let message =
                    format!("a value comes from a converter, whose name has a capital first letter; {name:?} has not");
                return Err(Blame::new(token.at, message));
            }
            Kind::Lower(_) => {
                let path = self.path()?;
                let at = path.at.clone();
                return Ok(Read::Value(Value { kind: ValueKind::Path(path), at }));
            }
            Kind::Sign(b'(') => return self.deeper(|parser| parser.parentheses()),
            Kind::Sign(b'[') => return self.deeper(|parser| parser.list()),
            Kind::Sign(b'{') => return self.deeper(|parser| parser.map()),
            _ => return Err(self.unexpected("a value")),
        };
        self.take();
        Ok(Read::Value(Value { kind: simple, at: token.at }))
    }

    fn path(&mut self) -> Result<Path, Blame> {
        let start = self.peek().at.start;
        let mut segments = Vec::new();
        loop {
            let token = self.peek().clone();
            let Kind::Lower(name) = token.kind else { return Err(self.unexpected("a name")) };
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(Blame::new(token.at, format!("the names in paths have no capitals; {name:?} has")));
            }
            self.take();
            segments.push(Segment { name, keys: self.keys()?, at: token.at });
            if !self.sign(b'.') {
                return Ok(Path { segments, at: self.since(start) });
            }
        }
    }

    fn parentheses(&mut self) -> Result<Read, Blame> {
        let open = self.take().at;
        if self.lambda_follows() {
            return Err(Blame::new(
                open,
                "lambda expressions are switched off (feature gate ottl.enableLambdaFunctions)",
            ));
        }
        let read = self.or()?;
        self.expect(b')', "\")\"")?;
        Ok(match read {
            // No arithmetic, so all it can be is a condition.
            Read::Value(Value { kind: ValueKind::Bool(value), at }) => Read::Condition(Boolean::Literal(value), at),
            Read::Value(value) if !is_operand(&value) => {
                return Err(Blame::new(value.at, "parentheses hold a condition or arithmetic"));
            }
            Read::Value(value) if matches!(value.kind, ValueKind::Converter(_)) => Read::Value(value),
            // `(1)` is arithmetic and no literal any more.
            Read::Value(value) => {
                let kind = ValueKind::Positive(Box::new(value));
                Read::Value(Value { kind, at: self.since(open.start) })
            }
            condition => condition,
        })
    }

    /// Whether `x, y) =>` comes next.
    fn lambda_follows(&self) -> bool {
        let mut step = 0;
        loop {
            match self.kind_after(step) {
                Kind::Lower(_) | Kind::Underscore | Kind::Sign(b',') => step += 1,
                Kind::Sign(b')') => return *self.kind_after(step + 1) == Kind::Arrow,
                _ => return false,
            }
        }
    }

    /// `[a, b]`; before the first comma values may follow each other without one.
    fn list(&mut self) -> Result<Read, Blame> {
        let start = self.take().at.start;
        let mut values = Vec::new();
        while !matches!(self.peek().kind, Kind::Sign(b']' | b',')) {
            values.push(self.value()?);
        }
        while self.sign(b',') {
            values.push(self.value()?);
        }
        self.expect(b']', "\",\" or \"]\"")?;
        Ok(Read::Value(Value { kind: ValueKind::List(values), at: self.since(start) }))
    }

    /// `{"a": b, "c": d}`; commas may be missing.
    fn map(&mut self) -> Result<Read, Blame> {
        let start = self.take().at.start;
        let mut pairs = Vec::new();
        while let Kind::Text(key) = &self.peek().kind {
            let key = key.clone();
            self.take();
            self.expect(b':', "\":\"")?;
            pairs.push((key, self.value()?));
            self.sign(b',');
        }
        self.expect(b'}', "a key in quotes or \"}\"")?;
        Ok(Read::Value(Value { kind: ValueKind::Map(pairs), at: self.since(start) }))
    }
}

fn operand(read: Read) -> Result<Value, Blame> {
    match read {
        Read::Value(value) if is_operand(&value) => Ok(value),
        Read::Value(value) => Err(Blame::new(value.at, "arithmetic takes numbers, paths and converters' calls")),
        Read::Condition(_, at) => Err(Blame::new(at, "arithmetic takes numbers, paths and converters' calls")),
    }
}

fn is_operand(value: &Value) -> bool {
    use ValueKind::*;
    matches!(value.kind, Int(_) | Float(_) | Path(_) | Converter(_) | Math(..) | Negative(_) | Positive(_))
}

fn name(kind: &Kind) -> String {
    match kind {
        Kind::Bytes(_) => "bytes".to_owned(),
        Kind::Float(value) => format!("{value}"),
        Kind::Int(value) => format!("{value}"),
        Kind::Text(_) => "a text".to_owned(),
        Kind::Lower(name) | Kind::Upper(name) => format!("{name:?}"),
        Kind::Underscore => "\"_\"".to_owned(),
        Kind::Nil => "\"nil\"".to_owned(),
        Kind::True => "\"true\"".to_owned(),
        Kind::False => "\"false\"".to_owned(),
        Kind::Not => "\"not\"".to_owned(),
        Kind::And => "\"and\"".to_owned(),
        Kind::Or => "\"or\"".to_owned(),
        Kind::Where => "\"where\"".to_owned(),
        Kind::Compare(_) => "a comparison".to_owned(),
        Kind::Arrow => "\"=>\"".to_owned(),
        Kind::Equal => "\"=\" (equality is \"==\")".to_owned(),
        Kind::Sign(sign) => format!("\"{}\"", *sign as char),
        Kind::End => "the end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(condition: &Boolean) -> String {
        match condition {
            Boolean::Literal(value) => value.to_string(),
            Boolean::Not(inner) => format!("not {}", shape(inner)),
            Boolean::And(all) => format!("({})", all.iter().map(shape).collect::<Vec<_>>().join(" and ")),
            Boolean::Or(all) => format!("({})", all.iter().map(shape).collect::<Vec<_>>().join(" or ")),
            Boolean::Compare(left, _, right) => format!("{}?{}", value(left), value(right)),
            Boolean::Converter(call) => call.name.clone(),
        }
    }

    fn value(tree: &Value) -> String {
        match &tree.kind {
            ValueKind::Int(number) => number.to_string(),
            ValueKind::Path(path) => path.segments.iter().map(|s| s.name.clone()).collect::<Vec<_>>().join("."),
            ValueKind::Converter(call) => call.name.clone(),
            ValueKind::Negative(inner) => format!("-{}", value(inner)),
            ValueKind::Positive(inner) => value(inner),
            ValueKind::Math(left, operator, right) => format!("({} {operator:?} {})", value(left), value(right)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn precedence_and_parentheses() {
        for (text, expected) in [
            ("a == 1 or b == 2 and not c == 3", "(a?1 or (b?2 and not c?3))"),
            ("(a == 1 or true) and not (IsMatch(x, \"y\"))", "((a?1 or true) and not IsMatch)"),
            ("(1 + a) * 2 == b - -3", "((1 Add a) Multiply 2)?(b Subtract -3)"),
            ("1 + 2 * 3 == ((7))", "(1 Add (2 Multiply 3))?7"),
            ("a -1 == 0", "(a Subtract 1)?0"),
            ("((a) == (b))", "a?b"),
            ("(Int(\"1\")) == 1", "Int?1"),
            ("true", "true"),
        ] {
            assert_eq!(shape(&condition(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn statements_with_named_arguments_keys_lists_and_maps() {
        let parsed =
            statement(r#"set(a.b["x"][0][c], F(["p" 1, {"k": [nil], "l": 0x00}], x=-1.5, f=SHA256)["y"]) where true"#)
                .unwrap();
        assert_eq!(parsed.editor.name, "set");
        assert_eq!(parsed.condition, Some(Boolean::Literal(true)));
        let ValueKind::Path(path) = &parsed.editor.arguments[0].value.kind else { panic!() };
        assert_eq!(path.context(), Some("a"));
        assert_eq!(path.segments[1].keys.len(), 3);
        let ValueKind::Converter(call) = &parsed.editor.arguments[1].value.kind else { panic!() };
        assert_eq!(call.arguments[1].name.as_ref().unwrap().0, "x");
        assert_eq!(call.arguments[2].value.kind, ValueKind::Name("SHA256".to_owned()));
        assert_eq!(call.keys, [Key::Text(b"y".to_vec())]);
    }

    #[test]
    fn faults_name_what_was_expected_where() {
        for (text, at, message) in [
            ("set(attributes[\"a\"] , 1", 23..23, "expected \",\" or \")\", found the end"),
            (
                "Set(a, 1)",
                0..3,
                "a statement begins with an editor, whose name has a small first letter; \"Set\" has not",
            ),
            (
                "set(a, lower(\"A\"))",
                7..12,
                "a value comes from a converter, whose name has a capital first letter; \"lower\" has not",
            ),
            (
                "set(a, 1) where b",
                16..17,
                "this is no condition: compare it with something, as in \"== true\" or \"!= nil\"",
            ),
            ("set(a, 1) were b", 10..14, "expected \"where\" or the end of the statement, found \"were\""),
            ("set(a, \"x\" + 1)", 7..10, "arithmetic takes numbers, paths and converters' calls"),
            ("set(a, (x) => 1)", 7..8, "lambda expressions are switched off (feature gate ottl.enableLambdaFunctions)"),
            ("set(a, 1) where a = 1", 18..19, "expected a comparison, found \"=\" (equality is \"==\")"),
            ("set(a, 1)[0]", 0..12, "only paths and converters may be indexed, not editors such as \"set\""),
            ("set(a, b == 1)", 9..11, "expected \",\" or \")\", found a comparison"),
            ("", 0..0, "expected an editor such as set(…), found the end"),
        ] {
            let blame = match statement(text) {
                Err(blame) => blame,
                Ok(tree) => panic!("{text}: {tree:?}"),
            };
            let as_condition = blame.message.starts_with("this is no condition");
            assert_eq!(
                (blame.message.as_str(), as_condition || blame.at == at),
                (message, true),
                "{text} {:?}",
                blame.at
            );
        }
    }

    #[test]
    fn depth_is_bounded() {
        for text in ["(", "[", "set(a, [", "not "] {
            assert!(condition(&text.repeat(100_000)).is_err());
        }
        assert!(condition(&format!("a == 1{}", " + 1".repeat(100_000))).is_err());
        assert!(condition(&vec!["a == 1"; 50_000].join(" and ")).is_ok());
    }
}
