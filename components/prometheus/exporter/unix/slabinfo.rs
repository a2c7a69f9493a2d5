//! `/proc/slabinfo`: the kernel's caches of its own objects.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Slabinfo {
    source: Source,
}

/// The columns behind the name.
const FAMILIES: [(&str, &str); 5] = [
    ("node_slabinfo_active_objects", "The number of objects that are currently active (i.e., in use)."),
    (
        "node_slabinfo_objects",
        "The total number of allocated objects (i.e., objects that are both in use and not in use).",
    ),
    ("node_slabinfo_object_size_bytes", "The size of objects in this slab, in bytes."),
    ("node_slabinfo_objects_per_slab", "The number of objects stored in each slab."),
    ("node_slabinfo_pages_per_slab", "The number of pages allocated for each slab."),
];

const COLUMNS: usize = 16;

impl Slabinfo {
    pub fn new(paths: &Paths) -> Slabinfo {
        Slabinfo { source: Source::records(paths.procfs.join("slabinfo")) }
    }
}

impl Collector for Slabinfo {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.source.path().to_owned();
        let text = self.source.read(scratch).map_err(|error| Failure::reading(&path, &error))?;
        let is_slab = |line: &&str| !line.contains("slabinfo -") && !line.contains("# name");
        for line in text.lines().filter(is_slab) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.len() != COLUMNS {
                return Err(Failure::malformed(&path, line));
            }
            for ((family, help), value) in FAMILIES.into_iter().zip(&words[1..]) {
                page.family(family, help, Kind::Gauge).sample(&[("slab", words[0])], number(value, &path)?);
            }
        }
        Ok(())
    }
}
