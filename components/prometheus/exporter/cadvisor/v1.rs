//! Cgroups with a tree for each controller.

use std::path::Path;

use super::hierarchy::Folders;
use super::host::{Reader, numbers};
use super::kinds::{Kind, Kinds};
use super::measured::{Cpu, CpuSpec, Disk, HugePages, Io, Memory, MemorySpec, NumaPages, Spec, Stats};

/// Nanoseconds of a tick of the kernel's clocks, which towards programs beat 100 times a second.
const TICK: u64 = 10_000_000;

/// Reads what a container uses.
pub(super) fn read(reader: &mut Reader, folders: &Folders<'_>, kinds: Kinds, page_sizes: &[String], stats: &mut Stats) {
    if let Some(folder) = folders.of("cpuacct") {
        cpu_account(reader, &folder, kinds, &mut stats.cpu);
    }
    if let Some(folder) = folders.of("cpu") {
        for (name, value) in numbers(reader.text(&folder, "cpu.stat").unwrap_or_default()) {
            match name {
                "nr_periods" => stats.cpu.periods = value,
                "nr_throttled" => stats.cpu.throttled_periods = value,
                "throttled_time" => stats.cpu.throttled = value,
                _ => {}
            }
        }
    }
    if let Some(folder) = folders.of("memory") {
        stats.memory = memory(reader, &folder);
        if kinds.has(Kind::OutOfMemory) {
            let control = reader.text(&folder, "memory.oom_control").unwrap_or_default();
            stats.killed = numbers(control).find(|(name, _)| *name == "oom_kill").map_or(0, |(_, kills)| kills);
        }
        if kinds.has(Kind::MemoryNuma) {
            stats.numa = numa(reader.text(&folder, "memory.numa_stat").unwrap_or_default());
        }
    }
    if let Some(folder) = folders.of("blkio") {
        stats.io = io(reader, &folder);
    }
    if let Some(folder) = folders.of("hugetlb") {
        stats.huge_pages = page_sizes.iter().filter_map(|size| huge_pages(reader, &folder, size)).collect();
    }
    if let Some(folder) = folders.of("cpuset") {
        stats.memory_migrate = reader.number(&folder, "cpuset.memory_migrate").unwrap_or(0);
    }
    // The cgroup that all others are in does not count its threads.
    if let Some(folder) = folders.of("pids").filter(|_| !folders.is_root()) {
        stats.processes.threads = reader.number(&folder, "pids.current").unwrap_or(0);
        stats.processes.max_threads = reader.number(&folder, "pids.max").filter(|max| *max != u64::MAX).unwrap_or(0);
    }
}

/// Reads what limits a container has.
pub(super) fn spec(reader: &mut Reader, folders: &Folders<'_>) -> Spec {
    let cpu = folders.of("cpu").filter(|folder| folder.is_dir()).map(|folder| CpuSpec {
        period: reader.number(&folder, "cpu.cfs_period_us").unwrap_or(0),
        // Without a limit, it is -1.
        quota: reader.number(&folder, "cpu.cfs_quota_us").unwrap_or(0),
        shares: reader.number(&folder, "cpu.shares").unwrap_or(0),
    });
    let bound = folders.of("cpuset").is_some_and(|folder| folder.is_dir());
    let memory = folders.of("memory").filter(|folder| folder.is_dir()).map(|folder| MemorySpec {
        limit: reader.number(&folder, "memory.limit_in_bytes").unwrap_or(0),
        swap_limit: reader.number(&folder, "memory.memsw.limit_in_bytes").unwrap_or(0),
        reservation: reader.number(&folder, "memory.soft_limit_in_bytes").unwrap_or(0),
    });
    Spec { cpu: cpu.or(bound.then(CpuSpec::default)), memory }
}

fn cpu_account(reader: &mut Reader, folder: &Path, kinds: Kinds, cpu: &mut Cpu) {
    for (name, value) in numbers(reader.text(folder, "cpuacct.stat").unwrap_or_default()) {
        match name {
            "user" => cpu.user = value.saturating_mul(TICK),
            "system" => cpu.system = value.saturating_mul(TICK),
            _ => {}
        }
    }
    if kinds.has(Kind::PerCpu) {
        let each = reader.text(folder, "cpuacct.usage_percpu").unwrap_or_default();
        cpu.each = each.split_whitespace().filter_map(|value| value.parse().ok()).collect();
    }
    if cpu.each.is_empty() {
        cpu.total = reader.number(folder, "cpuacct.usage").unwrap_or(0);
    }
}

fn memory(reader: &mut Reader, folder: &Path) -> Memory {
    let mut memory = Memory::default();
    // With what is below it, unless the kernel is told to count each cgroup on its own.
    let (mut own, mut whole) = ([0; 4], [0; 4]);
    for (name, value) in numbers(reader.text(folder, "memory.stat").unwrap_or_default()) {
        match name {
            "cache" => own[0] = value,
            "rss" => own[1] = value,
            "swap" => own[2] = value,
            "mapped_file" => own[3] = value,
            "total_cache" => whole[0] = value,
            "total_rss" => whole[1] = value,
            "total_swap" => whole[2] = value,
            "total_mapped_file" => whole[3] = value,
            "pgfault" => memory.page_faults = value,
            "pgmajfault" => memory.major_faults = value,
            "total_active_file" => memory.active_file = value,
            "total_inactive_file" => memory.inactive_file = value,
            _ => {}
        }
    }
    let counted = if reader.number(folder, "memory.use_hierarchy") == Some(1) { whole } else { own };
    [memory.cache, memory.resident, memory.swap, memory.mapped] = counted;
    memory.usage = reader.number(folder, "memory.usage_in_bytes").unwrap_or(0);
    memory.max_usage = reader.number(folder, "memory.max_usage_in_bytes").unwrap_or(0);
    memory.failures = reader.number(folder, "memory.failcnt").unwrap_or(0);
    memory.kernel = reader.number(folder, "memory.kmem.usage_in_bytes").unwrap_or(0);
    memory
}

/// A line is `file=3 N0=2 N1=1`, or `hierarchical_file=…`.
fn numa(text: &str) -> Vec<NumaPages> {
    const KINDS: [&str; 3] = ["file", "anon", "unevictable"];
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some((name, _)) = words.next().and_then(|word| word.split_once('=')) else { continue };
        let whole = name.strip_prefix("hierarchical_");
        let Some(kind) = KINDS.into_iter().find(|kind| *kind == whole.unwrap_or(name)) else { continue };
        let scope = if whole.is_some() { "hierarchy" } else { "container" };
        for (node, pages) in words.filter_map(|word| word.strip_prefix('N')?.split_once('=')) {
            if let Ok(pages) = pages.parse() {
                all.push(NumaPages { kind, scope, node: node.to_owned(), pages });
            }
        }
    }
    all
}

fn huge_pages(reader: &mut Reader, folder: &Path, size: &str) -> Option<HugePages> {
    let of = |part: &str, name: &str| format!("hugetlb.{size}{part}.{name}");
    let reserved = reader.number(folder, &of(".rsvd", "usage_in_bytes"));
    let part = if reserved.is_some() { ".rsvd" } else { "" };
    Some(HugePages {
        size: size.to_owned(),
        usage: reserved.or_else(|| reader.number(folder, &of("", "usage_in_bytes")))?,
        max_usage: reader.number(folder, &of(part, "max_usage_in_bytes")).unwrap_or(0),
        failures: reader.number(folder, &of(part, "failcnt")).unwrap_or(0),
    })
}

/// A table of [`Io`].
type Table = fn(&mut Io) -> &mut Vec<Disk>;

/// What the schedulers count, under their names for it: who counts more comes first. The first file of a group says whether
/// there is anything in the group.
const GROUPS: [&[(&str, Table)]; 5] = [
    &[
        ("blkio.bfq.sectors_recursive", |io| &mut io.sectors),
        ("blkio.bfq.io_service_time_recursive", |io| &mut io.service_time),
        ("blkio.bfq.io_merged_recursive", |io| &mut io.merged),
        ("blkio.bfq.io_queued_recursive", |io| &mut io.queued),
        ("blkio.bfq.io_serviced_recursive", |io| &mut io.operations),
        ("blkio.bfq.io_service_bytes_recursive", |io| &mut io.bytes),
    ],
    &[
        ("blkio.bfq.io_serviced_recursive", |io| &mut io.operations),
        ("blkio.bfq.io_service_bytes_recursive", |io| &mut io.bytes),
    ],
    &[
        ("blkio.sectors_recursive", |io| &mut io.sectors),
        ("blkio.io_service_time_recursive", |io| &mut io.service_time),
        ("blkio.io_merged_recursive", |io| &mut io.merged),
        ("blkio.io_queued_recursive", |io| &mut io.queued),
        ("blkio.io_serviced_recursive", |io| &mut io.operations),
        ("blkio.io_service_bytes_recursive", |io| &mut io.bytes),
    ],
    &[
        ("blkio.throttle.io_serviced_recursive", |io| &mut io.operations),
        ("blkio.throttle.io_service_bytes_recursive", |io| &mut io.bytes),
    ],
    &[("blkio.throttle.io_serviced", |io| &mut io.operations), ("blkio.throttle.io_service_bytes", |io| &mut io.bytes)],
];

fn io(reader: &mut Reader, folder: &Path) -> Io {
    let mut io = Io::default();
    for group in GROUPS {
        for (at, (file, table)) in group.iter().enumerate() {
            let disks = disks(reader.text(folder, file).unwrap_or_default());
            match (disks.is_empty(), at) {
                (true, 0) => break,
                (true, _) => return io,
                (false, _) => *table(&mut io) = disks,
            }
            if at + 1 == group.len() {
                return io;
            }
        }
    }
    io
}

/// A line is `8:0 Read 5` or `8:0 5`; the last one is the sum of all.
fn disks(text: &str) -> Vec<Disk> {
    let mut disks = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split([' ', ':']).filter(|word| !word.is_empty()).collect();
        let (major, minor, operation, value) = match words[..] {
            [major, minor, operation, value] => (major, minor, operation, value),
            [major, minor, value] => (major, minor, "Count", value),
            _ => continue,
        };
        if let (Ok(major), Ok(minor), Ok(value)) = (major.parse(), minor.parse(), value.parse()) {
            Disk::put(&mut disks, major, minor, operation, value);
        }
    }
    disks
}
