//! `/proc/pressure/*`: how long processes waited for the CPU, for I/O and for memory.

use base_metrics::FamilyWriter;

use super::collector::{Collector, Failure, Paths, Scratch, Source};

pub(crate) struct Pressure {
    resources: [Resource; 3],
}

struct Resource {
    source: Source,
    /// The line's first word, the family and its help.
    lines: &'static [(&'static str, &'static str, &'static str)],
}

impl Pressure {
    pub fn new(paths: &Paths) -> Pressure {
        let resource =
            |name, lines| Resource { source: Source::single(paths.procfs.join("pressure").join(name)), lines };
        Pressure {
            resources: [
                resource(
                    "cpu",
                    &[(
                        "some",
                        "node_pressure_cpu_waiting_seconds_total",
                        "Total time in seconds that processes have waited for CPU time",
                    )],
                ),
                resource(
                    "io",
                    &[
                        (
                            "some",
                            "node_pressure_io_waiting_seconds_total",
                            "Total time in seconds that processes have waited due to IO congestion",
                        ),
                        (
                            "full",
                            "node_pressure_io_stalled_seconds_total",
                            "Total time in seconds no process could make progress due to IO congestion",
                        ),
                    ],
                ),
                resource(
                    "memory",
                    &[
                        (
                            "some",
                            "node_pressure_memory_waiting_seconds_total",
                            "Total time in seconds that processes have waited for memory",
                        ),
                        (
                            "full",
                            "node_pressure_memory_stalled_seconds_total",
                            "Total time in seconds no process could make progress due to memory congestion",
                        ),
                    ],
                ),
            ],
        }
    }
}

impl Collector for Pressure {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for resource in &mut self.resources {
            let text = resource.source.read(scratch);
            let path = resource.source.path();
            let text = text.map_err(|error| match error.raw_os_error() {
                // The kernel was started without psi=1.
                Some(libc::EOPNOTSUPP) => Failure::NoData,
                _ => Failure::absent_or(path, &error),
            })?;
            for (word, name, help) in resource.lines {
                let Some(line) = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(word)) else {
                    continue;
                };
                let total = line.rsplit_once("total=").and_then(|(_, total)| total.trim().parse::<u64>().ok());
                let total = total.ok_or_else(|| Failure::malformed(path, line))?;
                page.counter(name, help, total as f64 / 1000.0 / 1000.0);
            }
        }
        Ok(())
    }
}
