//! How often which device interrupted which CPU.

use std::collections::BTreeMap;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Interrupts {
    source: Source,
}

impl Interrupts {
    pub fn new(paths: &Paths) -> Interrupts {
        Interrupts { source: Source::records(paths.procfs.join("interrupts")) }
    }
}

impl Collector for Interrupts {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.source.path().to_owned();
        let text = self.source.read(scratch).map_err(|error| Failure::reading(&path, &error))?;
        let mut lines = text.lines();
        let cpus = lines.next().ok_or_else(|| Failure::malformed(&path, "it is empty"))?.split_whitespace().count();
        // A name that comes twice counts as its last line says.
        let mut interrupts: BTreeMap<&str, (&[&str], String, String)> = BTreeMap::new();
        let rows: Vec<(&str, Vec<&str>)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, rest)| (name.trim_start_matches(' '), rest.split_whitespace().collect::<Vec<_>>()))
            // Errors have a single number and no words.
            .filter(|(_, words)| words.len() > cpus)
            .collect();
        for (name, words) in &rows {
            let (counts, words) = words.split_at(cpus);
            let (info, devices) = match name.parse::<i64>() {
                Ok(_) => (words[0].to_owned(), words[1..].join(" ")),
                Err(_) => (words.join(" "), String::new()),
            };
            interrupts.insert(name, (counts, info, devices));
        }
        let mut family = page.family("node_interrupts_total", "Interrupt details.", Kind::Counter);
        for (name, (counts, info, devices)) in interrupts {
            for (cpu, count) in counts.iter().enumerate() {
                let labels = [("cpu", &*cpu.to_string()), ("devices", &devices), ("info", &info), ("type", name)];
                family.sample(&labels, number(count, &path)?);
            }
        }
        Ok(())
    }
}
