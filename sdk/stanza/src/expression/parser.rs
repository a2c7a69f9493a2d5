//! From words to an expression.

use base_re2::Regex;
use base_stdx::nearest::nearest;
use sdk_protocols_otlp::model::AnyValue;

use super::functions::{FUNCTIONS, PREDICATES, Predicate};
use super::lexer::{Token, tokens};
use super::{Node, Operator};
use crate::field::Root;

/// Expressions may be nested this deep.
const MAX_DEPTH: u32 = 64;

/// How tightly `not` and a sign bind; a higher number binds first.
const NOT: u8 = 50;
const SIGN: u8 = 90;

/// Names that mean something by themselves.
const NAMES: [&str; 6] = ["body", "attributes", "resource", "true", "false", "nil"];

pub(super) fn parse(text: &str) -> Result<Node, String> {
    let shown = |(at, what): (usize, String)| format!("at {}: {what}", text[..at].chars().count() + 1);
    let mut parser = Parser { tokens: tokens(text).map_err(shown)?, at: 0, depth: 0, inside: 0 };
    let root = parser.expression(0).map_err(shown)?;
    match parser.peek() {
        Token::End => Ok(root),
        _ => Err(shown(parser.fault("an operator is expected"))),
    }
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: u32,
    /// In so many predicates, where `#` is an element.
    inside: u32,
}

/// Where in the text, and what is wrong there.
type Fault = (usize, String);

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn place(&self) -> usize {
        self.tokens[self.at].1
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    fn fault(&self, what: impl Into<String>) -> Fault {
        (self.place(), what.into())
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Token::Sign(next) if *next == sign);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), Fault> {
        if self.takes(sign) { Ok(()) } else { Err(self.fault(format!("{sign} is expected"))) }
    }

    /// What binds at least so tightly.
    fn expression(&mut self, binding: u8) -> Result<Node, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault("the expression is nested too deep"));
        }
        let mut left = self.unary()?;
        loop {
            let start = self.at;
            let negated = matches!(self.peek(), Token::Name(name) if name == "not");
            self.at += usize::from(negated);
            let Some((operator, binds, right_first)) = self.binary().filter(|(_, binds, _)| *binds >= binding) else {
                self.at = start;
                break;
            };
            if negated && !matches!(operator, Some(operator) if operator.may_be_negated()) {
                return Err(self.fault("`not` goes before in, matches, contains, startsWith and endsWith"));
            }
            self.at += 1;
            left = match operator {
                None => self.pipe(left)?,
                Some(operator) => {
                    let place = self.place();
                    let right = self.expression(if right_first { binds } else { binds + 1 })?;
                    let node = binary(operator, left, right).map_err(|what| (place, what))?;
                    if negated { Node::Not(Box::new(node)) } else { node }
                }
            };
        }
        if binding == 0 && self.takes("?") {
            let yes = self.expression(0)?;
            self.expect(":")?;
            left = Node::Condition(Box::new(left), Box::new(yes), Box::new(self.expression(0)?));
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The operator that comes next (none is `|`), how tightly it binds, and whether from the right.
    fn binary(&self) -> Option<(Option<Operator>, u8, bool)> {
        let word = match self.peek() {
            Token::Name(name) => name.as_str(),
            Token::Sign(sign) => sign,
            _ => return None,
        };
        let (operator, binds) = match word {
            "|" => return Some((None, 0, false)),
            "or" | "||" => (Operator::Or, 10),
            "and" | "&&" => (Operator::And, 15),
            "==" => (Operator::Equal, 20),
            "!=" => (Operator::Unequal, 20),
            "<" => (Operator::Less, 20),
            ">" => (Operator::Greater, 20),
            "<=" => (Operator::AtMost, 20),
            ">=" => (Operator::AtLeast, 20),
            "in" => (Operator::In, 20),
            "matches" => (Operator::Matches, 20),
            "contains" => (Operator::Contains, 20),
            "startsWith" => (Operator::StartsWith, 20),
            "endsWith" => (Operator::EndsWith, 20),
            "+" => (Operator::Plus, 30),
            "-" => (Operator::Minus, 30),
            "*" => (Operator::Times, 60),
            "/" => (Operator::Divided, 60),
            "%" => (Operator::Modulo, 60),
            "**" | "^" => return Some((Some(Operator::Power), 100, true)),
            // More than any sign, less than nothing.
            "??" => (Operator::Coalesce, 200),
            _ => return None,
        };
        Some((Some(operator), binds, false))
    }

    fn unary(&mut self) -> Result<Node, Fault> {
        let not = matches!(self.peek(), Token::Name(name) if name == "not") || *self.peek() == Token::Sign("!");
        if not {
            self.at += 1;
            return Ok(Node::Not(Box::new(self.expression(NOT)?)));
        }
        if self.takes("-") {
            return Ok(Node::Negative(Box::new(self.expression(SIGN)?)));
        }
        if self.takes("+") {
            return self.expression(SIGN);
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn primary(&mut self) -> Result<Node, Fault> {
        let place = self.place();
        let node = match self.next() {
            Token::Int(value) => Node::Constant(AnyValue::Int(value)),
            Token::Float(value) => Node::Constant(AnyValue::Double(value)),
            Token::Text(text) => Node::Constant(text.into()),
            Token::Name(name) => return self.name(&name, place),
            Token::Sign("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                inner
            }
            Token::Sign("[") => Node::List(self.list("]")?),
            Token::Sign("{") => self.pairs()?,
            Token::Sign("#") if self.inside > 0 => Node::Element,
            Token::Sign("#") => {
                return Err((place, "# stands for an element only inside of any, all and their like".into()));
            }
            // `.name` in a predicate is `#.name`.
            Token::Sign(".") if self.inside > 0 => {
                self.at -= 1;
                Node::Element
            }
            _ => return Err((place, "an expression is expected".to_owned())),
        };
        Ok(node)
    }

    fn name(&mut self, name: &str, place: usize) -> Result<Node, Fault> {
        if self.takes("(") {
            return self.call(name, place, None);
        }
        Ok(match name {
            "true" => Node::Constant(AnyValue::Bool(true)),
            "false" => Node::Constant(AnyValue::Bool(false)),
            "nil" => Node::Constant(AnyValue::Empty),
            "$" | "body" => Node::Root(Root::Body),
            "attributes" => Node::Root(Root::Attributes),
            "resource" => Node::Root(Root::Resource),
            _ => {
                let hint = nearest(name, NAMES).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                return Err((place, format!("there is no {name:?}{hint}")));
            }
        })
    }

    /// Behind the opening parenthesis; `first` was piped in.
    fn call(&mut self, name: &str, place: usize, first: Option<Node>) -> Result<Node, Fault> {
        if let Some((_, predicate)) = PREDICATES.iter().find(|(known, _)| *known == name) {
            return self.predicate(*predicate, first);
        }
        let Some((_, function, least, most)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
            let known = FUNCTIONS.iter().map(|(name, ..)| *name).chain(PREDICATES.iter().map(|(name, _)| *name));
            let hint = nearest(name, known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            return Err((place, format!("there is no function {name:?}{hint}")));
        };
        let mut arguments: Vec<Node> = first.into_iter().collect();
        arguments.extend(self.list(")")?);
        let count = arguments.len();
        if !(*least..=*most).contains(&count) {
            let wanted = match (least, most) {
                (1, 1) => "1 argument".to_owned(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            return Err((place, format!("{name} takes {wanted}, not {count}")));
        }
        Ok(Node::Call(*function, arguments))
    }

    fn predicate(&mut self, predicate: Predicate, first: Option<Node>) -> Result<Node, Fault> {
        let over = match first {
            Some(over) => over,
            None => {
                let over = self.expression(0)?;
                self.expect(",")?;
                over
            }
        };
        let braces = self.takes("{");
        self.inside += 1;
        let test = self.expression(0)?;
        self.inside -= 1;
        if braces {
            self.expect("}")?;
        }
        self.expect(")")?;
        Ok(Node::Over(predicate, Box::new(over), Box::new(test)))
    }

    /// `value | function(more)`
    fn pipe(&mut self, first: Node) -> Result<Node, Fault> {
        let place = self.place();
        match self.next() {
            Token::Name(name) if self.takes("(") => {
                let call = self.call(&name, place, Some(first))?;
                self.postfix(call)
            }
            _ => Err((place, "a function is expected behind |".to_owned())),
        }
    }

    fn list(&mut self, close: &'static str) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        while !self.takes(close) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.takes(close) {
                    break;
                }
            }
            items.push(self.expression(0)?);
        }
        Ok(items)
    }

    fn pairs(&mut self) -> Result<Node, Fault> {
        let mut pairs = Vec::new();
        while !self.takes("}") {
            if !pairs.is_empty() {
                self.expect(",")?;
                if self.takes("}") {
                    break;
                }
            }
            let place = self.place();
            let key = match self.next() {
                Token::Name(key) | Token::Text(key) => key,
                Token::Int(key) => key.to_string(),
                _ => return Err((place, "a key is expected".to_owned())),
            };
            self.expect(":")?;
            pairs.push((key, self.expression(0)?));
        }
        Ok(Node::Pairs(pairs))
    }

    /// `.name`, `?.name`, `[key]`
    fn postfix(&mut self, mut node: Node) -> Result<Node, Fault> {
        loop {
            let optional = self.takes("?.");
            if optional || self.takes(".") {
                let place = self.place();
                let key = match self.next() {
                    Token::Name(name) => name,
                    Token::Sign("[") if optional => {
                        node = self.index(node, true)?;
                        continue;
                    }
                    _ => return Err((place, "a name is expected".to_owned())),
                };
                if *self.peek() == Token::Sign("(") {
                    return Err((place, format!("there is no method {key:?}")));
                }
                let key = Box::new(Node::Constant(key.into()));
                node = Node::Member { of: Box::new(node), key, optional };
            } else if self.takes("[") {
                node = self.index(node, false)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn index(&mut self, of: Node, optional: bool) -> Result<Node, Fault> {
        let key = self.expression(0)?;
        if matches!(self.peek(), Token::Sign(":")) {
            return Err(self.fault("slices are not supported yet by this version of Ferroalloy"));
        }
        self.expect("]")?;
        Ok(Node::Member { of: Box::new(of), key: Box::new(key), optional })
    }
}

/// Patterns are compiled at once.
fn binary(operator: Operator, left: Node, right: Node) -> Result<Node, String> {
    if operator == Operator::Matches
        && let Node::Constant(AnyValue::Text(pattern)) = &right
    {
        let regex = Regex::new(&pattern.as_str()).map_err(|error| error.to_string())?;
        return Ok(Node::Matches(Box::new(left), regex));
    }
    Ok(Node::Binary(operator, Box::new(left), Box::new(right)))
}

impl Operator {
    fn may_be_negated(self) -> bool {
        matches!(
            self,
            Operator::In | Operator::Matches | Operator::Contains | Operator::StartsWith | Operator::EndsWith
        )
    }
}
