//! Whose a cgroup is: what container engines tell of it.

mod containerd;
mod crio;
mod docker;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use sdk_docker::Engine;
use tokio::time::Instant;

use super::filesystems::ImageStore;
use super::hierarchy::Cgroups;
use containerd::Containerd;
use crio::Crio;
use docker::Docker;

/// A container with a health check is asked after it again.
const HEALTH_AGE: Duration = Duration::from_secs(10);
/// How long one look at all that is new may take, so that a page still comes in time.
const PATIENCE: Duration = Duration::from_secs(8);
/// An engine that did not answer is left alone so long.
const PAUSE: Duration = Duration::from_secs(30);

/// Where engines listen.
#[derive(Clone)]
pub(super) struct Engines {
    pub docker: Engine,
    pub docker_is_named: bool,
    pub containerd: PathBuf,
    pub containerd_is_named: bool,
    /// The namespace of containerd's containers.
    pub namespace: HeaderValue,
    pub crio: PathBuf,
}

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
    docker: Asked<Docker>,
    containerd: Asked<Containerd>,
    crio: Asked<Crio>,
    known: HashMap<String, Known>,
}

/// A container engine.
trait Keeper {
    /// Asks for what is asked for once, of the engine itself.
    async fn reach(&mut self) -> Result<(), Silence>;

    /// Whose the cgroup is with this id in its name.
    async fn who(&self, cgroup: &str, id: &str) -> Result<Who, Silence>;

    /// Where it keeps its files, if that is known.
    fn images(&self) -> Option<ImageStore>;
}

/// What an engine says of a cgroup.
enum Who {
    Known(Identity),
    /// It has just been made, or ends: the next look tells.
    Unsettled,
    /// It is not of this engine.
    Stranger,
}

/// Why an engine does not answer.
struct Silence {
    why: String,
    /// Asking again at once would take as long again.
    is_slow: bool,
}

/// An engine, and whether it answers.
struct Asked<K> {
    engine: K,
    /// It was named in the configuration.
    is_named: bool,
    /// Why it is not asked until when.
    silent: Option<(Instant, String)>,
}

struct Known {
    inode: u64,
    asked: Instant,
    /// None: of no engine.
    identity: Option<Identity>,
}

// === impl Identities ===

impl Identities {
    pub fn new(engines: &Engines, environment: &[String], host: &Path) -> Identities {
        let docker = Docker::new(engines.docker.clone(), environment.to_vec(), host.to_owned());
        let containerd = Containerd::new(&engines.containerd, engines.namespace.clone(), environment.to_vec());
        Identities {
            docker: Asked::new(docker, engines.docker_is_named),
            containerd: Asked::new(containerd, engines.containerd_is_named),
            crio: Asked::new(Crio::new(&engines.crio, host.to_owned()), false),
            known: HashMap::new(),
        }
    }

    /// Who this is, as far as is known.
    pub fn of(&self, name: &str) -> Option<&Identity> {
        self.known.get(name)?.identity.as_ref()
    }

    /// Where engines keep their files.
    pub fn images(&self) -> Vec<ImageStore> {
        [self.docker.engine.images(), self.crio.engine.images()].into_iter().flatten().collect()
    }

    /// Why an engine that is wanted cannot be asked: one that the configuration names, or any if none can be.
    pub fn trouble(&self) -> Option<&str> {
        let docker = self.docker.trouble();
        let containerd = self.containerd.trouble();
        let named = docker.filter(|_| self.docker.is_named).or(containerd.filter(|_| self.containerd.is_named));
        named.or(docker.filter(|_| containerd.is_some() && self.crio.trouble().is_some()))
    }

    /// Forgets who has gone, and asks who is new.
    pub async fn refresh(&mut self, cgroups: &Cgroups) {
        self.known.retain(|name, known| cgroups.get(name).is_some_and(|found| found.inode == known.inode));
        self.docker.reach().await;
        self.containerd.reach().await;
        self.crio.reach().await;
        let begun = Instant::now();
        for (name, found) in cgroups {
            let Some(id) = container_id(name) else { continue };
            if self.known.get(name).is_some_and(|known| !known.is_old()) {
                continue;
            }
            if begun.elapsed() > PATIENCE {
                return;
            }
            let identity = match self.who(name, id).await {
                Some(Who::Known(identity)) => Some(identity),
                Some(Who::Stranger) => None,
                Some(Who::Unsettled) | None => continue,
            };
            self.known.insert(name.clone(), Known { inode: found.inode, asked: Instant::now(), identity });
        }
    }

    /// What the first engine says that knows it; none if one that might know it does not answer.
    async fn who(&mut self, cgroup: &str, id: &str) -> Option<Who> {
        let mut all_answered = true;
        for engine in 0..3 {
            let answer = match engine {
                0 => self.docker.who(cgroup, id).await,
                1 => self.containerd.who(cgroup, id).await,
                _ => self.crio.who(cgroup, id).await,
            };
            match answer {
                Some(Who::Stranger) => {}
                Some(who) => return Some(who),
                None => all_answered = false,
            }
        }
        all_answered.then_some(Who::Stranger)
    }
}

// === impl Asked ===

impl<K: Keeper> Asked<K> {
    fn new(engine: K, is_named: bool) -> Asked<K> {
        Asked { engine, is_named, silent: None }
    }

    fn trouble(&self) -> Option<&str> {
        self.silent.as_ref().map(|(_, why)| why.as_str())
    }

    /// Tries it again if it was silent, unless that takes long.
    async fn reach(&mut self) {
        if self.silent.as_ref().is_some_and(|(until, _)| Instant::now() < *until) {
            return;
        }
        self.silent = None;
        if let Err(silence) = self.engine.reach().await {
            self.pause(silence);
        }
    }

    /// None: it does not answer.
    async fn who(&mut self, cgroup: &str, id: &str) -> Option<Who> {
        if self.silent.is_some() {
            return None;
        }
        match self.engine.who(cgroup, id).await {
            Ok(who) => Some(who),
            Err(silence) => {
                self.pause(silence);
                None
            }
        }
    }

    fn pause(&mut self, silence: Silence) {
        // An engine that is not there costs nothing to ask.
        let pause = if silence.is_slow { PAUSE } else { Duration::ZERO };
        self.silent = Some((Instant::now() + pause, silence.why));
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
