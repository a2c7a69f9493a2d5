//! The command line: one table of commands and flags, from which parsing, help and completion all follow.
//!
//! Alloy's flags keep their names, defaults and error texts, because they stand in unit files and Helm charts. A flag whose
//! capability does not exist yet is refused with a sentence when it is set to anything but its default.

mod completion;
mod help;
mod parse;
mod table;

pub use completion::script;
pub use help::{unknown_topic, usage};
pub use parse::{Invocation, parse};
pub use table::{Action, ROOT};

/// The program's name in texts.
pub const NAME: &str = "ferroalloy";

/// What `--version` prints.
pub fn version() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!(
        "{NAME}, version v{} (revision: {})\n  platform:         {}/{architecture}\n",
        env!("CARGO_PKG_VERSION"),
        option_env!("FERROALLOY_REVISION").unwrap_or("unknown"),
        std::env::consts::OS,
    )
}
