//! Containers and networks to targets, by the rules that Prometheus has for them.

use std::collections::{BTreeMap, HashMap};

use language_eval::Target;
use sdk_docker::{Container, Network, NetworkEndpoint};

/// How addresses are made.
pub struct Naming {
    pub port: u16,
    pub host_networking_host: String,
    pub match_first_network: bool,
}

pub(crate) type Pairs = BTreeMap<String, String>;

impl Naming {
    /// Sorted by container name and address, so that equal answers give equal lists.
    pub fn targets(&self, containers: &[Container], networks: &[Network]) -> Vec<Target> {
        let networks: HashMap<&str, Pairs> = networks
            .iter()
            .map(|network| (network.id.as_str(), network_labels("__meta_docker_network_", network)))
            .collect();
        let by_id: HashMap<&str, &Container> =
            containers.iter().map(|container| (container.id.as_str(), container)).collect();
        let mut found = Vec::new();
        for container in containers {
            let own = container_labels(container);
            for endpoint in self.endpoints(container, &by_id) {
                let mut labels = own.clone();
                labels.extend(networks.get(endpoint.network_id.as_str()).cloned().unwrap_or_default());
                labels.insert("__meta_docker_network_ip".to_owned(), endpoint.ip_address.clone());
                let before = found.len();
                for port in container.ports.iter().filter(|port| port.protocol == "tcp") {
                    let mut labels = labels.clone();
                    labels.insert("__meta_docker_port_private".to_owned(), port.private_port.to_string());
                    if port.public_port > 0 {
                        labels.insert("__meta_docker_port_public".to_owned(), port.public_port.to_string());
                        labels.insert("__meta_docker_port_public_ip".to_owned(), port.ip.clone());
                    }
                    labels.insert("__address__".to_owned(), join(&endpoint.ip_address, port.private_port));
                    found.push(labels);
                }
                if found.len() == before {
                    let address = match container.network_mode() {
                        "host" => self.host_networking_host.clone(),
                        _ => join(&endpoint.ip_address, self.port),
                    };
                    labels.insert("__address__".to_owned(), address);
                    found.push(labels);
                }
            }
        }
        found.sort_by(|a, b| {
            let key = |labels: &Pairs| {
                [labels.get("__meta_docker_container_name").cloned(), labels.get("__address__").cloned()]
            };
            key(a).cmp(&key(b))
        });
        found.into_iter().map(|labels| labels.into_iter().collect()).collect()
    }

    /// Where a container is on the network; one that lives in another's network is where that one is.
    fn endpoints<'c>(
        &self,
        container: &'c Container,
        by_id: &HashMap<&str, &'c Container>,
    ) -> Vec<&'c NetworkEndpoint> {
        let mut lender = container;
        // A chain of lenders longer than the number of containers would be a circle.
        for _ in 0..by_id.len() {
            let Some(next) = lender.network_mode().strip_prefix("container:").and_then(|id| by_id.get(id)) else {
                break;
            };
            lender = next;
        }
        let endpoints = lender.networks().values();
        if self.match_first_network { endpoints.take(1).collect() } else { endpoints.collect() }
    }
}

fn container_labels(container: &Container) -> Pairs {
    let mut labels = Pairs::from([
        ("__meta_docker_container_id".to_owned(), container.id.clone()),
        ("__meta_docker_container_name".to_owned(), container.names.first().cloned().unwrap_or_default()),
        ("__meta_docker_container_network_mode".to_owned(), container.network_mode().to_owned()),
    ]);
    add_labels(&mut labels, "__meta_docker_container_label_", &container.labels);
    labels
}

/// What is told of a network, under this prefix.
pub(crate) fn network_labels(prefix: &str, network: &Network) -> Pairs {
    let mut labels = Pairs::from([
        (format!("{prefix}id"), network.id.clone()),
        (format!("{prefix}name"), network.name.clone()),
        (format!("{prefix}scope"), network.scope.clone()),
        (format!("{prefix}internal"), network.internal.to_string()),
        (format!("{prefix}ingress"), network.ingress.to_string()),
    ]);
    add_labels(&mut labels, &format!("{prefix}label_"), &network.labels);
    labels
}

/// Labels of the user's, under this prefix.
pub(crate) fn add_labels(to: &mut Pairs, prefix: &str, labels: &BTreeMap<String, String>) {
    to.extend(labels.iter().map(|(name, value)| (format!("{prefix}{}", label_name(name)), value.clone())));
}

/// `com.docker.compose.service` → `com_docker_compose_service`
fn label_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// An address and a port.
pub(crate) fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINERS: &str = r#"[
        {"Id": "c1", "Names": ["/web"], "Labels": {"team": "core", "odd.key-x/y": "v"},
         "Ports": [{"PrivatePort": 53, "Type": "udp"}, {"PrivatePort": 8080, "PublicPort": 18080, "IP": "127.0.0.1", "Type": "tcp"}],
         "HostConfig": {"NetworkMode": "shop"},
         "NetworkSettings": {"Networks": {"shop": {"NetworkID": "n1", "IPAddress": "172.30.9.10"}, "b": {"NetworkID": "n2", "IPAddress": "10.0.0.1"}}}},
        {"Id": "c2", "Names": ["/sidecar"], "Labels": null, "Ports": null, "HostConfig": {"NetworkMode": "container:c1"}, "NetworkSettings": {}},
        {"Id": "c3", "Names": ["/onhost"], "Ports": [], "HostConfig": {"NetworkMode": "host"},
         "NetworkSettings": {"Networks": {"host": {"NetworkID": "n3", "IPAddress": ""}}}}
    ]"#;
    const NETWORKS: &str =
        r#"[{"Id": "n2", "Name": "b", "Scope": "local", "Internal": false, "Ingress": false, "Labels": {"a.b": "c"}}]"#;

    fn addresses(match_first_network: bool) -> Vec<String> {
        let naming = Naming { port: 80, host_networking_host: "localhost".to_owned(), match_first_network };
        let containers: Vec<Container> = serde_json::from_str(CONTAINERS).expect("as the engine writes it");
        let networks: Vec<Network> = serde_json::from_str(NETWORKS).expect("as the engine writes it");
        let targets = naming.targets(&containers, &networks);
        let show = |target: &Target| {
            let label = |name| target.get(name).unwrap_or("-").to_owned();
            format!(
                "{} {} {} {}",
                label("__meta_docker_container_name"),
                label("__address__"),
                label("__meta_docker_port_public"),
                label("__meta_docker_network_label_a_b")
            )
        };
        targets.iter().map(show).collect()
    }

    #[test]
    fn one_target_per_port_of_the_first_network() {
        let expected = ["/onhost localhost - -", "/sidecar 10.0.0.1:80 - c", "/web 10.0.0.1:8080 18080 c"];
        assert_eq!(addresses(true), expected);
    }

    #[test]
    fn or_of_every_network() {
        let expected = [
            "/onhost localhost - -",
            "/sidecar 10.0.0.1:80 - c",
            "/sidecar 172.30.9.10:80 - -",
            "/web 10.0.0.1:8080 18080 c",
            "/web 172.30.9.10:8080 18080 -",
        ];
        assert_eq!(addresses(false), expected);
    }
}
