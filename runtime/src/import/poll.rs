//! Imports are looked at again: by the clock, and for files when the system says that they changed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use sdk_component::{HealthState, Stop};
use tokio::sync::Notify;

use super::{Arguments, FetchError};
use crate::engine::Engine;
use crate::node::{Kind, Node, lock};

/// Editors write in several steps; what they leave half-way is not read (as Alloy has it).
const SETTLE: Duration = Duration::from_millis(30);

/// Fetches again and again; tells the controller when the text differs.
pub(crate) async fn keep_fresh(engine: Arc<Engine>, node: Arc<Node>, stop: Stop) {
    let Kind::Import(import) = &node.kind else { return };
    node.ran(HealthState::Healthy, "started import");
    loop {
        let Some(arguments) = lock(&import.arguments).clone() else { return };
        let told = Arc::new(Notify::new());
        let _watch = watch(&arguments, told.clone());
        loop {
            let clock = async {
                match arguments.every() {
                    Some(every) => tokio::time::sleep(every).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.stopped() => {
                    node.ran(HealthState::Exited, "import shut down cleanly");
                    return;
                }
                () = import.rearranged.notified() => break,
                () = told.notified() => tokio::time::sleep(SETTLE).await,
                () = clock => {}
            }
            look(&engine, &node, &arguments).await;
        }
    }
}

async fn look(engine: &Arc<Engine>, node: &Arc<Node>, arguments: &Arguments) {
    let Kind::Import(import) = &node.kind else { return };
    let directory = engine.options.storage_path.join(node.global_id());
    let around = engine.module(&node.module).map(|indexed| indexed.module.environment.module_path.clone());
    let fetched = arguments.fetch(&engine.options, directory, &node.id, around.as_deref().unwrap_or_default()).await;
    match fetched {
        Ok(texts) => {
            node.ran(HealthState::Healthy, "content updated");
            let known = match lock(&import.newest).as_ref() {
                Some(newest) => newest.same(&texts),
                None => lock(&import.current).as_ref().is_some_and(|current| current.texts.same(&texts)),
            };
            if !known {
                *lock(&import.newest) = Some(texts);
                engine.marks.evaluate(node.place());
            }
        }
        Err(FetchError::Unreachable(message)) => {
            tracing::error!(node = node.global_id(), error = message, "failed to fetch imported content");
            node.ran(HealthState::Unhealthy, message);
        }
        Err(FetchError::Refused(problem)) => node.ran(HealthState::Unhealthy, problem.message),
    }
}

/// A hint only: whatever it misses, the clock finds.
fn watch(arguments: &Arguments, told: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let Arguments::File { path, notify: true, .. } = arguments else { return None };
    let clock_only = |error: &notify::Error| {
        tracing::warn!(%error, path = %path.display(), "changes of an imported file are noticed by the clock only");
    };
    let watched = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event, too, and would lead to reading it for ever.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            told.notify_one();
        }
    });
    let mut watcher = watched.inspect_err(clock_only).ok()?;
    // The directory of a file, as many editors replace the file.
    let directory = match path.is_dir() {
        true => path.as_path(),
        false => path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    };
    watcher.watch(directory, RecursiveMode::NonRecursive).inspect_err(clock_only).ok()?;
    Some(watcher)
}
