//! Expressions to values (spec §2.2, §2.4), every error with its place.

use std::sync::Arc;

use base_stdx::nearest;
use language_syntax::ast::{BinaryOperator, Expr, ExprKind, Ident, Literal};
use language_syntax::{Diagnostic, Source, Span};

use crate::convert::{NULL_REFUSED, PathSegment, ValueError};
use crate::operators::{self, Side};
use crate::scope::{Found, Scope};
use crate::unset;
use crate::value::{Function, Number, Text, Value};

/// How deep an expression may nest. People's files reach about ten; the stack must survive anybody's.
const MAX_DEPTH: usize = 200;

/// How much of an expression an error message repeats, in characters.
const MAX_QUOTED: usize = 60;

/// The value of an expression.
pub fn evaluate(expr: &Expr, source: &Arc<Source>, scope: &Scope) -> Result<Value, Diagnostic> {
    Evaluator { source, scope, unknown_names: false }.value(expr, 0).map_err(|failure| match failure {
        Failure::Diagnostic(diagnostic) => *diagnostic,
        Failure::Unknown => Diagnostic::error(expr.location(source), "cannot be evaluated yet"),
    })
}

/// Why there is no value.
pub(crate) enum Failure {
    Diagnostic(Box<Diagnostic>),
    /// It depends on a name that only a running graph knows. Only where `unknown_names` allows that.
    Unknown,
}

pub(crate) struct Evaluator<'a> {
    pub source: &'a Arc<Source>,
    pub scope: &'a Scope,
    /// A first name that nobody knows is not an error but [`Failure::Unknown`].
    pub unknown_names: bool,
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Failure {
        Failure::Diagnostic(Box::new(diagnostic))
    }
}

// === impl Evaluator ===

impl Evaluator<'_> {
    pub fn value(&self, expr: &Expr, depth: usize) -> Result<Value, Failure> {
        if depth > MAX_DEPTH {
            return Err(self.error(expr.span, "expression nests too deep").into());
        }
        match &expr.kind {
            ExprKind::Literal(literal) => self.literal(*literal, expr),
            ExprKind::Ident(_) | ExprKind::Access { .. } => self.access(expr, depth),
            ExprKind::Array(items) => {
                let items = items.iter().map(|item| self.value(item, depth + 1));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            ExprKind::Object(fields) => {
                let fields =
                    fields.iter().map(|field| Ok((field.name.name.as_str(), self.value(&field.value, depth + 1)?)));
                Ok(Value::Object(fields.collect::<Result<_, Failure>>()?))
            }
            ExprKind::Paren(inner) => self.value(inner, depth + 1),
            ExprKind::Index { value, index } => self.index(value, index, depth),
            ExprKind::Call { callee, arguments, .. } => self.call(callee, arguments, depth),
            ExprKind::Unary { operator, operand } => {
                let value = self.value(operand, depth + 1)?;
                operators::unary(*operator, &value).map_err(|message| self.blame(operand, &message).into())
            }
            ExprKind::Binary { .. } => self.binary(expr, depth),
            ExprKind::Missing => Err(self.error(expr.span, "expected an expression").into()),
        }
    }

    fn literal(&self, literal: Literal, expr: &Expr) -> Result<Value, Failure> {
        match literal {
            Literal::Null => Ok(Value::Null),
            Literal::Bool(truth) => Ok(Value::Bool(truth)),
            Literal::Number | Literal::Float => {
                let text = expr.text(self.source);
                let number = match literal {
                    Literal::Number => whole_number(&text),
                    _ => None,
                };
                match number.or_else(|| text.parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Float))
                {
                    Some(number) => Ok(Value::Number(number)),
                    None => Err(self.blame(expr, "is out of range for a number").into()),
                }
            }
            Literal::String => {
                let bytes = self.source.bytes();
                let text = bytes.get(expr.span.start as usize..expr.span.end as usize).unwrap_or_default();
                match base_stdx::quote::unquote(text) {
                    Some(text) => Ok(Value::String(Text::from(text))),
                    None => Err(self.error(expr.span, "invalid string literal").into()),
                }
            }
        }
    }

    /// `a.b.c`: the names are looked up in the scope together, so that `loki.write.default.receiver` needs no object of
    /// all components to be made.
    fn access(&self, expr: &Expr, depth: usize) -> Result<Value, Failure> {
        let mut names: Vec<&Ident> = Vec::new();
        let mut root = expr;
        while let ExprKind::Access { value, name } = &root.kind {
            names.push(name);
            root = value;
        }
        names.reverse();
        let (mut value, used) = match &root.kind {
            ExprKind::Ident(first) => self.named(first, root, &names)?,
            _ => (self.value(root, depth + 1)?, 0),
        };
        for (at, name) in names.iter().enumerate().skip(used) {
            let holder = || self.holder(expr, names.len() - at);
            value = field(&value, name).map_err(|problem| match problem {
                Problem::NoField(known) => self.no_field(name, known.iter().map(String::as_str)),
                Problem::NotAnObject(message) => self.blame(holder(), &message),
            })?;
        }
        Ok(value)
    }

    /// The value under a chain of names, and how many names after the first are used up.
    fn named(&self, first: &str, root: &Expr, names: &[&Ident]) -> Result<(Value, usize), Failure> {
        let chain: Vec<&str> = std::iter::once(first).chain(names.iter().map(|name| name.name.as_str())).collect();
        match self.scope.find(&chain) {
            Found::Value { value, used } => Ok((value, used - 1)),
            Found::Missing { .. } if self.unknown_names => Err(Failure::Unknown),
            Found::Missing { at: 0 } => {
                let error = self.error(root.span, format!("identifier {first:?} does not exist"));
                Err(did_you_mean(error, first, self.scope.first_names()).into())
            }
            Found::Missing { at } => {
                let known = self.scope.names_under(&chain[..at]);
                Err(self.no_field(names[at - 1], known.into_iter()).into())
            }
        }
    }

    /// The part of an access expression that is left without its last `dropped` names.
    fn holder<'e>(&self, expr: &'e Expr, dropped: usize) -> &'e Expr {
        let mut holder = expr;
        for _ in 0..dropped {
            if let ExprKind::Access { value, .. } = &holder.kind {
                holder = value;
            }
        }
        holder
    }

    fn index(&self, holder: &Expr, index: &Expr, depth: usize) -> Result<Value, Failure> {
        let value = self.value(holder, depth + 1)?;
        let at = self.value(index, depth + 1)?;
        match &value {
            Value::Array(items) => {
                let Value::Number(number) = at else {
                    return Err(self.blame(index, &format!("should be number, got {}", at.kind())).into());
                };
                let position = match number {
                    Number::Int(number) => i128::from(number),
                    Number::Uint(number) => i128::from(number),
                    Number::Float(number) => number as i128,
                };
                let item = usize::try_from(position).ok().and_then(|position| items.get(position));
                item.cloned().ok_or_else(|| {
                    let length = items.len();
                    let message = format!("index {position} is out of range of array with length {length}");
                    self.blame(index, &message).into()
                })
            }
            Value::Object(_) | Value::Target(_) => {
                let Value::String(name) = &at else {
                    return Err(self.blame(index, &format!("should be string, got {}", at.kind())).into());
                };
                // A missing key gives null, unlike after a dot (spec §9, 6).
                let name = name.to_string_lossy();
                Ok(match &value {
                    Value::Object(object) => object.get(&name).cloned().unwrap_or(Value::Null),
                    Value::Target(target) => target.get(&name).map_or(Value::Null, Value::from),
                    _ => Value::Null,
                })
            }
            Value::Secret(_) | Value::Capsule(_) => {
                let message = "expected object or array or a capsule convertible to an object, got capsule";
                Err(self.blame(holder, message).into())
            }
            other => Err(self.blame(holder, &format!("expected object or array, got {}", other.kind())).into()),
        }
    }

    fn call(&self, callee: &Expr, arguments: &[Expr], depth: usize) -> Result<Value, Failure> {
        let Function { call, .. } = match self.value(callee, depth + 1)? {
            Value::Function(function) => function,
            other => return Err(self.blame(callee, &format!("should be function, got {}", other.kind())).into()),
        };
        let values = arguments.iter().map(|argument| self.value(argument, depth + 1)).collect::<Result<Vec<_>, _>>()?;
        call(&values).map_err(|error| {
            let blamed = error.argument.and_then(|argument| arguments.get(argument));
            let message = ValueError { path: error.path, message: error.message, hint: None };
            blame_value(blamed.unwrap_or(callee), self.source, &message).into()
        })
    }

    /// Chains such as `"a" + b + "c" + …` lean to the left and may be long, so they are walked, not descended into.
    fn binary(&self, expr: &Expr, depth: usize) -> Result<Value, Failure> {
        let mut chain = Vec::new();
        let mut leftmost = expr;
        while let ExprKind::Binary { operator, left, right, .. } = &leftmost.kind {
            chain.push((*operator, &**left, &**right));
            leftmost = left;
        }
        let mut value = self.value(leftmost, depth + 1)?;
        for (operator, left, right) in chain.into_iter().rev() {
            value = match (operator, &value) {
                // The answer is known; what is wrong on the right cannot matter (spec §9, 4).
                (BinaryOperator::And, Value::Bool(false)) => Value::Bool(false),
                (BinaryOperator::Or, Value::Bool(true)) => Value::Bool(true),
                _ => {
                    let operand = self.value(right, depth + 1)?;
                    operators::binary(operator, &value, &operand).map_err(|error| {
                        let blamed = if error.side == Side::Left { left } else { right };
                        self.blame(blamed, &error.message)
                    })?
                }
            };
        }
        Ok(value)
    }

    fn no_field<'n>(&self, name: &Ident, known: impl Iterator<Item = &'n str>) -> Diagnostic {
        let error = self.error(name.span, format!("field {:?} does not exist", name.name));
        did_you_mean(error, &name.name, known)
    }

    fn blame(&self, expr: &Expr, message: &str) -> Diagnostic {
        self.error(expr.span, format!("{} {message}", quoted(expr, self.source)))
    }

    fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(span.in_source(self.source), message)
    }
}

enum Problem {
    NoField(Vec<String>),
    NotAnObject(String),
}

fn field(value: &Value, name: &Ident) -> Result<Value, Problem> {
    let found = match value {
        Value::Object(object) => object.get(&name.name).cloned(),
        Value::Target(target) => target.get(&name.name).map(Value::from),
        Value::Secret(_) | Value::Capsule(_) => {
            let message = "expected object or array or a capsule convertible to an object, got capsule";
            return Err(Problem::NotAnObject(message.to_owned()));
        }
        other => {
            let message = format!("cannot access field {:?} on value of type {}", name.name, other.kind());
            return Err(Problem::NotAnObject(message));
        }
    };
    found.ok_or_else(|| {
        Problem::NoField(match value {
            Value::Object(object) => object.iter().map(|(name, _)| name.to_owned()).collect(),
            Value::Target(target) => target.iter().map(|(name, _)| name.to_owned()).collect(),
            _ => Vec::new(),
        })
    })
}

/// A run of digits: octal after a 0 (spec §1.2, Q), int64, else uint64. `None` lets it be a float.
fn whole_number(digits: &str) -> Option<Number> {
    let (digits, base) = match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => (octal, 8),
        _ => (digits, 10),
    };
    u64::from_str_radix(digits, base).ok().map(Number::from)
}

/// An error about a value, put where the value was written: as far into literal lists and objects as its path leads.
pub(crate) fn blame_value(expr: &Expr, source: &Arc<Source>, error: &ValueError) -> Diagnostic {
    let mut blamed = expr;
    let mut path = error.path.as_slice();
    loop {
        blamed = match (&blamed.kind, path) {
            (ExprKind::Paren(inner), _) if !path.is_empty() => inner,
            (ExprKind::Array(items), [PathSegment::Index(index), rest @ ..]) => match items.get(*index) {
                Some(item) => {
                    path = rest;
                    item
                }
                None => break,
            },
            (ExprKind::Object(fields), [PathSegment::Field(name), rest @ ..]) => {
                match fields.iter().rev().find(|field| field.name.name == *name) {
                    Some(field) => {
                        path = rest;
                        &field.value
                    }
                    None => break,
                }
            }
            _ => break,
        };
    }
    let path: String = path.iter().map(PathSegment::to_string).collect();
    let message = match &blamed.kind {
        ExprKind::Literal(Literal::Null) if error.message == NULL_REFUSED => "null is not allowed here".to_owned(),
        _ => format!("{}{path} {}", quoted(blamed, source), error.message),
    };
    let diagnostic = Diagnostic::error(blamed.location(source), message);
    let diagnostic = match &error.hint {
        Some(hint) => diagnostic.with_hint(hint.clone()),
        None => diagnostic,
    };
    unset::named(diagnostic, blamed, source)
}

/// The expression as written, on one line and not too long.
pub(crate) fn quoted(expr: &Expr, source: &Source) -> String {
    let text = expr.text(source);
    let mut line = String::new();
    for word in text.split('\n').map(str::trim).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_QUOTED * 4 {
            break;
        }
    }
    match line.char_indices().nth(MAX_QUOTED) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

pub(crate) fn did_you_mean<'n>(error: Diagnostic, name: &str, known: impl IntoIterator<Item = &'n str>) -> Diagnostic {
    match nearest(name, known) {
        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
        None => error,
    }
}
