//! `/proc/schedstat`: how long processes ran on, and waited for, each CPU.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Schedstat {
    source: Source,
}

impl Schedstat {
    pub fn new(paths: &Paths) -> Schedstat {
        Schedstat { source: Source::records(paths.procfs.join("schedstat")) }
    }
}

impl Collector for Schedstat {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::absent_or(path, &error))?;
        let mut rows: Vec<(&str, [f64; 3])> = Vec::new();
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let Some(cpu) = fields.next().and_then(|word| word.strip_prefix("cpu")) else { continue };
            let mut values = [0.0; 3];
            for (value, field) in values.iter_mut().zip(fields.skip(6)) {
                *value = number(field, path)?;
            }
            rows.push((cpu, values));
        }
        for (column, name, help, factor) in [
            (0, "node_schedstat_running_seconds_total", "Number of seconds CPU spent running a process.", 1e9),
            (
                1,
                "node_schedstat_waiting_seconds_total",
                "Number of seconds spent by processing waiting for this CPU.",
                1e9,
            ),
            (2, "node_schedstat_timeslices_total", "Number of timeslices executed by CPU.", 1.0),
        ] {
            let mut family = page.family(name, help, Kind::Counter);
            for (cpu, values) in &rows {
                family.sample(&[("cpu", cpu)], values[column] / factor);
            }
        }
        Ok(())
    }
}
