//! The arguments and exports of every component, compared with Alloy's: names, types, what is required, every default; and
//! how a minimal block shows in the web API.

use language_eval::{BodySource, Object, ToValue as _, Value, body_to_json};
use language_syntax::ast::Statement;
use language_syntax::{Source, parse};
use sdk_signals::{OtelConsumer, OtlpBatch};
use sdk_testing::collector::Collector;
use sdk_testing::component::scope;
use sdk_testing::oracle::{self, Group};
use sdk_testing::schema::{compare_exports, compare_schema};
use serde::Deserialize;

#[test]
fn arguments_exports_and_defaults_are_alloys() {
    let mut group = Group::new("defaults");
    for definition in components::all() {
        let Some(mut differences) = compare_schema(&(definition.arguments)(), definition.name) else { continue };
        differences.extend(compare_exports(&(definition.exports)(), definition.name).unwrap_or_default());
        if differences.is_empty() {
            group.case(definition.name, None);
        }
        for difference in differences {
            let (path, _) = difference.split_once(':').expect("a difference begins with a path");
            group.case(&format!("{} {path}", definition.name), Some(difference.clone()));
        }
    }
    group.finish();
}

#[derive(Deserialize)]
struct Shown {
    component: String,
    config: String,
    /// Not there where Alloy dies or refuses.
    api: Option<Api>,
}

#[derive(Deserialize)]
struct Api {
    arguments: serde_json::Value,
}

#[test]
fn a_minimal_block_shows_what_alloy_shows() {
    let Some(cases) = oracle::cases::<Shown>("pipelines/defaults/web_api.jsonl") else { return };
    let mut group = Group::new("minimal_blocks");
    // The one thing that some of the blocks refer to.
    let (_, receiver) = Collector::<OtlpBatch>::new();
    let consumer =
        ["input", "x", "debug", "exporter"].into_iter().fold(OtelConsumer(receiver).to_value(), |value, name| {
            Value::Object([(name.to_owned(), value)].into_iter().collect::<Object>())
        });
    let scope = scope([("otelcol", consumer)]);
    for case in cases {
        let Some(definition) = components::all().find(|definition| definition.name == case.component) else { continue };
        let Some(api) = case.api else { continue };
        let text = case.config.replace("@file@", "@dir@/f.txt");
        let source = Source::new("config.alloy", text);
        let (file, diagnostics) = parse(source.clone());
        assert!(diagnostics.is_empty(), "{}: {diagnostics}", case.component);
        let [Statement::Block(block)] = &file.body.statements[..] else { panic!("one block in {}", case.component) };
        let label = block.label.as_ref().map(|label| label.name.as_str());
        let body = BodySource { body: &block.body, source: &source, header: block.header_span(), label, scope: &scope };
        let difference = match (definition.decode)(body) {
            Err(diagnostics) => Some(format!("{}\nours:  {diagnostics}", case.config)),
            Ok(decoded) => {
                let ours: serde_json::Value = serde_json::from_str(&body_to_json(&decoded.body)).expect("valid JSON");
                (ours != api.arguments).then(|| format!("alloy: {}\nours:  {ours}", api.arguments))
            }
        };
        group.case(&case.component, difference);
    }
    group.finish();
}
