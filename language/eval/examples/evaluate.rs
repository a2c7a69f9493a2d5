//! How long decoding 1,000 components takes: `cargo run --release -p language-eval --example evaluate`.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement, printed")]

use std::time::Instant;

use language_eval::{Block, BodySource, Scope, Target, Value};
use language_syntax::ast::Statement;
use language_syntax::{Source, parse};

const COMPONENTS: usize = 1000;

#[derive(Block)]
#[allow(dead_code)]
struct Relabel {
    #[attr]
    targets: Vec<Target>,
    #[block]
    rule: Vec<Rule>,
}

#[derive(Block)]
#[allow(dead_code)]
struct Rule {
    #[attr(optional)]
    source_labels: Vec<String>,
    #[attr(optional)]
    target_label: String,
    #[attr(default = "$1")]
    replacement: String,
    #[attr(default = "replace")]
    action: String,
}

fn main() {
    let mut text = String::new();
    for at in 0..COMPONENTS {
        let targets = match at {
            0 => "[{__address__ = \"a:1\", job = \"x\"}]".to_owned(),
            _ => format!("array.concat(discovery.relabel.c{}.output, [])", at - 1),
        };
        text += &format!(
            "discovery.relabel \"c{at}\" {{\n  targets = {targets}\n  rule {{\n    source_labels = [\"job\"]\n    target_label = \"l\" + \"{at}\"\n    replacement = string.format(\"%s-%d\", \"x\", {at})\n  }}\n}}\n"
        );
    }
    let start = Instant::now();
    let source = Source::new("bench", text);
    let (file, diagnostics) = parse(source.clone());
    assert!(diagnostics.is_empty());
    let parsed = start.elapsed();

    let mut scope = Scope::new();
    let start = Instant::now();
    for statement in &file.body.statements {
        let Statement::Block(block) = statement else { continue };
        // As the runtime does: a snapshot for each evaluation, dropped before the export is set.
        let snapshot = scope.clone();
        let body = BodySource {
            body: &block.body,
            source: &source,
            header: block.header_span(),
            label: None,
            scope: &snapshot,
        };
        let arguments: Relabel = body.decode().unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        drop(snapshot);
        let output = arguments.targets.into_iter().map(Value::Target).collect::<Vec<_>>();
        let exports = [("output", Value::from(output))].into_iter().collect();
        scope.set(&block.id(), Value::Object(exports)).expect("no id inside another");
    }
    println!("{COMPONENTS} components: parsed in {parsed:?}, evaluated and decoded in {:?}", start.elapsed());
}
