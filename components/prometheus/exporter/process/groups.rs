//! What groups of processes use together, and have used before.

use std::collections::BTreeMap;

use super::proc::{Counts, Memory, States};
use super::tracker::Tracked;

/// Names may hold numbers of processes: groups without processes beyond this many are forgotten.
const MAX_EMPTY: usize = 10_000;

/// All groups by name.
pub(super) struct Groups {
    groups: BTreeMap<String, Group>,
    remove_empty: bool,
}

/// One group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Never less than before.
    pub counts: Counts,
    pub processes: u64,
    pub states: States,
    pub memory: Memory,
    /// When the oldest began, in milliseconds since 1970.
    pub oldest: Option<u64>,
    pub open_files: u64,
    pub worst_files: f64,
    pub threads_count: u64,
    /// Threads that wait in the kernel, by where.
    pub wchans: BTreeMap<String, u64>,
    /// By name.
    pub threads: BTreeMap<String, Threads>,
}

/// The threads of one name.
#[derive(Debug, Default)]
pub(super) struct Threads {
    pub count: u64,
    /// Never less than before, as long as there is one.
    pub counts: Counts,
}

// === impl Groups ===

impl Groups {
    pub(super) fn new(remove_empty: bool) -> Groups {
        Groups { groups: BTreeMap::new(), remove_empty }
    }

    pub(super) fn all(&self) -> &BTreeMap<String, Group> {
        &self.groups
    }

    /// Takes what was used since the last time.
    pub(super) fn add<'t>(&mut self, updates: impl Iterator<Item = &'t Tracked>) {
        for group in self.groups.values_mut() {
            let mut threads = std::mem::take(&mut group.threads);
            threads.values_mut().for_each(|threads| threads.count = 0);
            *group = Group { counts: group.counts, threads, ..Group::default() };
        }
        for tracked in updates {
            self.groups.entry(tracked.group.clone()).or_default().add(tracked);
        }
        let mut empty = 0;
        let limit = if self.remove_empty { 0 } else { MAX_EMPTY };
        self.groups.retain(|_, group| {
            group.threads.retain(|_, threads| threads.count > 0);
            empty += usize::from(group.processes == 0);
            group.processes > 0 || empty <= limit
        });
    }
}

// === impl Group ===

impl Group {
    fn add(&mut self, tracked: &Tracked) {
        let usage = &tracked.usage;
        self.counts.add(&tracked.latest);
        self.processes += 1;
        self.states.add(&usage.states);
        self.memory.add(&usage.memory);
        self.oldest = Some(self.oldest.map_or(tracked.started, |oldest| oldest.min(tracked.started)));
        if let Some(open) = usage.open_files {
            self.open_files += open;
            self.worst_files = self.worst_files.max(open as f64 / usage.max_files as f64);
        }
        self.threads_count += usage.threads_count;
        let waiting = usage.threads.iter().map(|thread| &thread.wchan).chain([&usage.wchan]);
        for wchan in waiting.filter(|wchan| !wchan.is_empty()) {
            *self.wchans.entry(wchan.clone()).or_default() += 1;
        }
        for (name, latest) in &tracked.threads {
            let threads = self.threads.entry(name.clone()).or_default();
            threads.count += 1;
            threads.counts.add(latest);
        }
    }
}

// === impl Memory ===

impl Memory {
    fn add(&mut self, other: &Memory) {
        self.resident += other.resident;
        self.virtual_size += other.virtual_size;
        self.swapped += other.swapped;
        self.proportional += other.proportional;
        self.proportional_swapped += other.proportional_swapped;
    }
}
