//! Whose a cgroup is: what container engines tell of it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sdk_docker::{Details, Engine, Info};
use tokio::time::Instant;

use super::hierarchy::{Cgroups, Found};

/// A container with a health check is asked after it again.
const HEALTH_AGE: Duration = Duration::from_secs(10);
/// How long one look at all that is new may take, so that a page still comes in time.
const PATIENCE: Duration = Duration::from_secs(8);
/// An engine that did not answer is left alone so long.
const PAUSE: Duration = Duration::from_secs(30);

/// What an engine told of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Identity {
    pub name: String,
    pub image: String,
    /// As the engine has them.
    pub labels: BTreeMap<String, String>,
    /// Those that may be shown.
    pub environment: BTreeMap<String, String>,
    /// In seconds since 1970, if the engine told.
    pub created: Option<i64>,
    /// Its first process, if it has a network of its own.
    pub network: Option<u32>,
    pub first_process: Option<u32>,
    pub is_healthy: bool,
    /// Where its files are, and what else the engine keeps of it.
    pub folders: Vec<PathBuf>,
    pub has_health: bool,
}

/// Knows containers, and asks engines of those that it does not.
pub(super) struct Identities {
    docker: Engine,
    /// Of the engine itself; asked for once.
    info: Option<Info>,
    /// Beginnings of names of variables to show.
    environment: Vec<String>,
    known: HashMap<String, Known>,
    host: PathBuf,
    /// Why the engine is not asked until when.
    silent: Option<(Instant, String)>,
}

struct Known {
    inode: u64,
    asked: Instant,
    /// None: of no engine.
    identity: Option<Identity>,
}

impl Identities {
    pub fn new(docker: Engine, environment: Vec<String>, host: PathBuf) -> Identities {
        Identities { docker, info: None, environment, known: HashMap::new(), host, silent: None }
    }

    /// Who this is, as far as is known.
    pub fn of(&self, name: &str) -> Option<&Identity> {
        self.known.get(name)?.identity.as_ref()
    }

    /// Where the engine keeps its files.
    pub fn images(&self) -> Option<&Path> {
        self.info.as_ref().map(|info| Path::new(&info.root))
    }

    /// Why the engine cannot be asked, if it cannot.
    pub fn trouble(&self) -> Option<&str> {
        self.silent.as_ref().map(|(_, why)| why.as_str())
    }

    /// Forgets who has gone, and asks who is new.
    pub async fn refresh(&mut self, cgroups: &Cgroups) {
        self.known.retain(|name, known| cgroups.get(name).is_some_and(|found| found.inode == known.inode));
        if self.silent.as_ref().is_some_and(|(until, _)| Instant::now() < *until) {
            return;
        }
        if self.info.is_none() {
            match self.docker.info().await {
                Ok(info) => self.info = Some(info),
                Err(error) => return self.pause(&error),
            }
        }
        let begun = Instant::now();
        for (name, found) in cgroups {
            let Some(id) = container_id(name) else { continue };
            if self.known.get(name).is_some_and(|known| !known.is_old()) {
                continue;
            }
            if begun.elapsed() > PATIENCE {
                return;
            }
            match self.docker.details(id).await {
                // It has just been made, or ends: the next look tells.
                Ok(Some(details)) if !details.state.running => {}
                Ok(details) => self.learn(name, *found, details.map(|details| self.identity(id, &details))),
                Err(error) => return self.pause(&error),
            }
        }
        self.silent = None;
    }

    fn learn(&mut self, name: &str, found: Found, identity: Option<Identity>) {
        self.known.insert(name.to_owned(), Known { inode: found.inode, asked: Instant::now(), identity });
    }

    fn pause(&mut self, error: &sdk_docker::Error) {
        // An engine that is not there costs nothing to ask.
        let until = match error {
            sdk_docker::Error::TimedOut { .. } => Instant::now() + PAUSE,
            _ => Instant::now(),
        };
        self.silent = Some((until, error.to_string()));
    }

    fn identity(&self, id: &str, details: &Details) -> Identity {
        let mut labels = details.config.labels.clone();
        if details.restart_count > 0 {
            labels.insert("restartcount".to_owned(), details.restart_count.to_string());
        }
        let mut environment = BTreeMap::new();
        for (name, value) in details.config.env.iter().filter_map(|variable| variable.split_once('=')) {
            if self.environment.iter().any(|prefix| name.starts_with(prefix.as_str())) {
                environment.insert(name.to_lowercase(), value.to_owned());
            }
        }
        let process = Some(details.state.pid).filter(|process| *process > 0);
        let health = details.state.health.as_ref();
        Identity {
            name: details.name.trim_start_matches('/').to_owned(),
            image: details.config.image.clone(),
            labels,
            environment,
            created: details.created.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
            network: process.filter(|_| !details.network_mode().starts_with("container:")),
            first_process: process,
            is_healthy: health.is_some_and(|health| health.status == "healthy"),
            folders: self.folders(id).unwrap_or_default(),
            has_health: health.is_some(),
        }
    }

    /// What the engine wrote for a container: its own layer, and its logs.
    fn folders(&self, id: &str) -> Option<Vec<PathBuf>> {
        let info = self.info.as_ref()?;
        let root = self.host.join(info.root.trim_start_matches('/'));
        let driver = info.storage_driver.as_str();
        let layer = || {
            let file = root.join(format!("image/{driver}/layerdb/mounts/{id}/mount-id"));
            base_sys::fs::read_text_bounded(&file, 4096).ok().map(|id| id.trim().to_owned())
        };
        let files = match driver {
            "aufs" => root.join("aufs/diff").join(layer()?),
            "overlay2" => root.join("overlay2").join(layer()?).join("diff"),
            "overlay" => root.join("overlay").join(layer()?).join("upper"),
            // It does not say which folder is whose.
            "vfs" => root.clone(),
            _ => return None,
        };
        Some(vec![files, root.join("containers").join(id)])
    }
}

impl Known {
    fn is_old(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.has_health) && self.asked.elapsed() >= HEALTH_AGE
    }
}

/// The id in the last part of a name: the first 64 small letters and digits in a row. Mounts of a container are not it.
fn container_id(name: &str) -> Option<&str> {
    let base = name.rsplit('/').next().filter(|base| !base.ends_with(".mount"))?;
    let is_of_id = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let at = base.as_bytes().windows(64).position(|window| window.iter().all(is_of_id))?;
    base.get(at..at + 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_wherever_an_engine_puts_them() {
        let id = "0123456789abcdef".repeat(4);
        for name in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("/kubepods/besteffort/pod1/{id}"),
        ] {
            assert_eq!(container_id(&name), Some(id.as_str()), "{name}");
        }
        for name in
            ["/", "/docker", "/docker/abc", &format!("/a/{id}.mount"), &format!("/{id}/init.scope"), "/system.slice/é"]
        {
            assert_eq!(container_id(name), None, "{name}");
        }
    }
}
