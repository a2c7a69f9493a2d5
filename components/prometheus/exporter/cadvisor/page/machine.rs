//! Families about the machine.

use base_metrics::{FamilyWriter, Kind as Type};

use super::super::kinds::{Kind, Kinds};
use super::super::machine::Machine;

pub(super) fn write(page: &mut FamilyWriter<'_>, machine: &Machine, kinds: Kinds, now: i64) {
    let (boot, id, system) = (&machine.boot_id, &machine.machine_id, &machine.system_uuid);
    let labels = |more: &[(&str, String)]| {
        let base = [("boot_id", boot), ("machine_id", id), ("system_uuid", system)];
        let base = base.map(|(name, value)| (name.to_owned(), value.clone()));
        let mut all: Vec<(String, String)> =
            more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).chain(base).collect();
        all.sort();
        all
    };
    let mut family = |name: &str, help: &str, samples: Vec<(Vec<(String, String)>, f64)>| {
        let mut family = page.family(name, help, Type::Gauge);
        for (labels, value) in &samples {
            family.with(labels).sample_at(&[], *value, now);
        }
    };
    for (name, help, value) in [
        ("machine_cpu_physical_cores", "Number of physical CPU cores.", machine.physical_cores),
        ("machine_cpu_cores", "Number of logical CPU cores.", machine.cores),
        ("machine_cpu_sockets", "Number of CPU sockets.", machine.sockets),
        ("machine_memory_bytes", "Amount of memory installed on the machine.", machine.memory),
        ("machine_swap_bytes", "Amount of swap memory available on the machine.", machine.swap),
        // Nobody builds cAdvisor with the library that could tell of it, and Alloy is not built with it.
        ("machine_nvm_avg_power_budget_watts", "NVM power budget.", 0),
    ] {
        family(name, help, vec![(labels(&[]), value as f64)]);
    }
    let modes = ["app_direct_mode", "memory_mode"].map(|mode| (labels(&[("mode", mode.to_owned())]), 0.0));
    let help = "NVM capacity value labeled by NVM mode (memory mode or app direct mode).";
    family("machine_nvm_capacity", help, modes.into());
    let modules = |value: fn(&(u64, u64)) -> u64| {
        let samples =
            machine.modules.iter().map(|(kind, module)| (labels(&[("type", kind.clone())]), value(module) as f64));
        samples.collect::<Vec<_>>()
    };
    let help = "Number of RAM DIMM (all types memory modules) value labeled by dimm type.";
    family("machine_dimm_count", help, modules(|(count, _)| *count));
    let help = "Total RAM DIMM capacity (all types memory modules) value labeled by dimm type.";
    family("machine_dimm_capacity_bytes", help, modules(|(_, bytes)| *bytes));

    if kinds.has(Kind::CpuTopology) {
        let mut caches = Vec::new();
        let (mut siblings, mut memory, mut huge_pages, mut distances) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for node in &machine.nodes {
            let id = ("node_id", node.id.to_string());
            let of_cores =
                node.cores.iter().flat_map(|core| core.caches.iter().map(|cache| (core.id.to_string(), cache)));
            for (core, cache) in of_cores.chain(node.caches.iter().map(|cache| (String::new(), cache))) {
                let more =
                    [id.clone(), ("core_id", core), ("type", cache.kind.clone()), ("level", cache.level.to_string())];
                caches.push((labels(&more), cache.size as f64));
            }
            for (core, thread) in
                node.cores.iter().flat_map(|core| core.threads.iter().map(move |thread| (core, thread)))
            {
                let more = [id.clone(), ("core_id", core.id.to_string()), ("thread_id", thread.to_string())];
                siblings.push((labels(&more), core.threads.len() as f64));
            }
            memory.push((labels(std::slice::from_ref(&id)), node.memory as f64));
            for (size, count) in &node.huge_pages {
                huge_pages.push((labels(&[id.clone(), ("page_size", size.to_string())]), *count as f64));
            }
            for (target, distance) in node.distances.iter().enumerate() {
                distances.push((labels(&[id.clone(), ("target_node_id", target.to_string())]), *distance as f64));
            }
        }
        let help = "Cache size in bytes assigned to NUMA node and CPU core.";
        family("machine_cpu_cache_capacity_bytes", help, caches);
        family("machine_thread_siblings_count", "Number of CPU thread siblings.", siblings);
        family("machine_node_memory_capacity_bytes", "Amount of memory assigned to NUMA node.", memory);
        family("machine_node_hugepages_count", "Numer of hugepages assigned to NUMA node.", huge_pages);
        let help = "Distance between NUMA node and target NUMA node.";
        family("machine_node_distance", help, distances);
    }
    page.gauge("machine_scrape_error", "1 if there was an error while getting machine metrics, 0 otherwise.", 0.0);
}
