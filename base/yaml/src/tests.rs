//! What is read out of documents.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Machine {
    name: String,
    ports: Vec<u16>,
    note: Option<String>,
    labels: BTreeMap<String, String>,
    kind: Kind,
    up: bool,
    load: f64,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Bare,
    Virtual {
        host: String,
    },
}

#[test]
fn documents_are_read_into_any_type() {
    let text = "name: a\nports: [1, 0x2]\nnote: ~\nlabels: {x: 'y', n: \"1\"}\nkind: {virtual: {host: b}}\nup: yes\nload: 1e3\n";
    let machine: Machine = super::from_str(text).expect("good");
    let labels = [("x", "y"), ("n", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let kind = Kind::Virtual { host: "b".to_owned() };
    let (name, ports) = ("a".to_owned(), vec![1, 2]);
    assert_eq!(machine, Machine { name, ports, note: None, labels, kind, up: true, load: 1000.0 });
    assert_eq!(super::from_str::<Option<Machine>>("# nothing\n"), Ok(None));
    assert_eq!(super::from_str::<Machine>("ports:\nlabels:\nkind: bare\n"), Ok(Machine::default()));
}

#[test]
fn what_a_scalar_means_is_for_its_reader_to_say() {
    let text = "version: 1.10\nport: 8080\non: no\nquoted: '~'\ntagged: !!str 7\nlong: |-\n  a\n  b\n";
    let read: BTreeMap<String, String> = super::from_str(text).expect("good");
    let expect =
        [("long", "a\nb"), ("on", "no"), ("port", "8080"), ("quoted", "~"), ("tagged", "7"), ("version", "1.10")];
    assert_eq!(read.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>(), expect);
}

#[test]
fn anchors_and_merges_are_followed() {
    assert_eq!(super::from_str("[&a 1, *a]"), Ok(vec![1, 1]));
    let text = "base: &base {a: 1, b: 1}\nmore: {<<: *base, b: 2}\nlist: {<<: [{c: 3}, *base]}\n";
    let read: BTreeMap<String, BTreeMap<String, i32>> = super::from_str(text).expect("good");
    let shown = |name: &str| format!("{:?}", read[name]);
    assert_eq!((shown("more"), shown("list")), (r#"{"a": 1, "b": 2}"#.into(), r#"{"a": 1, "b": 1, "c": 3}"#.into()));
}

#[test]
fn a_key_may_be_a_map() {
    let read: BTreeMap<BTreeMap<String, String>, String> =
        super::from_str("? path: /a\n  labels: '{}'\n: \"7\"\n? path: /b\n: 8\n").expect("good");
    assert_eq!(format!("{read:?}"), r#"{{"labels": "{}", "path": "/a"}: "7", {"path": "/b"}: "8"}"#);
}

#[test]
fn errors_say_where() {
    for (text, expect) in [
        ("name: a\nprots: []\n", "line 2: unknown field `prots`, expected one of"),
        ("name: a\nports: [70000]\n", "line 2: invalid value: integer `70000`, expected u16"),
        ("name: a\nports: {\n", "line 2"),
        ("name: [a]\n", "line 1: invalid type: sequence, expected a string"),
        ("name: ~\n", "line 1: invalid type: unit value, expected a string"),
        ("up: perhaps\n", "line 1: invalid type: string \"perhaps\", expected a boolean"),
        ("\nkind: round\n", "line 2: unknown variant `round`"),
        ("name: a\nname: b\n", "line 2: mapping key \"name\" already defined at line 1"),
        ("name: *b\n", "unknown anchor"),
    ] {
        let error = super::from_str::<Machine>(text).expect_err(text);
        assert!(error.contains(expect), "{text:?}: {error}");
    }
}

#[test]
fn too_much_is_refused() {
    let text = format!("[{}]", "1,".repeat(1_000));
    assert!(super::from_str_within::<Vec<u32>>(&text, 1_001).is_ok());
    assert!(super::from_str_within::<Vec<u32>>(&text, 1_000).is_err());
    let doubled =
        (1..40).fold("a0: &a0 [1]\n".to_owned(), |text, i| text + &format!("a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1));
    let error = super::from_str::<BTreeMap<String, serde::de::IgnoredAny>>(&doubled).expect_err("a bomb");
    assert!(error.contains("more than 1000000 values"), "{error}");
    let repeated = format!("[&a {}{}]", "x".repeat(50_000), ", *a".repeat(10_000));
    let error = super::from_str::<Vec<String>>(&repeated).expect_err("half a gigabyte");
    assert!(error.contains("aliases repeat more than 8388608 bytes"), "{error}");
    let deep = "[".repeat(200);
    assert!(super::from_str::<serde::de::IgnoredAny>(&deep).is_err());
}
