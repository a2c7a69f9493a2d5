//! Typed fields that hold secrets.

use std::fmt;

use crate::capsule::other_type;
use crate::convert::{FromValue, ToValue, ValueError};
use crate::schema::TypeSchema;
use crate::value::{Secret, SecretKind, Text, Value};

/// Alloy's `secret`: a text that is never printed, not by `Debug`, not by the web API.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretString(Text);

/// Alloy's optional secret: a text that knows whether it may be printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OptionalSecret {
    text: Text,
    secret: bool,
}

// === impl SecretString ===

impl SecretString {
    /// The text itself, to be sent where it belongs and shown nowhere. Bytes that are not UTF-8 are replaced.
    pub fn expose(&self) -> std::borrow::Cow<'_, str> {
        self.0.to_string_lossy()
    }

    /// The bytes themselves.
    pub fn expose_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.as_bytes().is_empty()
    }
}

impl From<&str> for SecretString {
    fn from(text: &str) -> SecretString {
        SecretString(text.into())
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> SecretString {
        SecretString(text.into())
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl FromValue for SecretString {
    fn from_value(value: &Value) -> Result<SecretString, ValueError> {
        match value {
            Value::String(text) => Ok(SecretString(text.clone())),
            Value::Secret(secret) => Ok(SecretString(secret.value.clone())),
            other => Err(refused(other, "alloytypes.Secret")),
        }
    }

    fn zero() -> Option<SecretString> {
        Some(SecretString::default())
    }

    fn schema() -> TypeSchema {
        TypeSchema::Secret
    }
}

impl ToValue for SecretString {
    fn to_value(&self) -> Value {
        Value::Secret(Secret { value: self.0.clone(), kind: SecretKind::Always })
    }
}

fn refused(value: &Value, name: &str) -> ValueError {
    let error = match value {
        Value::Capsule(capsule) => other_type(name, capsule.object().type_name()),
        other => ValueError::mismatch("capsule", other),
    };
    error.with_hint("write a secret as a string")
}

// === impl OptionalSecret ===

impl OptionalSecret {
    /// A text that may be shown.
    pub fn plain(text: impl Into<Text>) -> OptionalSecret {
        OptionalSecret { text: text.into(), secret: false }
    }

    /// A text that must not be shown.
    pub fn secret(text: impl Into<Text>) -> OptionalSecret {
        OptionalSecret { text: text.into(), secret: true }
    }

    /// Whether it must not be shown.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// The text itself; whoever prints it asks [`OptionalSecret::is_secret`] first.
    pub fn expose(&self) -> std::borrow::Cow<'_, str> {
        self.text.to_string_lossy()
    }

    /// The bytes themselves.
    pub fn expose_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl fmt::Debug for OptionalSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret { f.write_str("(secret)") } else { self.text.fmt(f) }
    }
}

impl FromValue for OptionalSecret {
    fn from_value(value: &Value) -> Result<OptionalSecret, ValueError> {
        match value {
            Value::String(text) => Ok(OptionalSecret::plain(text.clone())),
            Value::Secret(secret) => Ok(OptionalSecret { text: secret.value.clone(), secret: secret.is_secret() }),
            other => Err(refused(other, "alloytypes.OptionalSecret")),
        }
    }

    fn zero() -> Option<OptionalSecret> {
        Some(OptionalSecret::default())
    }

    fn schema() -> TypeSchema {
        TypeSchema::Secret
    }

    fn alloy_type() -> String {
        "alloytypes.OptionalSecret".to_owned()
    }
}

impl ToValue for OptionalSecret {
    fn to_value(&self) -> Value {
        let kind = if self.secret { SecretKind::OptionalSecret } else { SecretKind::OptionalPlain };
        Value::Secret(Secret { value: self.text.clone(), kind })
    }
}
