//! `discovery.docker`: containers as targets.

mod targets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base_stdx::duration::GoDuration;
use language_eval::{Arguments, Block, Exports, Target};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Tap, Update};
use sdk_docker::{Engine, Host};
use sdk_net::ClientConfig;
use sdk_net::client::Identity;
use tokio::sync::watch;
use tokio::time::Instant;

use targets::Naming;

/// Finds the containers of a Docker engine.
///
/// Each container gives one target per network and exposed TCP port; one without such a port gives one target per network
/// with the fallback `port`. What the engine tells of it stands in `__meta_docker_*` labels.
#[derive(Arguments)]
pub struct DockerArguments {
    /// Address of the Docker engine: `unix:///var/run/docker.sock`, `tcp://host:2375`, `https://…`.
    #[attr]
    host: String,
    /// Port of targets whose container exposes none.
    #[attr(default = 80)]
    port: u16,
    /// Address of containers in the host's own network.
    #[attr(default = "localhost".to_owned())]
    host_networking_host: String,
    /// How often the engine is asked.
    #[attr(default = GoDuration::from_secs(60))]
    refresh_interval: GoDuration,
    /// Of a container in several networks take the first by name only.
    #[attr(default = true)]
    match_first_network: bool,
    /// Containers to find, as `docker ps --filter` takes them.
    #[block]
    filter: Vec<Filter>,
    #[squash]
    client: ClientConfig,
}

/// A filter of the engine's own.
#[derive(Block)]
pub struct Filter {
    /// What to look at: `label`, `name`, `status`, …
    #[attr]
    name: String,
    /// One of these must match.
    #[attr]
    values: Vec<String>,
}

/// What others may refer to.
#[derive(Exports)]
pub struct DockerExports {
    /// The containers found.
    targets: Vec<Target>,
}

/// The component.
pub struct Docker {
    context: Context,
    tap: Tap,
    wanted: watch::Sender<Arc<Wanted>>,
}

/// Checked arguments.
struct Wanted {
    engine: Engine,
    filters: BTreeMap<String, Vec<String>>,
    refresh: Duration,
    naming: Naming,
}

impl Component for Docker {
    const NAME: &'static str = "discovery.docker";

    type Arguments = DockerArguments;
    type Exports = DockerExports;

    fn build(context: &Context, arguments: DockerArguments) -> Result<Docker, Problem> {
        let wanted = watch::Sender::new(Arc::new(check(arguments)?));
        context.publish(&DockerExports { targets: Vec::new() });
        Ok(Docker { context: context.clone(), tap: context.tap(), wanted })
    }

    fn update(&self, arguments: DockerArguments) -> Result<Update, Problem> {
        let wanted = Arc::new(check(arguments)?);
        let sender = self.wanted.clone();
        Ok(Update::then(move || {
            sender.send_replace(wanted);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut wanted = self.wanted.subscribe();
        let mut failing = false;
        loop {
            let now = wanted.borrow_and_update().clone();
            let next = Instant::now() + now.refresh;
            let found = tokio::select! {
                found = find(&now) => found,
                () = stop.stopped() => return Ok(()),
            };
            match found {
                Ok(targets) => {
                    failing = false;
                    self.context.healthy(format!("{} targets found", targets.len()));
                    crate::look::at_targets(&self.tap, &targets);
                    self.context.publish(&DockerExports { targets });
                }
                Err(error) => {
                    // What was found last stays: an engine that restarts has not lost its containers.
                    let error = error.to_string();
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(error, "cannot list containers; the engine is asked again");
                    }
                    self.context.unhealthy(error);
                }
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                _ = wanted.changed() => {}
                () = stop.stopped() => return Ok(()),
            }
        }
    }
}

async fn find(wanted: &Wanted) -> Result<Vec<Target>, sdk_docker::Error> {
    let networks = wanted.engine.networks().await?;
    let containers = wanted.engine.containers(&wanted.filters).await?;
    Ok(wanted.naming.targets(&containers, &networks))
}

fn check(arguments: DockerArguments) -> Result<Wanted, Problem> {
    let tls = arguments.client.tls_config.has_certificate();
    let host = Host::parse(&arguments.host, tls).map_err(|error| Problem::at("host", error.to_string()))?;
    let identity = Identity::new(&arguments.client).map_err(|error| Problem::new(error.to_string()))?;
    let refresh = arguments.refresh_interval.to_std().filter(|interval| !interval.is_zero());
    let refresh = refresh.ok_or_else(|| Problem::at("refresh_interval", "refresh_interval must be greater than 0"))?;
    Ok(Wanted {
        engine: Engine::new(host, Some(identity), refresh),
        filters: arguments.filter.into_iter().map(|filter| (filter.name, filter.values)).collect(),
        refresh,
        naming: Naming {
            port: arguments.port,
            host_networking_host: arguments.host_networking_host,
            match_first_network: arguments.match_first_network,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_alloys() {
        let schema = DockerArguments::schema();
        let differences = sdk_testing::schema::compare_schema(&schema, "discovery.docker").unwrap_or_default();
        assert_eq!(differences, Vec::<String>::new());
    }
}
