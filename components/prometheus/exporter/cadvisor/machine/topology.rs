//! Which CPUs, caches and memory are near each other.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::host::{Reader, Roots, kilobytes};

/// A part of the machine whose CPUs and memory are near each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Node {
    pub id: u64,
    /// Bytes.
    pub memory: u64,
    /// Size in kilobytes, and how many.
    pub huge_pages: Vec<(u64, u64)>,
    /// To each node, the first to the first.
    pub distances: Vec<u64>,
    pub cores: Vec<Core>,
    /// Shared by all of its CPUs.
    pub caches: Vec<Cache>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Core {
    pub id: u64,
    socket: u64,
    pub threads: Vec<u64>,
    /// Its own, and those it shares with a part of the node.
    pub caches: Vec<Cache>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Cache {
    id: u64,
    /// Bytes.
    pub size: u64,
    pub level: u64,
    /// `Data`, `Instruction`, `Unified`
    pub kind: String,
}

/// The numbers of the CPUs that work.
pub(super) fn cpus(reader: &mut Reader, folder: &Path) -> Vec<u64> {
    let Some(text) = reader.text(folder, "online") else { return numbered(folder, "cpu") };
    let mut all = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>())
            && last < 1 << 16
        {
            all.extend(first..=last);
        }
    }
    all
}

/// In kilobytes.
pub(super) fn page_sizes(folder: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        entry.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()
    });
    let mut sizes: Vec<u64> = sizes.collect();
    sizes.sort_unstable();
    sizes
}

/// Every node; a machine that does not tell of them has one for each socket.
pub(super) fn nodes(reader: &mut Reader, roots: &Roots, online: &[u64]) -> Vec<Node> {
    let cpus = roots.sys.join("devices/system/cpu");
    let folder = roots.sys.join("devices/system/node");
    let known = numbered(&folder, "node");
    if known.is_empty() {
        let mut of_socket: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for cpu in online {
            if let Some(socket) = reader.number(&cpus, &format!("cpu{cpu}/topology/physical_package_id")) {
                of_socket.entry(socket).or_default().push(*cpu);
            }
        }
        let node = |(id, its): (u64, Vec<u64>)| with_cores(reader, &cpus, &its, Node { id, ..Node::default() });
        return of_socket.into_iter().map(node).collect();
    }
    let mut nodes = Vec::new();
    for id in known {
        let folder = folder.join(format!("node{id}"));
        let its: Vec<u64> = numbered(&folder, "cpu").into_iter().filter(|cpu| online.contains(cpu)).collect();
        let memory = reader.text(&folder, "meminfo").unwrap_or_default();
        let memory = memory.lines().find_map(|line| kilobytes(&line[line.find("MemTotal")?..], "MemTotal"));
        let distances = reader.text(&folder, "distance").unwrap_or_default();
        let distances = distances.split_whitespace().filter_map(|distance| distance.parse().ok()).collect();
        let huge_pages = page_sizes(&folder.join("hugepages")).into_iter().map(|size| {
            (size, reader.number(&folder, &format!("hugepages/hugepages-{size}kB/nr_hugepages")).unwrap_or(0))
        });
        let huge_pages = huge_pages.collect();
        let node = Node { id, memory: memory.unwrap_or(0), distances, huge_pages, ..Node::default() };
        nodes.push(with_cores(reader, &cpus, &its, node));
    }
    nodes
}

fn with_cores(reader: &mut Reader, cpus: &Path, its: &[u64], mut node: Node) -> Node {
    for cpu in its {
        let mut number = |file: &str| reader.number(cpus, &format!("cpu{cpu}/topology/{file}"));
        let (Some(id), Some(socket)) = (number("core_id"), number("physical_package_id")) else { continue };
        match node.cores.iter_mut().find(|core| (core.id, core.socket) == (id, socket)) {
            Some(core) => core.threads.push(*cpu),
            None => node.cores.push(Core { id, socket, threads: vec![*cpu], caches: Vec::new() }),
        }
    }
    let cores = node.cores.len();
    for core in &mut node.cores {
        let folder = cpus.join(format!("cpu{}/cache", core.threads[0]));
        for index in numbered(&folder, "index") {
            let Some((cache, shared)) = cache(reader, &folder.join(format!("index{index}"))) else { continue };
            let into = match shared {
                _ if cache.level > 2 && shared == cores * core.threads.len() => &mut node.caches,
                _ if cache.level > 2 || shared == core.threads.len() => &mut core.caches,
                _ => continue,
            };
            if !into.contains(&cache) {
                into.push(cache);
            }
        }
    }
    node
}

/// And how many CPUs share it.
fn cache(reader: &mut Reader, folder: &Path) -> Option<(Cache, usize)> {
    let size = reader.text(folder, "size")?.trim().strip_suffix('K')?.parse::<u64>().ok()?;
    let level = reader.number(folder, "level")?;
    let kind = reader.text(folder, "type")?.trim().to_owned();
    let id = reader.number(folder, "id").unwrap_or(0);
    let map = reader.text(folder, "shared_cpu_map")?;
    let shared = map.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum::<u32>();
    Some((Cache { id, size: size << 10, level, kind }, shared as usize))
}

/// The numbers of folders that are named so: `cpu0`, `cpu1`, …
fn numbered(folder: &Path, prefix: &str) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_that_work_are_ranges() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("cpu1")).expect("a folder");
        std::fs::create_dir(folder.path().join("cpufreq")).expect("a folder");
        assert_eq!(cpus(&mut Reader::default(), folder.path()), [1]);
        std::fs::write(folder.path().join("online"), "0-2,5\n").expect("a file");
        assert_eq!(cpus(&mut Reader::default(), folder.path()), [0, 1, 2, 5]);
    }
}
