//! The chores of the house: `cargo xtask check | test | docs | bench | dist | faults`.
//!
//! The checks are plain functions that return every fault they find, so that `cargo test --workspace` runs them as well.

mod differences;
mod dist;
mod docs;
mod floors;
mod names;
mod tidy;
mod workspace;

use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask <chore>

  check           what a change must pass before it lands: format, clippy, floors, names, tidiness, reference pages
  test            every test of the workspace
  docs [--check]  writes docs/reference/ and docs/compatibility.md from the sources; --check only compares
  bench [case…]   macro benchmarks of the release build, beside the peers that are installed
  dist            the binary that is shipped, built twice: the second time for what the benchmarks did with the first
  faults [--seconds N] [--kills N] [--list] [scenario…]
                  the long form of the fault runs, as a table: docs/faults.md
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("check") => check(),
        Some("test") => run("cargo", &["test", "--workspace"], rest),
        Some("docs") => docs(rest.iter().any(|argument| argument == "--check")),
        Some("bench") => {
            let built = run("cargo", &["build", "--release", "--package", "ferroalloy", "--package", "benches"], &[]);
            if built == ExitCode::SUCCESS { run("target/release/benches", &[], rest) } else { built }
        }
        Some("dist") => dist(),
        Some("faults") => {
            let built = run("cargo", &["build", "--package", "ferroalloy", "--package", "faults"], &[]);
            let faults = ["run", "--quiet", "--package", "faults", "--"];
            if built == ExitCode::SUCCESS { run("cargo", &faults, rest) } else { built }
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn check() -> ExitCode {
    let mut faults = Vec::new();
    for (name, found) in
        [("floors", floors::faults()), ("names", names::faults()), ("tidy", tidy::faults()), ("docs", docs::faults())]
    {
        println!("{name}: {}", if found.is_empty() { "fine".to_owned() } else { format!("{} faults", found.len()) });
        faults.extend(found);
    }
    for fault in &faults {
        eprintln!("  {fault}");
    }
    let tools = [
        run("cargo", &["fmt", "--all", "--check"], &[]),
        run("cargo", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"], &[]),
    ];
    if faults.is_empty() && tools.iter().all(|code| *code == ExitCode::SUCCESS) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn docs(check: bool) -> ExitCode {
    if check {
        let faults = docs::faults();
        faults.iter().for_each(|fault| eprintln!("{fault}"));
        return if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match docs::write() {
        Ok(pages) => {
            println!("{pages} pages written under docs/");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot write the pages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dist() -> ExitCode {
    match dist::build() {
        Ok(binary) => {
            println!("{}", binary.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: &str, fixed: &[&str], rest: &[String]) -> ExitCode {
    match Command::new(program).args(fixed).args(rest).current_dir(workspace::root()).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot start {program}: {error}");
            ExitCode::FAILURE
        }
    }
}
