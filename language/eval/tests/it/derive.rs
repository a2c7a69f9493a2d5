//! The derives: what they accept, what they say of mistakes, what they write back.

use std::collections::BTreeMap;

use base_stdx::{ByteSize, GoDuration};
use language_eval::schema::FieldKind;
use language_eval::{
    Arguments, Block, BodyNode, BodySource, Exports, Invalid, Scope, SecretString, Target, Validate, Value, Word,
};
use language_syntax::{Diagnostics, Source, parse};

/// Where to send.
#[derive(Arguments, Debug, PartialEq)]
#[block(validate)]
struct Push {
    /// Address of the push API.
    #[attr]
    url: String,
    #[attr(default = GoDuration::from_secs(1))]
    batch_wait: GoDuration,
    #[attr(default = ByteSize::mib(1))]
    batch_size: ByteSize,
    #[attr(optional)]
    grace: GoDuration,
    #[attr(optional)]
    tenant_id: String,
    #[attr(optional)]
    password: SecretString,
    #[attr]
    labels: Option<Vec<String>>,
    #[attr(default = Mode::Fast)]
    mode: Mode,
    #[attr(name = "type", default = "plain")]
    kind: String,
    #[attr(optional)]
    headers: BTreeMap<String, String>,
    #[attr(optional)]
    targets: Vec<Target>,
    #[attr(optional)]
    rules: Vec<Queue>,
    #[block]
    endpoint: Vec<Endpoint>,
    #[block]
    wal: Option<Queue>,
    #[block(default = Queue { depth: 7, ..Queue::default() })]
    queue: Queue,
    #[block(enum, prefix = "stage")]
    stages: Vec<Stage>,
    #[squash]
    client: Client,
}

#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
struct Queue {
    #[attr(default = 10)]
    depth: u16,
    #[attr(optional)]
    name: String,
}

#[derive(Block, Debug, PartialEq)]
struct Endpoint {
    #[label]
    label: String,
    #[attr]
    url: String,
}

#[derive(Block, Debug, PartialEq)]
struct Client {
    #[attr(default = true)]
    follow_redirects: bool,
}

#[derive(Block, Debug, PartialEq)]
enum Stage {
    /// Reads JSON.
    Json(Json),
    #[block(name = "match")]
    Match(Box<Match>),
}

#[derive(Block, Debug, PartialEq)]
struct Json {
    #[attr]
    expressions: BTreeMap<String, String>,
}

#[derive(Block, Debug, PartialEq)]
struct Match {
    #[attr]
    selector: String,
    #[block(enum, prefix = "stage")]
    stages: Vec<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Word)]
#[word(ignore_case)]
enum Mode {
    Fast,
    #[word(name = "very-slow", alias = "slow")]
    Slow,
}

impl Validate for Push {
    fn validate(&self) -> Result<(), Invalid> {
        if self.batch_wait.0 < 0 {
            return Err(Invalid::field("batch_wait", "batch_wait must not be negative"));
        }
        Ok(())
    }
}

fn decode(text: &str) -> Result<Push, Diagnostics> {
    decode_with_warnings(text).map(|(push, _)| push)
}

fn decode_with_warnings(text: &str) -> Result<(Push, Diagnostics), Diagnostics> {
    let source = Source::new("test.alloy", text);
    let (file, diagnostics) = parse(source.clone());
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let body = BodySource {
        body: &file.body,
        source: &source,
        header: Default::default(),
        label: Some("default"),
        scope: &Scope::new(),
    };
    body.decode_with_warnings()
}

fn messages(text: &str) -> Vec<String> {
    let diagnostics = decode(text).expect_err("the text is wrong");
    diagnostics.0.iter().map(|diagnostic| format!("{diagnostic} {}", diagnostic.hints.join(" "))).collect()
}

#[test]
fn what_is_left_out_has_its_default() {
    let push = decode("url = \"http://x\"").unwrap();
    assert_eq!(push.batch_wait, GoDuration::from_secs(1));
    assert_eq!(push.grace, GoDuration(0));
    assert_eq!(push.queue, Queue { depth: 7, name: String::new() });
    assert_eq!((push.labels, push.wal, push.kind.as_str(), push.mode), (None, None, "plain", Mode::Fast));
    assert!(push.client.follow_redirects && push.endpoint.is_empty());
}

#[test]
fn every_kind_of_field_decodes() {
    let push = decode(
        r#"
        url = 5
        batch_wait = "1m30s"
        batch_size = "2MiB"
        password = "hunter2"
        labels = ["a", 1]
        mode = "SLOW"
        headers = {a = "b", c = 1.5}
        targets = [{"__address__" = "a:1", n = 1}]
        rules = [{depth = 3}, {name = "x"}]
        type = "other"
        follow_redirects = false
        endpoint "one" { url = "a" }
        endpoint "two" { url = "b" }
        wal { }
        queue { name = "q" }
        stage.match {
            selector = "{}"
            stage.json { expressions = {a = ""} }
        }
        stage.json { expressions = {} }
        "#,
    )
    .unwrap();
    assert_eq!(push.url, "5");
    assert_eq!(push.password.expose(), "hunter2");
    assert_eq!(push.labels.as_deref(), Some(&["a".to_owned(), "1".to_owned()][..]));
    assert_eq!(push.mode, Mode::Slow);
    assert_eq!(push.headers["c"], "1.5");
    assert_eq!(push.targets[0].get("n"), Some("1"));
    assert_eq!(push.rules[0].depth, 3);
    assert_eq!(push.rules[1].depth, 10);
    assert_eq!(push.endpoint[1], Endpoint { label: "two".into(), url: "b".into() });
    assert_eq!(push.wal, Some(Queue::default()));
    assert_eq!(push.queue, Queue { depth: 10, name: "q".into() });
    let [Stage::Match(outer), Stage::Json(_)] = &push.stages[..] else { panic!("{:?}", push.stages) };
    assert!(matches!(&outer.stages[..], [Stage::Json(_)]));
    assert!(!format!("{push:?}").contains("hunter2"));
}

#[test]
fn what_decodes_to_something_else_than_it_says_is_a_warning() {
    let text = r#"url = null
type = null
tenant_id = null
labels = null
headers = {a = null}
queue { depth = 2.5 }
rules = [{depth = 4}, {depth = "1.9"}]
"#;
    let (push, warnings) = decode_with_warnings(text).unwrap();
    assert_eq!((push.kind.as_str(), push.queue.depth, push.rules[1].depth), ("", 2, 1));
    assert!(!warnings.has_errors());
    let warnings: Vec<String> = warnings.0.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "test.alloy:1:7: null counts as an empty value",
            "test.alloy:2:8: null counts as an empty value, and not as the default",
            "test.alloy:6:17: 2.5 is no whole number; it counts as 2",
            "test.alloy:7:32: \"1.9\" is no whole number; it counts as 1",
        ]
    );
}

#[test]
fn every_mistake_is_reported_at_once_and_where_it_is() {
    let messages = messages(
        r#"batch_wait = true
tenant = "x"
labels = ["a", ["b"]]
mode = "fats"
queue = 5
headers = {a = {b = 1}}
targets { }
endpoint { url = "a" }
wal { depth = 70000 }
wal { }
stage.jsn { }
stage.json { expression = {} }
batch_wait = "1s"
password = 5
rules = [{deep = 1}]
"#,
    );
    let expected = [
        "test.alloy:1:14: true should be string, got bool",
        "test.alloy:2:1: unrecognized attribute name \"tenant\"",
        "test.alloy:3:16: [\"b\"] should be string, got array",
        "test.alloy:4:8: \"fats\" must be one of \"fast\" or \"very-slow\" did you mean \"fast\"?",
        "test.alloy:5:1: \"queue\" must be a block, but is used as an attribute",
        "test.alloy:6:16: {b = 1} should be string, got object",
        "test.alloy:7:1: \"targets\" must be an attribute, but is used as a block",
        "test.alloy:8:1: block \"endpoint\" requires non-empty label",
        "test.alloy:9:1: block \"wal\" may only be specified once",
        "test.alloy:10:1: block \"wal\" may only be specified once",
        "test.alloy:11:1: unrecognized block name \"stage.jsn\" did you mean \"stage.json\"?",
        "test.alloy:12:1: missing required attribute \"expressions\"",
        "test.alloy:12:14: unrecognized attribute name \"expression\" did you mean \"expressions\"?",
        "test.alloy:13:1: attribute \"batch_wait\" may only be provided once",
        "test.alloy:14:12: 5 should be capsule, got number",
        "test.alloy:15:10: {deep = 1} does not have field named \"deep\"",
        "test.alloy:1:1: missing required attribute \"url\"",
    ];
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (message, expected) in messages.iter().zip(expected) {
        assert!(message.starts_with(expected), "{message}\nshould begin with\n{expected}");
    }
}

#[test]
fn what_to_write_instead_is_said() {
    for (text, hint) in [
        ("batch_wait = 15", "a time is written with its units: \"15s\", \"1m30s\", \"12h\""),
        ("batch_size = \"lots\"", "a size is written with its unit: \"512KiB\", \"1MiB\""),
        ("batch_size = \"1048576\"", "\"512KiB\", \"1MiB\"; if 1048576 are bytes, \"1MiB\""),
        ("follow_redirects = \"yes\"", "write true or false, without quotes"),
        ("labels = \"a\"", "a list stands between [ and ], also if it has one item"),
    ] {
        let messages = messages(&format!("url = \"x\"\n{text}"));
        assert!(messages[0].ends_with(hint), "{messages:?}");
    }
}

#[test]
fn an_environment_variable_that_is_not_there_is_named() {
    for (text, variables) in [
        ("batch_wait = sys.env(\"FERROALLOY_NO_SUCH\")", "FERROALLOY_NO_SUCH"),
        ("follow_redirects = env(\"FERROALLOY_NO_SUCH\")", "FERROALLOY_NO_SUCH"),
        ("batch_wait = \"-\" + (sys.env(\"FERROALLOY_NO_SUCH\") + \"1s\")", "FERROALLOY_NO_SUCH"),
        ("labels = [[], sys.env(\"FERROALLOY_NO_SUCH\")]", ""),
        ("batch_wait = sys.env(\"PATH\")", ""),
        ("batch_wait = sys.env(\"A=B\")", ""),
    ] {
        let messages = messages(&format!("url = \"x\"\n{text}"));
        let hint = format!("the environment variable {variables} is not set");
        assert_eq!(messages[0].ends_with(&hint), !variables.is_empty(), "{messages:?}");
    }
}

#[test]
fn a_check_of_its_own_points_at_the_attribute() {
    assert_eq!(messages("url = \"x\"\nbatch_wait = \"-1s\""), ["test.alloy:2:14: batch_wait must not be negative "]);
}

#[test]
fn names_of_the_running_graph_are_not_checked_before_it_runs() {
    let source = Source::new("test.alloy", "url = local.file.x.content\nbatch_wait = 5\nlabels = [loki.a.b]\nnope = 1");
    let (file, _) = parse(source.clone());
    let scope = Scope::new();
    let body = BodySource { body: &file.body, source: &source, header: Default::default(), label: None, scope: &scope };
    let lines: Vec<u32> = body.check::<Push>().0.iter().map(|d| d.location.as_ref().unwrap().start().line).collect();
    assert_eq!(lines, [2, 4]);
}

#[test]
fn literals_beside_such_names_are_checked() {
    let text = "url = \"x\"\nlabels = [loki.a.b, [1], true]\nheaders = {a = loki.a, b = {}}\nbatch_wait = [loki.a]";
    let source = Source::new("test.alloy", text);
    let (file, _) = parse(source.clone());
    let scope = Scope::new();
    let body = BodySource { body: &file.body, source: &source, header: Default::default(), label: None, scope: &scope };
    let messages: Vec<String> = body.check::<Push>().0.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "test.alloy:2:21: [1] should be string, got array",
            "test.alloy:2:26: true should be string, got bool",
            "test.alloy:3:28: {} should be string, got object",
            "test.alloy:4:14: [loki.a] should be string, got array",
        ]
    );
}

#[test]
fn encoding_leaves_out_what_is_default_and_hides_secrets() {
    let push = decode(
        "url = \"x\"\nbatch_wait = \"1s\"\npassword = \"p\"\nqueue { depth = 7 }\nstage.json { expressions = {a = \"\"} }",
    );
    let body = push.unwrap().encode();
    let names: Vec<&str> = body
        .iter()
        .map(|node| match node {
            BodyNode::Attribute { name, .. } | BodyNode::Block { name, .. } => name.as_str(),
        })
        .collect();
    assert_eq!(names, ["url", "password", "stage.json"]);
    assert!(format!("{body:?}").contains("(secret)"));
}

#[test]
fn the_schema_tells_types_defaults_and_docs() {
    let schema = <Push as Block>::schema();
    assert_eq!(schema.doc, "Where to send.");
    assert_eq!((schema.fields[0].name, schema.fields[0].doc), ("url", "Address of the push API."));
    assert!(schema.fields[0].required);
    let FieldKind::Attribute { default, .. } = &schema.fields[1].kind else { panic!("an attribute") };
    assert_eq!(default, &Some(Value::from("1s")));
    let names: Vec<&str> = schema.fields.iter().map(|field| field.name).collect();
    assert!(names.contains(&"stage.match") && names.contains(&"follow_redirects") && names.contains(&"type"));
}

#[derive(Exports)]
struct Out {
    /// What came out.
    content: String,
    #[export(name = "type")]
    kind: u8,
}

#[test]
fn exports_become_an_object() {
    let object = Out { content: "a".into(), kind: 3 }.to_object();
    assert_eq!(object.get("content"), Some(&Value::from("a")));
    assert_eq!(object.get("type"), Some(&Value::from(3_i64)));
    assert_eq!(<Out as Exports>::schema().fields[0].doc, "What came out.");
}
