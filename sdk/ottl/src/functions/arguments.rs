//! Arguments of a call, compiled by the kinds of the parameters.

use base_re2::Regex;
use sdk_protocols_otlp::model::Text;

use crate::coerce;
use crate::context::On;
use crate::error::{Error, Result};
use crate::expression::{Body, Expression};
use crate::path::Path;
use crate::value::Value;

/// What a parameter takes. Kinds that end in `Like` convert; the others want that very type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything.
    Any,
    Text,
    TextLike,
    Int,
    Double,
    Bool,
    IntLike,
    FloatLike,
    BoolLike,
    BytesLike,
    Map,
    List,
    Time,
    Duration,
    /// A path, to be written.
    Target,
    /// A path to a map, to be changed.
    MapTarget,
    /// A path to a list, to be changed.
    ListTarget,
    /// A text written in the statement itself, as the kinds below.
    LiteralText,
    LiteralInt,
    LiteralFloat,
    LiteralBool,
    LiteralTexts,
    LiteralFloats,
    /// A list written in the statement, of anything.
    Anys,
    /// A list written in the statement, of texts.
    Texts,
    /// A list written in the statement, of what can be text.
    TextLikes,
    /// The name of a function.
    Function,
}

/// One argument.
pub(crate) enum Argument {
    Expression(Expression),
    Target(Path),
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Texts(Vec<String>),
    Floats(Vec<f64>),
    Expressions(Vec<Expression>),
    Function(Passed),
}

/// A function that was passed to another, or why it cannot be called; that is told when it is.
pub(crate) struct Passed(pub std::result::Result<Body, String>);

/// The arguments of a call by the places of the parameters.
pub(crate) struct Arguments(pub Vec<Option<Argument>>);

/// A regular expression, compiled once if it is written in the statement.
pub(crate) enum Pattern {
    Fixed(Regex),
    Changing(&'static str, Expression),
}

// === impl Arguments ===

macro_rules! take {
    ($($name:ident, $given:ident: $variant:ident -> $type:ty;)*) => {
        $(
            /// The argument at a place.
            pub fn $name(&mut self, at: usize) -> std::result::Result<$type, String> {
                self.$given(at).ok_or_else(|| format!("the argument at place {at} is missing"))
            }

            /// The argument at a place, if it was given.
            pub fn $given(&mut self, at: usize) -> Option<$type> {
                match self.0.get_mut(at)?.take()? {
                    Argument::$variant(value) => Some(value),
                    _ => None,
                }
            }
        )*
    };
}

impl Arguments {
    take! {
        expression, given_expression: Expression -> Expression;
        target, given_target: Target -> Path;
        text, given_text: Text -> String;
        int, given_int: Int -> i64;
        float, given_float: Float -> f64;
        boolean, given_bool: Bool -> bool;
        texts, given_texts: Texts -> Vec<String>;
        floats, given_floats: Floats -> Vec<f64>;
        expressions, given_expressions: Expressions -> Vec<Expression>;
    }

    /// The function that was passed at a place, if one was.
    pub fn given_function(&mut self, at: usize) -> Option<Passed> {
        match self.0.get_mut(at)?.take()? {
            Argument::Function(passed) => Some(passed),
            _ => None,
        }
    }

    /// The argument at a place as a regular expression.
    pub fn pattern(&mut self, at: usize, function: &'static str) -> std::result::Result<Pattern, String> {
        let expression = self.expression(at)?;
        match expression.literal() {
            Some(Value::Text(text)) => compile(function, &text.as_str()).map(Pattern::Fixed).map_err(|e| e.to_string()),
            _ => Ok(Pattern::Changing(function, expression)),
        }
    }
}

fn compile(function: &str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| invalid(function, pattern, &error.to_string()))
}

/// A pattern is malformed.
pub(crate) fn invalid(function: &str, pattern: &str, error: &str) -> Error {
    let quoted = base_stdx::quote::quote(pattern.as_bytes());
    Error::new(format!("the regex pattern supplied to {function} '{quoted}' is not a valid pattern: {error}"))
}

// === impl Pattern ===

impl Pattern {
    /// The expression on an item.
    pub fn get(&self, on: &On<'_>) -> Result<Regex> {
        match self {
            Pattern::Fixed(regex) => Ok(regex.clone()),
            Pattern::Changing(function, expression) => compile(function, &coerce::text(expression, on)?.as_str()),
        }
    }
}

// === impl Passed ===

impl Passed {
    /// The text that it makes of another.
    pub fn call(&self, on: &mut On<'_>, input: Text) -> Result<Text> {
        let body = self.0.as_ref().map_err(|message| Error::new(message.clone()))?;
        on.input = input;
        match body(on)? {
            Value::Text(text) => Ok(text),
            _ => Err("the replacement value must be a string".into()),
        }
    }
}
