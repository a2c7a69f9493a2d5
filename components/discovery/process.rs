//! `discovery.process`: this host's processes as targets.

mod join;
mod look;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base_stdx::duration::GoDuration;
use base_sys::task;
use language_eval::{Arguments, Block, Target};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::rounds::{DiscoveryExports, Found, Told, interval};

/// Finds the processes of this Linux host.
///
/// Each process is a target with `__process_pid__`, and with `__meta_process_exe`, `__meta_process_cwd`,
/// `__meta_process_commandline`, `__meta_process_username`, `__meta_process_uid`, `__meta_process_cgroup_path` and
/// `__container_id__` as far as `discover_config` asks for them and they are not empty. Threads of the kernel, which have no
/// executable, and processes that must not be looked at are left out.
///
/// Targets of `join` that name a container (`__container_id__`, `__meta_kubernetes_pod_container_id` or
/// `__meta_docker_container_id`) give their labels to the processes in it. All of them are among the exported targets, too.
#[derive(Arguments)]
pub struct ProcessArguments {
    /// Targets whose labels the processes of their containers get.
    #[attr(optional)]
    join: Vec<Target>,
    /// How often to look.
    #[attr(default = GoDuration::from_secs(60))]
    refresh_interval: GoDuration,
    /// What to find out of each process.
    #[block(optional)]
    discover_config: DiscoverConfig,
}

/// What to find out of each process.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct DiscoverConfig {
    /// The path of its executable.
    #[attr(default = true)]
    exe: bool,
    /// The directory in which it works.
    #[attr(default = true)]
    cwd: bool,
    /// Its command line, with spaces between its words.
    #[attr(default = true)]
    commandline: bool,
    /// The name of the user who runs it.
    #[attr(optional)]
    username: bool,
    /// The number of the user who runs it.
    #[attr(optional)]
    uid: bool,
    /// The id of its container.
    #[attr(default = true)]
    container_id: bool,
    /// The lines of `/proc/PID/cgroup`, with `|` between them.
    #[attr(optional)]
    cgroup_path: bool,
}

/// The component.
pub struct Process {
    told: Told,
    wanted: watch::Sender<Arc<Wanted>>,
}

/// Checked arguments.
struct Wanted {
    join: Vec<Target>,
    interval: Duration,
    look: DiscoverConfig,
}

impl Component for Process {
    const NAME: &'static str = "discovery.process";

    type Arguments = ProcessArguments;
    type Exports = DiscoveryExports;

    fn build(context: &Context, arguments: ProcessArguments) -> Result<Process, Problem> {
        let wanted = watch::Sender::new(Arc::new(check(arguments)?));
        Ok(Process { told: Told::new(context), wanted })
    }

    fn update(&self, arguments: ProcessArguments) -> Result<Update, Problem> {
        let wanted = Arc::new(check(arguments)?);
        let sender = self.wanted.clone();
        Ok(Update::then(move || {
            sender.send_replace(wanted);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut changes = self.wanted.subscribe();
        let mut wanted = changes.borrow_and_update().clone();
        let (mut processes, mut failing, mut left_out) = (Vec::new(), false, false);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = tokio::time::sleep_until(next) => {
                    next = Instant::now() + wanted.interval;
                    match seen(wanted.look.clone()).await {
                        Ok(seen) => {
                            processes = seen.targets;
                            if let Some((count, first)) = &seen.left_out
                                && !std::mem::replace(&mut left_out, true)
                            {
                                tracing::warn!(count, first, "some processes must not be looked at and are left out");
                            }
                        }
                        Err(error) => {
                            self.told.tell(Err(error), &mut failing);
                            continue;
                        }
                    }
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let before = std::mem::replace(&mut wanted, changes.borrow_and_update().clone());
                    // Other targets to join do not change what the host runs.
                    if before.look != wanted.look || before.interval != wanted.interval {
                        next = Instant::now();
                        continue;
                    }
                }
            }
            let targets = join::join(&processes, &wanted.join);
            self.told.tell(Ok(Found { targets, problem: None }), &mut failing);
        }
    }
}

async fn seen(config: DiscoverConfig) -> Result<look::Seen, String> {
    let look = move || look::processes(&PathBuf::from("/proc"), &config);
    task::blocking("discovery.process", look)
        .await
        .returned()
        .unwrap_or_else(|| Err("looking at /proc failed".to_owned()))
}

fn check(arguments: ProcessArguments) -> Result<Wanted, Problem> {
    let interval = interval(arguments.refresh_interval)?;
    Ok(Wanted { join: arguments.join, interval, look: arguments.discover_config })
}

#[cfg(test)]
mod tests;
