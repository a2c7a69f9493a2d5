//! Data on the disk whose component is not in the configuration any more: somebody has renamed or removed it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base_metrics::{Registry, Scope};
use sdk_component::host::Host;

/// How often it is looked for: a reload may leave some as well.
const INTERVAL: Duration = Duration::from_secs(60);

/// Looks for it as long as the process lives, and looks into each folder once: nobody works there.
pub async fn watch(storage: PathBuf, host: Arc<dyn Host>, metrics: Registry) {
    // Folders that were looked into. What is in one is shown as long as its scope is held.
    let mut known: BTreeMap<String, Option<Scope>> = BTreeMap::new();
    loop {
        let (folder, host) = (storage.clone(), host.clone());
        let found = base_sys::task::blocking("left behind", move || unowned(&folder, &*host)).await;
        let found = found.returned().unwrap_or_default();
        // A component that is back has a gauge of its own again.
        known.retain(|id, _| found.contains(id));
        for id in found {
            if known.contains_key(&id) {
                continue;
            }
            let folder = storage.join(&id);
            let held = base_sys::task::blocking("left behind", move || sdk_queue::items_in(&folder)).await;
            // Whoever has worked there may not have ended yet.
            let Some(Ok(items)) = held.returned() else { continue };
            let scope = (items > 0).then(|| tell(&storage, &id, items, &metrics));
            known.insert(id, scope);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn tell(storage: &Path, id: &str, items: u64, metrics: &Registry) -> Scope {
    tracing::warn!(
        component = id,
        items,
        folder = %storage.join(id).display(),
        "data waits for a component that is not in the configuration any more; put it back under this name to have it sent, or remove the folder"
    );
    let scope = metrics.scope(&[("component_id", id), ("component_path", "/")]);
    scope.gauge(sdk_queue::LEFT_BEHIND, sdk_queue::LEFT_BEHIND_HELP).set_u64(items);
    scope
}

/// Ids of components that have a folder and are not there. Blocking.
fn unowned(storage: &Path, host: &dyn Host) -> BTreeSet<String> {
    let mut unowned = BTreeSet::new();
    let mut modules = vec![String::new()];
    while let Some(module) = modules.pop() {
        let components = host.components(&module).unwrap_or_default();
        let present: HashSet<&str> = components.iter().map(|component| component.local_id.as_str()).collect();
        for entry in std::fs::read_dir(storage.join(&module)).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            // A component's id has a point; what the process itself keeps has none.
            if name.contains('.') && !present.contains(name.as_str()) && entry.path().is_dir() {
                unowned.insert(if module.is_empty() { name } else { format!("{module}/{name}") });
            }
        }
        modules.extend(components.into_iter().flat_map(|component| component.created_module_ids));
    }
    unowned
}
