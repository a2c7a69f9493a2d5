//! Host objects that travel through a configuration without the language knowing what they are.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::convert::ValueError;
use crate::value::Value;

/// A host object inside a [`crate::Value`]: a log receiver, an OTLP consumer, an HTTP handler.
#[derive(Clone)]
pub struct Capsule(Arc<dyn CapsuleObject>);

/// What a host object tells of itself. Everything has a default but its type's name.
pub trait CapsuleObject: Any + Send + Sync {
    /// The name of its type as errors print it: `expected capsule("loki.LogsReceiver"), got …`.
    fn type_name(&self) -> &'static str;

    /// How the web API prints it: `loki.write.default.receiver`. `None` prints `capsule("TYPE")`.
    fn text(&self) -> Option<String> {
        None
    }

    /// Whether two are the same thing; without an answer, identity decides.
    fn equals(&self, other: &dyn CapsuleObject) -> Option<bool> {
        let _ = other;
        None
    }

    /// Whether it is its type's zero: a receiver before the component has published one (spec §3.3a).
    fn is_zero(&self) -> bool {
        false
    }

    /// Where data handed to it goes. The runtime draws the graph from this answer alone.
    fn data_edge(&self) -> Option<DataEdge> {
        None
    }

    /// For the way back to the host type.
    fn as_any(&self) -> &dyn Any;
}

/// "Data of this signal handed to me arrives at that component."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataEdge {
    /// Global id of the receiving component.
    pub component: String,
    /// As the web API names it: `loki_log`, `prometheus_metric`, `otel_trace`, `otel_metric`, `otel_log`, `target`.
    pub signal: &'static str,
}

// === impl Capsule ===

impl Capsule {
    /// Wraps a host object.
    pub fn new(object: impl CapsuleObject) -> Capsule {
        Capsule(Arc::new(object))
    }

    /// The host object, if it is a `T`.
    pub fn downcast_ref<T: CapsuleObject>(&self) -> Option<&T> {
        self.0.as_any().downcast_ref()
    }

    /// The object behind it.
    pub fn object(&self) -> &dyn CapsuleObject {
        &*self.0
    }
}

impl PartialEq for Capsule {
    fn eq(&self, other: &Capsule) -> bool {
        self.0.equals(&*other.0).unwrap_or_else(|| Arc::ptr_eq(&self.0, &other.0))
    }
}

impl fmt::Debug for Capsule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.text() {
            Some(text) => f.write_str(&text),
            None => write!(f, "capsule({:?})", self.0.type_name()),
        }
    }
}

/// Makes a host type usable as the type of an attribute or an export.
///
/// ```ignore
/// #[derive(Clone)]
/// pub struct LogsReceiver { … }
/// impl CapsuleObject for LogsReceiver { … }        // implement `equals`: each export makes a new capsule
/// language_eval::capsule!(LogsReceiver, "loki.LogsReceiver");
/// ```
/// The type is `Clone + CapsuleObject`. `null` is refused; a zero capsule (spec §3.3a) is passed on as it is.
#[macro_export]
macro_rules! capsule {
    ($type:ty, $name:literal) => {
        impl $crate::FromValue for $type {
            fn from_value(value: &$crate::Value) -> ::core::result::Result<Self, $crate::ValueError> {
                $crate::capsule::from_value(value, $name)
            }

            fn zero() -> ::core::option::Option<Self> {
                ::core::option::Option::None
            }

            fn schema() -> $crate::TypeSchema {
                $crate::TypeSchema::Capsule($name)
            }
        }

        impl $crate::ToValue for $type {
            fn to_value(&self) -> $crate::Value {
                $crate::Value::Capsule($crate::Capsule::new(::core::clone::Clone::clone(self)))
            }
        }
    };
}

/// A capsule that is of another type.
pub(crate) fn other_type(name: &str, got: &str) -> ValueError {
    ValueError::new(format!("expected capsule({name:?}), got capsule({got:?})"))
}

/// What [`capsule!`] decodes with.
pub fn from_value<T: CapsuleObject + Clone>(value: &Value, name: &str) -> Result<T, ValueError> {
    match value {
        Value::Capsule(capsule) => {
            capsule.downcast_ref::<T>().cloned().ok_or_else(|| other_type(name, capsule.object().type_name()))
        }
        Value::Secret(secret) => Err(other_type(name, secret.kind.type_name())),
        Value::Target(_) => Err(ValueError::new(format!("expected capsule({name:?}), got a target"))),
        other => Err(ValueError::mismatch("capsule", other).with_hint(format!("refer to an export of type {name}"))),
    }
}
