//! `ferroalloy validate`: the same path as `run` takes, up to the point where something would start.

use std::io::Write;

use language_syntax::{Diagnostics, json};
use runtime::LoadError;

use crate::cli::Invocation;
use crate::options::LoadOptions;
use crate::process::{ConfigFiles, Process};
use crate::report::{Failure, print_warnings};
use crate::run::check_flags;

/// Said when the configuration cannot be loaded.
const FAILED: &str = "validation failed";

/// Prints everything that is wrong with a configuration. Warnings alone do not fail, unless asked for by `--strict`.
pub fn validate(invocation: &Invocation) -> Result<(), Failure> {
    check_flags(invocation)?;
    let options = Process::idle().into_options(&LoadOptions::of(invocation));
    let sources = ConfigFiles::new(&invocation.arguments[0]);
    let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let diagnostics = match reactor.block_on(runtime::validate(options, &sources)) {
        Ok(diagnostics) | Err(LoadError::Refused(diagnostics)) => diagnostics,
        Err(LoadError::Unreadable(error)) => return Err(Failure::new(error)),
    };
    let failed = diagnostics.has_errors() || (invocation.is_set("strict") && !diagnostics.is_empty());
    if invocation.is_set("json") {
        return print_json(&diagnostics, failed);
    }
    match failed {
        true => Err(Failure::diagnostics(&diagnostics, FAILED)),
        false => {
            print_warnings(&diagnostics);
            Ok(())
        }
    }
}

fn print_json(diagnostics: &Diagnostics, failed: bool) -> Result<(), Failure> {
    std::io::stdout().write_all(json::to_json(diagnostics).as_bytes())?;
    if failed { Err(Failure::new(FAILED)) } else { Ok(()) }
}
