//! The processes of a container: their files, their limits, the time that they had and the memory that they touched.

use std::collections::BTreeMap;

use super::hierarchy::{Folders, processes_of};
use super::host::{Reader, Roots, kilobytes};
use super::measured::{Processes, Schedule};

/// Counts processes, open files and sockets; threads are counted elsewhere. `first` is the container's first process, if
/// that is known.
pub(super) fn count(
    reader: &mut Reader,
    roots: &Roots,
    folders: &Folders<'_>,
    first: Option<u32>,
    into: &mut Processes,
) {
    let Some(folder) = folders.of("cpu") else { return };
    let all = processes_of(reader, &folder);
    into.count = all.len() as u64;
    for process in all {
        let Ok(files) = std::fs::read_dir(roots.process(process).join("fd")) else { continue };
        for file in files.flatten() {
            into.files += 1;
            let target = std::fs::read_link(file.path());
            if target.is_ok_and(|target| target.to_str().is_some_and(|target| target.starts_with("socket"))) {
                into.sockets += 1;
            }
        }
    }
    if let Some(first) = first {
        let limits = reader.text(&roots.process(first), "limits").unwrap_or_default();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        into.max_files = line.and_then(|line| match line.split_whitespace().next()? {
            "unlimited" => Some(-1.0),
            number => number.parse().ok(),
        });
    }
}

/// Bytes that processes in the container itself have touched.
pub(super) fn referenced(reader: &mut Reader, roots: &Roots, folders: &Folders<'_>) -> u64 {
    let Some(folder) = folders.of("devices") else { return 0 };
    let mut bytes = 0_u64;
    for process in processes_of(reader, &folder) {
        let maps = reader.text(&roots.process(process), "smaps").unwrap_or_default();
        let of_maps = maps.lines().filter(|line| line.starts_with("Referenced:"));
        bytes += of_maps.filter_map(|line| kilobytes(line, "Referenced")).sum::<u64>();
    }
    bytes
}

/// The time that a container's processes had, those that have ended included.
#[derive(Default)]
pub(super) struct Schedules {
    alive: BTreeMap<u32, Schedule>,
    ended: Schedule,
}

impl Schedules {
    pub fn read(&mut self, reader: &mut Reader, roots: &Roots, folders: &Folders<'_>) -> Schedule {
        let mut alive = BTreeMap::new();
        for process in folders.all_processes(reader) {
            let text = reader.text(&roots.process(process), "schedstat").unwrap_or_default();
            let mut numbers = text.split_whitespace().map(str::parse);
            if let (Some(Ok(run)), Some(Ok(wait)), Some(Ok(periods))) = (numbers.next(), numbers.next(), numbers.next())
            {
                alive.insert(process, Schedule { run, wait, periods });
            }
        }
        for (process, last) in std::mem::take(&mut self.alive) {
            if !alive.contains_key(&process) {
                add(&mut self.ended, last);
            }
        }
        let mut all = self.ended;
        alive.values().for_each(|schedule| add(&mut all, *schedule));
        self.alive = alive;
        all
    }
}

fn add(sum: &mut Schedule, more: Schedule) {
    sum.run += more.run;
    sum.wait += more.wait;
    sum.periods += more.periods;
}
