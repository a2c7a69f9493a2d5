//! Role `endpoints`: one target per address and port behind a service, and one per other port of its pods.

use sdk_kubernetes::Key;
use sdk_kubernetes::objects::{Address, EndpointPort, Endpoints, Pod};

use super::labels::{ADDRESS, Names, Pairs, join};
use super::pod::{of_namespace, of_pod, of_port, other_ports};
use super::service::of_service;
use super::world::{Group, World};

pub fn group(endpoints: &Endpoints, world: &World, names: &mut Names) -> Group {
    let metadata = &endpoints.metadata;
    let mut base = Pairs::default();
    base.set(names, "namespace", &metadata.namespace);
    if let Some(service) = world.services.get(&Key::new(&metadata.namespace, &metadata.name)) {
        base.extend(&of_service(service, names));
    }
    base.set_object(names, "endpoints", metadata);
    of_namespace(&mut base, world, &metadata.namespace, names);

    let mut group = Group::default();
    let mut ports_of: Vec<(Key, &Pod, Vec<i64>)> = Vec::new();
    for subset in &endpoints.subsets {
        let ready = subset.addresses.iter().map(|address| (address, "true"));
        let all: Vec<_> = ready.chain(subset.not_ready_addresses.iter().map(|address| (address, "false"))).collect();
        for port in &subset.ports {
            for (address, ready) in &all {
                let mut labels = base.with(&of_address(address, port, ready, world, names));
                if let Some((key, pod)) = pod_at(address, world, &mut group) {
                    labels.extend(&of_pod(pod, names));
                    of_port(&mut labels, pod, port.port, Some(&port.protocol), names);
                    match ports_of.iter_mut().find(|(known, ..)| *known == key) {
                        Some((.., ports)) => ports.push(port.port),
                        None => ports_of.push((key, pod, vec![port.port])),
                    }
                }
                group.targets.push(labels.into_target());
            }
        }
    }
    for (_, pod, seen) in ports_of {
        group.targets.extend(other_ports(&base, pod, &seen, names));
    }
    group
}

/// The pod at an address, if it is one and we know it. It is noted also when we do not: it may come.
fn pod_at<'w>(address: &Address, world: &'w World, group: &mut Group) -> Option<(Key, &'w Pod)> {
    let target = address.target_ref.as_ref().filter(|target| target.kind == "Pod")?;
    let key = Key::new(&target.namespace, &target.name);
    group.pods.push(key.clone());
    let pod = world.pods.get(&key)?;
    Some((key, pod))
}

fn of_address(address: &Address, port: &EndpointPort, ready: &str, world: &World, names: &mut Names) -> Pairs {
    let mut labels = Pairs::default();
    labels.set_plain(names, ADDRESS, &join(&address.ip, port.port));
    labels.set(names, "endpoint_port_name", &port.name);
    labels.set(names, "endpoint_port_protocol", &port.protocol);
    labels.set(names, "endpoint_ready", ready);
    if let Some(target) = &address.target_ref {
        labels.set(names, "endpoint_address_target_kind", &target.kind);
        labels.set(names, "endpoint_address_target_name", &target.name);
    }
    labels.set_some(names, "endpoint_node_name", address.node_name.as_deref());
    if !address.hostname.is_empty() {
        labels.set(names, "endpoint_hostname", &address.hostname);
    }
    if world.attach.node {
        let target = address.target_ref.as_ref().filter(|target| target.kind == "Node").map(|target| &target.name);
        let node = address.node_name.as_ref().or(target).and_then(|name| world.nodes.get(&Key::new("", name)));
        if let Some(node) = node {
            labels.set_object(names, "node", &node.metadata);
        }
    }
    labels
}
