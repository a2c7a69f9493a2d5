//! The long form: `cargo xtask faults [--seconds N] [--kills N] [--list] [scenario…]`.
//!
//! The collector is `$FERROALLOY_BIN`, or the `ferroalloy` beside this program. Prints a Markdown table, and fails when a
//! promise was not kept.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use faults::{SCENARIOS, Scenario, Settings};

const USAGE: &str = "usage: faults [--seconds N] [--kills N] [--list] [scenario…]";

#[tokio::main]
async fn main() -> ExitCode {
    let (settings, scenarios) = match asked(std::env::args().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    println!("| scenario | written | lost | repeated | reordered | note |");
    println!("|---|--:|--:|--:|--:|---|");
    let mut code = ExitCode::SUCCESS;
    for scenario in scenarios {
        match scenario.run(settings.clone()).await {
            Ok(outcome) => {
                let mut note = outcome.note;
                for broken in &outcome.broken {
                    note += &format!(" **{broken}**");
                    code = ExitCode::FAILURE;
                }
                println!(
                    "| {} | {} | {} | {} | {} | {} |",
                    scenario.title,
                    outcome.written,
                    outcome.lost,
                    outcome.repeated,
                    outcome.reordered,
                    note.trim()
                );
            }
            Err(error) => {
                eprintln!("{}: {error}", scenario.name);
                println!("| {} | | | | | **failed: {}** |", scenario.title, error.lines().next().unwrap_or_default());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// What the arguments ask for; nothing when they were answered.
fn asked(mut arguments: impl Iterator<Item = String>) -> Result<Option<(Settings, Vec<&'static Scenario>)>, String> {
    let mut settings =
        Settings { binary: binary(), kills: 100, time: Duration::from_secs(60), patience: Duration::from_secs(30) };
    let mut scenarios = Vec::new();
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u32, String> {
            let value = arguments.next().unwrap_or_default();
            value.parse().map_err(|_| format!("{argument} needs a number, not {value:?}"))
        };
        match argument.as_str() {
            "--seconds" => settings.time = Duration::from_secs(number()?.into()),
            "--kills" => settings.kills = number()?,
            "--list" => {
                SCENARIOS.iter().for_each(|scenario| println!("{:20} {}", scenario.name, scenario.title));
                return Ok(None);
            }
            name => scenarios.push(Scenario::named(name).ok_or_else(|| format!("there is no scenario {name:?}"))?),
        }
    }
    if scenarios.is_empty() {
        scenarios = SCENARIOS.iter().collect();
    }
    Ok(Some((settings, scenarios)))
}

fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("FERROALLOY_BIN") {
        return binary.into();
    }
    let here = std::env::current_exe().unwrap_or_default();
    here.with_file_name(format!("ferroalloy{}", std::env::consts::EXE_SUFFIX))
}
