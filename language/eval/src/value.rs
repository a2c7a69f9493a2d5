//! What an expression evaluates to.

use std::fmt;
use std::sync::Arc;

use crate::Capsule;

/// A value of the language (spec §2.1). Cloning is cheap: everything large is shared.
#[derive(Clone)]
pub enum Value {
    /// `null`
    Null,
    /// A number of one of three kinds.
    Number(Number),
    /// Text, which may hold bytes that are not UTF-8 (`"\xff"`).
    String(Text),
    /// `true`, `false`
    Bool(bool),
    /// `[…]`
    Array(Arc<[Value]>),
    /// `{…}`
    Object(Object),
    /// A function of the standard library.
    Function(Function),
    /// Text that is never printed when `secret` (spec §2.3).
    Secret(Secret),
    /// A discovery target: reads like an object of strings, is a type of its own (spec §2.5).
    Target(Target),
    /// A host object.
    Capsule(Capsule),
}

/// The three kinds of number (spec §2.1).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Number {
    Int(i64),
    Uint(u64),
    Float(f64),
}

/// Shared text. Almost always UTF-8; a string literal or `from_base64` can make it hold anything.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Arc<[u8]>);

/// The two secret capsules of Alloy.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The text itself; whoever reads it decides not to print it.
    pub value: Text,
    /// Which of the two.
    pub kind: SecretKind,
}

/// `Secret` is always secret; an `OptionalSecret` knows whether it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// Alloy's `secret`.
    Always,
    /// Alloy's optional secret that is one.
    OptionalSecret,
    /// Alloy's optional secret that is not.
    OptionalPlain,
}

/// Fields by name; printing and iteration are in key order.
#[derive(Clone, Default)]
pub struct Object(Arc<std::collections::BTreeMap<Arc<str>, Value>>);

/// Labels of a discovery target, sorted by name.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Target(Arc<[(Arc<str>, Arc<str>)]>);

/// A function of the standard library.
#[derive(Clone)]
pub struct Function {
    /// As written: `string.format`.
    pub name: &'static str,
    /// What it does, on evaluated arguments; the error says which argument is to blame, if one is.
    pub call: fn(&[Value]) -> Result<Value, FunctionError>,
}

/// Why a call failed.
#[derive(Clone, Debug)]
pub struct FunctionError {
    /// Which argument (from 0), or the call as a whole.
    pub argument: Option<usize>,
    /// Where inside that argument, outermost first.
    pub path: Vec<crate::convert::PathSegment>,
    /// What is wrong.
    pub message: String,
}

// === impl Value ===

impl Value {
    /// The name of its type, as errors say it (spec §2.1).
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Function(_) => "function",
            Value::Secret(_) | Value::Target(_) | Value::Capsule(_) => "capsule",
        }
    }

    /// Whether it is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

/// Printed as a configuration would write it; secrets as `(secret)`.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Number(number) => write!(f, "{number}"),
            Value::String(text) => f.write_str(&base_stdx::quote::quote(text.as_bytes())),
            Value::Bool(truth) => write!(f, "{truth}"),
            Value::Array(items) => f.debug_list().entries(items.iter()).finish(),
            Value::Object(object) => object.fmt(f),
            Value::Function(function) => write!(f, "function({})", function.name),
            Value::Secret(secret) => secret.fmt(f),
            Value::Target(target) => target.fmt(f),
            Value::Capsule(capsule) => capsule.fmt(f),
        }
    }
}

/// Sameness, as change detection needs it: of the same type and, inside, the same. The operator `==` of the language is
/// laxer (a secret equals the text it holds) and lives in `operators`.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Number(left), Value::Number(right)) => left == right,
            (Value::String(left), Value::String(right)) => left == right,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Array(left), Value::Array(right)) => Arc::ptr_eq(left, right) || left == right,
            (Value::Object(left), Value::Object(right)) => left == right,
            (Value::Function(left), Value::Function(right)) => left.name == right.name,
            (Value::Secret(left), Value::Secret(right)) => left == right,
            (Value::Target(left), Value::Target(right)) => left == right,
            (Value::Capsule(left), Value::Capsule(right)) => left == right,
            _ => false,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(Number::Int(number))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(Number::Float(number))
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::Array(items.into())
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Value {
        Value::Object(object)
    }
}

// === impl Number ===

impl Number {
    /// As a float; integers beyond 2^53 lose digits.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Uint(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

/// As an `Int` if it fits, so that one number has one form.
impl From<u64> for Number {
    fn from(number: u64) -> Number {
        i64::try_from(number).map_or(Number::Uint(number), Number::Int)
    }
}

/// Integers exactly; a float on either side makes it a comparison of floats, in which NaN is the same as NaN.
impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        match (*self, *other) {
            (Number::Int(left), Number::Int(right)) => left == right,
            (Number::Uint(left), Number::Uint(right)) => left == right,
            (Number::Int(int), Number::Uint(uint)) | (Number::Uint(uint), Number::Int(int)) => {
                u64::try_from(int).is_ok_and(|int| int == uint)
            }
            (left, right) => {
                let (left, right) = (left.as_f64(), right.as_f64());
                left == right || (left.is_nan() && right.is_nan())
            }
        }
    }
}

/// Without an exponent, as it converts to a string.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(number) => write!(f, "{number}"),
            Number::Uint(number) => write!(f, "{number}"),
            Number::Float(number) => f.write_str(&base_stdx::float::plain(*number)),
        }
    }
}

// === impl FunctionError ===

impl FunctionError {
    /// About the call as a whole.
    pub fn new(message: impl Into<String>) -> FunctionError {
        FunctionError { argument: None, path: Vec::new(), message: message.into() }
    }

    /// About one argument (from 0), or something inside it.
    pub fn argument(argument: usize, error: crate::ValueError) -> FunctionError {
        FunctionError { argument: Some(argument), path: error.path, message: error.message }
    }
}

// === impl Text ===

impl Text {
    /// Any bytes.
    pub fn from_bytes(bytes: &[u8]) -> Text {
        Text(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text, bytes that are not UTF-8 replaced.
    pub fn to_string_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.as_bytes().into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(text: Vec<u8>) -> Text {
        Text(text.into())
    }
}

impl Default for Text {
    fn default() -> Text {
        Text::from_bytes(&[])
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}

// === impl SecretKind ===

impl SecretKind {
    /// The name of its type as errors print it.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            SecretKind::Always => "alloytypes.Secret",
            SecretKind::OptionalSecret | SecretKind::OptionalPlain => "alloytypes.OptionalSecret",
        }
    }
}

// === impl Secret ===

impl Secret {
    /// Whether its text must not be shown.
    pub fn is_secret(&self) -> bool {
        self.kind != SecretKind::OptionalPlain
    }
}

/// A secret has no printable form.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            SecretKind::OptionalPlain => self.value.fmt(f),
            SecretKind::Always | SecretKind::OptionalSecret => f.write_str("(secret)"),
        }
    }
}

// === impl Object ===

impl Object {
    /// A field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All fields, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// How many fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is `{}`.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The last of equal keys wins (spec §1.5).
impl<K: Into<Arc<str>>> FromIterator<(K, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(fields: I) -> Object {
        Object(Arc::new(fields.into_iter().map(|(name, value)| (name.into(), value)).collect()))
    }
}

// === impl Target ===

impl Target {
    /// A label's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(one, _)| (**one).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// The same with this label set. What it has in common with the one before is there once.
    pub fn with(&self, name: &str, value: &str) -> Target {
        let mut labels = self.0.to_vec();
        match labels.binary_search_by(|(one, _)| (**one).cmp(name)) {
            Ok(at) => labels[at].1 = value.into(),
            Err(at) => labels.insert(at, (name.into(), value.into())),
        }
        Target(labels.into())
    }

    /// All labels, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Target {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Target {
        let mut sorted: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for (name, value) in labels {
            let (name, value) = (name.into(), value.into());
            match sorted.binary_search_by(|(one, _)| one.cmp(&name)) {
                Ok(at) => sorted[at].1 = value,
                Err(at) => sorted.insert(at, (name, value)),
            }
        }
        Target(sorted.into())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
