//! Role `pod`: one target per port of each container, or one per container without ports.

use sdk_kubernetes::Key;
use sdk_kubernetes::objects::{Container, Pod};

use super::labels::{ADDRESS, Names, Pairs, join};
use super::world::{Group, World};

pub fn group(pod: &Pod, world: &World, names: &mut Names) -> Group {
    // A pod that starts, or was evicted.
    if pod.status.pod_ip.is_empty() {
        return Group::default();
    }
    let mut labels = of_pod(pod, names);
    labels.set(names, "namespace", &pod.metadata.namespace);
    if world.attach.node {
        // Nodes are chosen by selectors too, and pods with them.
        let Some(node) = world.nodes.get(&Key::new("", &pod.spec.node_name)) else { return Group::default() };
        labels.set_object(names, "node", &node.metadata);
    }
    of_namespace(&mut labels, world, &pod.metadata.namespace, names);
    let mut targets = Vec::new();
    for (container, init) in containers(pod) {
        let statuses = if init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
        let status = statuses.iter().find(|status| status.name == container.name);
        let mut labels = labels.clone();
        labels.set(names, "pod_container_name", &container.name);
        labels.set(names, "pod_container_id", status.map_or("", |status| &status.container_id));
        labels.set(names, "pod_container_image", &container.image);
        labels.set(names, "pod_container_init", if init { "true" } else { "false" });
        if container.ports.is_empty() {
            labels.set_plain(names, ADDRESS, &pod.status.pod_ip);
            targets.push(labels.into_target());
            continue;
        }
        for port in &container.ports {
            let mut labels = labels.clone();
            labels.set_plain(names, ADDRESS, &join(&pod.status.pod_ip, port.container_port));
            labels.set(names, "pod_container_port_number", &port.container_port.to_string());
            labels.set(names, "pod_container_port_name", &port.name);
            labels.set(names, "pod_container_port_protocol", &port.protocol);
            targets.push(labels.into_target());
        }
    }
    Group { targets, pods: Vec::new() }
}

/// What is told of a pod, whichever role it is found by.
pub fn of_pod(pod: &Pod, names: &mut Names) -> Pairs {
    let mut labels = Pairs::default();
    labels.set(names, "pod_ip", &pod.status.pod_ip);
    labels.set(names, "pod_ready", &pod.ready());
    labels.set(names, "pod_phase", &pod.status.phase);
    labels.set(names, "pod_node_name", &pod.spec.node_name);
    labels.set(names, "pod_host_ip", &pod.status.host_ip);
    labels.set(names, "pod_uid", &pod.metadata.uid);
    labels.set_object(names, "pod", &pod.metadata);
    if let Some(owner) = pod.metadata.controller() {
        if !owner.kind.is_empty() {
            labels.set(names, "pod_controller_kind", &owner.kind);
        }
        if !owner.name.is_empty() {
            labels.set(names, "pod_controller_name", &owner.name);
        }
    }
    labels
}

/// Labels of the namespace, where they are wanted.
pub fn of_namespace(labels: &mut Pairs, world: &World, namespace: &str, names: &mut Names) {
    if world.attach.namespace
        && let Some(namespace) = world.namespaces.get(&Key::new("", namespace))
    {
        labels.set_metadata(names, "namespace", &namespace.metadata);
    }
}

/// The containers of a pod, and whether each is an init container.
pub fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let app = pod.spec.containers.iter().map(|container| (container, false));
    app.chain(pod.spec.init_containers.iter().map(|container| (container, true)))
}

/// Labels of the container whose port this is, if one is; of several the last counts.
pub fn of_port(labels: &mut Pairs, pod: &Pod, port: i64, protocol: Option<&str>, names: &mut Names) {
    for (container, init) in containers(pod) {
        let Some(known) = container.ports.iter().find(|known| known.container_port == port) else { continue };
        labels.set(names, "pod_container_name", &container.name);
        labels.set(names, "pod_container_image", &container.image);
        labels.set(names, "pod_container_port_name", &known.name);
        labels.set(names, "pod_container_port_number", &port.to_string());
        labels.set(names, "pod_container_port_protocol", protocol.unwrap_or(&known.protocol));
        labels.set(names, "pod_container_init", if init { "true" } else { "false" });
    }
}

/// A target for every port of a pod behind a service that the service does not name. `base` is what is known of the
/// service.
pub fn other_ports(base: &Pairs, pod: &Pod, seen: &[i64], names: &mut Names) -> Vec<language_eval::Target> {
    if pod.status.pod_ip.is_empty() {
        return Vec::new();
    }
    let mut targets = Vec::new();
    for (container, init) in containers(pod) {
        for port in container.ports.iter().filter(|port| !seen.contains(&port.container_port)) {
            let mut labels = base.clone();
            labels.set_plain(names, ADDRESS, &join(&pod.status.pod_ip, port.container_port));
            labels.set(names, "pod_container_name", &container.name);
            labels.set(names, "pod_container_image", &container.image);
            labels.set(names, "pod_container_port_name", &port.name);
            labels.set(names, "pod_container_port_number", &port.container_port.to_string());
            labels.set(names, "pod_container_port_protocol", &port.protocol);
            labels.set(names, "pod_container_init", if init { "true" } else { "false" });
            labels.extend(&of_pod(pod, names));
            targets.push(labels.into_target());
        }
    }
    targets
}
