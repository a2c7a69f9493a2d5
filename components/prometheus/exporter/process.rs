//! `prometheus.exporter.process`: what named groups of processes use, under process-exporter's names.

mod groups;
mod matcher;
mod page;
mod proc;
mod tracker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use base_metrics::{Losses, Page};
use base_sys::task;
use language_eval::{Arguments, Block};
use sdk_component::{Component, Context, HttpHandler, Problem, Stop, Stopped, Update};

use crate::serve::serve;
use crate::targets::{ExporterExports, targets};
use groups::Groups;
use matcher::Namer;
use proc::Proc;
use tracker::Tracker;

/// Shows what groups of processes use: CPU, memory, disk, file descriptors, threads, under the names that process-exporter
/// gave them.
///
/// A process belongs to the group of the first `matcher` that matches it, or else to that of its parent. Counters of a group
/// go on when its processes end.
#[derive(Arguments)]
pub struct ProcessArguments {
    /// Which processes make a group, and how it is called.
    #[block]
    matcher: Vec<MatcherBlock>,
    /// Where the host's procfs is mounted.
    #[attr(default = "/proc".to_owned())]
    procfs_path: String,
    /// Whether the children of processes that match belong to their groups.
    #[attr(default = true)]
    track_children: bool,
    /// Whether to show what the threads use, by their names.
    #[attr(default = true)]
    track_threads: bool,
    /// Whether to read the share of memory that processes have together with others, which takes the kernel some time.
    #[attr(default = true)]
    gather_smaps: bool,
    /// Whether processes that did not match are looked at again in each scrape, as their names may have changed.
    #[attr(optional)]
    recheck_on_scrape: bool,
    /// Whether groups without processes are forgotten.
    #[attr(optional)]
    remove_empty_groups: bool,
}

/// Which processes make a group: those for which all that is given matches.
#[derive(Block, Clone, Debug)]
pub struct MatcherBlock {
    /// The name of the group, a template: `{{.Comm}}`, `{{.ExeBase}}`, `{{.ExeFull}}`, `{{.Username}}`, `{{.PID}}`,
    /// `{{.StartTime}}`, `{{.Cgroups}}`, and `{{.Matches.NAME}}` for the group NAME of an expression in `cmdline`. Without
    /// it, `{{.ExeBase}}`.
    #[attr(optional)]
    name: String,
    /// One of these is the name of its command, as in `/proc/PID/stat`.
    #[attr(optional)]
    comm: Vec<String>,
    /// One of these is its executable, with its path or without.
    #[attr(optional)]
    exe: Vec<String>,
    /// All of these regular expressions match its command line.
    #[attr(optional)]
    cmdline: Vec<String>,
}

/// The component.
pub struct Process {
    current: Arc<Mutex<Exporter>>,
}

/// What a scrape works with; one at a time.
struct Exporter {
    proc: Proc,
    tracker: Tracker,
    groups: Groups,
    threads: bool,
    errors: page::Errors,
    /// Kept, with the room it grew.
    page: Page,
    losses: Losses,
}

impl Component for Process {
    const NAME: &'static str = "prometheus.exporter.process";

    type Arguments = ProcessArguments;
    type Exports = ExporterExports;

    fn build(context: &Context, arguments: ProcessArguments) -> Result<Process, Problem> {
        let exporter = Exporter::new(arguments)?;
        context.publish(&targets(context, Self::NAME, "integrations/process"));
        Ok(Process { current: Arc::new(Mutex::new(exporter)) })
    }

    fn update(&self, arguments: ProcessArguments) -> Result<Update, Problem> {
        let exporter = Exporter::new(arguments)?;
        let current = self.current.clone();
        Ok(Update::then(move || *current.lock().unwrap_or_else(PoisonError::into_inner) = exporter))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        // What processes have used before now is not counted.
        let current = self.current.clone();
        let first = move || {
            current.lock().unwrap_or_else(PoisonError::into_inner).look();
        };
        task::blocking("prometheus.exporter.process begin", first).await.returned();
        stop.stopped().await;
        Ok(())
    }

    fn http(&self) -> Option<HttpHandler> {
        Some(serve("prometheus.exporter.process scrape", self.current.clone(), Exporter::scrape))
    }
}

// === impl Exporter ===

impl Exporter {
    fn new(arguments: ProcessArguments) -> Result<Exporter, Problem> {
        let namer = Namer::new(&arguments.matcher).map_err(|error| Problem::at("matcher", error))?;
        let folder = PathBuf::from(&arguments.procfs_path);
        let proc = Proc::new(folder, arguments.gather_smaps)
            .map_err(|error| Problem::at("procfs_path", format!("cannot read {}: {error}", arguments.procfs_path)))?;
        Ok(Exporter {
            proc,
            tracker: Tracker::new(namer, arguments.track_children, arguments.recheck_on_scrape),
            groups: Groups::new(arguments.remove_empty_groups),
            threads: arguments.track_threads,
            errors: page::Errors::default(),
            page: Page::new(),
            losses: Losses::default(),
        })
    }

    /// Brings the groups up to date.
    fn look(&mut self) -> bool {
        match self.tracker.look(&self.proc) {
            Ok(looked) => {
                self.errors.unreadable += looked.unreadable;
                self.errors.partial += looked.partial;
                self.groups.add(self.tracker.updates());
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot list processes");
                self.errors.scrapes += 1;
                false
            }
        }
    }

    fn scrape(&mut self) -> String {
        let looked = self.look();
        self.page.clear();
        let mut page = self.page.writer();
        let shown = if looked { self.groups.all() } else { &Default::default() };
        page::write(&mut page, shown, self.threads, self.proc.has_smaps(), &self.errors);
        let mut text = String::new();
        self.page.encode(&mut text, &self.losses);
        text
    }
}

#[cfg(test)]
mod tests;
