//! The fields of `/proc/vmstat` that the pattern lets through.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};
use super::filter::{Pattern, Remembered};

pub(crate) struct Vmstat {
    source: Source,
    fields: Remembered,
}

impl Vmstat {
    pub fn new(paths: &Paths, fields: Pattern) -> Vmstat {
        let source = Source::short_records(paths.procfs.join("vmstat"));
        Vmstat { source, fields: Remembered::new(fields) }
    }
}

impl Collector for Vmstat {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        for (place, line) in text.lines().enumerate() {
            let (field, value) = line.split_once(' ').ok_or_else(|| Failure::malformed(path, line))?;
            if self.fields.is_match(place, &[field]) {
                let (name, help) = (format!("node_vmstat_{field}"), format!("/proc/vmstat information field {field}."));
                page.family(&name, &help, Kind::Untyped).sample(&[], number(value.trim(), path)?);
            }
        }
        Ok(())
    }
}
