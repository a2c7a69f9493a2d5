//! Data on the disk whose component is not in the configuration any more: somebody has renamed or removed it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base_metrics::{Gauge, Registry, Scope};
use sdk_component::host::Host;

/// How often it is looked for: a reload may leave some as well.
const INTERVAL: Duration = Duration::from_secs(60);

/// Looks for it as long as the process lives, and tells of each folder once.
pub async fn watch(storage: PathBuf, host: Arc<dyn Host>, metrics: Registry) {
    // A scope is shown as long as it is held.
    let mut told: BTreeMap<String, (Scope, Gauge)> = BTreeMap::new();
    loop {
        let unowned = unowned(&storage, &*host);
        let found =
            base_sys::task::blocking("left behind", move || items(unowned)).await.returned().unwrap_or_default();
        for (id, items) in &found {
            let (_, gauge) = told.entry(id.clone()).or_insert_with(|| {
                let folder = storage.join(id);
                tracing::warn!(
                    component = id,
                    items,
                    folder = %folder.display(),
                    "data waits for a component that is not in the configuration any more; put it back under this name to have it sent, or remove the folder"
                );
                let labels = [("component_id", id.as_str()), ("component_path", "/")];
                let scope = metrics.scope(&labels);
                let gauge = scope.gauge(sdk_queue::LEFT_BEHIND, sdk_queue::LEFT_BEHIND_HELP);
                (scope, gauge)
            });
            gauge.set_u64(*items);
        }
        // A component that is back has a gauge of its own again.
        told.retain(|id, _| found.contains_key(id));
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Folders of components, by their ids, that no component works in.
fn unowned(storage: &Path, host: &dyn Host) -> Vec<(String, PathBuf)> {
    let mut unowned = Vec::new();
    let mut modules = vec![String::new()];
    while let Some(module) = modules.pop() {
        let components = host.components(&module).unwrap_or_default();
        let present: HashSet<&str> = components.iter().map(|component| component.local_id.as_str()).collect();
        for entry in std::fs::read_dir(storage.join(&module)).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            // A component's id has a point; what the process itself keeps has none.
            if name.contains('.') && !present.contains(name.as_str()) && entry.path().is_dir() {
                let id = if module.is_empty() { name } else { format!("{module}/{name}") };
                unowned.push((id, entry.path()));
            }
        }
        modules.extend(components.into_iter().flat_map(|component| component.created_module_ids));
    }
    unowned
}

/// What lies in them, where anything does.
fn items(folders: Vec<(String, PathBuf)>) -> BTreeMap<String, u64> {
    let held = folders.into_iter().map(|(id, folder)| (id, sdk_queue::items_in(&folder)));
    held.filter_map(|(id, held)| Some((id, held.ok().filter(|items| *items > 0)?))).collect()
}
