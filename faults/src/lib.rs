//! Fault runs of the real binary: a writer numbers every line, a sink checks which arrived, and nobody believes our own
//! counters.
//!
//! Each scenario is one function that takes [`Settings`]: few kills and seconds make the short form, which the binary's
//! tests run; `cargo xtask faults` runs all of them for as long as is asked, and prints the table of `docs/faults.md`.

mod collector;
mod config;
mod engine;
mod load;
mod log;
mod pushes;
mod scenarios;
mod site;
mod targets;
mod wire;

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

pub use self::scenarios::SCENARIOS;

/// How hard a scenario tries.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector.
    pub binary: PathBuf,
    /// How often it is killed, stopped, rotated or damaged, where that is what a scenario does.
    pub kills: u32,
    /// How long a backend is away, or a storm lasts.
    pub time: Duration,
    /// What should happen has happened by then, on the slowest machine.
    pub patience: Duration,
}

/// One kind of fault.
pub struct Scenario {
    /// As it is asked for.
    pub name: &'static str,
    /// As the table says it.
    pub title: &'static str,
    /// Too long, or in need of too much, for every change.
    pub long: bool,
    run: fn(Settings) -> Run,
}

/// A scenario that runs.
pub type Run = Pin<Box<dyn Future<Output = Result<Outcome, String>> + Send>>;

/// What became of the lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Lines that the writer wrote.
    pub written: u64,
    /// Lines that never arrived.
    pub lost: u64,
    /// Lines that came too often.
    pub repeated: u64,
    /// Lines that came after later ones of their stream.
    pub reordered: u64,
    /// What else there is to say.
    pub note: String,
    /// Promises that were not kept.
    pub broken: Vec<String>,
}

// === impl Scenario ===

impl Scenario {
    /// The scenario of this name.
    pub fn named(name: &str) -> Option<&'static Scenario> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Runs it. An error says why it could not be carried out to its end.
    pub async fn run(&self, settings: Settings) -> Result<Outcome, String> {
        (self.run)(settings).await
    }
}

// === impl Settings ===

impl Settings {
    /// Whether a run says something about rates and times: a short one beside other work does not.
    fn is_long(&self) -> bool {
        self.time >= Duration::from_secs(20)
    }
}

// === impl Outcome ===

impl Outcome {
    /// A scenario that this machine cannot carry out.
    fn skipped(why: impl Into<String>) -> Outcome {
        Outcome { note: format!("skipped: {}", why.into()), ..Outcome::default() }
    }

    /// Adds to the note.
    fn noting(mut self, note: impl AsRef<str>) -> Outcome {
        if !self.note.is_empty() && !note.as_ref().is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(note.as_ref());
        self
    }

    /// Says that this was promised, if it is not so.
    fn promised(mut self, kept: bool, promise: impl Into<String>) -> Outcome {
        if !kept {
            self.broken.push(promise.into());
        }
        self
    }

    /// Nothing is lost, comes out of order, or is changed: what every scenario of ours promises but those that say why.
    fn nothing_lost(self) -> Outcome {
        let (lost, reordered) = (self.lost, self.reordered);
        self.promised(lost == 0, format!("{lost} lines are lost"))
            .promised(reordered == 0, format!("{reordered} lines came out of order"))
    }

    /// Nothing comes twice.
    fn nothing_repeated(self) -> Outcome {
        let repeated = self.repeated;
        self.promised(repeated == 0, format!("{repeated} lines came again"))
    }
}
