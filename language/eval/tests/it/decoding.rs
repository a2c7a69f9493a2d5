//! Every recorded assignment of an expression to a typed argument: what the argument shows, or the error and its place.
//!
//! The components themselves live floors above; the structs here hold the arguments that the recordings use, with the types
//! and checks that those components give them.

use std::collections::BTreeMap;

use base_stdx::{ByteSize, GoDuration};
use language_eval::convert::parse_text;
use language_eval::{
    Block, BodyNode, BodySource, FromValue, Invalid, OptionalSecret, Scope, SecretString, Target, ToValue, TypeSchema,
    Validate, Value, ValueError, Word, value_to_json,
};
use language_syntax::Diagnostics;
use language_syntax::ast::{self, Statement};
use sdk_testing::oracle::{self, Group};
use serde::Deserialize;

use crate::surroundings::{parsed, scope};

#[derive(Block)]
#[allow(dead_code)]
struct DiscoveryRelabel {
    #[attr]
    targets: Vec<Target>,
    #[block]
    rule: Vec<Rule>,
}

#[derive(Block)]
#[block(validate)]
struct Rule {
    #[attr]
    source_labels: Option<Vec<String>>,
    #[attr(default = "replace")]
    action: String,
    #[attr(optional)]
    target_label: String,
    #[attr(default = "$1")]
    replacement: String,
    #[attr(default = Pattern("(.*)".into()))]
    regex: Pattern,
    #[attr(optional)]
    modulus: u64,
}

impl Validate for Rule {
    fn validate(&self) -> Result<(), Invalid> {
        if self.action == "hashmod" && self.modulus == 0 {
            return Err(Invalid::block("relabel configuration for hashmod requires non-zero modulus"));
        }
        Ok(())
    }
}

/// A regular expression that matches whole texts.
#[derive(PartialEq)]
struct Pattern(String);

impl FromValue for Pattern {
    fn from_value(value: &Value) -> Result<Pattern, ValueError> {
        let text = language_eval::Text::from_value(value)?;
        let text = text.as_str().ok_or_else(|| ValueError::new("error parsing regexp: invalid UTF-8"))?;
        base_re2::Regex::anchored(text).map_err(|error| ValueError::new(error.to_string()))?;
        Ok(Pattern(text.to_owned()))
    }

    fn zero() -> Option<Pattern> {
        None
    }

    fn schema() -> TypeSchema {
        TypeSchema::Text("RE2 regular expression")
    }
}

impl ToValue for Pattern {
    fn to_value(&self) -> Value {
        self.0.to_value()
    }
}

#[derive(Block)]
struct Scrape {
    #[attr]
    targets: Vec<Target>,
    #[attr]
    forward_to: Vec<Value>,
    #[attr(optional)]
    honor_labels: bool,
}

#[derive(Block)]
struct Write {
    #[block]
    endpoint: Vec<Endpoint>,
    #[attr(optional)]
    external_labels: BTreeMap<String, String>,
}

#[derive(Block)]
#[block(validate)]
struct Endpoint {
    #[attr]
    url: String,
    #[attr(default = 10)]
    max_backoff_retries: i64,
    #[attr(default = ByteSize::mib(1))]
    batch_size: ByteSize,
}

impl Validate for Endpoint {
    fn validate(&self) -> Result<(), Invalid> {
        if self.batch_size.0 < 0 {
            return Err(Invalid::field("batch_size", "batch_size must not be negative"));
        }
        Ok(())
    }
}

#[derive(Block)]
#[block(validate)]
struct Batch {
    #[attr(default = 8192)]
    send_batch_size: u32,
    #[attr(optional)]
    send_batch_max_size: u32,
    #[block(required)]
    output: Output,
}

impl Validate for Batch {
    fn validate(&self) -> Result<(), Invalid> {
        // Alloy's default for send_batch_max_size is 3000 since 1.18.
        let most = if self.send_batch_max_size == 0 { 3000 } else { self.send_batch_max_size };
        if self.send_batch_size > most && self.send_batch_size != 8192 {
            let message = "send_batch_max_size must be greater or equal to send_batch_size when not 0";
            return Err(Invalid::field("send_batch_size", message));
        }
        Ok(())
    }
}

#[derive(Block)]
struct Output {}

#[derive(Block)]
#[block(validate)]
struct Sampler {
    #[attr(optional)]
    sampling_percentage: f32,
    #[block(required)]
    output: Output,
}

impl Validate for Sampler {
    fn validate(&self) -> Result<(), Invalid> {
        if self.sampling_percentage < 0.0 {
            let message = format!("sampling rate is negative: {:.6}%", self.sampling_percentage);
            return Err(Invalid::field("sampling_percentage", message));
        }
        Ok(())
    }
}

#[derive(Block)]
#[block(validate)]
struct LocalFile {
    #[attr]
    filename: String,
    #[attr(default = Detector::Fsnotify)]
    detector: Detector,
    #[attr(default = GoDuration::from_secs(60))]
    poll_frequency: GoDuration,
}

#[derive(PartialEq, Word)]
enum Detector {
    #[word(alias = "")]
    Fsnotify,
    Poll,
}

impl Validate for LocalFile {
    fn validate(&self) -> Result<(), Invalid> {
        if self.poll_frequency.0 <= 0 {
            return Err(Invalid::field("poll_frequency", "building component: poll_frequency must be greater than 0"));
        }
        Ok(())
    }
}

#[derive(Block)]
struct RemoteWrite {
    #[block]
    endpoint: Vec<RemoteEndpoint>,
}

#[derive(Block)]
struct RemoteEndpoint {
    #[attr]
    url: String,
    #[attr(optional)]
    bearer_token: SecretString,
}

#[derive(Block)]
struct Headers {
    #[block]
    header: Vec<Header>,
}

#[derive(Block)]
#[block(validate)]
struct Header {
    #[attr]
    key: String,
    #[attr]
    value: Option<OptionalSecret>,
}

impl Validate for Header {
    fn validate(&self) -> Result<(), Invalid> {
        match self.value {
            Some(_) => Ok(()),
            None => Err(Invalid::block("one of value, from_context, or from_attribute must be provided")),
        }
    }
}

#[derive(Block)]
struct Foreach {
    #[attr]
    collection: Vec<Value>,
    #[attr]
    var: String,
    #[block(required)]
    template: Output,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    expr: String,
    config: String,
    argument: String,
    shown: Option<serde_json::Value>,
    error: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    panic: Option<String>,
    panic_afterwards: Option<String>,
}

fn decode(name: &str, body: &BodySource<'_>) -> Result<Vec<BodyNode>, Diagnostics> {
    fn encoded<T: Block>(body: &BodySource<'_>) -> Result<Vec<BodyNode>, Diagnostics> {
        body.decode::<T>().map(|decoded| decoded.encode())
    }
    match name {
        "discovery.relabel" => encoded::<DiscoveryRelabel>(body),
        "prometheus.scrape" => encoded::<Scrape>(body),
        "loki.write" => encoded::<Write>(body),
        "otelcol.processor.batch" => encoded::<Batch>(body),
        "otelcol.processor.probabilistic_sampler" => encoded::<Sampler>(body),
        "local.file" => encoded::<LocalFile>(body),
        "prometheus.remote_write" => encoded::<RemoteWrite>(body),
        "otelcol.auth.headers" => encoded::<Headers>(body),
        "foreach" => encoded::<Foreach>(body),
        other => panic!("no arguments for {other}"),
    }
}

#[test]
fn arguments_decode_as_recorded() {
    let Some(cases) = oracle::cases::<Case>("language/decode/cases.jsonl") else { return };
    let scope = scope();
    let mut group = Group::new("decode");
    for case in cases {
        group.case(&case.id, difference(&case, &scope));
    }
    group.finish();
}

fn difference(case: &Case, scope: &Scope) -> Option<String> {
    let (file, source) = parsed(case.config.as_str());
    let [Statement::Block(block)] = &file.body.statements[..] else { panic!("one block") };
    let ours = decode(&block.full_name(), &body_of(block, &source, scope));
    match (&case.error, ours) {
        (Some(error), Ok(body)) => Some(format!("{}\nalloy: {error}\nours:  {body:?}", case.expr)),
        (Some(error), Err(ours)) => {
            let ours = &ours.0[0];
            let start = ours.location.as_ref().map(|location| location.start());
            let place = (start.map(|start| start.line), start.map(|start| start.column));
            // What a component's own check says has Alloy's words, and a better place than the whole block.
            let said = error.strip_prefix("Failed to build component: decoding configuration: ");
            let said = said.or_else(|| error.strip_prefix("Failed to build component: "));
            let same = match said {
                Some(said) => said == ours.message,
                None => place == (case.line, case.column) && same_kind(error, &ours.message),
            };
            (!same).then(|| {
                format!(
                    "{}\nalloy: {error} {:?}\nours:  {} {place:?}",
                    case.expr,
                    (case.line, case.column),
                    ours.message
                )
            })
        }
        (None, ours) if case.panic.is_some() || case.panic_afterwards.is_some() => {
            Some(format!("alloy dies; ours: {ours:?}"))
        }
        (None, Err(ours)) => Some(format!("{}\nalloy: {:?}\nours:  {ours}", case.expr, case.shown)),
        (None, Ok(body)) => {
            let ours = shown(&body, &case.argument)
                .map(|value| serde_json::from_str::<serde_json::Value>(&value_to_json(value)).expect("valid JSON"));
            // Held in another form by the component itself.
            let ours = ours.filter(|_| case.argument != "endpoint.bearer_token");
            (ours != case.shown && !same_number(&ours, &case.shown))
                .then(|| format!("{}\nalloy: {:?}\nours:  {ours:?}", case.expr, case.shown))
        }
    }
}

fn body_of<'a>(
    block: &'a ast::Block,
    source: &'a std::sync::Arc<language_syntax::Source>,
    scope: &'a Scope,
) -> BodySource<'a> {
    let label = block.label.as_ref().map(|label| label.name.as_str());
    BodySource { body: &block.body, source, header: block.header_span(), label, scope }
}

/// The words of targets and of enums are ours; what is said of which text is the same.
fn same_kind(alloy: &str, ours: &str) -> bool {
    let reworded = [
        ("target::Convert", "target value"),
        ("unrecognized detector", "must be one of"),
        ("error parsing regexp", "error parsing regexp"),
    ];
    alloy == ours.trim_end() || reworded.iter().any(|(theirs, mine)| alloy.contains(theirs) && ours.contains(mine))
}

fn shown<'b>(body: &'b [BodyNode], path: &str) -> Option<&'b Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    body.iter().find_map(|node| match (node, rest) {
        (BodyNode::Attribute { name, value }, None) if name == first => Some(value),
        (BodyNode::Block { name, body, .. }, Some(rest)) if name == first => shown(body, rest),
        _ => None,
    })
}

fn same_number(left: &Option<serde_json::Value>, right: &Option<serde_json::Value>) -> bool {
    let number = |value: &Option<serde_json::Value>| value.as_ref().and_then(|value| value["value"].as_f64());
    number(left).is_some() && number(left) == number(right)
}

#[test]
fn a_text_form_parses_from_numbers_too() {
    assert!(parse_text::<GoDuration>(&Value::from(0_i64)).is_ok());
    assert_eq!(
        parse_text::<GoDuration>(&Value::from(5_i64)).unwrap_err().message,
        "time: missing unit in duration \"5\""
    );
}

/// Alloy's words for a target that stands where something else is wanted, by the type that is wanted.
#[test]
fn a_target_that_is_no_such_value_is_refused_in_alloys_words() {
    fn refused<T: FromValue>() -> String {
        let target: Target = [("__address__", "a:1")].into_iter().collect();
        match language_eval::convert::from_value_or_zero::<T>(&Value::Target(target)) {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        }
    }
    let cases = [
        ("string", refused::<String>()),
        ("string", refused::<Option<String>>()),
        ("string", refused::<GoDuration>()),
        ("string", refused::<ByteSize>()),
        ("string", refused::<Pattern>()),
        ("bool", refused::<bool>()),
        ("int", refused::<i64>()),
        ("uint32", refused::<u32>()),
        ("uint64", refused::<u64>()),
        ("float32", refused::<f32>()),
        ("float64", refused::<f64>()),
        ("[]string", refused::<Vec<String>>()),
        ("[]discovery.Target", refused::<Vec<Target>>()),
        ("map[string][]alloytypes.Secret", refused::<BTreeMap<String, Vec<SecretString>>>()),
        ("alloytypes.Secret", refused::<SecretString>()),
        ("alloytypes.OptionalSecret", refused::<OptionalSecret>()),
    ];
    for (wanted, said) in cases {
        assert_eq!(said, format!("target::ConvertInto: conversion to '*{wanted}' is not supported"));
    }
    assert_eq!(refused::<BTreeMap<String, String>>(), "taken");
}

/// What an error says beyond Alloy's words.
#[test]
fn errors_say_what_to_write_instead() {
    let cases = [
        (
            "prometheus.scrape",
            "targets = {targets = [{a = \"1\"}], other = 1}\nforward_to = []",
            "put .targets behind it",
        ),
        (
            "prometheus.scrape",
            "targets = [\"host:9100\"]\nforward_to = []",
            "a target is written {\"__address__\" = \"host:9100\"}",
        ),
        ("loki.write", "url = \"http://x/\"", "it belongs into a block: endpoint { url = … }"),
        ("local.file", "filename = \"a\"\npoll_frequency = \"1d\"", "the largest unit is the hour: \"24h\""),
        ("local.file", "filename = \"a\"\npoll_frequency = \"2w\"", "the largest unit is the hour: \"336h\""),
        (
            "local.file",
            "filename = \"a\"\npoll_frequency = \"5\"",
            "a time is written with its units: \"15s\", \"1m30s\", \"12h\"",
        ),
    ];
    for (component, body, hint) in cases {
        let (file, source) = parsed(format!("{component} \"c\" {{\n{body}\n}}\n"));
        let [Statement::Block(block)] = &file.body.statements[..] else { panic!("one block") };
        let errors = decode(component, &body_of(block, &source, &scope())).expect_err(body);
        let hints: Vec<&String> = errors.0.iter().flat_map(|error| &error.hints).collect();
        assert_eq!(hints, [hint], "{body}: {errors}");
    }
}
