//! The binary ferroalloy: one command line over everything else.

mod allocator;
mod cli;
mod draw;
mod fmt;
mod left_behind;
mod report;
mod run;
mod seed;
mod setup;
mod validate;

use std::io::Write;
use std::process::ExitCode;

use cli::{Action, Invocation, ROOT};
use report::Failure;

fn main() -> ExitCode {
    allocator::gives_back();
    let outcome = match cli::parse(std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()))
    {
        Ok(invocation) => perform(&invocation),
        Err(refused) => {
            let usage = if refused.with_usage { cli::usage(&[ROOT.name], &ROOT) } else { String::new() };
            Err(Failure::new(refused.message).before(usage))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}

fn perform(invocation: &Invocation) -> Result<(), Failure> {
    if invocation.version {
        return print(&cli::version());
    }
    if invocation.help {
        return print(&invocation.help_text());
    }
    for warning in &invocation.warnings {
        let _ = writeln!(std::io::stderr(), "{warning}");
    }
    match invocation.command.action {
        Action::Fmt => fmt::fmt(invocation),
        Action::Completion => print(&cli::script(invocation.command.name, !invocation.is_set("no-descriptions"))),
        Action::Help => match invocation.help_topic() {
            Some(text) => print(&text),
            None => print_to_stderr(&cli::unknown_topic(&invocation.arguments)),
        },
        // Called bare, the program explains itself on stderr, a group of commands on stdout.
        Action::Group if invocation.path.len() == 1 => {
            print_to_stderr(&cli::usage(&invocation.path, invocation.command))
        }
        Action::Group => print(&invocation.help_text()),
        Action::Run => run::run(invocation),
        Action::Validate => validate::validate(invocation),
        Action::NotYet(capability) => Err(Failure::new(format!("{capability} is not part of {} yet", cli::NAME))),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::new(format!("standard output: {error}")))
}

fn print_to_stderr(text: &str) -> Result<(), Failure> {
    // If stderr is gone, there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
    Ok(())
}
