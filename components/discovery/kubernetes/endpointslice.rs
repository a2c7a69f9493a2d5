//! Role `endpointslice`: one target per address and port behind a service, and one per other port of its pods.

use sdk_kubernetes::objects::{EndpointSlice, Pod, Service, SliceEndpoint, SlicePort};
use sdk_kubernetes::{Key, label_name};

use super::labels::{ADDRESS, Names, Pairs, join};
use super::pod::{of_namespace, of_pod, of_port, other_ports};
use super::service::of_service;
use super::world::{Group, World};

/// Which service a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub fn group(slice: &EndpointSlice, world: &World, names: &mut Names) -> Group {
    let metadata = &slice.metadata;
    let mut base = Pairs::default();
    base.set(names, "namespace", &metadata.namespace);
    base.set(names, "endpointslice_address_type", &slice.address_type);
    base.set_object(names, "endpointslice", metadata);
    let service = metadata.labels.get(SERVICE_NAME);
    let service = service.and_then(|name| world.services.get(&Key::new(&metadata.namespace, name)));
    if let Some(service) = service {
        base.extend(&of_service(service, names));
        if is_second_family(service, slice) {
            return Group::default();
        }
    }
    of_namespace(&mut base, world, &metadata.namespace, names);

    let mut group = Group::default();
    let mut ports_of: Vec<(Key, &Pod, Vec<i64>)> = Vec::new();
    for endpoint in &slice.endpoints {
        let target = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
        let key = target.map(|target| Key::new(&target.namespace, &target.name));
        // It is noted also when we do not know it: it may come.
        group.pods.extend(key.clone());
        let pod = key.and_then(|key| world.pods.get(&key).map(|pod| (key, pod)));
        for port in &slice.ports {
            for address in &endpoint.addresses {
                let mut labels = base.with(&of_endpoint(address, endpoint, port, world, names));
                if let Some((key, pod)) = &pod {
                    labels.extend(&of_pod(pod, names));
                    if let Some(number) = port.port {
                        of_port(&mut labels, pod, number, None, names);
                    }
                    let seen = port.port;
                    match ports_of.iter_mut().find(|(known, ..)| known == key) {
                        Some((.., ports)) => ports.extend(seen),
                        None => ports_of.push((key.clone(), pod, seen.into_iter().collect())),
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

/// A service of two address families has slices for each, with the same pods in them: those of its first family count.
fn is_second_family(service: &Service, slice: &EndpointSlice) -> bool {
    let policy = service.spec.ip_family_policy.as_deref();
    matches!(policy, Some("PreferDualStack" | "RequireDualStack"))
        && service.spec.ip_families.first().is_some_and(|first| *first != slice.address_type)
}

fn of_endpoint(address: &str, endpoint: &SliceEndpoint, port: &SlicePort, world: &World, names: &mut Names) -> Pairs {
    let mut labels = Pairs::default();
    let number = port.port.map(|number| number.to_string());
    let whole = port.port.map_or_else(|| address.to_owned(), |number| join(address, number));
    labels.set_plain(names, ADDRESS, &whole);
    labels.set_some(names, "endpointslice_port_name", port.name.as_deref());
    labels.set_some(names, "endpointslice_port_protocol", port.protocol.as_deref());
    labels.set_some(names, "endpointslice_port", number.as_deref());
    labels.set_some(names, "endpointslice_port_app_protocol", port.app_protocol.as_deref());
    let word = |truth: Option<bool>| truth.map(|truth| if truth { "true" } else { "false" });
    let conditions = endpoint.conditions;
    labels.set_some(names, "endpointslice_endpoint_conditions_ready", word(conditions.ready));
    labels.set_some(names, "endpointslice_endpoint_conditions_serving", word(conditions.serving));
    labels.set_some(names, "endpointslice_endpoint_conditions_terminating", word(conditions.terminating));
    labels.set_some(names, "endpointslice_endpoint_hostname", endpoint.hostname.as_deref());
    let target = endpoint.target_ref.as_ref();
    labels.set_some(names, "endpointslice_address_target_kind", target.map(|target| &*target.kind));
    labels.set_some(names, "endpointslice_address_target_name", target.map(|target| &*target.name));
    labels.set_some(names, "endpointslice_endpoint_node_name", endpoint.node_name.as_deref());
    labels.set_some(names, "endpointslice_endpoint_zone", endpoint.zone.as_deref());
    for (name, value) in &endpoint.deprecated_topology {
        let name = label_name(name);
        labels.set(names, &format!("endpointslice_endpoint_topology_{name}"), value);
        labels.set(names, &format!("endpointslice_endpoint_topology_present_{name}"), "true");
    }
    if world.attach.node {
        let node = target.filter(|target| target.kind == "Node").map(|target| &target.name);
        let node = node.or(endpoint.node_name.as_ref()).and_then(|name| world.nodes.get(&Key::new("", name)));
        if let Some(node) = node {
            labels.set_object(names, "node", &node.metadata);
        }
    }
    labels
}
