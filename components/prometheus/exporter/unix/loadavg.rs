//! `/proc/loadavg`.

use base_metrics::FamilyWriter;

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Loadavg {
    source: Source,
}

impl Loadavg {
    pub fn new(paths: &Paths) -> Loadavg {
        Loadavg { source: Source::single(paths.procfs.join("loadavg")) }
    }
}

impl Collector for Loadavg {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        let mut fields = text.split_ascii_whitespace();
        for (name, help) in [
            ("node_load1", "1m load average."),
            ("node_load5", "5m load average."),
            ("node_load15", "15m load average."),
        ] {
            let field = fields.next().ok_or_else(|| Failure::malformed(path, text))?;
            page.gauge(name, help, number(field, path)?);
        }
        Ok(())
    }
}
