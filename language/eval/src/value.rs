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
pub struct Target(Arc<std::collections::BTreeMap<Arc<str>, Arc<str>>>);

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

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}

// === impl Secret ===

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
        self.0.get(name).map(|value| &**value)
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
        Target(Arc::new(labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
