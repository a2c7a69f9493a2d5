//! Text to tree.

use super::SyntaxError;
use crate::process::json::Json;

/// Deeper expressions are refused: the parser and the evaluator call themselves.
const MAX_DEPTH: usize = 200;

/// A node of an expression.
#[derive(Clone, Debug)]
pub enum Node {
    /// `@`
    Current,
    /// `$`
    Root,
    /// `name`
    Field(String),
    /// `left.right`, and `left | right` when the left is no projection
    Sub(Box<Node>, Box<Node>),
    /// `[n]` of the left
    Index(Box<Node>, i64),
    /// `[a:b:c]` of the left
    Slice(Box<Node>, [Option<i64>; 3]),
    /// The right for each element of the left
    Each(Box<Node>, Box<Node>),
    /// The right for each value of the left
    EachValue(Box<Node>, Box<Node>),
    /// The right for each element of the left that meets the condition
    EachIf(Box<Node>, Box<Node>, Box<Node>),
    /// One level of lists of the left joined
    Flatten(Box<Node>),
    /// `[a, b]`
    List(Vec<Node>),
    /// `{a: b}`
    Object(Vec<(String, Node)>),
    /// A value
    Literal(Json<'static>),
    /// `left || right`
    Or(Box<Node>, Box<Node>),
    /// `left && right`
    And(Box<Node>, Box<Node>),
    /// `!node`
    Not(Box<Node>),
    /// `left == right` and its like
    Compare(Compare, Box<Node>, Box<Node>),
    /// `left + right` and its like
    Arithmetic(char, Box<Node>, Box<Node>),
    /// `name(a, b)`
    Call(String, Vec<Node>),
    /// `&node`
    Reference(Box<Node>),
    /// `$name`
    Variable(String),
    /// `let $a = b in c`
    Let(Vec<(String, Node)>, Box<Node>),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Quoted(String),
    Raw(String),
    Literal(Json<'static>),
    Number(i64),
    Variable(String),
    /// Everything else, by its characters.
    Sign(&'static str),
    End,
}

/// Longest first.
const SIGNS: &[&str] = &[
    "[?", "[]", "||", "&&", "==", "!=", "<=", ">=", "//", ".", "*", "[", "]", "{", "}", "(", ")", ",", ":", "|", "<",
    ">", "!", "@", "&", "+", "-", "/", "%", "$", "=",
];

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let node = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(node),
        other => Err(unexpected(other)),
    }
}

fn fail<T>(message: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError(message.into()))
}

fn unexpected(token: &Token) -> SyntaxError {
    SyntaxError(match token {
        Token::End => "the expression ends too early".to_owned(),
        Token::Sign(sign) => format!("unexpected {sign:?}"),
        Token::Name(name) | Token::Quoted(name) | Token::Raw(name) => format!("unexpected {name:?}"),
        Token::Number(number) => format!("unexpected {number}"),
        Token::Variable(name) => format!("unexpected ${name}"),
        Token::Literal(_) => "unexpected literal".to_owned(),
    })
}

fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    'tokens: while let Some(first) = rest.chars().next() {
        match first {
            ' ' | '\t' | '\n' | '\r' => rest = &rest[1..],
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = take_name(&mut rest);
                tokens.push(Token::Name(name.to_owned()));
            }
            '0'..='9' => tokens.push(Token::Number(take_number(&mut rest)?)),
            '-' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                rest = &rest[1..];
                let number = take_number(&mut rest)?;
                // `a -1` subtracts, `[-1]` does not.
                if matches!(
                    tokens.last(),
                    Some(
                        Token::Name(_)
                            | Token::Quoted(_)
                            | Token::Number(_)
                            | Token::Literal(_)
                            | Token::Variable(_)
                            | Token::Sign(")" | "]" | "@" | "}" | "$")
                    )
                ) {
                    tokens.push(Token::Sign("-"));
                    tokens.push(Token::Number(number));
                } else {
                    tokens.push(Token::Number(-number));
                }
            }
            '"' => {
                let Some(end) = closing(&rest[1..], '"') else { return fail("a quoted name is not closed") };
                let quoted = &rest[..end + 2];
                let Ok(Json::String(name)) = Json::parse(quoted.as_bytes()) else {
                    return fail(format!("{quoted} is not a JSON string"));
                };
                tokens.push(Token::Quoted(name.into_owned()));
                rest = &rest[end + 2..];
            }
            '\'' => {
                let Some(end) = closing(&rest[1..], '\'') else { return fail("a raw string is not closed") };
                tokens.push(Token::Raw(rest[1..end + 1].replace("\\'", "'")));
                rest = &rest[end + 2..];
            }
            '`' => {
                let Some(end) = closing(&rest[1..], '`') else { return fail("a literal is not closed") };
                let literal = rest[1..end + 1].trim_start().replace("\\`", "`");
                let value = match Json::parse(literal.as_bytes()) {
                    Ok(value) => owned(value),
                    // The original dialect took unquoted text for a string.
                    Err(_) => return fail(format!("{literal:?} is not JSON")),
                };
                tokens.push(Token::Literal(value));
                rest = &rest[end + 2..];
            }
            '$' if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                rest = &rest[1..];
                let name = take_name(&mut rest);
                tokens.push(Token::Variable(name.to_owned()));
            }
            '\u{2212}' => {
                tokens.push(Token::Sign("-"));
                rest = &rest[first.len_utf8()..];
            }
            '\u{d7}' => {
                tokens.push(Token::Sign("*"));
                rest = &rest[first.len_utf8()..];
            }
            '\u{f7}' => {
                tokens.push(Token::Sign("/"));
                rest = &rest[first.len_utf8()..];
            }
            _ => {
                for sign in SIGNS {
                    if let Some(after) = rest.strip_prefix(sign) {
                        tokens.push(Token::Sign(sign));
                        rest = after;
                        continue 'tokens;
                    }
                }
                return fail(format!("unknown character {first:?}"));
            }
        }
    }
    Ok(tokens)
}

fn take_name<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    *rest = after;
    name
}

fn take_number(rest: &mut &str) -> Result<i64, SyntaxError> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    *rest = after;
    number.parse().map_err(|_| SyntaxError(format!("{number} is too large")))
}

/// Where the closing quote is; a backslash takes the next character along.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            _ if character == quote => return Some(at),
            _ => {}
        }
    }
    None
}

pub(super) fn owned(value: Json<'_>) -> Json<'static> {
    match value {
        Json::Null => Json::Null,
        Json::Bool(value) => Json::Bool(value),
        Json::Number(value) => Json::Number(value),
        Json::String(text) => Json::String(text.into_owned().into()),
        Json::Array(elements) => Json::Array(elements.into_iter().map(owned).collect()),
        Json::Object(fields) => {
            Json::Object(fields.into_iter().map(|(key, value)| (key.into_owned().into(), owned(value))).collect())
        }
    }
}

// === impl Parser ===

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn take(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Token::Sign(next) if *next == sign);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, sign: &str) -> Result<(), SyntaxError> {
        if self.take(sign) {
            return Ok(());
        }
        fail(format!("expected {sign:?}: {}", unexpected(self.peek()).0))
    }

    fn expression(&mut self, binding: u8) -> Result<Node, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return fail("the expression is nested too deeply");
        }
        let mut left = self.prefix()?;
        while binding < self.binding() {
            left = self.infix(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// How strongly the next token binds to what stands before it.
    fn binding(&self) -> u8 {
        match self.peek() {
            Token::Sign(sign) => match *sign {
                "|" => 1,
                "||" => 2,
                "&&" => 3,
                "==" | "!=" | "<" | "<=" | ">" | ">=" => 5,
                "+" | "-" => 6,
                "/" | "%" | "//" => 7,
                // After an operand a star multiplies.
                "*" => 7,
                "[]" => 9,
                "[?" => 21,
                "." => 40,
                "[" => 55,
                "(" => 60,
                _ => 0,
            },
            _ => 0,
        }
    }

    fn prefix(&mut self) -> Result<Node, SyntaxError> {
        match self.next() {
            Token::Name(name) if name == "let" && matches!(self.peek(), Token::Variable(_)) => self.bindings(),
            Token::Name(name) => {
                if self.take("(") {
                    let arguments = self.list(")")?;
                    return Ok(Node::Call(name, arguments));
                }
                Ok(Node::Field(name))
            }
            Token::Quoted(name) => match self.peek() {
                Token::Sign("(") => fail("a function's name cannot be quoted"),
                _ => Ok(Node::Field(name)),
            },
            Token::Raw(text) => Ok(Node::Literal(Json::String(text.into()))),
            Token::Literal(value) => Ok(Node::Literal(value)),
            Token::Variable(name) => Ok(Node::Variable(name)),
            Token::Sign("@") => Ok(Node::Current),
            Token::Sign("$") => Ok(Node::Root),
            Token::Sign("*") => {
                let right = self.projection(20)?;
                Ok(Node::EachValue(Box::new(Node::Current), Box::new(right)))
            }
            Token::Sign("!") => Ok(Node::Not(Box::new(self.expression(45)?))),
            Token::Sign("&") => Ok(Node::Reference(Box::new(self.expression(0)?))),
            Token::Sign("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign("{") => self.object(),
            Token::Sign("[]") => {
                let right = self.projection(9)?;
                Ok(Node::Each(Box::new(Node::Flatten(Box::new(Node::Current))), Box::new(right)))
            }
            Token::Sign("[?") => self.filter(Node::Current),
            Token::Sign("[") => match self.peek() {
                Token::Number(_) | Token::Sign(":") => self.index(Node::Current),
                Token::Sign("*") if matches!(self.tokens.get(self.at + 1), Some(Token::Sign("]"))) => {
                    self.at += 2;
                    let right = self.projection(20)?;
                    Ok(Node::Each(Box::new(Node::Current), Box::new(right)))
                }
                _ => Ok(Node::List(self.list("]")?)),
            },
            Token::Sign("-") => {
                let node = self.expression(8)?;
                Ok(Node::Arithmetic('-', Box::new(Node::Literal(Json::Number(0.0))), Box::new(node)))
            }
            Token::Sign("+") => self.expression(8),
            other => Err(unexpected(&other)),
        }
    }

    fn infix(&mut self, left: Node) -> Result<Node, SyntaxError> {
        let Token::Sign(sign) = self.next() else { return fail("expected an operator") };
        let boxed = Box::new;
        Ok(match sign {
            "." => {
                if self.take("*") {
                    let right = self.projection(20)?;
                    return Ok(Node::EachValue(boxed(left), boxed(right)));
                }
                let right = self.after_dot(40)?;
                Node::Sub(boxed(left), boxed(right))
            }
            // A pipe ends a projection, which `Sub` does by itself: its left is evaluated as a whole.
            "|" => Node::Sub(boxed(left), boxed(self.expression(1)?)),
            "||" => Node::Or(boxed(left), boxed(self.expression(2)?)),
            "&&" => Node::And(boxed(left), boxed(self.expression(3)?)),
            "==" | "!=" | "<" | "<=" | ">" | ">=" => {
                let compare = match sign {
                    "==" => Compare::Equal,
                    "!=" => Compare::NotEqual,
                    "<" => Compare::Less,
                    "<=" => Compare::LessOrEqual,
                    ">" => Compare::Greater,
                    _ => Compare::GreaterOrEqual,
                };
                Node::Compare(compare, boxed(left), boxed(self.expression(5)?))
            }
            "+" | "-" => {
                let operator = if sign == "+" { '+' } else { '-' };
                Node::Arithmetic(operator, boxed(left), boxed(self.expression(6)?))
            }
            "*" | "/" | "%" | "//" => {
                let operator = match sign {
                    "*" => '*',
                    "/" => '/',
                    "%" => '%',
                    _ => 'd',
                };
                Node::Arithmetic(operator, boxed(left), boxed(self.expression(7)?))
            }
            "[]" => {
                let right = self.projection(9)?;
                Node::Each(boxed(Node::Flatten(boxed(left))), boxed(right))
            }
            "[?" => return self.filter(left),
            "[" => match self.peek() {
                Token::Number(_) | Token::Sign(":") => return self.index(left),
                Token::Sign("*") => {
                    self.at += 1;
                    self.expect("]")?;
                    let right = self.projection(20)?;
                    Node::Each(boxed(left), boxed(right))
                }
                other => return Err(unexpected(other)),
            },
            other => return fail(format!("unexpected {other:?}")),
        })
    }

    /// The rest of a projection: what is done with each of its elements.
    fn projection(&mut self, binding: u8) -> Result<Node, SyntaxError> {
        if self.binding() < 10 {
            return Ok(Node::Current);
        }
        match self.peek() {
            Token::Sign(".") => {
                self.at += 1;
                self.after_dot(binding)
            }
            Token::Sign("[" | "[?") => self.expression_from(Node::Current, binding),
            other => Err(unexpected(other)),
        }
    }

    fn expression_from(&mut self, left: Node, binding: u8) -> Result<Node, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return fail("the expression is nested too deeply");
        }
        let mut left = left;
        while binding < self.binding() {
            left = self.infix(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn after_dot(&mut self, binding: u8) -> Result<Node, SyntaxError> {
        match self.peek() {
            Token::Name(_) | Token::Quoted(_) | Token::Sign("*") => self.expression(binding),
            Token::Sign("[") => {
                self.at += 1;
                let list = Node::List(self.list("]")?);
                self.expression_from(list, binding)
            }
            Token::Sign("{") => {
                self.at += 1;
                let object = self.object()?;
                self.expression_from(object, binding)
            }
            other => Err(unexpected(other)),
        }
    }

    fn filter(&mut self, left: Node) -> Result<Node, SyntaxError> {
        let condition = self.expression(0)?;
        self.expect("]")?;
        let right = if matches!(self.peek(), Token::Sign("[]")) { Node::Current } else { self.projection(21)? };
        Ok(Node::EachIf(Box::new(left), Box::new(condition), Box::new(right)))
    }

    /// Behind `[`: a number or a slice.
    fn index(&mut self, left: Node) -> Result<Node, SyntaxError> {
        let mut parts = [None; 3];
        let mut colons = 0;
        loop {
            match self.next() {
                Token::Number(number) if parts[colons].is_none() => parts[colons] = Some(number),
                Token::Sign(":") if colons < 2 => colons += 1,
                Token::Sign("]") => break,
                other => return Err(unexpected(&other)),
            }
        }
        if colons == 0 {
            let Some(index) = parts[0] else { return fail("an index is missing") };
            return Ok(Node::Index(Box::new(left), index));
        }
        if parts[2] == Some(0) {
            return fail("a slice's step cannot be 0");
        }
        let slice = Node::Slice(Box::new(left), parts);
        let right = self.projection(20)?;
        Ok(match right {
            Node::Current => slice,
            right => Node::Each(Box::new(slice), Box::new(right)),
        })
    }

    /// Expressions up to the closing sign.
    fn list(&mut self, close: &str) -> Result<Vec<Node>, SyntaxError> {
        let mut nodes = Vec::new();
        if close == ")" && self.take(close) {
            return Ok(nodes);
        }
        loop {
            nodes.push(self.expression(0)?);
            if self.take(close) {
                return Ok(nodes);
            }
            self.expect(",")?;
        }
    }

    /// Behind `{`.
    fn object(&mut self) -> Result<Node, SyntaxError> {
        let mut fields = Vec::new();
        loop {
            let name = match self.next() {
                Token::Name(name) | Token::Quoted(name) => name,
                other => return Err(unexpected(&other)),
            };
            self.expect(":")?;
            fields.push((name, self.expression(0)?));
            if self.take("}") {
                return Ok(Node::Object(fields));
            }
            self.expect(",")?;
        }
    }

    /// Behind `let`.
    fn bindings(&mut self) -> Result<Node, SyntaxError> {
        let mut bindings = Vec::new();
        loop {
            let Token::Variable(name) = self.next() else { return fail("expected a variable after let") };
            self.expect("=")?;
            bindings.push((name, self.expression(0)?));
            if !self.take(",") {
                break;
            }
        }
        match self.next() {
            Token::Name(word) if word == "in" => {}
            other => return Err(unexpected(&other)),
        }
        let body = self.expression(0)?;
        Ok(Node::Let(bindings, Box::new(body)))
    }
}
