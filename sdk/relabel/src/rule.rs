//! One rule, and what is wrong with it.

use std::sync::LazyLock;

use base_re2::Regex;
use base_stdx::quote::quote;
use sdk_labels::{is_legacy_label_name, is_utf8_name};

use crate::action::Action;

/// What a `rule` block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Labels whose values, joined by `separator`, are the input. A missing label counts as "".
    pub source_labels: Vec<String>,
    /// Default `;`.
    pub separator: String,
    /// Matched against the whole input; dot takes newlines. Default `(.*)`.
    pub regex: Regex,
    /// For `hashmod`.
    pub modulus: u64,
    /// The label to set; with `replace` it may hold references to groups.
    pub target_label: String,
    /// The value to set, with references to groups. Default `$1`.
    pub replacement: String,
    /// Default `replace`.
    pub action: Action,
}

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

impl Default for Rule {
    fn default() -> Rule {
        Rule {
            source_labels: Vec::new(),
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: ANYTHING.clone(),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action: Action::default(),
        }
    }
}

impl Rule {
    /// Whether the fields go together; the error is a sentence in Alloy's words.
    pub fn validate(&self) -> Result<(), String> {
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
