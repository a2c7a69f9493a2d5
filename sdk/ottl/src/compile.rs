//! Trees made into what is evaluated: paths and functions are found, arguments checked, constants folded.

use sdk_protocols_otlp::model::{KeyValue, Map, Text};

use crate::coerce;
use crate::compare::compare;
use crate::context::Context;
use crate::expression::{Condition, Expression};
use crate::fault::Blame;
use crate::functions::{self, Argument, Arguments, Built, Function, Kind, Parameter, Passed, Use};
use crate::path::{Key, Path};
use crate::syntax::{self, Boolean, Call, Value as Tree, ValueKind};
use crate::text::case;
use crate::value::Value;

type Result<T> = std::result::Result<T, Blame>;

/// Compiles for one context.
#[derive(Clone, Copy)]
pub(crate) struct Compiler {
    pub context: Context,
    /// Whether every path must name its context.
    pub prefixed: bool,
    pub used: Use,
}

impl Compiler {
    /// A call of a function with its arguments.
    pub fn call(self, call: &Call) -> Result<Built> {
        let function = self.function(call)?;
        let mut arguments = self.arguments(call, function)?;
        (function.build)(&mut arguments).map_err(|message| Blame::new(call.at.clone(), message))
    }

    fn function(self, call: &Call) -> Result<&'static Function> {
        if let Some(function) = functions::find(&call.name, self.context, self.used) {
            return Ok(function);
        }
        let at = call.name_at.clone();
        if functions::LAMBDA.contains(&call.name.as_str()) {
            let message = format!(
                "{} takes a lambda expression; they are switched off (feature gate ottl.enableLambdaFunctions)",
                call.name
            );
            return Err(Blame::new(at, message));
        }
        let elsewhere = functions::elsewhere(&call.name, self.used);
        if !elsewhere.is_empty() {
            let message = format!(
                "{} is a function of the context {}, not of {}",
                call.name,
                elsewhere.join(", "),
                self.context.name()
            );
            return Err(Blame::new(at, message));
        }
        let names = functions::available(self.context, self.used).map(|function| function.name);
        Err(Blame::new(at, format!("there is no function {:?}", call.name)).or_nearest(&call.name, names))
    }

    fn arguments(self, call: &Call, function: &Function) -> Result<Arguments> {
        let mut slots: Vec<Option<Argument>> = function.parameters.iter().map(|_| None).collect();
        if call.arguments.len() > slots.len() {
            let message = format!("{} takes {} arguments, not {}", call.name, slots.len(), call.arguments.len());
            return Err(Blame::new(call.at.clone(), message));
        }
        let mut named = false;
        for (place, argument) in call.arguments.iter().enumerate() {
            let at = match &argument.name {
                None if named => {
                    return Err(Blame::new(
                        argument.value.at.clone(),
                        "an argument without a name follows one with a name",
                    ));
                }
                None => place,
                Some((name, at)) => {
                    named = true;
                    let camel = case::camel(name.as_bytes());
                    let found = function.parameters.iter().position(|parameter| parameter.name.as_bytes() == camel);
                    found.ok_or_else(|| {
                        let snake = |parameter: &Parameter| case::snake(parameter.name.as_bytes());
                        let names: Vec<String> =
                            function.parameters.iter().filter_map(|p| String::from_utf8(snake(p)).ok()).collect();
                        let blame = Blame::new(at.clone(), format!("{} has no parameter {name:?}", call.name));
                        blame.or_nearest(name, names.iter().map(String::as_str))
                    })?
                }
            };
            slots[at] = Some(self.argument(&argument.value, function.parameters[at].kind)?);
        }
        let missing =
            function.parameters.iter().zip(&slots).find(|(parameter, slot)| !parameter.optional && slot.is_none());
        if let Some((parameter, _)) = missing {
            let name = String::from_utf8_lossy(&case::snake(parameter.name.as_bytes())).into_owned();
            return Err(Blame::new(call.at.clone(), format!("{} lacks its argument {name:?}", call.name)));
        }
        Ok(Arguments(slots))
    }

    fn argument(self, tree: &Tree, kind: Kind) -> Result<Argument> {
        let wants = |what: &str| Blame::new(tree.at.clone(), format!("this must be {what}"));
        Ok(match kind {
            Kind::Target | Kind::MapTarget | Kind::ListTarget => match &tree.kind {
                ValueKind::Path(path) => Argument::Target(self.path(path)?),
                _ => return Err(wants("a path")),
            },
            Kind::LiteralText => Argument::Text(literal_text(tree)?),
            Kind::LiteralInt => match tree.kind {
                ValueKind::Int(value) => Argument::Int(value),
                _ => return Err(wants("a whole number, written as such")),
            },
            Kind::LiteralFloat => match tree.kind {
                ValueKind::Float(value) => Argument::Float(value),
                _ => return Err(wants("a number with a point, written as such")),
            },
            Kind::LiteralBool => match tree.kind {
                ValueKind::Bool(value) => Argument::Bool(value),
                _ => return Err(wants("true or false")),
            },
            Kind::LiteralTexts => Argument::Texts(items(tree)?.iter().map(literal_text).collect::<Result<_>>()?),
            Kind::LiteralFloats => {
                let float = |tree: &Tree| match tree.kind {
                    ValueKind::Float(value) => Ok(value),
                    _ => Err(Blame::new(tree.at.clone(), "this must be a number with a point, written as such")),
                };
                Argument::Floats(items(tree)?.iter().map(float).collect::<Result<_>>()?)
            }
            Kind::Anys | Kind::Texts | Kind::TextLikes => {
                let of = match kind {
                    Kind::Texts => Kind::Text,
                    Kind::TextLikes => Kind::TextLike,
                    _ => Kind::Any,
                };
                let each = items(tree)?.iter().map(|tree| self.typed(tree, of));
                Argument::Expressions(each.collect::<Result<_>>()?)
            }
            Kind::Function => match &tree.kind {
                ValueKind::Name(name) => Argument::Function(self.passed(name, tree)?),
                _ => return Err(wants("the name of a converter")),
            },
            _ => Argument::Expression(self.typed(tree, kind)?),
        })
    }

    /// A function's name as an argument. What it takes is seen only when it is called, and told then.
    fn passed(self, name: &str, tree: &Tree) -> Result<Passed> {
        let Some(function) = functions::find(name, self.context, self.used) else {
            let names = functions::available(self.context, self.used).map(|function| function.name);
            return Err(Blame::new(tree.at.clone(), format!("there is no function {name:?}")).or_nearest(name, names));
        };
        let [Parameter { kind: Kind::Text, .. }] = function.parameters else {
            return Ok(Passed(Err(format!("{name} cannot be called with one text"))));
        };
        let mut arguments = Arguments(vec![Some(Argument::Expression(Expression::Input))]);
        Ok(Passed((function.build)(&mut arguments).and_then(|built| match built {
            Built::Converter(body) => Ok(body),
            Built::Editor(_) => Err(format!("{name} gives no value")),
        })))
    }

    /// An expression; if it is constant, it must be of the kind.
    fn typed(self, tree: &Tree, kind: Kind) -> Result<Expression> {
        let expression = self.expression(tree)?;
        if let Some(value) = expression.literal() {
            check(value, kind).map_err(|error| Blame::new(tree.at.clone(), error.to_string()))?;
        }
        Ok(expression)
    }

    /// Any expression.
    pub fn expression(self, tree: &Tree) -> Result<Expression> {
        Ok(match &tree.kind {
            ValueKind::Nil => Expression::Literal(Value::Nil),
            ValueKind::Bool(value) => Expression::Literal(Value::Bool(*value)),
            ValueKind::Int(value) => Expression::Literal(Value::Int(*value)),
            ValueKind::Float(value) => Expression::Literal(Value::Double(*value)),
            ValueKind::Text(text) => Expression::Literal(Value::Text(shared(text))),
            ValueKind::Bytes(bytes) => Expression::Literal(Value::Bytes(bytes::Bytes::copy_from_slice(bytes))),
            ValueKind::Name(name) => match self.context.symbol(name) {
                Some(value) => Expression::Literal(Value::Int(value)),
                None => {
                    let message = format!("there is no enum symbol {name:?} in the context {}", self.context.name());
                    let symbols = self.context.symbols().map(|(name, _)| name);
                    return Err(Blame::new(tree.at.clone(), message).or_nearest(name, symbols));
                }
            },
            ValueKind::Path(path) => Expression::Path(self.path(path)?),
            ValueKind::Converter(call) => match self.call(call)? {
                Built::Converter(body) => Expression::Call(body, self.keys(&call.keys)?),
                Built::Editor(_) => return Err(Blame::new(call.at.clone(), "an editor gives no value")),
            },
            ValueKind::List(list) => {
                let list = list.iter().map(|tree| self.expression(tree)).collect::<Result<Vec<_>>>()?;
                match list.iter().map(|expression| expression.literal().cloned()).collect() {
                    Some(constants) => Expression::Literal(Value::List(constants)),
                    None => Expression::List(list),
                }
            }
            ValueKind::Map(pairs) => self.map(pairs, tree)?,
            ValueKind::Negative(inner) => match inner.kind {
                ValueKind::Int(value) => Expression::Literal(Value::Int(value.wrapping_neg())),
                ValueKind::Float(value) => Expression::Literal(Value::Double(-value)),
                _ => Expression::Negative(Box::new(self.expression(inner)?)),
            },
            ValueKind::Positive(inner) => match self.expression(inner)? {
                literal @ Expression::Literal(_) => literal,
                other => Expression::Same(Box::new(other)),
            },
            ValueKind::Math(left, operator, right) => {
                Expression::Math(Box::new((self.expression(left)?, *operator, self.expression(right)?)))
            }
        })
    }

    fn map(self, pairs: &[(Vec<u8>, Tree)], tree: &Tree) -> Result<Expression> {
        let mut compiled: Vec<(Text, Expression)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let (key, value) = (shared(key), self.expression(value)?);
            // Of a key that comes twice, the last value stays.
            match compiled.iter_mut().find(|(known, _)| *known == key) {
                Some(pair) => pair.1 = value,
                None => compiled.push((key, value)),
            }
        }
        if compiled.iter().any(|(_, expression)| expression.literal().is_none()) {
            return Ok(Expression::Map(compiled));
        }
        let mut map = Map(Vec::with_capacity(compiled.len()));
        for (key, expression) in compiled {
            let Expression::Literal(value) = expression else { continue };
            let value = value.into_any().map_err(|error| Blame::new(tree.at.clone(), error.to_string()))?;
            map.0.push(KeyValue { key, value: Some(value), unknown: Vec::new() });
        }
        Ok(Expression::Literal(Value::map(map)))
    }

    fn path(self, path: &syntax::Path) -> Result<Path> {
        Path::resolve(path, self.context, self.prefixed, |key| self.key(key))
    }

    fn keys(self, keys: &[syntax::Key]) -> Result<Box<[Key]>> {
        keys.iter().map(|key| self.key(key)).collect()
    }

    fn key(self, key: &syntax::Key) -> Result<Key> {
        Ok(match key {
            syntax::Key::Text(text) => Key::Text(shared(text)),
            syntax::Key::Int(index) => Key::Int(*index),
            syntax::Key::Expression(tree) => match self.expression(tree)? {
                Expression::Literal(Value::Int(index)) => Key::Int(index),
                expression => Key::Expression(Box::new(expression)),
            },
        })
    }

    /// A condition.
    pub fn condition(self, tree: &Boolean) -> Result<Condition> {
        let each = |all: &[Boolean]| all.iter().map(|one| self.condition(one)).collect::<Result<Vec<_>>>();
        Ok(match tree {
            Boolean::Literal(value) => Condition::Literal(*value),
            Boolean::Not(inner) => self.condition(inner)?.negated(),
            Boolean::And(all) => Condition::all(each(all)?),
            Boolean::Or(all) => Condition::any(each(all)?),
            Boolean::Compare(left, comparison, right) => {
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                match (left.literal(), right.literal()) {
                    (Some(left), Some(right)) => Condition::Literal(compare(left, right, *comparison)),
                    _ => Condition::Compare(left, *comparison, right),
                }
            }
            Boolean::Converter(call) => match self.call(call)? {
                Built::Converter(body) => Condition::Call(Expression::Call(body, self.keys(&call.keys)?)),
                Built::Editor(_) => return Err(Blame::new(call.at.clone(), "an editor is no condition")),
            },
        })
    }
}

/// A text that is shared, not copied, by each value it becomes.
fn shared(text: &[u8]) -> Text {
    let bytes = bytes::Bytes::copy_from_slice(text);
    // The first copy makes the memory countable; better here than on the first item.
    drop(bytes.clone());
    Text::from(bytes)
}

fn items(tree: &Tree) -> Result<&[Tree]> {
    match &tree.kind {
        ValueKind::List(list) => Ok(list),
        _ => Err(Blame::new(tree.at.clone(), "this must be a list, written as such")),
    }
}

fn literal_text(tree: &Tree) -> Result<String> {
    match &tree.kind {
        ValueKind::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        _ => Err(Blame::new(tree.at.clone(), "this must be a text, written as such")),
    }
}

/// Whether a constant is of a kind.
fn check(value: &Value<'static>, kind: Kind) -> crate::error::Result<()> {
    let wants = |is: bool, what: &str| {
        let name = if matches!(value, Value::Nil) { "nil" } else { value.type_name() };
        if is { Ok(()) } else { Err(crate::error::Error::new(format!("expected {what} but got {name}"))) }
    };
    match kind {
        Kind::Text => wants(matches!(value, Value::Text(_)), "string"),
        Kind::Int => wants(matches!(value, Value::Int(_)), "int64"),
        Kind::Double => wants(matches!(value, Value::Double(_)), "float64"),
        Kind::Bool => wants(matches!(value, Value::Bool(_)), "bool"),
        Kind::Map => wants(matches!(value, Value::Map(_)), "pcommon.Map"),
        Kind::Time => wants(matches!(value, Value::Time(_)), "time"),
        Kind::Duration => wants(matches!(value, Value::Duration(_)), "duration"),
        Kind::List => coerce::as_list(value.clone()).map(drop),
        Kind::TextLike => coerce::as_text_like(value.clone()).map(drop),
        Kind::IntLike => coerce::as_int_like(value).map(drop),
        Kind::FloatLike => coerce::as_float_like(value).map(drop),
        Kind::BoolLike => coerce::as_bool_like(value).map(drop),
        Kind::BytesLike => coerce::as_bytes_like(value.clone()).map(drop),
        _ => Ok(()),
    }
}
