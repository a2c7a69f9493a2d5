//! The single numbers of `/proc/stat`.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Stat {
    source: Source,
}

impl Stat {
    pub fn new(paths: &Paths) -> Stat {
        Stat { source: Source::single(paths.procfs.join("stat")) }
    }
}

/// The line's word, the family, its help.
const LINES: [(&str, &str, &str, Kind); 6] = [
    ("intr", "node_intr_total", "Total number of interrupts serviced.", Kind::Counter),
    ("ctxt", "node_context_switches_total", "Total number of context switches.", Kind::Counter),
    ("processes", "node_forks_total", "Total number of forks.", Kind::Counter),
    ("btime", "node_boot_time_seconds", "Node boot time, in unixtime.", Kind::Gauge),
    ("procs_running", "node_procs_running", "Number of processes in runnable state.", Kind::Gauge),
    ("procs_blocked", "node_procs_blocked", "Number of processes blocked waiting for I/O to complete.", Kind::Gauge),
];

impl Collector for Stat {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        let mut values = [None; LINES.len()];
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let Some(at) = fields.next().and_then(|word| LINES.iter().position(|(name, ..)| *name == word)) else {
                continue;
            };
            // The interrupts' total comes first, each single one after it.
            values[at] = Some(number(fields.next().ok_or_else(|| Failure::malformed(path, line))?, path)?);
        }
        for ((_, name, help, kind), value) in LINES.iter().zip(values) {
            if let Some(value) = value {
                page.family(name, help, *kind).sample(&[], value);
            }
        }
        Ok(())
    }
}
