//! How many free blocks of memory there are of each size.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Buddyinfo {
    source: Source,
}

impl Buddyinfo {
    pub fn new(paths: &Paths) -> Buddyinfo {
        Buddyinfo { source: Source::records(paths.procfs.join("buddyinfo")) }
    }
}

impl Collector for Buddyinfo {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.source.path().to_owned();
        let text = self.source.read(scratch).map_err(|error| Failure::reading(&path, &error))?;
        let mut family = page.family("node_buddyinfo_blocks", "Count of free blocks according to size.", Kind::Gauge);
        for line in text.lines() {
            // `Node 0, zone   Normal   1 2 3 …`
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, node, _, zone, counts @ ..] = &words[..] else { return Err(Failure::malformed(&path, line)) };
            for (size, count) in counts.iter().enumerate() {
                let labels = [
                    ("node", node.trim_end_matches(',')),
                    ("size", &size.to_string()),
                    ("zone", zone.trim_end_matches(',')),
                ];
                family.sample(&labels, number(count, &path)?);
            }
        }
        Ok(())
    }
}
