//! Any bytes at all given as a configuration end in diagnostics and exit code 1: no panic, no long wait, no large memory,
//! no endless output. A process of its own, so that the memory of its children is that of these cases.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::resource::{UsageWho, getrusage};

const FERROALLOY: &str = env!("CARGO_BIN_EXE_ferroalloy");

/// The length of the texts.
const LENGTH: usize = 100 << 10;

/// The most memory that a process may take for one of them, in KiB.
const MAX_RESIDENT: i64 = 64 << 10;

/// As `timeout` takes it, in seconds: nothing takes near as long, whatever else the machine does.
const PATIENCE: &str = "120";

/// The most that may be told about one text.
const MAX_TOLD: usize = 256 << 10;

/// The longest line of what is told.
const MAX_LINE: usize = 4 << 10;

/// Tokens that open something, or go on with it, repeated until the text is long.
const REPEATED: [&str; 24] = [
    "\0",
    "[",
    "(",
    "{",
    "]",
    "}",
    "!",
    "-",
    "a.",
    "a[",
    "a(",
    "a {\n",
    "a { ",
    "1+",
    "1^",
    "\"",
    "`",
    "/*",
    "= ",
    ",",
    "#",
    "\u{202e}",
    "[\n",
    "x = = 1\n",
];

#[test]
fn tokens_without_end_are_diagnostics() {
    for token in REPEATED {
        let repeated = token.repeat(LENGTH / token.len());
        check(&format!("{token:?} alone"), &repeated);
        check(&format!("{token:?} as a value"), format!("loki.echo \"x\" {{\n\ta = {repeated}"));
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    // xorshift, so that the bytes are the same in each run
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    check("noise", (0..LENGTH).map(|_| random()).collect::<Vec<_>>());
    check("not UTF-8", b"loki.echo \"\xff\xfe\" { }\n".repeat(LENGTH / 20));
    check("UTF-16", "loki.echo \"x\" { }".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    // No more of it than is needed: what this process takes counts for its children.
    let mut executable = Vec::new();
    File::open(FERROALLOY).unwrap().take(LENGTH as u64).read_to_end(&mut executable).unwrap();
    check("an executable", executable);
}

#[test]
fn what_parses_is_bounded_as_well() {
    let names = |each: &dyn Fn(usize) -> String| (0..3000).map(each).collect::<String>();
    let digits: Vec<String> = (0..6000).map(|n| format!("\"{n}\"")).collect();
    check("one line of 30 KB", format!("loki.echo \"x\" {{ a = [{}] }}\n", digits.join(", ")));
    check("unknown components", names(&|n| format!("loki.nope \"x{n}\" {{ }}\n")));
    check("unknown attributes", format!("loki.write \"x\" {{\n{}}}\n", names(&|n| format!("a{n} = 1\n"))));
    check("unknown blocks", format!("loki.write \"x\" {{\n{}}}\n", names(&|n| format!("b{n} {{ }}\n"))));
    let receivers = names(&|n| format!("loki.write.w{n}.receiver, "));
    check("unknown references", format!("loki.relabel \"x\" {{\n\tforward_to = [{receivers}]\n}}\n"));
    let relabel =
        |n: usize, to: usize| format!("loki.relabel \"x{n}\" {{ forward_to = [loki.relabel.x{to}.receiver] }}\n");
    check("a cycle", names(&|n| relabel(n % 1500, (n + 1) % 1500)));
    check("a declare that contains itself", "declare \"a\" {\n\ta \"x\" { }\n}\n\na \"x\" { }\n");
    let value = |expression: &str| format!("local.file \"x\" {{ filename = {expression} }}\n");
    check("a long sum", value(&format!("{}true", "\"a\" + ".repeat(LENGTH / 6))));
    check("calls in calls", value(&format!("{}1{}", "array.concat(".repeat(7000), ")".repeat(7000))));
    check("brackets in JSON", value(&format!("encoding.from_json(\"{}\")", "[".repeat(LENGTH))));
    check("brackets in YAML", value(&format!("encoding.from_yaml(\"{}\")", "[".repeat(LENGTH))));
    check("aliases in YAML", value(&format!("encoding.from_yaml(`{}`)", billion_laughs())));
    let rule =
        |regex: &str| format!("discovery.relabel \"x\" {{\n\ttargets = []\n\trule {{ regex = \"{regex}\" }}\n}}\n");
    check("groups in a regular expression", rule(&"(".repeat(LENGTH)));
    check("repetitions in a regular expression", rule("((((a{100}){100}){100}){100})"));
    let stage = |stage: &str| format!("loki.process \"x\" {{\n\tforward_to = []\n\t{stage}\n}}\n");
    check(
        "a template",
        stage(&format!("stage.template {{\nsource = \"a\"\ntemplate = \"{}\"\n}}", "{{ if . }}".repeat(9000))),
    );
    check("JMESPath", stage(&format!("stage.json {{\nexpressions = {{a = \"{}\"}}\n}}", "[".repeat(LENGTH))));
    let matches = "stage.match {\nselector = \"{a=\\\"b\\\"}\"\n".repeat(2000);
    check("stages in stages", stage(&format!("{matches}{}", "}".repeat(2000))));
}

/// `validate`, `run` and `fmt` of a text.
#[track_caller]
fn check(what: &str, text: impl AsRef<[u8]>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.alloy"), text.as_ref()).unwrap();
    for command in ["validate", "run", "fmt"] {
        let output = ferroalloy(command, folder.path(), "config.alloy");
        let told = String::from_utf8_lossy(&output.stderr);
        let beginning: String = told.chars().take(2000).collect();
        // A text may be well formed and still be no configuration.
        let fine = output.status.code() == Some(1) || (command == "fmt" && output.status.success());
        assert!(fine, "{command} of {what}: {}\n{beginning}", output.status);
        assert!(!told.contains("panicked"), "{command} of {what} panics:\n{beginning}");
        assert!(told.len() < MAX_TOLD, "{command} of {what} tells {} bytes:\n{beginning}", told.len());
        let longest = told.lines().map(str::len).max().unwrap_or_default();
        assert!(longest < MAX_LINE, "{command} of {what} tells a line of {longest} bytes:\n{beginning}");
        // The largest of all children so far, so the first that is too large is the one to blame.
        let resident = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
        assert!(resident < MAX_RESIDENT, "{command} of {what} took {resident} KiB");
    }
}

fn ferroalloy(command: &str, folder: &Path, path: &str) -> Output {
    let mut process = Command::new("timeout");
    process.args([PATIENCE, FERROALLOY, command]);
    if command == "run" {
        process.args(["--server.http.listen-addr=127.0.0.1:0", "--storage.path=data"]);
    }
    process.arg(path).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap()
}

/// Nine anchors, each nine times the one before.
fn billion_laughs() -> String {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (before, name) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        let _ = writeln!(text, "{name}: &{name} [{}]", vec![format!("*{before}"); 9].join(", "));
    }
    text
}
