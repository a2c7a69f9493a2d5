//! The command line, case by case as the real Alloy answered.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use sdk_testing::oracle::{self, Group};
use serde::Deserialize;

const FERROALLOY: &str = env!("CARGO_BIN_EXE_ferroalloy");

/// A command that has not ended by then has started.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the program logs when it has started; a case that comes so far is told to stop.
const RUNNING: &str = "Alloy is running";

#[derive(Deserialize)]
struct Case {
    id: String,
    args: Vec<String>,
    exit: i32,
    stdout: String,
    stderr: String,
    stdin: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    files_after: Option<BTreeMap<String, String>>,
    note: Option<String>,
}

#[test]
fn commands_answer_as_alloy_does() {
    let Some(cases) = oracle::cases::<Case>("language/cli/cases.jsonl") else { return };
    let mut group = Group::new("cli");
    for case in cases {
        group.case(&case.id, run(&case));
    }
    group.finish();
}

/// Runs a case; what differs.
fn run(case: &Case) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &case.files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    #[cfg(unix)]
    if case.note.as_deref() == Some("link is a symbolic link to conf") {
        std::os::unix::fs::symlink("conf", folder.path().join("link")).unwrap();
    }
    let mut child = Command::new(FERROALLOY)
        .args(arguments(case))
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(case.stdin.as_deref().unwrap_or_default().as_bytes());
    let (sender, ended) = std::sync::mpsc::sync_channel::<()>(1);
    let id = child.id();
    let watch = std::thread::spawn(move || {
        let in_time = ended.recv_timeout(PATIENCE).is_ok();
        if !in_time {
            stop(id);
        }
        in_time
    });
    let mut stdout = child.stdout.take().unwrap();
    let stdout = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let (mut stderr, mut runs) = (String::new(), false);
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains(RUNNING) {
            runs = true;
            stop(id);
        }
        // The recordings are without the lines of the log.
        if !line.starts_with("ts=") {
            stderr.push_str(&line);
            stderr.push('\n');
        }
    }
    let status = child.wait().unwrap();
    let _ = sender.send(());
    if !watch.join().unwrap() {
        return Some("did not end".to_owned());
    }
    if runs {
        return Some(format!("it runs, and ends with {status} when told to stop"));
    }
    let (stdout, stderr) = (without_usage(&stdout.join().unwrap()), without_usage(&stderr));
    let mut differences = Vec::new();
    if status.code() != Some(case.exit) {
        differences.push(format!("exit: alloy {}, ours {status:?}", case.exit));
    }
    for (what, alloy, ours) in [("stdout", &case.stdout, stdout), ("stderr", &case.stderr, stderr)] {
        let alloy = alloy.replace("\"alloy\"", "\"ferroalloy\"").replace("'alloy ", "'ferroalloy ");
        if alloy != ours {
            differences.push(format!("{what}: alloy {alloy:?}\n{what}: ours  {ours:?}"));
        }
    }
    for (name, text) in case.files_after.iter().flatten() {
        let ours = std::fs::read_to_string(folder.path().join(name)).unwrap_or_else(|error| error.to_string());
        if ours != *text {
            differences.push(format!("{name}: alloy {text:?}\n{name}: ours  {ours:?}"));
        }
    }
    (!differences.is_empty()).then(|| differences.join("\n"))
}

/// Those of the case; what runs takes a port that is free.
fn arguments(case: &Case) -> Vec<String> {
    let mut arguments: Vec<String> = case.args.iter().map(|argument| argument.replace("{PORT}", "0")).collect();
    let listens = arguments.iter().any(|argument| argument.contains("listen-addr"));
    if arguments.first().is_some_and(|command| command == "run") && !listens {
        arguments.insert(1, "--server.http.listen-addr=127.0.0.1:0".to_owned());
    }
    arguments
}

fn stop(process: u32) {
    let _ = Command::new("kill").arg(process.to_string()).status();
}

/// Help texts are not compared.
fn without_usage(text: &str) -> String {
    match text.find("Usage:\n") {
        Some(start) => format!("{}USAGE TEXT\n", &text[..start]),
        None => text.to_owned(),
    }
}

#[test]
fn every_flag_of_alloy_exists_with_its_type_and_default() {
    let Some(table) = oracle::text("language/cli/flags.tsv") else { return };
    for line in table.lines().skip(1) {
        let fields: Vec<_> = line.split('\t').collect();
        let [command, flag, short, kind, default] = fields[..] else { panic!("{line}") };
        let output = Command::new(FERROALLOY).args(command.split(' ')).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let kind = if kind == "bool" { String::new() } else { format!(" {kind}") };
        let name =
            if short.is_empty() { format!("      --{flag}{kind} ") } else { format!("  {short}, --{flag}{kind} ") };
        let Some(line) = help.lines().find(|line| line.starts_with(&name)) else {
            panic!("{command} has no {name}\n{help}")
        };
        let shown = match (kind.as_str(), default) {
            (_, "" | "false" | "0") => continue,
            (" string", default) => format!("(default {default:?})"),
            (_, default) => format!("(default {default})"),
        };
        assert!(line.contains(&shown), "{command}: {line}: {shown}");
    }
}

#[test]
fn completion_scripts_name_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = Command::new(FERROALLOY).args(["completion", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["run", "validate", "fmt", "storage.path", "wal-stats"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let script = Command::new(FERROALLOY).args(["completion", "bash"]).output().unwrap().stdout;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(&script).unwrap();
    assert!(bash.wait().unwrap().success(), "bash cannot read its script");
}

#[cfg(unix)]
#[test]
fn formatting_a_file_keeps_its_permissions_and_its_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("real.alloy"), folder.path().join("link.alloy"));
    std::fs::write(&file, "a=1\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    symlink(&file, &link).unwrap();
    assert!(Command::new(FERROALLOY).args(["fmt", "-w"]).arg(&link).status().unwrap().success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a = 1\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
}
