//! What statements cost: CPU time of this thread for each item, over a payload of a thousand.
//!
//! ```text
//! cargo bench -p sdk-ottl
//! ```
#![allow(clippy::print_stdout)]

use bytes::Bytes;
use nix::time::{ClockId, clock_gettime};
use sdk_ottl::{Conditions, Context, ErrorMode, Filter, Statements, Transform};
use sdk_protocols_otlp::model::{AnyValue, Data, LogRecord, Map, Message as _, ResourceGroup, ScopeGroup, Span};

/// Items in the payload.
const ITEMS: usize = 1000;
/// How long each case runs, in nanoseconds of CPU time.
const MEASURE: u64 = 500_000_000;

const ON_LOGS: &[&str] = &[
    r#"set(attributes["env"], "prod")"#,
    r#"set(attributes["env"], "prod") where attributes["status"] == 404"#,
    r#"set(attributes["env"], "prod") where attributes["absent"] == 404"#,
    r#"set(severity_text, "WARN") where IsMatch(body, "timeout|refused")"#,
    r#"delete_key(attributes, "agent")"#,
    r#"replace_pattern(body, "id=(\\d+)", "id=<$1>")"#,
    r#"set(attributes["key"], Concat([resource.attributes["service.name"], attributes["method"]], "/"))"#,
    r#"merge_maps(attributes, ParseJSON(attributes["json"]), "upsert")"#,
    r#"truncate_all(attributes, 64)"#,
    r#"keep_keys(attributes, ["method", "status"])"#,
    r#"set(attributes["sum"], SHA256(attributes["method"]))"#,
];

const ON_SPANS: &[&str] = &[
    r#"set(attributes["ms"], (end_time_unix_nano - start_time_unix_nano) / 1000000)"#,
    r#"set(name, Concat([kind.string, name], " "))"#,
    r#"set(status.code, STATUS_CODE_OK) where status.code == STATUS_CODE_UNSET and IsRootSpan()"#,
];

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the clock of this thread");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

fn attributes(n: usize) -> Map {
    [
        ("method", AnyValue::from("GET")),
        ("status", AnyValue::Int([200, 404][n % 2])),
        ("path", format!("/api/v1/items/{n}").into()),
        (
            "agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
                .into(),
        ),
        ("json", format!("{{\"user\":\"ann\",\"id\":{n},\"tags\":[\"a\",\"b\"]}}").into()),
        ("ratio", 0.25.into()),
    ]
    .into_iter()
    .collect()
}

fn payload<I: sdk_protocols_otlp::model::Item>(items: Vec<I>) -> Bytes {
    let scope = ScopeGroup { items, ..ScopeGroup::default() };
    let mut group = ResourceGroup { scopes: vec![scope], ..ResourceGroup::default() };
    group.resource.attributes.set("service.name", "shop");
    Data { resources: vec![group], unknown: Vec::new() }.encode().into()
}

/// Runs `work` on fresh copies of the data until there is enough to tell; nanoseconds per item, without the copying.
fn measure<D: Clone>(data: &D, mut work: impl FnMut(&mut D)) -> f64 {
    let (mut spent, mut rounds) = (0, 0u64);
    while spent < MEASURE {
        let mut copy = data.clone();
        let begin = cpu_ns();
        work(&mut copy);
        spent += cpu_ns() - begin;
        rounds += 1;
    }
    spent as f64 / (rounds * ITEMS as u64) as f64
}

fn main() {
    let logs = payload(
        (0..ITEMS)
            .map(|n| LogRecord {
                attributes: attributes(n),
                body: Some(
                    format!("user=ann id={n} path=/a/b took 12 ms, connection {}", ["kept", "refused"][n % 2]).into(),
                ),
                ..LogRecord::default()
            })
            .collect(),
    );
    let spans = payload(
        (0..ITEMS)
            .map(|n| Span {
                name: "GET /items".into(),
                kind: 2,
                start_time_unix_nano: 1_772_600_000_000_000_000,
                end_time_unix_nano: 1_772_600_000_000_000_000 + n as u64 * 1_000_000,
                attributes: attributes(n),
                ..Span::default()
            })
            .collect(),
    );
    let mut tell = |failed: &sdk_ottl::Failed| panic!("{failed}");

    println!("{:>8}  statement", "ns/item");
    println!("{:>8.1}  (decoding a log record)", measure(&logs, |bytes| drop(Data::<LogRecord>::decode(bytes))));
    let decoded = Data::<LogRecord>::decode(&logs);
    println!("{:>8.1}  (encoding a log record)", measure(&decoded, |data| drop(data.encode())));
    for statement in ON_LOGS {
        let compiled =
            [Statements::new(Context::Log, &[(*statement).to_owned()], &[], ErrorMode::Ignore).expect("a statement")];
        let cost = measure(&decoded, |data| drop(data.transform(&compiled, &mut tell)));
        println!("{cost:>8.1}  {statement}");
    }
    let conditions = Conditions::new(Context::Log, &[r#"attributes["status"] == 404"#.to_owned()], ErrorMode::Ignore)
        .expect("a condition");
    println!(
        "{:>8.1}  filter: attributes[\"status\"] == 404",
        measure(&decoded, |data| drop(data.filter(&[&conditions], &mut tell)))
    );
    let decoded = Data::<Span>::decode(&spans);
    for statement in ON_SPANS {
        let compiled =
            [Statements::new(Context::Span, &[(*statement).to_owned()], &[], ErrorMode::Ignore).expect("a statement")];
        let cost = measure(&decoded, |data| drop(data.transform(&compiled, &mut tell)));
        println!("{cost:>8.1}  {statement}");
    }
}
