//! What must hold for any configuration at all; for fuzzing. Each function panics if it does not hold.

use std::collections::BTreeMap;

use base_stdx::{ByteSize, GoDuration};
use language_syntax::ast::{Attribute, Body, Statement};
use language_syntax::{Source, parse};

use crate::value::{Secret, SecretKind, Target, Value};
use crate::{Block, BodySource, Scope, SecretString, body_references, body_to_json, evaluate, value_to_json};

/// Longer than what any function may make of a text of a fuzzer's size, escapes included.
const MAX_JSON: usize = 1 << 30;

/// The secret in the scope, which no value may print.
const SECRET: &str = "hunter2-correct-horse";

/// Every expression of any text has a value that can be shown, or a diagnostic with a place.
pub fn evaluator(text: &[u8]) {
    let source = Source::new("fuzz", text);
    let (file, _) = parse(source.clone());
    body_references(&file.body);
    let scope = scope();
    let told = tells(text);
    for attribute in attributes(&file.body) {
        match evaluate(&attribute.value, &source, &scope) {
            Ok(value) => {
                let json = value_to_json(&value);
                assert!(json.len() < MAX_JSON, "a value of {} bytes", json.len());
                assert!(told || !json.contains(SECRET), "a secret is shown: {json}");
            }
            Err(diagnostic) => assert!(diagnostic.location.is_some(), "no place: {}", diagnostic.message),
        }
    }
}

/// Any body decodes to a struct that encodes to a body which shows no secret, or to diagnostics with places.
pub fn decoder(text: &[u8]) {
    let source = Source::new("fuzz", text);
    let (file, _) = parse(source.clone());
    let scope = scope();
    let header = language_syntax::Span::default();
    let body = BodySource { body: &file.body, source: &source, header, label: Some("l"), scope: &scope };
    match body.decode::<Anything>() {
        Ok(decoded) => {
            let json = body_to_json(&decoded.encode());
            assert!(tells(text) || !json.contains(SECRET), "a secret is shown: {json}");
        }
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty(), "refused without a word");
            let placed = diagnostics.0.iter().all(|diagnostic| diagnostic.location.is_some());
            assert!(placed, "no place: {diagnostics}");
        }
    }
    body.check::<Anything>();
}

/// A body with one field of each kind.
#[derive(Block)]
struct Anything {
    #[attr]
    a: Option<Vec<String>>,
    #[attr(default = 7)]
    b: u16,
    #[attr(optional)]
    c: BTreeMap<String, f64>,
    #[attr(optional)]
    d: Vec<Target>,
    #[attr(optional)]
    e: SecretString,
    #[attr(default = GoDuration::from_secs(1))]
    f: GoDuration,
    #[attr(default = ByteSize::kib(1))]
    g: ByteSize,
    #[attr]
    h: Option<Inner>,
    #[block]
    i: Vec<Inner>,
    #[block(enum, prefix = "s")]
    j: Vec<Variant>,
    #[label]
    k: String,
}

#[derive(Block)]
struct Inner {
    #[attr(optional)]
    a: i64,
    #[block]
    i: Option<Box<Inner>>,
    #[block(enum, prefix = "s")]
    j: Vec<Variant>,
}

#[derive(Block)]
enum Variant {
    A(Inner),
    B(Box<Inner>),
}

/// Whether a text may show the secret: it asks for it, or has it from a fuzzer that has read our comparisons.
fn tells(text: &[u8]) -> bool {
    let holds = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
    holds(b"nonsensitive") || holds(SECRET.as_bytes())
}

fn scope() -> Scope {
    let mut scope = Scope::new();
    let secret = Value::Secret(Secret { value: SECRET.into(), kind: SecretKind::OptionalSecret });
    let target = Value::Target([("__address__", "a:1"), ("job", "x")].into_iter().collect());
    for (id, value) in [("x.y.secret", secret), ("x.y.targets", Value::from(vec![target.clone(), target]))] {
        scope.set(id, value).expect("no id inside another");
    }
    scope
}

fn attributes(body: &Body) -> Vec<&Attribute> {
    let mut found = Vec::new();
    let mut bodies = vec![body];
    while let Some(body) = bodies.pop() {
        for statement in &body.statements {
            match statement {
                Statement::Attribute(attribute) => found.push(attribute),
                Statement::Block(block) => bodies.push(&block.body),
            }
        }
    }
    found
}
