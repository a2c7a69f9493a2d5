//! One rule, and what is wrong with it.

use std::ops::Deref;
use std::sync::LazyLock;

use base_re2::Regex;
use base_stdx::quote::quote;
use language_eval::{Block, FromValue, Invalid, Text, ToValue, TypeSchema, Validate, Value, ValueError};
use sdk_labels::{is_legacy_label_name, is_utf8_name};

use crate::action::Action;

/// What a `rule` block says.
#[derive(Block, Clone, Debug, PartialEq, Eq)]
#[block(default, validate)]
pub struct Rule {
    /// Labels whose values, joined by `separator`, are the input. A missing label counts as an empty text.
    #[attr(optional)]
    pub source_labels: Vec<String>,
    /// What stands between the values of `source_labels`.
    #[attr(default = DEFAULT_SEPARATOR.to_owned())]
    pub separator: String,
    /// RE2 expression that is matched against the whole input; dot takes newlines.
    #[attr(default = RuleRegex::anything())]
    pub regex: RuleRegex,
    /// For `hashmod`: the hash of the input is taken modulo this number.
    #[attr(optional)]
    pub modulus: u64,
    /// The label to set; with `replace` it may hold references to groups of the expression.
    #[attr(optional)]
    pub target_label: String,
    /// The value to set; `$1` and `${name}` stand for groups of the expression.
    #[attr(default = DEFAULT_REPLACEMENT.to_owned())]
    pub replacement: String,
    /// What the rule does.
    #[attr(default = Action::Replace)]
    pub action: Action,
}

/// The expression of a rule: anchored at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRegex(pub Regex);

/// Which names `replace` may set: a result that is not one is skipped, silently as in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// `[a-zA-Z_][a-zA-Z0-9_]*`: metrics and logs.
    Legacy,
    /// Any text but none: discovery.
    Utf8,
}

pub(crate) const DEFAULT_SEPARATOR: &str = ";";
pub(crate) const DEFAULT_REGEX: &str = "(.*)";
pub(crate) const DEFAULT_REPLACEMENT: &str = "$1";

static ANYTHING: LazyLock<Regex> = LazyLock::new(|| Regex::anchored(DEFAULT_REGEX).expect("a good expression"));

/// A label name in which references may stand.
static NAME_TEMPLATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$").expect("a good expression"));

impl RuleRegex {
    /// `(.*)`
    pub fn anything() -> RuleRegex {
        RuleRegex(ANYTHING.clone())
    }

    /// Of this text.
    pub fn new(text: &str) -> Result<RuleRegex, base_re2::Error> {
        Regex::anchored(text).map(RuleRegex)
    }
}

impl Deref for RuleRegex {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl FromValue for RuleRegex {
    fn from_value(value: &Value) -> Result<RuleRegex, ValueError> {
        let text = Text::from_value(value)?;
        let text = text.as_str().ok_or_else(|| ValueError::new("error parsing regexp: invalid UTF-8"))?;
        RuleRegex::new(text)
            .map_err(|error| ValueError { hint: error.hint().map(str::to_owned), ..ValueError::new(error.to_string()) })
    }

    fn zero() -> Option<RuleRegex> {
        RuleRegex::new("").ok()
    }

    fn schema() -> TypeSchema {
        TypeSchema::Text("RE2 regular expression")
    }
}

impl ToValue for RuleRegex {
    fn to_value(&self) -> Value {
        Value::from(self.as_str())
    }

    fn shown_always() -> bool {
        true
    }
}

impl Validate for Rule {
    fn validate(&self) -> Result<(), Invalid> {
        self.check().map_err(Invalid::block)
    }
}

impl Rule {
    /// Whether the fields go together; the error is a sentence in Alloy's words.
    pub fn check(&self) -> Result<(), String> {
        use Action::{DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase};
        let action = self.action;
        if action == HashMod && self.modulus == 0 {
            return Err("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        let needs_target = matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if needs_target && self.target_label.is_empty() {
            return Err(format!("relabel configuration for {action} action requires 'target_label' value"));
        }
        if action == Replace && self.target_label.contains('$') && !NAME_TEMPLATE.is_match(&self.target_label) {
            let target = quote(self.target_label.as_bytes());
            return Err(format!("{target} is invalid 'target_label' for {action} action"));
        }
        let fixed_value = matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual);
        if fixed_value && self.replacement != DEFAULT_REPLACEMENT {
            return Err(format!("'replacement' can not be set for {action} action"));
        }
        if action == LabelMap && !NAME_TEMPLATE.is_match(&self.replacement) {
            let replacement = quote(self.replacement.as_bytes());
            return Err(format!("{replacement} is invalid 'replacement' for {action} action"));
        }

        let plain = self.modulus == 0 && self.separator == DEFAULT_SEPARATOR && self.replacement == DEFAULT_REPLACEMENT;
        let only_regex = plain && self.source_labels.is_empty() && self.target_label.is_empty();
        if matches!(action, LabelDrop | LabelKeep) && !only_regex {
            return Err(format!("{action} action requires only 'regex', and no other fields"));
        }
        if matches!(action, KeepEqual | DropEqual) && !(plain && self.regex.as_str() == DEFAULT_REGEX) {
            return Err(format!(
                "{action} action requires only 'source_labels' and 'target_label', and no other fields"
            ));
        }
        Ok(())
    }
}

impl NameRule {
    pub(crate) fn allows(self, name: &str) -> bool {
        match self {
            NameRule::Legacy => is_legacy_label_name(name),
            NameRule::Utf8 => is_utf8_name(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{Block, BodyNode};

    use super::*;

    #[test]
    fn the_expression_of_a_rule_is_shown_though_it_is_the_default() {
        let shown = Rule { target_label: "t".to_owned(), ..Rule::default() }.encode();
        let attribute =
            |name: &str, value: &str| BodyNode::Attribute { name: name.to_owned(), value: Value::from(value) };
        assert_eq!(shown, [attribute("regex", "(.*)"), attribute("target_label", "t")]);
    }
}
