//! Role `service`: one target per port of a service, by its name in DNS.

use sdk_kubernetes::objects::Service;

use super::labels::{ADDRESS, Names, Pairs, join};
use super::pod::of_namespace;
use super::world::{Group, World};

pub fn group(service: &Service, world: &World, names: &mut Names) -> Group {
    let mut base = of_service(service, names);
    of_namespace(&mut base, world, &service.metadata.namespace, names);
    let spec = &service.spec;
    let host = format!("{}.{}.svc", service.metadata.name, service.metadata.namespace);
    let mut targets = Vec::new();
    for port in &spec.ports {
        let mut labels = base.clone();
        labels.set_plain(names, ADDRESS, &join(&host, port.port));
        labels.set(names, "service_port_name", &port.name);
        labels.set(names, "service_port_number", &port.port.to_string());
        labels.set(names, "service_port_protocol", &port.protocol);
        labels.set(names, "service_type", &spec.r#type);
        match spec.r#type.as_str() {
            "ExternalName" => labels.set(names, "service_external_name", &spec.external_name),
            _ => labels.set(names, "service_cluster_ip", &spec.cluster_ip),
        }
        if spec.r#type == "LoadBalancer" {
            labels.set(names, "service_loadbalancer_ip", &spec.load_balancer_ip);
        }
        targets.push(labels.into_target());
    }
    Group { targets, pods: Vec::new() }
}

/// What is told of a service, whichever role it is found by.
pub fn of_service(service: &Service, names: &mut Names) -> Pairs {
    let mut labels = Pairs::default();
    labels.set(names, "namespace", &service.metadata.namespace);
    labels.set_object(names, "service", &service.metadata);
    labels
}
