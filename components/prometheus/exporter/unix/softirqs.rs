//! What the kernel put off from interrupts, by CPU.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Softirqs {
    source: Source,
}

const TYPES: [&str; 10] =
    ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];

impl Softirqs {
    pub fn new(paths: &Paths) -> Softirqs {
        Softirqs { source: Source::records(paths.procfs.join("softirqs")) }
    }
}

impl Collector for Softirqs {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.source.path().to_owned();
        let text = self.source.read(scratch).map_err(|error| Failure::reading(&path, &error))?;
        if text.is_empty() {
            return Err(Failure::malformed(&path, "it is empty"));
        }
        let mut family = page.family("node_softirqs_functions_total", "Softirq counts per CPU.", Kind::Counter);
        for (name, counts) in text.lines().skip(1).filter_map(|line| line.split_once(':')) {
            let name = name.trim();
            if TYPES.contains(&name) {
                for (cpu, count) in counts.split_whitespace().enumerate() {
                    family.sample(&[("cpu", &cpu.to_string()), ("type", name)], number(count, &path)?);
                }
            }
        }
        Ok(())
    }
}
