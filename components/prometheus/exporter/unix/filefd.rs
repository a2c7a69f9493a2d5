//! `/proc/sys/fs/file-nr`: open files of the whole host.

use base_metrics::FamilyWriter;

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Filefd {
    source: Source,
}

impl Filefd {
    pub fn new(paths: &Paths) -> Filefd {
        Filefd { source: Source::single(paths.procfs.join("sys/fs/file-nr")) }
    }
}

impl Collector for Filefd {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        let mut fields = text.split_ascii_whitespace();
        let (Some(allocated), Some(_free), Some(maximum)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(Failure::malformed(path, text));
        };
        page.gauge("node_filefd_allocated", "File descriptor statistics: allocated.", number(allocated, path)?);
        page.gauge("node_filefd_maximum", "File descriptor statistics: maximum.", number(maximum, path)?);
        Ok(())
    }
}
