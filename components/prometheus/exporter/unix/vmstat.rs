//! The fields of `/proc/vmstat` that the pattern lets through.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};
use super::filter::Pattern;

pub(crate) struct Vmstat {
    source: Source,
    fields: Pattern,
}

impl Vmstat {
    pub fn new(paths: &Paths, fields: Pattern) -> Vmstat {
        Vmstat { source: Source::records(paths.procfs.join("vmstat")), fields }
    }
}

impl Collector for Vmstat {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        for line in text.lines() {
            let (field, value) = line.split_once(' ').ok_or_else(|| Failure::malformed(path, line))?;
            if self.fields.is_match(field) {
                let (name, help) = (format!("node_vmstat_{field}"), format!("/proc/vmstat information field {field}."));
                page.family(&name, &help, Kind::Untyped).sample(&[], number(value.trim(), path)?);
            }
        }
        Ok(())
    }
}
