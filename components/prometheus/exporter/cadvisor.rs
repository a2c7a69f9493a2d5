//! `prometheus.exporter.cadvisor`: what containers use, under cAdvisor's names.

mod exporter;
mod filesystems;
mod hierarchy;
mod host;
mod identity;
mod kinds;
mod labels;
mod machine;
mod measured;
mod network;
mod page;
mod processes;
mod usage;
mod v1;
mod v2;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_stdx::duration::GoDuration;
use base_sys::task;
use http::HeaderValue;
use language_eval::Arguments;
use sdk_component::{Component, Context, HttpHandler, Problem, Stop, Stopped, Update};
use sdk_docker::{Engine, Host};
use sdk_net::ClientConfig;
use sdk_net::client::Identity;
use tokio::sync::Mutex as AsyncMutex;

use crate::serve::{not_found, page_of};
use crate::targets::{ExporterExports, targets};
use exporter::{Exporter, Settings};
use host::Roots;
use identity::Engines;
use kinds::{Kind, Kinds};
use labels::Labelling;
use usage::Usages;

/// An engine that takes longer has other worries.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);

const DOCKER_HOST: &str = "unix:///var/run/docker.sock";
const CONTAINERD_HOST: &str = "/run/containerd/containerd.sock";
/// cAdvisor knows no other.
const CRIO_HOST: &str = "/var/run/crio/crio.sock";

/// Shows what containers use: CPU, memory, disks, network, and the limits that they have, under the names that cAdvisor gave
/// them.
///
/// A container is a cgroup, of the first or of the second version. Names, images and labels come from Docker, containerd and
/// CRI-O; a cgroup that none of them knows is shown by its path.
#[derive(Arguments)]
pub struct CadvisorArguments {
    /// Whether all labels that containers have become labels of their series.
    #[attr(default = true)]
    store_container_labels: bool,
    /// The labels of containers to show if not all are.
    #[attr(default = vec![String::new()])]
    allowlisted_container_labels: Vec<String>,
    /// Beginnings of names of environment variables of containers that become labels.
    #[attr(default = vec![String::new()])]
    env_metadata_allowlist: Vec<String>,
    /// Beginnings of paths of cgroups to show that no engine knows. Without any, all are, unless `docker_only` is set.
    #[attr(default = vec![String::new()])]
    raw_cgroup_prefix_allowlist: Vec<String>,
    /// A file that says which events to count by perf. Nothing is counted, here as in Alloy, which is built without the
    /// library for it.
    #[attr(optional)]
    perf_events_config: String,
    /// How often groups of resctrl are brought up to date. Nothing is read of resctrl.
    #[attr(optional)]
    resctrl_interval: GoDuration,
    /// Kinds of metrics to leave out, in place of those that are left out usually.
    #[attr(optional)]
    disabled_metrics: Option<Vec<String>>,
    /// Kinds of metrics to show; all others are left out.
    #[attr(optional)]
    enabled_metrics: Option<Vec<String>>,
    /// How long old measurements are kept. None are: each scrape shows what it measures.
    #[attr(default = GoDuration::from_secs(120))]
    storage_duration: GoDuration,
    /// The socket on which containerd listens. Its containers are named by their ids, as cAdvisor does; what Kubernetes calls
    /// them is in their labels. CRI-O is asked too, at `/var/run/crio/crio.sock`.
    #[attr(default = CONTAINERD_HOST.to_owned())]
    containerd_host: String,
    /// The namespace of containerd's containers.
    #[attr(default = "k8s.io".to_owned())]
    containerd_namespace: String,
    /// Where Docker listens: `unix:///var/run/docker.sock`, `tcp://host:2375`, `https://…`.
    #[attr(default = DOCKER_HOST.to_owned())]
    docker_host: String,
    /// Whether to speak TLS with Docker.
    #[attr(optional)]
    use_docker_tls: bool,
    /// The file with our certificate for Docker.
    #[attr(default = "cert.pem".to_owned())]
    docker_tls_cert: String,
    /// The file with the key of our certificate.
    #[attr(default = "key.pem".to_owned())]
    docker_tls_key: String,
    /// The file with the certificates to trust Docker by.
    #[attr(default = "ca.pem".to_owned())]
    docker_tls_ca: String,
    /// Whether to show only containers of Docker and the machine as a whole.
    #[attr(optional)]
    docker_only: bool,
    /// Whether to leave out what the machine as a whole uses.
    #[attr(optional)]
    disable_root_cgroup_stats: bool,
}

/// The component.
pub struct Cadvisor {
    context: Context,
    /// Replaced when the arguments change; a scrape goes on with the one it began with.
    current: Arc<Mutex<Arc<AsyncMutex<Exporter>>>>,
    usages: Arc<Usages>,
}

impl Component for Cadvisor {
    const NAME: &'static str = "prometheus.exporter.cadvisor";

    type Arguments = CadvisorArguments;
    type Exports = ExporterExports;

    fn build(context: &Context, arguments: CadvisorArguments) -> Result<Cadvisor, Problem> {
        let usages = Arc::new(Usages::default());
        let exporter = exporter(arguments, &usages)?;
        context.publish(&targets(context, Self::NAME, "integrations/cadvisor"));
        Ok(Cadvisor { context: context.clone(), current: Arc::new(Mutex::new(exporter)), usages })
    }

    fn update(&self, arguments: CadvisorArguments) -> Result<Update, Problem> {
        let exporter = exporter(arguments, &self.usages)?;
        let current = self.current.clone();
        Ok(Update::then(move || *current.lock().unwrap_or_else(PoisonError::into_inner) = exporter))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        // So that the first scrape finds the folders of containers counted.
        let begin = async {
            scrape(&self.context, &self.current).await;
            self.usages.keep().await;
        };
        tokio::select! {
            () = begin => {}
            () = stop.stopped() => {}
        }
        Ok(())
    }

    fn http(&self) -> Option<HttpHandler> {
        let (context, current) = (self.context.clone(), self.current.clone());
        Some(Arc::new(move |request| {
            let (context, current) = (context.clone(), current.clone());
            Box::pin(async move {
                if request.uri().path() != "/metrics" {
                    return not_found();
                }
                page_of(scrape(&context, &current).await)
            })
        }))
    }
}

fn exporter(arguments: CadvisorArguments, usages: &Arc<Usages>) -> Result<Arc<AsyncMutex<Exporter>>, Problem> {
    let settings = settings(arguments)?;
    Ok(Arc::new(AsyncMutex::new(Exporter::new(settings, Roots::here(), usages.clone()))))
}

/// The page; none if making it failed. One at a time: the files are read where it may block, and the engine is asked between.
async fn scrape(context: &Context, current: &Mutex<Arc<AsyncMutex<Exporter>>>) -> Option<String> {
    let exporter = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut exporter = exporter.lock_owned().await;
    let name = "prometheus.exporter.cadvisor scrape";
    let look = move || {
        exporter.look();
        exporter
    };
    let mut exporter = task::blocking(name, look).await.returned()?;
    exporter.ask().await;
    let measure = move || {
        let page = exporter.measure();
        (exporter, page)
    };
    let (mut exporter, page) = task::blocking(name, measure).await.returned()?;
    match exporter.news() {
        Some(Ok(message)) => context.healthy(message),
        Some(Err(message)) => {
            tracing::warn!(message, "containers cannot be measured");
            context.unhealthy(message);
        }
        None => {}
    }
    Some(page)
}

fn settings(arguments: CadvisorArguments) -> Result<Settings, Problem> {
    let (disabled, enabled) = (arguments.disabled_metrics.as_deref(), arguments.enabled_metrics.as_deref());
    let kinds =
        Kinds::chosen(disabled, enabled).map_err(|unknown| Problem::at(unknown.argument, unknown.to_string()))?;
    let mut unread = Vec::new();
    if kinds.has(Kind::PerfEvent) && !arguments.perf_events_config.is_empty() {
        unread.push("perf_events_config has no effect: no events of perf are counted");
    }
    if enabled.is_some() && kinds.has(Kind::Resctrl) {
        unread.push("nothing is read of resctrl");
    }
    for message in &unread {
        tracing::warn!(message, "an argument of prometheus.exporter.cadvisor does nothing");
    }
    let host = Host::parse(&arguments.docker_host, arguments.use_docker_tls)
        .map_err(|error| Problem::at("docker_host", error.to_string()))?;
    let namespace = HeaderValue::from_str(&arguments.containerd_namespace)
        .map_err(|_| Problem::at("containerd_namespace", "it is not the name of a namespace"))?;
    let mut client = ClientConfig::default();
    if arguments.use_docker_tls {
        client.tls_config.cert_file = arguments.docker_tls_cert;
        client.tls_config.key_file = arguments.docker_tls_key;
        client.tls_config.ca_file = arguments.docker_tls_ca;
    }
    let identity = Identity::new(&client).map_err(|error| Problem::at("use_docker_tls", error.to_string()))?;
    let named = |names: Vec<String>| names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>();
    // An empty beginning is that of every path, but with `docker_only` it is none if it comes first.
    let prefixes = match arguments.raw_cgroup_prefix_allowlist {
        prefixes if prefixes.first().is_none_or(String::is_empty) && arguments.docker_only => Vec::new(),
        prefixes if prefixes.is_empty() => vec![String::new()],
        prefixes => prefixes,
    };
    Ok(Settings {
        kinds,
        prefixes,
        labelling: match arguments.store_container_labels {
            true => Labelling::All,
            false => Labelling::Only(named(arguments.allowlisted_container_labels)),
        },
        environment: named(arguments.env_metadata_allowlist),
        without_root: arguments.disable_root_cgroup_stats,
        docker_only: arguments.docker_only,
        engines: Engines {
            docker: Engine::new(host, Some(identity), ENGINE_TIMEOUT),
            docker_is_named: arguments.docker_host != DOCKER_HOST,
            containerd: arguments.containerd_host.trim_start_matches("unix://").into(),
            containerd_is_named: arguments.containerd_host != CONTAINERD_HOST,
            namespace,
            crio: CRIO_HOST.into(),
        },
        unread,
    })
}

#[cfg(test)]
mod tests;
