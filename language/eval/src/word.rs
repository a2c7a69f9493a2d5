//! Enums of words.

use base_stdx::nearest;

use crate::convert::{FromValue, ValueError};
use crate::value::{Text, Value};

/// An enum each of whose variants is a word of a configuration.
///
/// ```ignore
/// #[derive(Clone, Copy, Debug, PartialEq, Word)]
/// #[word(ignore_case)]                 // optional
/// pub enum Level {
///     Debug,                           // "debug"
///     #[word(name = "warn", alias = "warning")]
///     Warn,
/// }
/// ```
/// The derive also writes `FromValue`, `ToValue` and `Display`. `null` is refused.
pub trait Word: Sized {
    /// Every word, without aliases.
    const WORDS: &'static [&'static str];

    /// The word for this variant.
    fn as_str(&self) -> &'static str;

    /// The variant for a word or alias.
    fn from_word(word: &str) -> Option<Self>;
}

/// What the derive's `FromValue` does.
pub fn word_from_value<T: Word>(value: &Value) -> Result<T, ValueError> {
    let text = Text::from_value(value)?;
    let word = text.to_string_lossy();
    T::from_word(&word).ok_or_else(|| {
        let error = ValueError::new(format!("must be one of {}", quoted_list(T::WORDS.iter().copied())));
        match nearest(&word, T::WORDS.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean {near:?}?")),
            None => error,
        }
    })
}

/// `"a", "b" or "c"`
pub(crate) fn quoted_list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("{word:?}")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
