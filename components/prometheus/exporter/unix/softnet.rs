//! `/proc/net/softnet_stat`: packets by CPU.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};

pub(crate) struct Softnet {
    source: Source,
}

/// The file's columns that are shown; the last is a gauge.
const COLUMNS: [(usize, &str, &str, Kind); 7] = [
    (0, "node_softnet_processed_total", "Number of processed packets", Kind::Counter),
    (1, "node_softnet_dropped_total", "Number of dropped packets", Kind::Counter),
    (2, "node_softnet_times_squeezed_total", "Number of times processing packets ran out of quota", Kind::Counter),
    (
        8,
        "node_softnet_cpu_collision_total",
        "Number of collision occur while obtaining device lock while transmitting",
        Kind::Counter,
    ),
    (9, "node_softnet_received_rps_total", "Number of times cpu woken up received_rps", Kind::Counter),
    (10, "node_softnet_flow_limit_count_total", "Number of times flow limit has been reached", Kind::Counter),
    (11, "node_softnet_backlog_len", "Softnet backlog status", Kind::Gauge),
];
/// Newer kernels tell the CPU; with older ones it is the line's number.
const CPU: usize = 12;

impl Softnet {
    pub fn new(paths: &Paths) -> Softnet {
        Softnet { source: Source::short_records(paths.procfs.join("net/softnet_stat")) }
    }
}

impl Collector for Softnet {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        let mut rows: Vec<(String, [u32; CPU + 1])> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let (mut values, mut known) = ([0; CPU + 1], 0);
            for (value, field) in values.iter_mut().zip(line.split_ascii_whitespace()) {
                *value = u32::from_str_radix(field, 16).map_err(|_| Failure::malformed(path, line))?;
                known += 1;
            }
            if known < 9 {
                return Err(Failure::malformed(path, line));
            }
            let cpu = if known > CPU { values[CPU] as usize } else { at };
            rows.push((cpu.to_string(), values));
        }
        for (column, name, help, kind) in COLUMNS {
            let mut family = page.family(name, help, kind);
            for (cpu, values) in &rows {
                family.sample(&[("cpu", cpu)], f64::from(values[column]));
            }
        }
        Ok(())
    }
}
