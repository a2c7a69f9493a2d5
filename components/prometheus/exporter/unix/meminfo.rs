//! `/proc/meminfo`: every line of it, whatever the kernel calls it.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Meminfo {
    source: Source,
}

impl Meminfo {
    pub fn new(paths: &Paths) -> Meminfo {
        Meminfo { source: Source::single(paths.procfs.join("meminfo")) }
    }
}

impl Collector for Meminfo {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        let (mut name, mut help) = (String::new(), String::new());
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut fields = line.split_ascii_whitespace();
            let (Some(key), Some(value)) = (fields.next(), fields.next()) else {
                return Err(Failure::malformed(path, line));
            };
            let unit = fields.next();
            if fields.next().is_some() {
                return Err(Failure::malformed(path, line));
            }
            name.clear();
            name.push_str("node_memory_");
            // `Active(anon)` is shown as Active_anon.
            for character in key.trim_end_matches(':').chars() {
                match character {
                    '(' => name.push('_'),
                    ')' => {}
                    other => name.push(other),
                }
            }
            let mut value = number(value, path)?;
            if unit.is_some() {
                value *= 1024.0; // the unit is always kB
                name.push_str("_bytes");
            }
            let kind = if name.ends_with("_total") { Kind::Counter } else { Kind::Gauge };
            help.clear();
            help.push_str("Memory information field ");
            help.push_str(&name["node_memory_".len()..]);
            help.push('.');
            page.family(&name, &help, kind).sample(&[], value);
        }
        Ok(())
    }
}
