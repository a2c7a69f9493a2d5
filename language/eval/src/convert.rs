//! Values to typed fields, and back (spec §2.5).

mod lists;
mod numbers;
mod targets;
mod texts;

use crate::schema::TypeSchema;
use crate::value::Value;

pub(crate) use numbers::number;
pub use texts::parse_text;

/// A type that an attribute can have.
///
/// Implemented here for bool, the integers, f64, String, bytes, `Vec<T>`, `Option<T>`, maps, `Value`, `Target`,
/// durations, byte sizes and secrets; by `#[derive(Block)]` for structs; by hand for enums of words and capsules.
pub trait FromValue: Sized {
    /// The typed form, or what is wrong and where inside the value.
    fn from_value(value: &Value) -> Result<Self, ValueError>;

    /// What `null` means for this type: its zero (Alloy's rule), or `None` when `null` makes no sense and is refused.
    fn zero() -> Option<Self>;

    /// What leaving out an optional attribute of this type means; the same as `null` where that is allowed.
    fn absent() -> Option<Self> {
        Self::zero()
    }

    /// For docs, `validate`, completion and the UI.
    fn schema() -> TypeSchema;

    /// The type as Alloy's errors about targets spell it: `string`, `[]discovery.Target`; empty where it has no one name.
    #[doc(hidden)]
    fn alloy_type() -> String {
        Self::schema().alloy_type()
    }

    /// A list of this type. Only `u8` has its own way: a list of bytes is also a text.
    #[doc(hidden)]
    fn list_from_value(value: &Value) -> Result<Vec<Self>, ValueError> {
        lists::from_array(value)
    }

    /// The type of such a list.
    #[doc(hidden)]
    fn list_schema() -> TypeSchema {
        TypeSchema::List(Box::new(Self::schema()))
    }
}

/// The way back: for exports, for the web API, and to see whether two argument sets are equal.
pub trait ToValue {
    /// The value that would decode to this.
    fn to_value(&self) -> Value;

    /// Whether the web API shows it though it is the default: Alloy does so for what Go cannot compare.
    #[doc(hidden)]
    fn shown_always() -> bool
    where
        Self: Sized,
    {
        false
    }

    /// A list of this type; see [`FromValue::list_from_value`].
    #[doc(hidden)]
    fn list_to_value(list: &[Self]) -> Value
    where
        Self: Sized,
    {
        Value::Array(list.iter().map(ToValue::to_value).collect())
    }
}

/// Why a value does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// Where inside the value, outermost first: `.field`, `[2]`.
    pub path: Vec<PathSegment>,
    /// `should be number, got string`
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSegment {
    /// `.name`
    Field(String),
    /// `[index]`
    Index(usize),
}

/// Said of a value that is null where its type has no zero.
pub(crate) const NULL_REFUSED: &str = "must not be null";

/// [`FromValue::from_value`] with what `null` means: the type's zero, or a refusal. This is what decoders call.
pub fn from_value_or_zero<T: FromValue>(value: &Value) -> Result<T, ValueError> {
    match value {
        Value::Null => T::zero().ok_or_else(|| ValueError::new(NULL_REFUSED)),
        value => T::from_value(value).map_err(|error| misfit::<T>(value, error)),
    }
}

/// What is said of a value that is of another type as a whole: a target is refused in Alloy's words, and for a component
/// the export that would fit is named.
fn misfit<T: FromValue>(value: &Value, error: ValueError) -> ValueError {
    match value {
        Value::Target(_) => match T::alloy_type() {
            name if name.is_empty() => error,
            name => {
                let message = format!("target::ConvertInto: conversion to '*{name}' is not supported");
                let hint = match T::schema() {
                    TypeSchema::List(item) if matches!(*item, TypeSchema::Target) => "write [ and ] around it",
                    TypeSchema::String => "a label of it has its name behind it: [\"__address__\"]",
                    _ => "it is a target",
                };
                ValueError::new(message).with_hint(hint)
            }
        },
        Value::Object(exports) if error.path.is_empty() => {
            let mut fields = exports.iter().filter(|(_, field)| !field.is_null());
            match fields.find(|(_, field)| T::from_value(field).is_ok()) {
                Some((name, _)) => error.with_hint(format!("put .{name} behind it")),
                None => error,
            }
        }
        _ => error,
    }
}

// === impl ValueError ===

impl ValueError {
    /// `should be number, got string`
    pub fn mismatch(expected: &str, value: &Value) -> ValueError {
        let error = ValueError::new(format!("should be {expected}, got {}", value.kind()));
        match (expected, value) {
            ("bool", Value::String(_)) => error.with_hint("write true or false, without quotes"),
            ("array", _) => error.with_hint("a list stands between [ and ], also if it has one item"),
            _ => error,
        }
    }

    /// With a hint of what to write instead.
    pub fn with_hint(mut self, hint: impl Into<String>) -> ValueError {
        self.hint = Some(hint.into());
        self
    }

    /// About the value itself.
    pub fn new(message: impl Into<String>) -> ValueError {
        ValueError { path: Vec::new(), message: message.into(), hint: None }
    }

    /// The same error seen from one level further out.
    pub fn at_field(mut self, name: impl Into<String>) -> ValueError {
        self.path.insert(0, PathSegment::Field(name.into()));
        self
    }

    /// The same error seen from one level further out.
    pub fn at_index(mut self, index: usize) -> ValueError {
        self.path.insert(0, PathSegment::Index(index));
        self
    }
}

/// `.field[2] should be number, got string`
impl std::fmt::Display for ValueError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.iter().try_for_each(|segment| write!(f, "{segment}"))?;
        if !self.path.is_empty() {
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ValueError {}

impl std::fmt::Display for PathSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PathSegment::Field(name) => write!(f, ".{name}"),
            PathSegment::Index(index) => write!(f, "[{index}]"),
        }
    }
}
