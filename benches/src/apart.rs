//! Cores of their own for the load and for the collector, where time is what is measured.
//!
//! On a small machine who sends, who is measured and who receives wait for each other's turns of the scheduler, some
//! milliseconds at a time; and a core of a virtual machine that fell asleep may need as long to be woken.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The load's core, and the collector's.
const CORES: [usize; 2] = [0, 1];
/// Above all that is not of this process; among its threads it goes round.
const PRIORITY: &str = "10";

/// Runs when nobody else wants the core, until we end.
const AWAKE: &str = "while [ -d /proc/$0 ]; do n=0; while [ $n -lt 99999 ]; do n=$((n+1)); done; done";

/// For as long as it lives, this process has the first core, and neither core falls asleep.
pub struct Apart {
    /// How many there are.
    cores: usize,
    awake: Vec<Child>,
    /// Whether the load waits for nobody.
    prompt: bool,
}

impl Apart {
    /// `None` where there is but one core, or no `taskset`.
    pub fn new() -> Option<Apart> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let us = std::process::id().to_string();
        if cores < CORES.len() || !quietly(Command::new("taskset").args(["-a", "-c", "-p", &CORES[0].to_string(), &us]))
        {
            return None;
        }
        let prompt = quietly(Command::new("chrt").args(["-a", "-r", "-p", PRIORITY, &us]));
        let busy = |core: &usize| {
            let mut busy = Command::new("taskset");
            busy.args(["-c", &core.to_string(), "chrt", "-i", "0", "sh", "-c", AWAKE, &us]);
            busy.stdin(Stdio::null()).spawn().ok()
        };
        Some(Apart { cores, awake: CORES.iter().filter_map(busy).collect(), prompt })
    }

    /// Starts a collector on the other core.
    pub fn command(binary: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &CORES[1].to_string(), "chrt", "-o", "0"]).arg(binary);
        command
    }

    /// For the table.
    pub fn words(&self) -> &'static str {
        match (self.prompt, self.awake.len() == CORES.len()) {
            (true, true) => "load and collector on a core each, the load first, no core asleep",
            (false, true) => "load and collector on a core each, no core asleep",
            _ => "load and collector on a core each",
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for busy in &mut self.awake {
            let _ = busy.kill();
            let _ = busy.wait();
        }
        let us = std::process::id().to_string();
        let all = format!("0-{}", self.cores - 1);
        quietly(Command::new("chrt").args(["-a", "-o", "-p", "0", &us]));
        quietly(Command::new("taskset").args(["-a", "-c", "-p", &all, &us]));
    }
}

/// Whether it ended well.
fn quietly(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
