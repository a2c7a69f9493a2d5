//! `cargo xtask dist`: the binary that is shipped.
//!
//! The profile `dist` is built twice, the first time to be watched at the benchmarks: the compiler then knows what the
//! collector does all day, puts that together and makes it quick, and keeps the rest small and out of the way.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace;

/// What people use it for: a case of each kind of work.
const WORK: [&str; 10] =
    ["start", "idle", "scrape", "tail", "tail-raw", "tail-json", "tail-short", "otlp", "otlp-large", "otlp-insert"];

/// What runs much is inlined up to a fifth of what LLVM would, and what never ran is made small.
const INLINING: &str = "-Cllvm-args=-hot-callsite-threshold=600 -pgso-lwss-only=false";
/// Functions that are the same in the end are one.
const FOLDING: &str = "-Clink-arg=-Wl,--icf=all";

/// Builds it; the path of the binary, or what went wrong.
pub fn build() -> Result<PathBuf, String> {
    let llvm_profdata = llvm_profdata()?;
    let target = workspace::root().join("target");
    let (watching, counts, profile) =
        (target.join("watched"), target.join("watched/counts"), target.join("watched/profile"));
    let _ = std::fs::remove_dir_all(&watching);
    std::fs::create_dir_all(&watching).map_err(|error| format!("cannot make {}: {error}", watching.display()))?;
    // Cargo does not see that a profile has changed.
    run(&mut cargo(&["clean", "--quiet", "--workspace", "--profile", "dist"]))?;

    build_with(&watching.join("rustc-watched"), &[&format!("-Cprofile-generate={}", counts.display())])?;
    let binary = target.join("dist/ferroalloy");
    let mut benches = cargo(&["run", "--release", "--package", "benches", "--", "--alone"]);
    run(benches.args(WORK).env("FERROALLOY_BIN", &binary))?;
    run(Command::new(llvm_profdata).arg("merge").arg("-o").arg(&profile).arg(&counts))?;
    let profile_use = format!("-Cprofile-use={}", profile.display());
    build_with(&watching.join("rustc-profiled"), &[&profile_use, INLINING, FOLDING])?;
    Ok(binary)
}

/// One build, with flags for our own crates: the others are built once for both, and what runs most is ours or generic.
fn build_with(compiler: &Path, flags: &[&str]) -> Result<(), String> {
    let script = format!("#!/bin/sh\nexec \"$@\" '{}'\n", flags.join("' '"));
    let written = std::fs::write(compiler, script)
        .and_then(|()| std::fs::set_permissions(compiler, std::fs::Permissions::from_mode(0o755)));
    written.map_err(|error| format!("cannot write {}: {error}", compiler.display()))?;
    run(cargo(&["build", "--profile", "dist", "--package", "ferroalloy"]).env("RUSTC_WORKSPACE_WRAPPER", compiler))
}

/// Cargo, which puts what it builds where we look for it.
fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).env("CARGO_TARGET_DIR", workspace::root().join("target"));
    cargo
}

/// The tool that belongs to the compiler, as the form of the counts changes with it.
fn llvm_profdata() -> Result<PathBuf, String> {
    let libraries = stdout_of_rustc(&["--print", "target-libdir"])?;
    let tool = Path::new(libraries.trim()).with_file_name("bin").join("llvm-profdata");
    if tool.is_file() { Ok(tool) } else { Err("there is no llvm-profdata: rustup component add llvm-tools".to_owned()) }
}

fn stdout_of_rustc(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("rustc").args(arguments).current_dir(workspace::root()).output();
    let output = output.map_err(|error| format!("cannot start rustc: {error}"))?;
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.current_dir(workspace::root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("cannot start {command:?}: {error}")),
    }
}
