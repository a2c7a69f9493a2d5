//! Processes and the containers in which they run.

use std::collections::HashMap;

use language_eval::Target;

/// Containers that are no container at all, processes with the labels of theirs, containers.
pub(super) fn join(processes: &[Target], containers: &[Target]) -> Vec<Target> {
    let mut joined: Vec<Target> = containers.iter().filter(|target| container_id(target).is_none()).cloned().collect();
    // Of several with the same id the last counts.
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    for (place, container) in containers.iter().enumerate() {
        if let Some(id) = container_id(container) {
            by_id.insert(id, place);
        }
    }
    for process in processes {
        joined.push(match container_id(process).and_then(|id| by_id.get(id)) {
            Some(place) => process.iter().chain(containers[*place].iter()).collect(),
            None => process.clone(),
        });
    }
    let mut places: Vec<usize> = by_id.into_values().collect();
    places.sort_unstable();
    joined.extend(places.into_iter().map(|place| containers[place].clone()));
    joined
}

/// Kubernetes says which runtime it is, too.
fn container_id(target: &Target) -> Option<&str> {
    let label = |name| target.get(name).filter(|value| !value.is_empty());
    if let Some(id) = label("__container_id__") {
        return Some(id);
    }
    if let Some(id) = label("__meta_kubernetes_pod_container_id") {
        let runtimes = ["docker://", "containerd://", "cri-o://"];
        return runtimes.into_iter().find_map(|runtime| id.strip_prefix(runtime)).filter(|id| !id.is_empty());
    }
    label("__meta_docker_container_id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(labels: &[(&str, &str)]) -> Target {
        labels.iter().copied().collect()
    }

    #[test]
    fn processes_get_the_labels_of_their_containers() {
        let processes = [
            target(&[("__process_pid__", "1"), ("__container_id__", "aa"), ("both", "process")]),
            target(&[("__process_pid__", "2"), ("__container_id__", "bb")]),
            target(&[("__process_pid__", "3")]),
        ];
        let pod =
            target(&[("__meta_kubernetes_pod_container_id", "containerd://aa"), ("both", "container"), ("pod", "p")]);
        let other = target(&[("__meta_docker_container_id", "cc")]);
        let unknown = target(&[("__meta_kubernetes_pod_container_id", "rkt://aa")]);
        let expected = [
            unknown.clone(),
            target(&[
                ("__process_pid__", "1"),
                ("__container_id__", "aa"),
                ("both", "container"),
                ("__meta_kubernetes_pod_container_id", "containerd://aa"),
                ("pod", "p"),
            ]),
            processes[1].clone(),
            processes[2].clone(),
            pod.clone(),
            other.clone(),
        ];
        assert_eq!(join(&processes, &[pod, unknown, other]), expected);
        assert_eq!(join(&processes, &[]), processes);
    }
}
