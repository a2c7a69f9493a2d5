//! What a rule does.

use std::fmt;
use std::str::FromStr;

use language_eval::{FromValue, ToValue, TypeSchema, Value, ValueError};

/// The actions of `rule { action = "…" }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    #[default]
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

/// A word that is no action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAction(pub String);

impl Action {
    /// All of them.
    pub const ALL: [Action; 11] = [
        Action::Replace,
        Action::Keep,
        Action::Drop,
        Action::KeepEqual,
        Action::DropEqual,
        Action::HashMod,
        Action::LabelMap,
        Action::LabelDrop,
        Action::LabelKeep,
        Action::Lowercase,
        Action::Uppercase,
    ];

    /// Their words, in the same order.
    const WORDS: [&'static str; Action::ALL.len()] = {
        let mut words = [""; Action::ALL.len()];
        let mut i = 0;
        while i < words.len() {
            words[i] = Action::ALL[i].as_str();
            i += 1;
        }
        words
    };

    /// As written in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Replace => "replace",
            Action::Keep => "keep",
            Action::Drop => "drop",
            Action::KeepEqual => "keepequal",
            Action::DropEqual => "dropequal",
            Action::HashMod => "hashmod",
            Action::LabelMap => "labelmap",
            Action::LabelDrop => "labeldrop",
            Action::LabelKeep => "labelkeep",
            Action::Lowercase => "lowercase",
            Action::Uppercase => "uppercase",
        }
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    /// Case counts: `Replace` is no action.
    fn from_str(word: &str) -> Result<Action, UnknownAction> {
        Action::ALL.into_iter().find(|action| action.as_str() == word).ok_or_else(|| UnknownAction(word.to_owned()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for UnknownAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unrecognized action type {}", base_stdx::quote::quote(self.0.as_bytes()))
    }
}

impl std::error::Error for UnknownAction {}

impl FromValue for Action {
    fn from_value(value: &Value) -> Result<Action, ValueError> {
        let word = String::from_value(value)?;
        word.parse().map_err(|error: UnknownAction| {
            let near = base_stdx::nearest(&word, Action::WORDS);
            let error = ValueError::new(error.to_string());
            match near {
                Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                None => error.with_hint(format!("actions are {}", Action::WORDS.join(", "))),
            }
        })
    }

    fn zero() -> Option<Action> {
        None
    }

    fn schema() -> TypeSchema {
        TypeSchema::Word(&Action::WORDS)
    }
}

impl ToValue for Action {
    fn to_value(&self) -> Value {
        Value::from(self.as_str())
    }
}
