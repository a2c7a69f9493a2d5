//! `discovery.relabel`: rewrites the labels of targets, and drops targets.

use std::sync::Arc;

use language_eval::{Arguments, Exports, Target};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Tap, Update};
use sdk_labels::{Labels, LabelsBuilder};
use sdk_relabel::{NameRule, Rule, Rules};

use crate::look;

/// Rewrites the labels of targets by rules, and drops the targets that a rule drops.
///
/// The rules are applied to every target from the first to the last. A target that is left without labels stays.
#[derive(Arguments)]
pub struct RelabelArguments {
    /// The targets to relabel.
    #[attr]
    targets: Vec<Target>,
    /// What to do with each target, in order.
    #[block]
    rule: Vec<Rule>,
}

/// What others may refer to.
#[derive(Exports)]
pub struct RelabelExports {
    /// The targets after the rules.
    output: Vec<Target>,
    /// The rules, for components that relabel on their own.
    rules: Rules,
}

/// The component.
pub struct Relabel(Tap);

impl Component for Relabel {
    const NAME: &'static str = "discovery.relabel";

    type Arguments = RelabelArguments;
    type Exports = RelabelExports;

    fn build(context: &Context, arguments: RelabelArguments) -> Result<Relabel, Problem> {
        let tap = context.tap();
        let rules = Rules::new(arguments.rule, NameRule::Utf8);
        context.publish(&relabel(&arguments.targets, rules));
        Ok(Relabel(tap))
    }

    fn update(&self, arguments: RelabelArguments) -> Result<Update, Problem> {
        let RelabelArguments { targets, rule } = arguments;
        let rules = Rules::new(rule, NameRule::Utf8);
        let exports = relabel(&targets, rules.clone());
        let tap = self.0.clone();
        Ok(Update::exporting(&exports, move || {
            look::at_relabelling(&tap, &targets, |target| relabelled(target, &rules, &mut LabelsBuilder::default()));
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

fn relabel(targets: &[Target], rules: Rules) -> RelabelExports {
    let mut builder = LabelsBuilder::default();
    let output = targets.iter().filter_map(|target| relabelled(target, &rules, &mut builder)).collect();
    RelabelExports { output, rules }
}

/// None for a target that the rules drop.
fn relabelled(target: &Target, rules: &Rules, builder: &mut LabelsBuilder) -> Option<Target> {
    let labels = Labels::from_pairs(target.iter());
    builder.reset(&labels);
    if !rules.apply(builder) {
        return None;
    }
    let relabelled = builder.labels();
    // A target that the rules leave alone stays the very same value.
    let same = relabelled.same_allocation(&labels);
    Some(if same { target.clone() } else { relabelled.iter().collect() })
}

#[cfg(test)]
mod tests {
    use language_eval::{Scope, Value};
    use sdk_testing::component::Alone;
    use sdk_testing::oracle;
    use serde_json::Value as Json;

    use super::*;

    fn output(alone: &Alone<Relabel>) -> Json {
        let Some(Value::Array(targets)) = alone.export("output") else { panic!("the output is a list") };
        let target = |value: &Value| -> Json {
            match value {
                Value::Target(target) => {
                    target.iter().map(|(name, value)| (name.to_owned(), Json::from(value))).collect()
                }
                other => panic!("{} is no target", other.kind()),
            }
        };
        targets.iter().map(target).collect()
    }

    /// The recorded inputs, written as a configuration writes them.
    fn config(case: &Json) -> String {
        // JSON is nearly the language's own form; only the colons differ.
        let target = |target: &Json| {
            let fields = target.as_object().expect("a target").iter();
            let fields: Vec<String> =
                fields.map(|(name, value)| format!("{} = {value}", Json::from(name.as_str()))).collect();
            format!("{{ {} }}", fields.join(", "))
        };
        let targets: Vec<String> = case["input"].as_array().expect("a list").iter().map(target).collect();
        format!("targets = [{}]\n{}", targets.join(", "), case["config"].as_str().expect("a text"))
    }

    #[test]
    fn targets_come_out_as_alloy_relabels_them() {
        let Some(cases) = oracle::cases::<Json>("pipelines/relabel/cases.jsonl") else { return };
        let mut group = oracle::Group::new("discovery.relabel");
        for case in &cases {
            let id = case["id"].as_str().expect("a text");
            let ours = Alone::<Relabel>::build(&config(case), &Scope::new());
            group.case(
                id,
                match (ours, case.get("load_error")) {
                    (Err(_), Some(_)) => None,
                    (Err(ours), None) => Some(ours),
                    (Ok(_), Some(error)) => Some(format!("loads, but should say {error}")),
                    (Ok(alone), None) => {
                        let ours = output(&alone);
                        let others = case["other_observed"].as_array().into_iter().flatten();
                        let mut expected = std::iter::once(case).chain(others).filter_map(|one| one.get("discovery"));
                        // A dropped target is recorded as null.
                        let kept = |list: &Json| -> Json {
                            list.as_array().into_iter().flatten().filter(|one| !one.is_null()).cloned().collect()
                        };
                        let same = expected.any(|expected| kept(expected) == ours);
                        (!same).then(|| format!("alloy: {}\nours:  {ours}", case["discovery"]))
                    }
                },
            );
        }
        group.finish();
    }

    #[tokio::test]
    async fn an_update_exports_new_targets() {
        let mut alone = Alone::<Relabel>::start(r#"targets = [{ a = "1" }]"#, &Scope::new()).expect("it starts");
        let dropping = r#"
            targets = [{ a = "1" }, { a = "2" }]
            rule {
                source_labels = ["a"]
                regex         = "2"
                action        = "drop"
            }
        "#;
        alone.update(dropping, &Scope::new()).expect("good arguments");
        assert_eq!(output(&alone), serde_json::json!([{ "a": "1" }]));
        alone.stop().await.expect("it stops");
    }
}
