//! The machine that containers run on.

mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::host::{Reader, Roots, kilobytes};
use super::kinds::{Kind, Kinds};
use topology::Node;

/// What does not change often.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Machine {
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel: String,
    pub system: String,
    pub physical_cores: u64,
    pub cores: u64,
    pub sockets: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub swap: u64,
    /// By kind: how many modules with how many bytes.
    pub modules: BTreeMap<String, (u64, u64)>,
    /// Sizes of huge pages as cgroups name them: `2MB`.
    pub page_sizes: Vec<String>,
    /// Empty unless somebody asks for it.
    pub nodes: Vec<Node>,
}

impl Machine {
    pub fn read(reader: &mut Reader, roots: &Roots, kinds: Kinds) -> Machine {
        let cpus = roots.sys.join("devices/system/cpu");
        let cpuinfo = reader.text(&roots.proc, "cpuinfo").unwrap_or_default();
        let (cores_told, sockets_told) = (different(cpuinfo, "core id"), different(cpuinfo, "physical id"));
        let online = topology::cpus(reader, &cpus);
        let mut of_each = |file: &str| {
            let values: BTreeSet<String> = online
                .iter()
                .filter_map(|cpu| Some(reader.text(&cpus, &format!("cpu{cpu}/topology/{file}"))?.trim().to_owned()))
                .collect();
            values.len() as u64
        };
        let physical_cores = if cores_told == 0 { of_each("core_id") } else { cores_told };
        let sockets = if sockets_told == 0 { of_each("physical_package_id") } else { sockets_told };
        let meminfo = reader.text(&roots.proc, "meminfo").unwrap_or_default();
        let (memory, swap) = (kilobytes(meminfo, "MemTotal"), kilobytes(meminfo, "SwapTotal"));
        Machine {
            machine_id: first(
                reader,
                &[roots.on_host(Path::new("/etc/machine-id")), "/var/lib/dbus/machine-id".into()],
            ),
            system_uuid: first(
                reader,
                &[
                    roots.sys.join("class/dmi/id/product_uuid"),
                    roots.proc.join("device-tree/system-id"),
                    roots.proc.join("device-tree/vm,uuid"),
                    "/etc/machine-id".into(),
                ],
            ),
            boot_id: first(reader, &[roots.proc.join("sys/kernel/random/boot_id")]),
            kernel: nix::sys::utsname::uname()
                .map_or_else(|_| "Unknown".to_owned(), |names| names.release().to_string_lossy().into_owned()),
            system: system(reader),
            physical_cores,
            cores: online.len() as u64,
            sockets,
            memory: memory.unwrap_or(0),
            swap: swap.unwrap_or(0),
            modules: modules(reader, &roots.sys.join("devices/system/edac/mc")),
            page_sizes: topology::page_sizes(&roots.sys.join("kernel/mm/hugepages"))
                .into_iter()
                .map(size_name)
                .collect(),
            nodes: if kinds.has(Kind::CpuTopology) { topology::nodes(reader, roots, &online) } else { Vec::new() },
        }
    }
}

/// The text of the first of these files that is there.
fn first(reader: &mut Reader, files: &[PathBuf]) -> String {
    let text = files.iter().find_map(|file| Some(reader.whole(file)?.trim_end_matches('\0').trim().to_owned()));
    text.unwrap_or_default()
}

/// How many different values a field of `/proc/cpuinfo` has.
fn different(cpuinfo: &str, name: &str) -> u64 {
    let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let values: BTreeSet<&str> =
        fields.filter(|(field, _)| field.trim() == name).map(|(_, value)| value.trim()).collect();
    values.len() as u64
}

/// The name of the system that this runs on, or in.
fn system(reader: &mut Reader) -> String {
    let text = first(reader, &["/etc/os-release".into(), "/usr/lib/os-release".into()]);
    if text.is_empty() {
        return "Unknown".to_owned();
    }
    let name = text.lines().find_map(|line| line.split_once("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |(_, name)| name.trim_matches('"').to_owned())
}

fn modules(reader: &mut Reader, folder: &Path) -> BTreeMap<String, (u64, u64)> {
    let mut modules = BTreeMap::new();
    let inside = |folder: &Path, prefix: &'static str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
        names.filter(move |(name, _)| name.starts_with(prefix)).map(|(_, path)| path).collect::<Vec<_>>()
    };
    for module in inside(folder, "mc").iter().flat_map(|controller| inside(controller, "dimm")) {
        let Some(kind) = reader.text(&module, "dimm_mem_type").map(|kind| kind.trim().to_owned()) else { continue };
        let megabytes = reader.number(&module, "size").unwrap_or(0);
        let (count, bytes) = modules.entry(kind).or_insert((0, 0));
        *count += 1;
        *bytes += megabytes << 20;
    }
    modules
}

/// From kilobytes.
fn size_name(kilobytes: u64) -> String {
    match kilobytes {
        1_048_576.. => format!("{}GB", kilobytes >> 20),
        1_024.. => format!("{}MB", kilobytes >> 10),
        _ => format!("{kilobytes}KB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_by_their_numbers() {
        let text =
            "processor : 0\nphysical id\t: 0\ncore id\t\t: 0\n\nprocessor : 1\nphysical id\t: 0\ncore id\t\t: 1\n";
        assert_eq!((different(text, "core id"), different(text, "physical id"), different(text, "none")), (2, 1, 0));
    }

    #[test]
    fn sizes_of_pages_are_named_as_cgroups_do() {
        assert_eq!([64, 2048, 1_048_576].map(size_name), ["64KB", "2MB", "1GB"]);
    }
}
