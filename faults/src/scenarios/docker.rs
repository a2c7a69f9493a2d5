//! Containers that stop and start while the collector is killed; on the Docker engine of this machine, if it has one.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;

use crate::collector::said;
use crate::config::Config;
use crate::engine::{self, Engine};
use crate::site::{Site, a_moment, random};
use crate::{Outcome, Settings};

/// Containers at the same time.
const CONTAINERS: u64 = 3;

/// Lines that a container of a stand-in writes at once, a hundred times a second.
const LINES: u64 = 5;

/// The numbers of a container's lines begin at a multiple of this.
const NUMBERS: u64 = 10_000_000;

/// Containers that are removed with this value.
struct Containers(Vec<String>);

/// Writes numbered lines and goes on behind the last one after a restart; a stop never comes between a line and its note.
const WRITER: &str = r#"trap 'told=1' TERM; n=$(cat /n 2>/dev/null || echo 0)
while [ -z "$told" ]; do k=$((FIRST + n)); echo "whole seq=$k again=$k"; n=$((n + 1)); echo $n > /n; [ $((n % 5)) = 0 ] && sleep 0.02; done"#;

async fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().await.map_err(said)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

// === impl Containers ===

impl Containers {
    async fn start(mark: &str) -> Result<Containers, String> {
        let image = std::env::var("FAULTS_IMAGE").unwrap_or_else(|_| "busybox".to_owned());
        let mut containers = Containers(Vec::new());
        for number in 0..CONTAINERS {
            let (label, first) = (format!("faults={mark}"), format!("FIRST={}", number * NUMBERS));
            let run =
                ["run", "--detach", "--network=none", "--label", &label, "--env", &first, &image, "sh", "-c", WRITER];
            containers.0.push(docker(&run).await?);
        }
        Ok(containers)
    }

    /// How many lines a stopped one has written.
    async fn written(id: &str) -> Result<u64, String> {
        let folder = tempfile::tempdir().map_err(said)?;
        let to = folder.path().join("n");
        docker(&["cp", &format!("{id}:/n"), &to.display().to_string()]).await?;
        std::fs::read_to_string(to).map_err(said)?.trim().parse().map_err(said)
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        // Nobody may wait here; whoever is left over has a label that says whose it was.
        let _ = std::process::Command::new("docker").args(["rm", "--force"]).args(&self.0).output();
    }
}

pub async fn restarts(settings: Settings, killed: bool) -> Result<Outcome, String> {
    if let Err(why) = docker(&["version"]).await {
        return Ok(Outcome::skipped(format!(
            "no Docker engine answers here: {}",
            why.lines().next().unwrap_or_default()
        )));
    }
    let site = Site::new(settings, false, None).await?;
    let mark = random(u64::MAX).to_string();
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let write = write(&site);
    site.configure(&format!(
        "discovery.docker \"a\" {{\n\thost = \"{host}\"\n\tfilter {{\n\t\tname = \"label\"\n\t\tvalues = [\"faults={mark}\"]\n\t}}\n}}\n\
         discovery.relabel \"a\" {{\n\ttargets = discovery.docker.a.targets\n\trule {{\n\t\tsource_labels = [\"__meta_docker_container_id\"]\n\t\ttarget_label = \"container\"\n\t}}\n}}\n\
         loki.source.docker \"a\" {{\n\thost = \"{host}\"\n\ttargets = discovery.relabel.a.output\n\tforward_to = [loki.write.w0.receiver]\n}}\n{write}"
    ))?;
    let mut collector = site.start().await?;
    let containers = Containers::start(&mark).await?;
    let mut restarts = 0;
    for _ in 0..site.settings.kills.min(20) {
        a_moment(Duration::from_secs(3)).await;
        let id = &containers.0[random(CONTAINERS) as usize];
        docker(&["stop", "--time=30", id]).await?;
        if killed {
            site.kill(collector).await?;
            collector = site.start().await?;
        }
        docker(&["start", id]).await?;
        restarts += 1;
    }
    let mut numbers = HashSet::new();
    for (number, id) in (0..).zip(&containers.0) {
        docker(&["stop", "--time=30", id]).await?;
        numbers.extend((0..Containers::written(id).await?).map(|n| number * NUMBERS + n));
    }
    let outcome = site.these_arrive(&numbers.into_iter().collect::<Vec<_>>()).await;
    let outcome = outcome.noting(format!("{restarts} restarts of {CONTAINERS} containers")).nothing_lost();
    Ok(if killed { outcome } else { outcome.nothing_repeated() })
}

/// The engine restarts, which cuts every stream, while its containers go on.
pub async fn engine_restarts(settings: Settings) -> Result<Outcome, String> {
    let site = Site::new(settings, false, None).await?;
    let socket = site.state().with_file_name("docker.sock");
    let targets = (0..engine::CONTAINERS)
        .map(|number| format!("{{\"__meta_docker_container_id\" = \"c{number}\", \"container\" = \"c{number}\"}}, "))
        .collect::<String>();
    site.configure(&format!(
        "loki.source.docker \"a\" {{\n\thost = \"unix://{}\"\n\ttargets = [{targets}]\n\tforward_to = [loki.write.w0.receiver]\n}}\n{}",
        socket.display(),
        write(&site)
    ))?;
    let mut engine = Engine::new(socket);
    engine.comes()?;
    let _collector = site.start().await?;
    let restarts = site.settings.kills;
    for _ in 0..restarts {
        for away in [false, true] {
            let until = Instant::now() + Duration::from_millis(200 + random(1300));
            while Instant::now() < until {
                engine.write(LINES);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            match away {
                false => engine.goes().await?,
                true => engine.comes()?,
            }
        }
    }
    let outcome = site.these_arrive(&(0..engine.written()).collect::<Vec<_>>()).await;
    let outcome = outcome.noting(format!("{restarts} restarts of an engine with {} containers", engine::CONTAINERS));
    Ok(outcome.nothing_lost().nothing_repeated())
}

/// The `loki.write` of a site.
fn write(site: &Site) -> String {
    let plain = Config::to(site.port, false).text(site.log.path());
    plain.find("loki.write \"").map_or("", |at| &plain[at..]).to_owned()
}
