//! Processes that belong to a group, from one look to the next.

use std::collections::{BTreeMap, HashMap};
use std::io;

use nix::unistd::{Uid, User};

use super::matcher::Namer;
use super::proc::{Counts, Id, Proc, Stat, Static, Usage};

/// Knows the processes that were seen.
pub(super) struct Tracker {
    namer: Namer,
    children: bool,
    recheck: bool,
    /// All that run; `None` for those that belong to no group.
    seen: BTreeMap<Id, Option<Tracked>>,
    users: HashMap<u32, String>,
    /// When the first look ended, in ticks since the host began: what began later counts from its beginning.
    first: Option<u64>,
}

/// A process of a group.
pub(super) struct Tracked {
    pub group: String,
    pub usage: Usage,
    /// In milliseconds since 1970.
    pub started: u64,
    /// What it has used since the look before.
    pub latest: Counts,
    /// The same for each thread, with its name; empty unless there are two.
    pub threads: Vec<(String, Counts)>,
}

/// How a look went.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Processes that could not be looked at.
    pub unreadable: u64,
    /// Processes of which something could not be read.
    pub partial: u64,
}

/// Names of users are asked for once; a host has not more of them.
const MAX_USERS: usize = 10_000;

// === impl Tracker ===

impl Tracker {
    pub(super) fn new(namer: Namer, children: bool, recheck: bool) -> Tracker {
        Tracker { namer, children, recheck, seen: BTreeMap::new(), users: HashMap::new(), first: None }
    }

    /// All processes of groups, as they were at the last look.
    pub(super) fn updates(&self) -> impl Iterator<Item = &Tracked> {
        self.seen.values().flatten()
    }

    /// Looks at all processes.
    pub(super) fn look(&mut self, proc: &Proc) -> io::Result<Looked> {
        let numbers = proc.list()?;
        let mut looked = Looked::default();
        let mut before = std::mem::take(&mut self.seen);
        let mut new = BTreeMap::new();
        let mut running = HashMap::new();
        for number in numbers {
            // One that has ended meanwhile is none.
            let Ok(stat) = proc.stat(number) else { continue };
            let id = Id { number, start: stat.start };
            running.insert(number, id);
            match before.remove(&id) {
                Some(None) if !self.recheck => {
                    self.seen.insert(id, None);
                }
                Some(Some(mut tracked)) => match proc.usage(number, &stat) {
                    Ok(usage) => {
                        looked.partial += u64::from(usage.partial);
                        tracked.update(usage);
                        self.seen.insert(id, Some(tracked));
                    }
                    Err(error) => looked.missed(&error),
                },
                _ => match proc.look(number, &stat) {
                    Ok(process) => {
                        new.insert(id, (stat, process));
                    }
                    Err(error) => looked.missed(&error),
                },
            }
        }
        let groups = self.groups_of(&new, &running);
        for ((id, (stat, process)), group) in new.into_iter().zip(groups) {
            let Some(group) = group else {
                self.seen.insert(id, None);
                continue;
            };
            match proc.usage(id.number, &stat) {
                Ok(usage) => {
                    looked.partial += u64::from(usage.partial);
                    let began_since = self.first.is_some_and(|first| id.start > first);
                    let latest = if began_since { usage.counts } else { Counts::default() };
                    let threads = usage.threads.iter().map(|thread| (thread.name.clone(), Counts::default())).collect();
                    let started = process.started;
                    self.seen.insert(id, Some(Tracked { group, usage, started, latest, threads }));
                }
                Err(error) => looked.missed(&error),
            }
        }
        if self.first.is_none() {
            self.first = Some(self.seen.keys().map(|id| id.start).max().unwrap_or_default());
        }
        Ok(looked)
    }

    /// The group of each new process: by its own name, or else its parent's.
    fn groups_of(&mut self, new: &BTreeMap<Id, (Stat, Static)>, running: &HashMap<u32, Id>) -> Vec<Option<String>> {
        let mut groups: BTreeMap<Id, Option<String>> = BTreeMap::new();
        for (id, (_, process)) in new {
            let user = self.user(process.user);
            groups.insert(*id, self.namer.name(process, id.number, &user));
        }
        if self.children {
            for (id, (_, process)) in new {
                let (mut lineage, mut parent) = (vec![*id], process.parent);
                // What was begun by a process that is gone has process 1 for a parent, so this comes to an end; a list
                // that changes while it is read must not make it a circle.
                while groups.get(&lineage[lineage.len() - 1]).is_some_and(Option::is_none) && lineage.len() <= new.len()
                {
                    let Some(id) = running.get(&parent) else { break };
                    lineage.push(*id);
                    parent = new.get(id).map_or(0, |(_, process)| process.parent);
                }
                let oldest = lineage[lineage.len() - 1];
                let known = || Some(self.seen.get(&oldest)?.as_ref()?.group.clone());
                let group = groups.get(&oldest).cloned().flatten().or_else(known);
                for id in lineage.iter().filter(|_| group.is_some()) {
                    if let Some(own @ None) = groups.get_mut(id) {
                        *own = group.clone();
                    }
                }
            }
        }
        groups.into_values().collect()
    }

    fn user(&mut self, number: u32) -> String {
        if self.users.len() > MAX_USERS {
            self.users.clear();
        }
        let name = self.users.entry(number).or_insert_with(|| {
            let known = User::from_uid(Uid::from_raw(number)).ok().flatten();
            known.map_or_else(|| number.to_string(), |user| user.name)
        });
        name.clone()
    }
}

// === impl Tracked ===

impl Tracked {
    fn update(&mut self, usage: Usage) {
        self.latest = usage.counts.since(&self.usage.counts);
        let before: HashMap<Id, Counts> = self.usage.threads.iter().map(|thread| (thread.id, thread.counts)).collect();
        let latest = |thread: &super::proc::Thread| {
            let before = before.get(&thread.id).unwrap_or(&thread.counts);
            (thread.name.clone(), thread.counts.since(before))
        };
        self.threads = usage.threads.iter().map(latest).collect();
        self.usage = usage;
    }
}

// === impl Looked ===

impl Looked {
    /// One that has ended meanwhile is no failure.
    fn missed(&mut self, error: &io::Error) {
        let gone = nix::errno::Errno::ESRCH as i32;
        if error.kind() != io::ErrorKind::NotFound && error.raw_os_error() != Some(gone) {
            self.unreadable += 1;
        }
    }
}
