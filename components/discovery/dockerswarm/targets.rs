//! Services, tasks and nodes to targets, by the rules that Prometheus has for them.

use std::collections::HashMap;

use language_eval::Target;
use sdk_docker::Network;
use sdk_docker::swarm::{Node, Service, SwarmPort, Task};

use crate::docker::targets::{Pairs, add_labels, join, network_labels};

/// What the engine tells of a swarm, as far as it was asked.
#[derive(Default)]
pub struct Swarm {
    pub services: Vec<Service>,
    pub tasks: Vec<Task>,
    pub nodes: Vec<Node>,
    pub networks: Vec<Network>,
}

/// What all labels begin with.
const PREFIX: &str = "__meta_dockerswarm_";

// === impl Swarm ===

impl Swarm {
    /// One for each virtual address and published TCP port; one for the address alone if there is no such port.
    pub fn of_services(&self, port: u16) -> Result<Vec<Target>, String> {
        let networks = self.network_labels();
        let mut found = Vec::new();
        for service in &self.services {
            let mut labels = service_labels(service);
            let container = &service.spec.task_template.container_spec;
            put(&mut labels, "service_task_container_hostname", &container.hostname);
            put(&mut labels, "service_task_container_image", &container.image);
            if let Some(status) = &service.update_status {
                put(&mut labels, "service_updating_status", &status.state);
            }
            for place in &service.endpoint.virtual_ips {
                let mut labels = labels.clone();
                labels.extend(networks.get(place.network_id.as_str()).cloned().unwrap_or_default());
                let address = address_of(&place.address, "service", &service.spec.name)?;
                let ports = tcp(&service.endpoint.ports);
                add_each(&mut found, &labels, address, port, ports, |labels, port| {
                    put(labels, "service_endpoint_port_name", &port.name);
                    put(labels, "service_endpoint_port_publish_mode", &port.publish_mode);
                });
            }
        }
        Ok(targets(found))
    }

    /// One for each TCP port on the task's node, and for each address in a network with each published TCP port of its
    /// service, or alone if there is no such port.
    pub fn of_tasks(&self, port: u16) -> Result<Vec<Target>, String> {
        let networks = self.network_labels();
        let services: HashMap<&str, &Service> =
            self.services.iter().map(|service| (service.id.as_str(), service)).collect();
        let nodes: HashMap<&str, &Node> = self.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut found = Vec::new();
        for task in &self.tasks {
            let service = services.get(task.service_id.as_str());
            let node = nodes.get(task.node_id.as_str());
            let mut labels = task_labels(task);
            labels.extend(service.map(|service| service_labels(service)).unwrap_or_default());
            labels.extend(node.map(|node| node_labels(node)).unwrap_or_default());
            let mode = |labels: &mut Pairs, port: &SwarmPort| put(labels, "task_port_publish_mode", &port.publish_mode);
            for port in tcp(&task.status.port_status.ports) {
                let mut labels = labels.clone();
                mode(&mut labels, port);
                let host = node.map(|node| node.status.address.as_str()).unwrap_or_default();
                labels.insert("__address__".to_owned(), join(host, port.published_port));
                found.push(labels);
            }
            for attachment in &task.networks_attachments {
                let mut labels = labels.clone();
                labels.extend(networks.get(attachment.network.id.as_str()).cloned().unwrap_or_default());
                for address in &attachment.addresses {
                    let address = address_of(address, "task", &task.id)?;
                    let ports = tcp(service.map_or(&[], |service| &service.endpoint.ports));
                    add_each(&mut found, &labels, address, port, ports, mode);
                }
            }
        }
        Ok(targets(found))
    }

    /// One for each.
    pub fn of_nodes(&self, port: u16) -> Vec<Target> {
        let found = self.nodes.iter().map(|node| {
            let mut labels = node_labels(node);
            put(&mut labels, "node_engine_version", &node.description.engine.engine_version);
            if let Some(manager) = &node.manager_status {
                put(&mut labels, "node_manager_leader", &manager.leader.to_string());
                put(&mut labels, "node_manager_reachability", &manager.reachability);
                put(&mut labels, "node_manager_address", &manager.address);
            }
            labels.insert("__address__".to_owned(), join(&node.status.address, port));
            labels
        });
        targets(found.collect())
    }

    fn network_labels(&self) -> HashMap<&str, Pairs> {
        let labels = |network| network_labels(&format!("{PREFIX}network_"), network);
        self.networks.iter().map(|network| (network.id.as_str(), labels(network))).collect()
    }
}

/// What is told of a service, whoever is the target.
fn service_labels(service: &Service) -> Pairs {
    let mut labels = Pairs::new();
    put(&mut labels, "service_id", &service.id);
    put(&mut labels, "service_name", &service.spec.name);
    put(&mut labels, "service_mode", service.spec.mode.as_str());
    add_labels(&mut labels, &format!("{PREFIX}service_label_"), &service.spec.labels);
    labels
}

fn task_labels(task: &Task) -> Pairs {
    let mut labels = Pairs::new();
    put(&mut labels, "task_id", &task.id);
    put(&mut labels, "task_desired_state", &task.desired_state);
    put(&mut labels, "task_state", &task.status.state);
    put(&mut labels, "task_slot", &task.slot.to_string());
    if let Some(container) = &task.status.container_status {
        put(&mut labels, "task_container_id", &container.container_id);
    }
    add_labels(&mut labels, &format!("{PREFIX}container_label_"), &task.spec.container_spec.labels);
    labels
}

/// What is told of a node, whoever is the target.
fn node_labels(node: &Node) -> Pairs {
    let mut labels = Pairs::new();
    put(&mut labels, "node_id", &node.id);
    put(&mut labels, "node_role", &node.spec.role);
    put(&mut labels, "node_availability", &node.spec.availability);
    put(&mut labels, "node_hostname", &node.description.hostname);
    put(&mut labels, "node_platform_architecture", &node.description.platform.architecture);
    put(&mut labels, "node_platform_os", &node.description.platform.os);
    put(&mut labels, "node_status", &node.status.state);
    put(&mut labels, "node_address", &node.status.address);
    add_labels(&mut labels, &format!("{PREFIX}node_label_"), &node.spec.labels);
    labels
}

fn put(labels: &mut Pairs, name: &str, value: &str) {
    labels.insert(format!("{PREFIX}{name}"), value.to_owned());
}

fn tcp(ports: &[SwarmPort]) -> impl Iterator<Item = &SwarmPort> {
    ports.iter().filter(|port| port.protocol == "tcp")
}

/// `10.0.0.3` of `10.0.0.3/24`.
fn address_of<'a>(address: &'a str, what: &str, name: &str) -> Result<&'a str, String> {
    let host = address.split_once('/').map(|(host, _)| host);
    let host = host.filter(|host| host.parse::<std::net::IpAddr>().is_ok());
    host.ok_or_else(|| format!("cannot read the address {address:?} of the {what} {name}"))
}

/// One target for each port, or one with the fallback port if there is none.
fn add_each<'p>(
    found: &mut Vec<Pairs>,
    labels: &Pairs,
    address: &str,
    fallback: u16,
    ports: impl Iterator<Item = &'p SwarmPort>,
    tell: impl Fn(&mut Pairs, &SwarmPort),
) {
    let before = found.len();
    for port in ports {
        let mut labels = labels.clone();
        tell(&mut labels, port);
        labels.insert("__address__".to_owned(), join(address, port.published_port));
        found.push(labels);
    }
    if found.len() == before {
        let mut labels = labels.clone();
        labels.insert("__address__".to_owned(), join(address, fallback));
        found.push(labels);
    }
}

/// In the order of the engine, which is that of their ids.
fn targets(found: Vec<Pairs>) -> Vec<Target> {
    found.into_iter().map(|labels| labels.into_iter().collect()).collect()
}
