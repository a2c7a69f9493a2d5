//! Where the backends are: a list, the addresses of a name, or what a cluster says of a service.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt as _};
use sdk_kubernetes::access::own_namespace;
use sdk_kubernetes::objects::EndpointSlice;
use sdk_kubernetes::{Access, AccessError, AuthType, Change, Cluster, Scope, Store, Timing, watch};
use tokio::time::Instant;

use super::arguments::{Dns, Kubernetes, Resolver};

/// The port of a backend that names none.
const DEFAULT_PORT: &str = "4317";
/// `interval` and `timeout` of `dns` when they are 0.
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
/// `timeout` of `kubernetes` when it is 0.
const WATCH: Duration = Duration::from_secs(60);

/// A resolver at work.
pub(super) struct Following {
    resolver: Resolver,
    /// When it may be asked again; never is none.
    next: Option<Instant>,
    service: Option<Service>,
}

/// A service of Kubernetes, followed.
struct Service {
    changes: Pin<Box<dyn Stream<Item = Change<EndpointSlice>> + Send>>,
    slices: Store<EndpointSlice>,
    name: String,
    namespace: String,
}

// === impl Resolver ===

impl Resolver {
    /// Its name in metrics.
    pub(super) fn name(&self) -> &'static str {
        match (&self.dns, &self.kubernetes) {
            (Some(_), _) => "dns",
            (None, Some(_)) => "k8s",
            (None, None) => "static",
        }
    }
}

// === impl Following ===

impl Following {
    pub(super) fn new(resolver: Resolver) -> Following {
        Following { resolver, next: Some(Instant::now()), service: None }
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The backends, in order, each `host:port`, as soon as there is anything new to say. Nothing is lost when it is not
    /// waited for.
    ///
    /// # Errors
    /// They cannot be asked for now.
    pub(super) async fn next(&mut self) -> Result<Vec<String>, String> {
        let mut found = match (&self.resolver.r#static, &self.resolver.dns, &self.resolver.kubernetes) {
            (_, Some(dns), _) => {
                wait(self.next).await;
                let found = lookup(dns).await;
                let interval = dns.interval.to_std().filter(|interval| !interval.is_zero()).unwrap_or(INTERVAL);
                self.next = Some(Instant::now() + interval);
                found?
            }
            (_, None, Some(kubernetes)) => {
                if self.service.is_none() {
                    wait(self.next).await;
                    self.next = Some(Instant::now() + INTERVAL);
                    self.service = Some(Service::new(kubernetes, cluster()?));
                }
                let Some(service) = &mut self.service else { return std::future::pending().await };
                service.changed().await?;
                service.backends(kubernetes)
            }
            (Some(list), None, None) => {
                wait(self.next.take()).await;
                list.hostnames.iter().map(|name| with_port(name)).collect()
            }
            (None, None, None) => std::future::pending().await,
        };
        found.sort();
        found.dedup();
        Ok(found)
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

// === a name ===

async fn lookup(dns: &Dns) -> Result<Vec<String>, String> {
    let timeout = dns.timeout.to_std().filter(|timeout| !timeout.is_zero()).unwrap_or(TIMEOUT);
    let asking = tokio::net::lookup_host((&dns.hostname[..], 0));
    let addresses = tokio::time::timeout(timeout, asking)
        .await
        .map_err(|_| format!("cannot resolve {}: no answer within {timeout:?}", dns.hostname))?
        .map_err(|error| format!("cannot resolve {}: {error}", dns.hostname))?;
    let port = if dns.port.is_empty() { DEFAULT_PORT } else { &dns.port };
    Ok(addresses.map(|address| joined(&address.ip().to_string(), port)).collect())
}

fn with_port(name: &str) -> String {
    if name.contains(':') { name.to_owned() } else { format!("{name}:{DEFAULT_PORT}") }
}

fn joined(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

// === a service of Kubernetes ===

/// The cluster that `KUBECONFIG` names, else the one we run in, else that of `~/.kube/config`.
fn cluster() -> Result<Cluster, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let access: Result<Access, AccessError> = if variable("KUBECONFIG").is_some() {
        AuthType::KubeConfig.access(variable)
    } else {
        AuthType::ServiceAccount
            .access(variable)
            .or_else(|outside| AuthType::KubeConfig.access(variable).map_err(|_| outside))
    };
    let access = access.map_err(|error| format!("cannot reach the Kubernetes API: {error}"))?;
    Cluster::new(access).map_err(|error| format!("cannot reach the Kubernetes API: {error}"))
}

impl Service {
    fn new(kubernetes: &Kubernetes, cluster: Cluster) -> Service {
        // Validated: there is a name.
        let (name, namespace) = kubernetes.service().unwrap_or_default();
        let namespace =
            namespace.map_or_else(|| own_namespace().unwrap_or_else(|_| "default".to_owned()), str::to_owned);
        let scope = Scope { label: format!("kubernetes.io/service-name={name}"), ..Scope::namespace(&namespace) };
        let lasts = kubernetes.timeout.to_std().filter(|timeout| !timeout.is_zero()).unwrap_or(WATCH);
        let timing = Timing { watch: lasts, ..Timing::default() };
        Service {
            changes: Box::pin(watch(cluster, scope, timing)),
            slices: Store::default(),
            name: name.to_owned(),
            namespace,
        }
    }

    /// Waits for a change that matters.
    async fn changed(&mut self) -> Result<(), String> {
        loop {
            match self.changes.next().await {
                Some(Change::Failing(why)) => {
                    return Err(format!("cannot ask for the endpoints of {}: {why}", self.name));
                }
                Some(Change::Working) => return Ok(()),
                Some(change) => {
                    let first = change.is_list();
                    if !self.slices.apply(0, change, |_| {}).is_empty() || first {
                        return Ok(());
                    }
                }
                None => std::future::pending().await,
            }
        }
    }

    /// All addresses, or names, of the service, with all ports.
    fn backends(&self, kubernetes: &Kubernetes) -> Vec<String> {
        let slices = self.slices.sorted();
        let endpoints = slices.iter().flat_map(|(_, slice)| &slice.endpoints);
        let mut hosts = BTreeSet::new();
        for endpoint in endpoints {
            match endpoint.hostname.as_ref().filter(|name| !name.is_empty()) {
                _ if !kubernetes.return_hostnames => hosts.extend(endpoint.addresses.iter().cloned()),
                Some(name) => {
                    hosts.insert(format!("{name}.{}.{}", self.name, self.namespace));
                }
                // It gets one when its pod is ready for it, and is left out until then.
                None => tracing::warn!(service = self.name, "an endpoint has no host name: is the service headless?"),
            }
        }
        if kubernetes.ports.is_empty() {
            return hosts.into_iter().collect();
        }
        hosts.iter().flat_map(|host| kubernetes.ports.iter().map(move |port| joined(host, port))).collect()
    }
}

#[cfg(test)]
mod tests {
    use base_stdx::duration::GoDuration;
    use sdk_kubernetes::Access;
    use sdk_testing::kubernetes::FakeKubernetes;

    use super::*;

    fn kubernetes(service: &str) -> Kubernetes {
        Kubernetes {
            service: service.to_owned(),
            ports: vec![4317],
            timeout: GoDuration::from_secs(60),
            return_hostnames: false,
        }
    }

    fn slice(name: &str, service: &str, addresses: &[(&str, &str)]) -> String {
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|(address, hostname)| serde_json::json!({"addresses": [address], "hostname": hostname, "conditions": {"ready": false}}))
            .collect();
        serde_json::json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints,
            "metadata": {"namespace": "shop", "name": name, "labels": {"kubernetes.io/service-name": service}},
            "ports": null
        })
        .to_string()
    }

    async fn next(following: &mut Following) -> Vec<String> {
        tokio::time::timeout(Duration::from_secs(30), following.next()).await.expect("within 30 s").expect("found")
    }

    #[tokio::test]
    async fn the_endpoints_of_a_service_are_followed() {
        let server = FakeKubernetes::start().await;
        server.set(&slice("a-1", "a", &[("10.0.0.2", "a-1"), ("10.0.0.1", "")]));
        server.set(&slice("b-1", "b", &[("10.0.9.9", "b-0")]));
        let access = || Access::new(&server.url(), "", &Default::default()).unwrap();
        for (names, ports, expected) in [
            (false, vec![4317, 4318], "10.0.0.1:4317 10.0.0.1:4318 10.0.0.2:4317 10.0.0.2:4318"),
            (false, vec![], "10.0.0.1 10.0.0.2"),
            (true, vec![4317], "a-1.a.shop:4317"),
        ] {
            let kubernetes = Kubernetes { ports, return_hostnames: names, ..kubernetes("a.shop") };
            let service = Service::new(&kubernetes, Cluster::new(access()).unwrap());
            let resolver = Resolver { r#static: None, dns: None, kubernetes: Some(kubernetes), aws_cloud_map: None };
            let mut following = Following { service: Some(service), ..Following::new(resolver) };
            assert_eq!(next(&mut following).await.join(" "), expected);
        }
        let kubernetes = kubernetes("a.shop.svc.cluster.local");
        let service = Service::new(&kubernetes, Cluster::new(access()).unwrap());
        let resolver = Resolver { r#static: None, dns: None, kubernetes: Some(kubernetes), aws_cloud_map: None };
        let mut following = Following { service: Some(service), ..Following::new(resolver) };
        next(&mut following).await;
        server.set(&slice("a-2", "a", &[("fd00::1", "a-2")]));
        assert_eq!(next(&mut following).await, ["10.0.0.1:4317", "10.0.0.2:4317", "[fd00::1]:4317"]);
        server.delete("/apis/discovery.k8s.io/v1/endpointslices", "shop", "a-1");
        assert_eq!(next(&mut following).await, ["[fd00::1]:4317"]);
    }

    #[test]
    fn services_are_names_of_kubernetes() {
        for (service, expected) in [
            ("a", Ok(("a", None))),
            ("a.", Ok(("a", None))),
            ("a.b", Ok(("a", Some("b")))),
            ("a.b.svc.cluster.local", Ok(("a", Some("b")))),
            ("", Err("no service specified to resolve the backends".to_owned())),
            (".b", Err("no service specified to resolve the backends".to_owned())),
            ("a..svc.x", Err("the namespace is missing in \"a..svc.x\"".to_owned())),
            ("a.b.svc", Err("the domain of the cluster is missing in \"a.b.svc\"".to_owned())),
            ("a.b.pod.x", Err("the third part of \"a.b.pod.x\" should be \"svc\"".to_owned())),
        ] {
            assert_eq!(kubernetes(service).service(), expected, "{service}");
        }
    }
}
