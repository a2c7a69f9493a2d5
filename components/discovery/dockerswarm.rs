//! `discovery.dockerswarm`: services, tasks or nodes of a Docker swarm as targets.

mod targets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base_stdx::duration::GoDuration;
use language_eval::{Arguments, Target, Word};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_docker::{Engine, Error};
use sdk_net::ClientConfig;

use crate::docker::{Filter, engine, filters};
use crate::rounds::{Ask, DiscoveryExports, Found, Rounds, interval};
use targets::Swarm;

/// Finds what runs on a Docker swarm.
///
/// The engine must be a manager of the swarm: others do not tell. What it tells of services, tasks, nodes and networks stands in
/// `__meta_dockerswarm_*` labels.
#[derive(Arguments)]
pub struct DockerSwarmArguments {
    /// Address of the Docker engine: `unix:///var/run/docker.sock`, `tcp://host:2375`, `https://…`.
    #[attr]
    host: String,
    /// What to find. `services` gives a target for each virtual address and published TCP port of a service, `tasks` one for
    /// each address and published TCP port of a task, `nodes` one for each node.
    #[attr]
    role: Role,
    /// Port of targets that publish none, and of nodes.
    #[attr(default = 80)]
    port: u16,
    /// How often the engine is asked; also how long an answer may take.
    #[attr(default = GoDuration::from_secs(60))]
    refresh_interval: GoDuration,
    /// What to find, as `docker service ls`, `docker service ps` and `docker node ls` take filters.
    #[block]
    filter: Vec<Filter>,
    #[squash]
    client: ClientConfig,
}

/// What becomes targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Role {
    /// Services.
    #[word(name = "services")]
    Services,
    /// Their tasks.
    #[word(name = "tasks")]
    Tasks,
    /// Machines.
    #[word(name = "nodes")]
    Nodes,
}

/// The component.
pub struct DockerSwarm {
    rounds: Rounds<Wanted>,
}

/// Checked arguments.
struct Wanted {
    engine: Engine,
    role: Role,
    port: u16,
    filters: BTreeMap<String, Vec<String>>,
    refresh: Duration,
}

impl Component for DockerSwarm {
    const NAME: &'static str = "discovery.dockerswarm";

    type Arguments = DockerSwarmArguments;
    type Exports = DiscoveryExports;

    fn build(context: &Context, arguments: DockerSwarmArguments) -> Result<DockerSwarm, Problem> {
        let wanted = check(arguments)?;
        Ok(DockerSwarm { rounds: Rounds::new(context, "dockerswarm", wanted) })
    }

    fn update(&self, arguments: DockerSwarmArguments) -> Result<Update, Problem> {
        Ok(self.rounds.update(check(arguments)?))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.rounds.run(stop).await;
        Ok(())
    }
}

fn check(arguments: DockerSwarmArguments) -> Result<Wanted, Problem> {
    let refresh = interval(arguments.refresh_interval)?;
    Ok(Wanted {
        engine: engine(&arguments.host, &arguments.client, refresh)?,
        role: arguments.role,
        port: arguments.port,
        filters: filters(arguments.filter),
        refresh,
    })
}

// === impl Wanted ===

impl Ask for Wanted {
    type Memory = ();

    fn interval(&self) -> Duration {
        self.refresh
    }

    async fn ask(&self, (): &mut ()) -> Result<Found, String> {
        let swarm = self.look().await.map_err(|error| error.to_string())?;
        Ok(Found { targets: self.targets(&swarm)?, problem: None })
    }
}

impl Wanted {
    /// The filters are of the role; what is told besides is told of everything.
    async fn look(&self) -> Result<Swarm, Error> {
        let (engine, all) = (&self.engine, BTreeMap::new());
        Ok(match self.role {
            Role::Services => Swarm {
                services: engine.services(&self.filters).await?,
                networks: engine.networks().await?,
                ..Swarm::default()
            },
            Role::Tasks => Swarm {
                tasks: engine.tasks(&self.filters).await?,
                services: engine.services(&all).await?,
                nodes: engine.nodes(&all).await?,
                networks: engine.networks().await?,
            },
            Role::Nodes => Swarm { nodes: engine.nodes(&self.filters).await?, ..Swarm::default() },
        })
    }

    fn targets(&self, swarm: &Swarm) -> Result<Vec<Target>, String> {
        match self.role {
            Role::Services => swarm.of_services(self.port),
            Role::Tasks => swarm.of_tasks(self.port),
            Role::Nodes => Ok(swarm.of_nodes(self.port)),
        }
    }
}

#[cfg(test)]
mod tests;
