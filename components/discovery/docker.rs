//! `discovery.docker`: containers as targets.

mod memory;
pub(crate) mod targets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base_stdx::duration::GoDuration;
use language_eval::{Arguments, Block, Exports, Target};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Tap, Update};
use sdk_docker::{Engine, Host};
use sdk_net::ClientConfig;
use sdk_net::client::Identity;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::rounds::interval;
use memory::Memory;
use targets::Naming;

/// The first container that starts is asked for at once, as it may be gone in a moment; those that start within this time
/// after it are asked for together.
const GATHER: Duration = Duration::from_millis(100);
/// Between two tries to follow the engine's events.
const EVENTS_RETRY: Duration = Duration::from_secs(5);

/// Finds the containers of a Docker engine.
///
/// Each container gives one target per network and exposed TCP port; one without such a port gives one target per network
/// with the fallback `port`. What the engine tells of it stands in `__meta_docker_*` labels.
///
/// A container that starts is found at once, by the engine's events, and one that ends stays for a `refresh_interval`: so the
/// log of a container that lives for a moment is collected, too.
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
        let (started, mut starts) = mpsc::channel(STARTS);
        let mut memory = Memory::default();
        let mut failing = false;
        loop {
            let now = wanted.borrow_and_update().clone();
            let follow = follow_starts(&now.engine, &started);
            let (mut next, mut not_before) = (Instant::now(), Instant::now());
            let rounds = async {
                loop {
                    tokio::select! {
                        () = tokio::time::sleep_until(next) => next = Instant::now() + now.refresh,
                        Some(id) = starts.recv() => {
                            memory.started(id, Instant::now());
                            tokio::time::sleep_until(not_before).await;
                            while let Ok(id) = starts.try_recv() {
                                memory.started(id, Instant::now());
                            }
                        }
                    }
                    self.publish(find(&now, &mut memory).await, &mut failing);
                    not_before = Instant::now() + GATHER;
                }
            };
            tokio::select! {
                () = rounds => {}
                () = follow => {}
                _ = wanted.changed() => memory = Memory::default(),
                () = stop.stopped() => return Ok(()),
            }
        }
    }
}

impl Docker {
    fn publish(&self, found: Result<Vec<Target>, sdk_docker::Error>, failing: &mut bool) {
        match found {
            Ok(targets) => {
                *failing = false;
                self.context.healthy(format!("{} targets found", targets.len()));
                crate::look::at_targets(&self.tap, &targets);
                self.context.publish(&DockerExports { targets });
            }
            Err(error) => {
                // What was found last stays: an engine that restarts has not lost its containers.
                let error = error.to_string();
                if !std::mem::replace(failing, true) {
                    tracing::error!(error, "cannot list containers; the engine is asked again");
                }
                self.context.unhealthy(error);
            }
        }
    }
}

/// Ids of containers that have started and were not asked for yet. When there are more, the next round finds them.
const STARTS: usize = 256;

/// Tells of every container that starts. Never ends: what cannot be followed is tried again, and meanwhile the rounds find
/// what there is.
async fn follow_starts(engine: &Engine, started: &mpsc::Sender<String>) {
    loop {
        match engine.container_events(&["start", "rename"]).await {
            Ok(mut events) => {
                while let Ok(Some(id)) = events.next().await {
                    // Only full when the engine is asked already.
                    let _ = started.try_send(id);
                }
            }
            Err(error) => tracing::debug!(%error, "cannot follow the engine's events; containers are found by asking"),
        }
        tokio::time::sleep(EVENTS_RETRY).await;
    }
}

async fn find(wanted: &Wanted, memory: &mut Memory) -> Result<Vec<Target>, sdk_docker::Error> {
    let (networks, mut containers) =
        tokio::try_join!(wanted.engine.networks(), wanted.engine.containers(&wanted.filters))?;
    let missed = memory.missed(&containers);
    if !missed.is_empty() {
        let ended = wanted.engine.containers_by_id(missed, &wanted.filters).await?;
        memory.ended(&ended);
    }
    memory.complete(&mut containers, Instant::now(), wanted.refresh);
    Ok(wanted.naming.targets(&containers, &networks))
}

fn check(arguments: DockerArguments) -> Result<Wanted, Problem> {
    let refresh = interval(arguments.refresh_interval)?;
    Ok(Wanted {
        engine: engine(&arguments.host, &arguments.client, refresh)?,
        filters: filters(arguments.filter),
        refresh,
        naming: Naming {
            port: arguments.port,
            host_networking_host: arguments.host_networking_host,
            match_first_network: arguments.match_first_network,
        },
    })
}

/// The engine at `host`.
pub(crate) fn engine(host: &str, client: &ClientConfig, timeout: Duration) -> Result<Engine, Problem> {
    let tls = client.tls_config.has_certificate();
    let host = Host::parse(host, tls).map_err(|error| Problem::at("host", error.to_string()))?;
    let identity = Identity::new(client).map_err(|error| Problem::new(error.to_string()))?;
    Ok(Engine::new(host, Some(identity), timeout))
}

/// Values of the same name are alternatives, in whichever block they stand.
pub(crate) fn filters(blocks: Vec<Filter>) -> BTreeMap<String, Vec<String>> {
    let mut filters = BTreeMap::<_, Vec<_>>::new();
    for filter in blocks {
        filters.entry(filter.name).or_default().extend(filter.values);
    }
    filters
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use sdk_testing::component::Alone;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::UnixListener;

    use super::*;

    const SHORT: &str =
        r#"[{"Id": "c2", "Names": ["/short"], "NetworkSettings": {"Networks": {"bridge": {"NetworkID": "n1"}}}}]"#;

    /// An engine on which a container starts and is gone before anybody looks.
    fn engine(folder: &std::path::Path) -> Arc<Mutex<Vec<String>>> {
        let listener = UnixListener::bind(folder.join("docker.sock")).expect("a socket");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let paths = asked.clone();
        drop(base_sys::task::spawn("engine", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while stream.read_line(&mut request).await.is_ok_and(|length| length > 2) {}
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                paths.lock().expect("no holder panics").push(path.clone());
                let body = match &path {
                    path if path.starts_with("/networks") => r#"[{"Id": "n1", "Name": "bridge"}]"#,
                    path if path.starts_with("/events") => "{\"Action\": \"start\", \"Actor\": {\"ID\": \"c2\"}}\n",
                    path if path.contains("all=1") => SHORT,
                    _ => "[]",
                };
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
                let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }));
        asked
    }

    #[tokio::test]
    async fn a_container_that_lives_for_a_moment_is_found() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let asked = engine(folder.path());
        let config = format!("host = \"unix://{}\"\n", folder.path().join("docker.sock").display());
        let alone = Alone::<Docker>::start(&config, &language_eval::Scope::new()).expect("it starts");
        for _ in 0..200 {
            if alone.export("targets").is_some_and(|targets| format!("{targets:?}").contains("/short")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not found: {:?}", asked.lock().expect("no holder panics"));
    }

    #[test]
    fn arguments_are_alloys() {
        let schema = DockerArguments::schema();
        let differences = sdk_testing::schema::compare_schema(&schema, "discovery.docker").unwrap_or_default();
        assert_eq!(differences, Vec::<String>::new());
    }
}
