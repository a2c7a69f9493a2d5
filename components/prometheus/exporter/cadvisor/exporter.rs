//! What a scrape works with: it looks which containers there are, asks who is new, and measures them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base_metrics::{Losses, Page};
use tokio::time::Instant;

use super::filesystems::Filesystems;
use super::hierarchy::{Cgroups, Found, Hierarchy};
use super::host::{Reader, Roots};
use super::identity::{Engines, Identities, Identity};
use super::kinds::{Kind, Kinds};
use super::labels::{Labelling, level};
use super::machine::Machine;
use super::measured::{FilesystemUsage, MemorySpec, Stats};
use super::page::{self, Shown};
use super::processes::{self, Schedules};
use super::usage::Usages;
use super::{network, v1, v2};

/// How long the machine is taken to be as it was.
const MACHINE_AGE: Duration = Duration::from_secs(300);

/// Checked arguments.
pub(super) struct Settings {
    pub kinds: Kinds,
    /// Beginnings of paths of cgroups that are shown even if no engine knows them.
    pub prefixes: Vec<String>,
    pub labelling: Labelling,
    pub environment: Vec<String>,
    pub without_root: bool,
    pub docker_only: bool,
    pub engines: Engines,
    /// What was asked for and is not done, as sentences.
    pub unread: Vec<&'static str>,
}

/// What a scrape works with; one at a time.
pub(super) struct Exporter {
    settings: Settings,
    roots: Roots,
    reader: Reader,
    machine: Option<(Instant, Machine)>,
    /// What is there, as of the last look, or why it cannot be seen.
    cgroups: Result<(Hierarchy, Cgroups), String>,
    identities: Identities,
    filesystems: Filesystems,
    usages: Arc<Usages>,
    /// Only of containers that are there.
    schedules: BTreeMap<String, Schedules>,
    /// Kept, with the room it grew.
    page: Page,
    losses: Losses,
    health: Result<String, String>,
    told: Option<Result<String, String>>,
}

impl Exporter {
    pub fn new(settings: Settings, roots: Roots, usages: Arc<Usages>) -> Exporter {
        Exporter {
            identities: Identities::new(&settings.engines, &settings.environment, &roots.host),
            settings,
            roots,
            reader: Reader::default(),
            machine: None,
            cgroups: Err(String::new()),
            filesystems: Filesystems::new(),
            usages,
            schedules: BTreeMap::new(),
            page: Page::new(),
            losses: Losses::default(),
            health: Ok(String::new()),
            told: None,
        }
    }

    /// Sees which cgroups there are.
    pub fn look(&mut self) {
        let hierarchy = Hierarchy::find(&self.roots, self.settings.kinds, &mut self.reader);
        self.cgroups = hierarchy.and_then(|hierarchy| {
            let cgroups = hierarchy.list()?;
            Ok((hierarchy, cgroups))
        });
    }

    /// Asks the engines of those that are new.
    pub async fn ask(&mut self) {
        if let Ok((_, cgroups)) = &self.cgroups {
            self.identities.refresh(cgroups).await;
        }
    }

    /// The page.
    pub fn measure(&mut self) -> String {
        if self.machine.as_ref().is_none_or(|(read, _)| read.elapsed() >= MACHINE_AGE) {
            let machine = Machine::read(&mut self.reader, &self.roots, self.settings.kinds);
            self.machine = Some((Instant::now(), machine));
            // Not everybody may read everything about the machine, and what is left does.
            self.reader.take_trouble();
        }
        let cgroups = std::mem::replace(&mut self.cgroups, Err(String::new()));
        let measured = cgroups.map(|(hierarchy, cgroups)| self.containers(&hierarchy, &cgroups));
        let trouble = self.reader.take_trouble();
        if let Some(trouble) = &trouble {
            tracing::debug!(trouble, "a file is not readable");
        }
        let failed = measured.is_err() || trouble.is_some();
        self.health = self.judge(&measured, trouble);
        let machine = self.machine.as_ref().map(|(_, machine)| machine.clone()).unwrap_or_default();
        self.page.clear();
        let now = base_sys::clock::now_ms();
        let shown = measured.unwrap_or_default();
        page::write(&mut self.page.writer(), &machine, &shown, self.settings.kinds, failed, now);
        let mut text = String::new();
        self.page.encode(&mut text, &self.losses);
        text
    }

    /// How it is, if that is news.
    pub fn news(&mut self) -> Option<Result<String, String>> {
        if self.told.as_ref() == Some(&self.health) {
            return None;
        }
        self.told = Some(self.health.clone());
        self.told.clone()
    }

    fn judge(&self, measured: &Result<Vec<Shown>, String>, trouble: Option<String>) -> Result<String, String> {
        let silent = self.identities.trouble();
        match (measured, silent) {
            (Err(why), _) => return Err(why.clone()),
            (Ok(_), Some(why)) if self.settings.docker_only => return Err(why.to_owned()),
            _ => {}
        }
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let mut message = match silent {
            Some(why) => format!("containers are shown by the paths of their cgroups: {why}"),
            None => "containers are measured".to_owned(),
        };
        for unread in &self.settings.unread {
            message.push_str("; ");
            message.push_str(unread);
        }
        Ok(message)
    }

    fn containers(&mut self, hierarchy: &Hierarchy, cgroups: &Cgroups) -> Vec<Shown> {
        let kinds = self.settings.kinds;
        if kinds.has(Kind::Disk) || kinds.has(Kind::DiskIo) {
            self.filesystems.refresh(&mut self.reader, &self.roots, &self.identities.images());
        }
        let accepted: Vec<(&String, &Found)> = cgroups.iter().filter(|(name, _)| self.accepts(name)).collect();
        self.schedules.retain(|name, _| cgroups.contains_key(name));
        let mut folders = BTreeSet::new();
        let (mut shown, mut labels) = (Vec::new(), Vec::new());
        for (name, found) in accepted {
            let identity = self.identities.of(name).cloned();
            if kinds.has(Kind::Disk) {
                folders.extend(identity.iter().flat_map(|identity| identity.folders.iter().cloned()));
            }
            labels.push(self.settings.labelling.of(name, identity.as_ref()));
            shown.push(self.container(hierarchy, name, *found, identity.as_ref()));
        }
        self.usages.want(&folders);
        for (container, labels) in shown.iter_mut().zip(level(labels)) {
            container.labels = labels;
        }
        shown
    }

    /// Whether a cgroup is shown: the one that all are in unless it is not wanted, what an engine knows, and what the
    /// arguments name.
    fn accepts(&self, name: &str) -> bool {
        if name.ends_with(".mount") {
            return false;
        }
        if name == "/" {
            return !self.settings.without_root;
        }
        self.identities.of(name).is_some() || self.settings.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    fn container(&mut self, hierarchy: &Hierarchy, name: &str, found: Found, identity: Option<&Identity>) -> Shown {
        let folders = hierarchy.folders(name);
        let reader = &mut self.reader;
        let mut spec = if folders.is_v2() { v2::spec(reader, &folders) } else { v1::spec(reader, &folders) };
        if folders.is_root() {
            let machine = self.machine.as_ref().map(|(_, machine)| machine);
            let (limit, swap_limit) = machine.map_or((0, 0), |machine| (machine.memory, machine.swap));
            spec.memory = Some(MemorySpec { limit, swap_limit, ..spec.memory.unwrap_or_default() });
        }
        Shown {
            labels: Vec::new(),
            created: identity.and_then(|identity| identity.created).unwrap_or_else(|| since_boot(found.created)),
            spec,
            is_healthy: identity.is_some_and(|identity| identity.is_healthy),
            stats: self.stats(hierarchy, name, identity),
        }
    }

    fn stats(&mut self, hierarchy: &Hierarchy, name: &str, identity: Option<&Identity>) -> Stats {
        let folders = hierarchy.folders(name);
        let kinds = self.settings.kinds;
        let page_sizes = self.machine.as_ref().map(|(_, machine)| machine.page_sizes.as_slice()).unwrap_or_default();
        let (reader, roots) = (&mut self.reader, &self.roots);
        let mut stats = Stats { at: base_sys::clock::now_ms(), ..Stats::default() };
        if folders.is_v2() {
            v2::read(reader, roots, &folders, kinds, page_sizes, &mut stats);
        } else {
            v1::read(reader, &folders, kinds, page_sizes, &mut stats);
        }
        // The machine as a whole has the network of its first process.
        let root_process = folders.is_root().then_some(1);
        let first = root_process.or(identity.and_then(|identity| identity.first_process));
        if let Some(process) = root_process.or(identity.and_then(|identity| identity.network)) {
            let process = roots.process(process);
            if kinds.has(Kind::Network) {
                stats.network = network::interfaces(reader, &process);
            }
            if kinds.has(Kind::Tcp) {
                stats.tcp = network::tcp(reader, &process, "net/tcp");
                stats.tcp6 = network::tcp(reader, &process, "net/tcp6");
            }
            if kinds.has(Kind::Udp) {
                stats.udp = network::udp(reader, &process, "net/udp");
                stats.udp6 = network::udp(reader, &process, "net/udp6");
            }
            if kinds.has(Kind::AdvancedTcp) {
                stats.advanced_tcp = network::advanced(reader, &process);
            }
        }
        if kinds.has(Kind::Process) {
            processes::count(reader, roots, &folders, first, &mut stats.processes);
        }
        if kinds.has(Kind::Sched) {
            stats.schedule = self.schedules.entry(name.to_owned()).or_default().read(reader, roots, &folders);
        }
        if kinds.has(Kind::ReferencedMemory) {
            stats.referenced = processes::referenced(reader, roots, &folders);
        }
        if kinds.has(Kind::DiskIo) {
            self.filesystems.name_disks(&mut stats.io, folders.is_root());
        }
        if kinds.has(Kind::Disk) {
            stats.filesystems = match identity {
                None if folders.is_root() => self.filesystems.all(),
                None => Vec::new(),
                Some(identity) => self.own_files(identity).into_iter().collect(),
            };
        }
        stats
    }

    /// What a container has written.
    fn own_files(&self, identity: &Identity) -> Option<FilesystemUsage> {
        let files = identity.folders.first()?;
        let own = self.usages.get(files);
        let all: Option<u64> = own.map(|own| {
            own.bytes
                + identity.folders[1..]
                    .iter()
                    .filter_map(|folder| self.usages.get(folder))
                    .map(|usage| usage.bytes)
                    .sum::<u64>()
        });
        Some(FilesystemUsage {
            usage: all.map(|bytes| bytes as f64),
            inodes: own.map(|own| own.inodes as f64),
            ..self.filesystems.of(files)?
        })
    }
}

/// Cgroups are not older than the machine's last start, to the minute, whatever their folders say.
fn since_boot(created: i64) -> i64 {
    let up = nix::sys::sysinfo::sysinfo().map_or(0, |info| info.uptime().as_secs());
    let booted = base_sys::clock::now_ms() / 1000 - i64::try_from(up).unwrap_or(0);
    created.max(booted - booted.rem_euclid(60))
}
