//! Rules at work.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;

use base_re2::Slots;
use language_eval::{CapsuleObject, capsule};
use md5::{Digest, Md5};
use sdk_labels::{Labels, LabelsBuilder};

use crate::action::Action;
use crate::case;
use crate::rule::{DEFAULT_REGEX, DEFAULT_REPLACEMENT, NameRule, Rule};

/// A list of rules, applied from the first to the last. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    rules: Arc<[Rule]>,
    names: NameRule,
}

/// Buffers of one thread; no rule's work calls another's.
#[derive(Default)]
struct Scratch {
    input: String,
    target: String,
    value: String,
    slots: Slots,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Rules {
    /// Rules that have been validated, and which names they may set.
    pub fn new(rules: impl Into<Arc<[Rule]>>, names: NameRule) -> Rules {
        Rules { rules: rules.into(), names }
    }

    /// The same rules, with which names they may set.
    pub fn with_names(&self, names: NameRule) -> Rules {
        Rules { rules: self.rules.clone(), names }
    }

    /// The rules.
    pub fn as_slice(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Edits the labels. False: what they belong to is to be dropped, and the labels are of no more use.
    pub fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        SCRATCH.with_borrow_mut(|scratch| self.rules.iter().all(|rule| rule.apply(labels, self.names, scratch)))
    }

    /// The labels after the rules; None if what they belong to is to be dropped.
    pub fn relabel(&self, labels: &Labels) -> Option<Labels> {
        let mut builder = LabelsBuilder::new(labels);
        self.apply(&mut builder).then(|| builder.labels())
    }
}

/// What components export as `rules`.
impl CapsuleObject for Rules {
    fn type_name(&self) -> &'static str {
        "relabel.Rules"
    }

    fn equals(&self, other: &dyn CapsuleObject) -> Option<bool> {
        Some(other.as_any().downcast_ref::<Rules>().is_some_and(|other| self == other))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

capsule!(Rules, "relabel.Rules");

impl Rule {
    fn apply(&self, labels: &mut LabelsBuilder, names: NameRule, scratch: &mut Scratch) -> bool {
        let Scratch { input, target, value, slots } = scratch;
        input.clear();
        for (i, name) in self.source_labels.iter().enumerate() {
            if i > 0 {
                input.push_str(&self.separator);
            }
            input.push_str(labels.get(name));
        }
        value.clear();
        match self.action {
            Action::Keep => return self.regex.is_match(&*input),
            Action::Drop => return !self.regex.is_match(&*input),
            Action::KeepEqual => return labels.get(&self.target_label) == input,
            Action::DropEqual => return labels.get(&self.target_label) != input,
            Action::Replace => {
                // Most rules copy a label under another name.
                let copies = self.regex.as_str() == DEFAULT_REGEX && self.replacement == DEFAULT_REPLACEMENT;
                if copies && !self.target_label.contains('$') {
                    if names.allows(&self.target_label) {
                        labels.set(&self.target_label, input);
                    }
                    return true;
                }
                if !self.regex.captures(&*input, slots) {
                    return true;
                }
                target.clear();
                self.regex.expand(&self.target_label, input, slots, target);
                if names.allows(target) {
                    self.regex.expand(&self.replacement, input, slots, value);
                    labels.set(target, value);
                }
            }
            Action::Lowercase => {
                case::lower(input, value);
                labels.set(&self.target_label, value);
            }
            Action::Uppercase => {
                case::upper(input, value);
                labels.set(&self.target_label, value);
            }
            Action::HashMod => {
                labels.set(&self.target_label, &(last_of_md5(input) % self.modulus.max(1)).to_string());
            }
            Action::LabelMap => {
                // Over a snapshot: what the rule sets is not mapped again.
                let mapped: Vec<(String, String)> = (labels.iter())
                    .filter(|(name, _)| self.regex.is_match(name))
                    .map(|(name, value)| {
                        (self.regex.replace_all(name, &self.replacement).into_owned(), value.to_owned())
                    })
                    .collect();
                for (name, value) in mapped {
                    labels.set(&name, &value);
                }
            }
            Action::LabelDrop => remove_where(labels, |name| self.regex.is_match(name)),
            Action::LabelKeep => remove_where(labels, |name| !self.regex.is_match(name)),
        }
        true
    }
}

fn remove_where(labels: &mut LabelsBuilder, remove: impl Fn(&str) -> bool) {
    let removed: Vec<String> =
        labels.iter().map(|(name, _)| name).filter(|name| remove(name)).map(str::to_owned).collect();
    for name in removed {
        labels.remove(&name);
    }
}

/// The last eight bytes of the MD5 as a number: what Prometheus has always sharded by.
fn last_of_md5(input: &str) -> u64 {
    let digest: [u8; 16] = Md5::digest(input.as_bytes()).into();
    let mut last = [0; 8];
    last.copy_from_slice(&digest[8..]);
    u64::from_be_bytes(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::RuleRegex;

    fn check(rule: Rule, names: NameRule, labels: &[(&str, &str)], expect: Option<&str>) {
        rule.check().expect("a good rule");
        let relabelled = Rules::new([rule], names).relabel(&Labels::from_pairs(labels.iter().copied()));
        assert_eq!(relabelled.map(|labels| labels.to_string()).as_deref(), expect);
    }

    #[test]
    fn a_name_that_the_rule_of_names_refuses_is_skipped() {
        let rule = || Rule { source_labels: vec!["a".into()], target_label: "bäd".into(), ..Rule::default() };
        check(rule(), NameRule::Legacy, &[("a", "1")], Some(r#"{a="1"}"#));
        check(rule(), NameRule::Utf8, &[("a", "1")], Some(r#"{a="1", "bäd"="1"}"#));
    }

    #[test]
    fn labelmap_works_on_a_snapshot() {
        let regex = RuleRegex::new("(.)(.*)").expect("a good expression");
        let rule = Rule { action: Action::LabelMap, regex, replacement: "$2$1".into(), ..Rule::default() };
        let expect = r#"{"1c"="3", ab="2", ba="1", c1="3"}"#;
        check(rule, NameRule::Legacy, &[("ab", "1"), ("ba", "2"), ("c1", "3")], Some(expect));
    }

    #[test]
    fn an_empty_result_removes_the_label() {
        let rule = Rule { target_label: "a".into(), ..Rule::default() };
        check(rule, NameRule::Legacy, &[("a", "1"), ("b", "2")], Some(r#"{b="2"}"#));
    }
}
