//! How many processes and threads there are, by state. Off by default: it reads two directories for each process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, read_number};

pub(crate) struct Processes {
    procfs: PathBuf,
}

#[derive(Default)]
struct Counted {
    processes: u32,
    threads: u32,
    process_states: BTreeMap<String, u32>,
    thread_states: BTreeMap<String, u32>,
}

impl Processes {
    pub fn new(paths: &Paths) -> Processes {
        Processes { procfs: paths.procfs.clone() }
    }

    fn count(&self) -> Result<Counted, Failure> {
        let mut counted = Counted::default();
        let entries = std::fs::read_dir(&self.procfs).map_err(|error| Failure::reading(&self.procfs, &error))?;
        for process in numbered(entries) {
            // One that ends while we look is not counted.
            let Some((state, threads)) = state_and_threads(&process.join("stat")) else { continue };
            counted.processes += 1;
            counted.threads += threads;
            *counted.process_states.entry(state).or_default() += 1;
            let Ok(tasks) = std::fs::read_dir(process.join("task")) else { continue };
            for task in numbered(tasks) {
                if let Some((state, _)) = state_and_threads(&task.join("stat")) {
                    *counted.thread_states.entry(state).or_default() += 1;
                }
            }
        }
        Ok(counted)
    }
}

impl Collector for Processes {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let counted = self.count()?;
        let limit = |file: &str| {
            let path = self.procfs.join("sys/kernel").join(file);
            read_number(&path).map_err(|error| Failure::reading(&path, &error))
        };
        page.gauge("node_processes_threads", "Allocated threads in system", f64::from(counted.threads));
        page.gauge("node_processes_max_threads", "Limit of threads in the system", limit("threads-max")?);
        let mut family = page.family("node_processes_state", "Number of processes in each state.", Kind::Gauge);
        for (state, count) in &counted.process_states {
            family.sample(&[("state", state)], f64::from(*count));
        }
        let mut family = page.family("node_processes_threads_state", "Number of threads in each state.", Kind::Gauge);
        for (state, count) in &counted.thread_states {
            family.sample(&[("thread_state", state)], f64::from(*count));
        }
        page.gauge("node_processes_pids", "Number of PIDs", f64::from(counted.processes));
        page.gauge("node_processes_max_processes", "Number of max PIDs limit", limit("pid_max")?);
        Ok(())
    }
}

fn numbered(entries: std::fs::ReadDir) -> impl Iterator<Item = PathBuf> {
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .map(|e| e.path())
}

/// The state's letter and the number of threads. The command's name stands in parentheses and may hold anything.
fn state_and_threads(stat: &Path) -> Option<(String, u32)> {
    let bytes = std::fs::read(stat).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(16)?.parse().ok()?))
}
