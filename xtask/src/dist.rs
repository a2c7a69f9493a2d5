//! `cargo xtask dist`: the binary that is shipped.
//!
//! The profile `dist` is built twice, the first time to be watched at the benchmarks: the compiler then knows what the
//! collector does all day, makes that quick, and keeps the rest small; and the linker puts together what ran.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace;

/// What every collector does all day: what runs here stands first in the program.
const ALWAYS: [&str; 1] = ["idle"];
/// What else people use it for: a case of each kind of work.
const WORK: [&str; 13] = [
    "start",
    "scrape",
    "scrape-gzip",
    "tail",
    "tail-raw",
    "tail-json",
    "tail-short",
    "docker",
    "otlp",
    "otlp-large",
    "otlp-insert",
    "otlp-gzip",
    "otlp-http",
];

/// What runs much is inlined up to a fifth of what LLVM would, and what never ran is made small.
const INLINING: &str = "-Cllvm-args=-hot-callsite-threshold=600 -pgso-lwss-only=false";
/// Functions that are the same in the end are one.
const FOLDING: &str = "-Clink-arg=-Wl,--icf=all";
/// Most of what ran has gone into its callers by then.
const ORDERING: &str = "-Clink-arg=-Wl,--no-warn-symbol-ordering";

/// Builds it; the path of the binary, or what went wrong.
pub fn build() -> Result<PathBuf, String> {
    let target = workspace::root().join("target");
    let watched = target.join("watched");
    let counts = watched.join("counts");
    let _ = std::fs::remove_dir_all(&counts);
    std::fs::create_dir_all(&counts).map_err(|error| format!("cannot make {}: {error}", counts.display()))?;

    let compiler = watched.join("rustc-watched");
    build_with(&compiler, &watched, &[&format!("-Cprofile-generate={}", counts.display())])?;
    let binary = watched.join("dist/ferroalloy");
    let always = watch(&binary, &ALWAYS, &counts.join("always"))?;
    let all = watch(&binary, &WORK, &counts.join("work"))?;
    let profile = watched.join("profile");
    run(Command::new(llvm_profdata()?).arg("merge").arg("-o").arg(&profile).args([&always, &all]))?;
    let order = watched.join("order");
    let ran = [what_ran(&always)?, what_ran(&profile)?].concat();
    std::fs::write(&order, ran.join("\n")).map_err(|error| format!("cannot write {}: {error}", order.display()))?;

    // Cargo does not see that a profile has changed.
    run(&mut cargo(&target, &["clean", "--quiet", "--profile", "dist"]))?;
    let profile = format!("-Cprofile-use={}", profile.display());
    let order = format!("-Clink-arg=-Wl,--symbol-ordering-file={}", order.display());
    build_with(&watched.join("rustc-profiled"), &target, &[&profile, INLINING, FOLDING, ORDERING, &order])?;
    Ok(target.join("dist/ferroalloy"))
}

/// One build, with these flags for all that goes into the program.
fn build_with(compiler: &Path, target: &Path, flags: &[&str]) -> Result<(), String> {
    // What only the build runs stays as it is.
    let script = format!(
        r#"#!/bin/sh
case " $* " in
*' --crate-type proc-macro '*|*' --crate-name build_script_'*|*' --print '*) exec "$@";;
esac
exec "$@" '{}'
"#,
        flags.join("' '")
    );
    let written = std::fs::write(compiler, script)
        .and_then(|()| std::fs::set_permissions(compiler, std::fs::Permissions::from_mode(0o755)));
    written.map_err(|error| format!("cannot write {}: {error}", compiler.display()))?;
    run(cargo(target, &["build", "--profile", "dist", "--package", "ferroalloy"]).env("RUSTC_WRAPPER", compiler))
}

/// Runs cases of the benchmarks; the file of what was counted, beside this folder.
fn watch(binary: &Path, cases: &[&str], counts: &Path) -> Result<PathBuf, String> {
    let mut benches = cargo(&workspace::root().join("target"), &["run", "--release", "--package", "benches", "--"]);
    let raw = counts.join("%m.profraw");
    run(benches.arg("--alone").args(cases).env("FERROALLOY_BIN", binary).env("LLVM_PROFILE_FILE", raw))?;
    let merged = counts.with_extension("profile");
    run(Command::new(llvm_profdata()?).arg("merge").arg("-o").arg(&merged).arg(counts))?;
    Ok(merged)
}

/// The functions that ran, as the linker names them; those that ran most first.
fn what_ran(profile: &Path) -> Result<Vec<String>, String> {
    let counts = stdout_of(Command::new(llvm_profdata()?).args(["show", "--all-functions", "--counts"]).arg(profile))?;
    Ok(most_first(&counts))
}

/// Reads what `llvm-profdata show` prints: names, indented by two, and below them what was counted in each.
fn most_first(counts: &str) -> Vec<String> {
    let mut ran: Vec<(u64, &str)> = Vec::new();
    let mut name = "";
    for line in counts.lines() {
        if let Some(function) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) {
            // Local names stand behind the name of their unit.
            name = function.trim_end_matches(':').rsplit(';').next().unwrap_or_default();
        } else if let Some(counts) = line.trim_start().strip_prefix("Block counts: [") {
            let most = counts.trim_end_matches(']').split(", ").filter_map(|count| count.parse().ok()).max();
            ran.extend(most.filter(|most| *most > 0).map(|most| (most, name)));
        }
    }
    ran.sort_by(|a, b| b.cmp(a));
    ran.into_iter().map(|(_, name)| name.to_owned()).collect()
}

/// Cargo, which puts what it builds into this folder.
fn cargo(target: &Path, arguments: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).env("CARGO_TARGET_DIR", target);
    cargo
}

/// The tool that belongs to the compiler, as the form of the counts changes with it.
fn llvm_profdata() -> Result<PathBuf, String> {
    let libraries = stdout_of(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let tool = Path::new(libraries.trim()).with_file_name("bin").join("llvm-profdata");
    if tool.is_file() { Ok(tool) } else { Err("there is no llvm-profdata: rustup component add llvm-tools".to_owned()) }
}

fn stdout_of(command: &mut Command) -> Result<String, String> {
    let output = command.current_dir(workspace::root()).output();
    let output = output.map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.current_dir(workspace::root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("cannot start {command:?}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_most_comes_first_and_what_never_ran_not_at_all() {
        let counts = "Counters:\n  once:\n    Hash: 0x1\n    Counters: 2\n    Block counts: [1, 0]\n\
                      \x20 never:\n    Hash: 0x2\n    Counters: 1\n    Block counts: [0]\n\
                      \x20 crate.cgu.3;local:\n    Hash: 0x3\n    Counters: 3\n    Block counts: [0, 1, 70]\nTotal functions: 3\n";
        assert_eq!(most_first(counts), ["local", "once"]);
    }
}
