//! Values to typed fields, and back (spec §2.5).

use crate::schema::TypeSchema;
use crate::value::Value;

/// A type that an attribute can have.
///
/// Implemented here for bool, the integers, f64, String, bytes, `Vec<T>`, `Option<T>`, maps, `Value`, `Target`,
/// durations, byte sizes and secrets; by `#[derive(Block)]` for structs; by hand for enums of words and capsules.
pub trait FromValue: Sized {
    /// The typed form, or what is wrong and where inside the value.
    fn from_value(value: &Value) -> Result<Self, ValueError>;

    /// What `null` means for this type: its zero (Alloy's rule), or `None` when `null` makes no sense and is refused.
    fn zero() -> Option<Self>;

    /// For docs, `validate`, completion and the UI.
    fn schema() -> TypeSchema;
}

/// The way back: for exports, for the web API, and to see whether two argument sets are equal.
pub trait ToValue {
    /// The value that would decode to this.
    fn to_value(&self) -> Value;
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

// === impl ValueError ===

impl ValueError {
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
