//! Where the backends are: a list, the addresses of a name, or what a cluster or a cloud says of a service.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base_stdx::duration::GoDuration;
use futures_util::stream::{Stream, StreamExt as _};
use sdk_kubernetes::access::own_namespace;
use sdk_kubernetes::objects::EndpointSlice;
use sdk_kubernetes::{Access, AccessError, AuthType, Change, Cluster, Scope, Store, Timing, watch};
use tokio::time::Instant;

use super::arguments::{Dns, Kubernetes, Resolver};
use super::cloud_map::CloudMap;

/// The port of a backend that names none.
pub(super) const DEFAULT_PORT: &str = "4317";
/// `interval` and `timeout` of `dns` when they are 0.
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
/// `timeout` of `kubernetes` when it is 0.
const WATCH: Duration = Duration::from_secs(60);
/// `interval` of `aws_cloud_map` when it is 0.
const CLOUD_MAP_INTERVAL: Duration = Duration::from_secs(30);

/// A resolver at work.
pub(super) struct Following {
    resolver: Resolver,
    /// When it may be asked again; never is none.
    next: Option<Instant>,
    service: Option<Service>,
    cloud_map: Option<CloudMap>,
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
        match self {
            Resolver { dns: Some(_), .. } => "dns",
            Resolver { kubernetes: Some(_), .. } => "k8s",
            Resolver { aws_cloud_map: Some(_), .. } => "aws",
            _ => "static",
        }
    }
}

// === impl Following ===

impl Following {
    pub(super) fn new(resolver: Resolver) -> Following {
        Following { resolver, next: Some(Instant::now()), service: None, cloud_map: None }
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
        let mut found = match &self.resolver {
            Resolver { dns: Some(dns), .. } => {
                wait(self.next).await;
                let found = lookup(dns).await;
                self.next = Some(Instant::now() + or_default(dns.interval, INTERVAL));
                found?
            }
            Resolver { kubernetes: Some(kubernetes), .. } => {
                if self.service.is_none() {
                    wait(self.next).await;
                    self.next = Some(Instant::now() + INTERVAL);
                    self.service = Some(Service::new(kubernetes, cluster()?));
                }
                let Some(service) = &mut self.service else { return std::future::pending().await };
                service.changed().await?;
                service.backends(kubernetes)
            }
            Resolver { aws_cloud_map: Some(asked), .. } => {
                wait(self.next).await;
                self.next = Some(Instant::now() + or_default(asked.interval, CLOUD_MAP_INTERVAL));
                let cloud_map = match self.cloud_map.take() {
                    Some(cloud_map) => cloud_map,
                    None => CloudMap::new(Arc::new(|name: &str| std::env::var(name).unwrap_or_default()))?,
                };
                self.cloud_map.insert(cloud_map).backends(asked).await?
            }
            Resolver { r#static: Some(list), .. } => {
                wait(self.next.take()).await;
                list.hostnames.iter().map(|name| with_port(name)).collect()
            }
            _ => std::future::pending().await,
        };
        found.sort();
        found.dedup();
        Ok(found)
    }
}

fn or_default(given: GoDuration, default: Duration) -> Duration {
    given.to_std().filter(|given| !given.is_zero()).unwrap_or(default)
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

// === a name ===

async fn lookup(dns: &Dns) -> Result<Vec<String>, String> {
    let timeout = or_default(dns.timeout, TIMEOUT);
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

pub(super) fn joined(host: &str, port: impl std::fmt::Display) -> String {
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
        let timing = Timing { watch: or_default(kubernetes.timeout, WATCH), ..Timing::default() };
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
    use std::sync::Mutex;

    use sdk_kubernetes::Access;
    use sdk_testing::kubernetes::FakeKubernetes;

    use super::super::arguments::AwsCloudMap;
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

    /// Answers with these bodies, one to a connection, and tells what it was asked.
    async fn cloud_map(answers: Vec<(&'static str, &'static str)>) -> (String, Arc<Mutex<Vec<String>>>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let told = asked.clone();
        let serve = async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
                }
                told.lock().unwrap().push(String::from_utf8(request).unwrap());
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        drop(base_sys::task::spawn("cloud map", serve));
        (address, asked)
    }

    #[tokio::test]
    async fn the_instances_in_cloud_map_are_asked_for_with_a_signature() {
        let found = r#"{"Instances": [
            {"InstanceId": "i-1", "Attributes": {"AWS_INSTANCE_IPV4": "10.0.0.2", "AWS_INSTANCE_PORT": "5000"}},
            {"InstanceId": "i-2", "Attributes": {"AWS_INSTANCE_IPV4": "10.0.0.1"}},
            {"InstanceId": "i-3", "Attributes": {"AWS_INSTANCE_IPV6": "fd00::1"}}]}"#;
        let denied = r#"{"__type": "AccessDeniedException"}"#;
        let (address, requests) =
            cloud_map(vec![("200 OK", found), ("200 OK", found), ("400 Bad Request", denied), ("200 OK", "{}")]).await;
        let environment: sdk_aws::Environment = Arc::new(move |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => "KEY".to_owned(),
            "AWS_SECRET_ACCESS_KEY" => "secret".to_owned(),
            "AWS_ENDPOINT_URL_SERVICEDISCOVERY" => address.clone(),
            _ => String::new(),
        });
        let asked = |port, owner: &str| AwsCloudMap {
            namespace: "shop".to_owned(),
            service_name: "tempo".to_owned(),
            health_status: "HEALTHY".to_owned(),
            interval: GoDuration::ZERO,
            timeout: GoDuration::from_secs(30),
            port,
            owner_account: owner.to_owned(),
        };
        let map = CloudMap::new(environment).unwrap();
        assert_eq!(map.backends(&asked(None, "")).await.unwrap(), ["10.0.0.2:5000", "10.0.0.1:4317"]);
        let resolver =
            Resolver { r#static: None, dns: None, kubernetes: None, aws_cloud_map: Some(asked(Some(4400), "1")) };
        assert_eq!(resolver.name(), "aws");
        let mut following = Following { cloud_map: Some(map), ..Following::new(resolver) };
        assert_eq!(next(&mut following).await, ["10.0.0.1:4400", "10.0.0.2:4400"]);
        let map = following.cloud_map.unwrap();
        let refused = map.backends(&asked(None, "")).await.unwrap_err();
        assert!(refused.contains("instances of tempo") && refused.contains("AccessDenied"), "{refused}");
        assert_eq!(map.backends(&asked(None, "")).await.unwrap(), Vec::<String>::new());

        let requests = requests.lock().unwrap();
        let lower = requests[0].to_lowercase();
        assert!(lower.contains("x-amz-target: route53autonaming_v20170314.discoverinstances"), "{lower}");
        assert!(
            lower.contains("credential=key/") && lower.contains("/us-east-1/servicediscovery/aws4_request"),
            "{lower}"
        );
        let body = |at: usize| -> serde_json::Value {
            serde_json::from_str(requests[at].split_once("\r\n\r\n").unwrap().1).unwrap()
        };
        let first = serde_json::json!({"NamespaceName": "shop", "ServiceName": "tempo", "HealthStatus": "HEALTHY"});
        assert_eq!(body(0), first);
        assert_eq!(body(1)["OwnerAccount"], "1");
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
