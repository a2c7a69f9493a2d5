//! Relabelling rules as Prometheus has them.
//!
//! A [`Rule`] is what a `rule` block says; [`Rules`] is a list of them, applied to a label set in a `LabelsBuilder`.

mod action;
mod apply;
mod case;
mod rule;

pub use action::{Action, UnknownAction};
pub use apply::Rules;
pub use rule::{NameRule, Rule, RuleRegex};
