//! Role `node`: one target per node, its kubelet.

use sdk_kubernetes::label_name;
use sdk_kubernetes::objects::Node;

use super::labels::{ADDRESS, Names, Pairs, join};
use super::world::Group;

/// Which address of a node counts, best first.
const ADDRESS_TYPES: [&str; 6] = ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

pub fn group(node: &Node, names: &mut Names) -> Group {
    let addresses = node.addresses();
    let address = ADDRESS_TYPES.iter().find_map(|wanted| addresses.iter().find(|address| address.r#type == *wanted));
    let Some(address) = address else {
        tracing::warn!(node = node.metadata.name, "a node has no address; it is left out");
        return Group::default();
    };
    let mut labels = Pairs::default();
    labels.set(names, "node_provider_id", node.provider_id());
    for condition in node.conditions() {
        let name = format!("node_condition_{}", label_name(&condition.r#type.to_lowercase()));
        labels.set(names, &name, &condition.status.to_lowercase());
    }
    labels.set_object(names, "node", &node.metadata);
    // Of several addresses of a type the first counts.
    for address in addresses.iter().rev() {
        labels.set(names, &format!("node_address_{}", label_name(&address.r#type)), &address.address);
    }
    labels.set_plain(names, ADDRESS, &join(&address.address, node.kubelet_port()));
    labels.set_plain(names, "instance", &node.metadata.name);
    Group { targets: vec![labels.into_target()], pods: Vec::new() }
}
