//! Label selectors as objects hold them (`matchLabels`, `matchExpressions`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::objects::nullable;

/// Which label sets are meant: those that meet every requirement. The empty one means all.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with their exact values.
    #[serde(default, deserialize_with = "nullable")]
    pub match_labels: BTreeMap<String, String>,
    /// More requirements.
    #[serde(default, deserialize_with = "nullable")]
    pub match_expressions: Vec<Requirement>,
}

/// What one label must be.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Requirement {
    /// The label's name.
    #[serde(default)]
    pub key: String,
    /// One of [`Operator`], as written.
    #[serde(default)]
    pub operator: String,
    /// What to compare with.
    #[serde(default, deserialize_with = "nullable")]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It is one of the values.
    In,
    /// It is missing or none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

// === impl LabelSelector ===

impl LabelSelector {
    /// Whether every requirement can be understood; the error says which cannot.
    pub fn check(&self) -> Result<(), String> {
        self.match_expressions.iter().try_for_each(|requirement| {
            let operator = requirement.operator()?;
            let (key, given) = (&requirement.key, requirement.values.is_empty());
            match operator {
                Operator::In | Operator::NotIn if given => {
                    Err(format!("operator {:?} for label {key:?} needs values", requirement.operator))
                }
                Operator::Exists | Operator::DoesNotExist if !given => {
                    Err(format!("operator {:?} for label {key:?} takes no values", requirement.operator))
                }
                _ => Ok(()),
            }
        })
    }

    /// Whether these labels are meant. What [`LabelSelector::check`] refuses matches nothing.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(name, value)| labels.get(name) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }
}

// === impl Requirement ===

impl Requirement {
    fn operator(&self) -> Result<Operator, String> {
        match self.operator.as_str() {
            "In" => Ok(Operator::In),
            "NotIn" => Ok(Operator::NotIn),
            "Exists" => Ok(Operator::Exists),
            "DoesNotExist" => Ok(Operator::DoesNotExist),
            other => Err(format!(
                "{other:?} is not a valid label selector operator; it is In, NotIn, Exists or DoesNotExist"
            )),
        }
    }

    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator() {
            Ok(Operator::In) => value.is_some_and(|value| self.values.contains(value)),
            Ok(Operator::NotIn) => value.is_none_or(|value| !self.values.contains(value)),
            Ok(Operator::Exists) => value.is_some(),
            Ok(Operator::DoesNotExist) => value.is_none(),
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_must_be_met() {
        let labels: BTreeMap<String, String> =
            [("app", "shop"), ("tier", "web")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let matches = |text: &str| {
            let selector: LabelSelector = serde_json::from_str(text).unwrap();
            selector.check().map(|()| selector.matches(&labels))
        };
        let one = |key: &str, operator: &str, values: &str| {
            matches(&format!(
                r#"{{"matchExpressions": [{{"key": "{key}", "operator": "{operator}", "values": {values}}}]}}"#
            ))
        };
        assert_eq!(matches("{}"), Ok(true));
        assert_eq!(matches(r#"{"matchLabels": {"app": "shop"}}"#), Ok(true));
        assert_eq!(matches(r#"{"matchLabels": {"app": "shop", "x": ""}}"#), Ok(false));
        assert_eq!(one("tier", "In", r#"["web", "db"]"#), Ok(true));
        assert_eq!(one("tier", "NotIn", r#"["web", "db"]"#), Ok(false));
        assert_eq!(one("x", "NotIn", r#"["web"]"#), Ok(true));
        assert_eq!(one("x", "Exists", "null"), Ok(false));
        assert_eq!(one("x", "DoesNotExist", "[]"), Ok(true));
        assert!(one("x", "Like", "[]").unwrap_err().contains("not a valid label selector operator"));
        assert!(one("x", "In", "[]").unwrap_err().contains("needs values"));
    }
}
