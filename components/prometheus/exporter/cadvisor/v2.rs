//! Cgroups in one tree.

use std::path::Path;

use super::hierarchy::{Folders, processes_of};
use super::host::{Reader, Roots, kilobytes, numbers};
use super::kinds::{Kind, Kinds};
use super::measured::{CpuSpec, Disk, HugePages, Io, MemorySpec, Spec, Stats, Waited};

/// Reads what a container uses.
pub(super) fn read(
    reader: &mut Reader,
    roots: &Roots,
    folders: &Folders<'_>,
    kinds: Kinds,
    page_sizes: &[String],
    stats: &mut Stats,
) {
    let Some(folder) = folders.of("") else { return };
    for (name, value) in numbers(reader.text(&folder, "cpu.stat").unwrap_or_default()) {
        let nanoseconds = value.saturating_mul(1000);
        match name {
            "usage_usec" => stats.cpu.total = nanoseconds,
            "user_usec" => stats.cpu.user = nanoseconds,
            "system_usec" => stats.cpu.system = nanoseconds,
            "nr_periods" => stats.cpu.periods = value,
            "nr_throttled" => stats.cpu.throttled_periods = value,
            "throttled_usec" => stats.cpu.throttled = nanoseconds,
            _ => {}
        }
    }
    if kinds.has(Kind::Memory) {
        memory(reader, roots, folders, &folder, stats);
    }
    if kinds.has(Kind::OutOfMemory) {
        stats.killed = kills(reader, &folder);
    }
    if kinds.has(Kind::DiskIo) {
        stats.io = io(reader.text(&folder, "io.stat").unwrap_or_default());
    }
    if kinds.has(Kind::Pressure) {
        stats.pressure.cpu = waited(reader.text(&folder, "cpu.pressure").unwrap_or_default());
        stats.pressure.memory = waited(reader.text(&folder, "memory.pressure").unwrap_or_default());
        stats.pressure.io = waited(reader.text(&folder, "io.pressure").unwrap_or_default());
    }
    if kinds.has(Kind::HugePages) {
        stats.huge_pages = page_sizes.iter().filter_map(|size| huge_pages(reader, &folder, size)).collect();
    }
    if kinds.has(Kind::Process) {
        let threads = reader.number(&folder, "pids.current");
        stats.processes.threads = threads.unwrap_or_else(|| processes_of(reader, &folder).len() as u64);
        stats.processes.max_threads = reader.number(&folder, "pids.max").filter(|max| *max != u64::MAX).unwrap_or(0);
    }
}

/// Reads what limits a container has.
pub(super) fn spec(reader: &mut Reader, folders: &Folders<'_>) -> Spec {
    let Some(folder) = folders.of("").filter(|folder| folder.is_dir()) else { return Spec::default() };
    let mut cpu = CpuSpec::default();
    if let Some(weight) = reader.number(&folder, "cpu.weight").filter(|weight| (1..=10_000).contains(weight)) {
        // From 1 to 10000 there, from 2 to 262144 in the first version, in which limits are still told.
        cpu.shares = 2 + (weight - 1) * 262_142 / 9_999;
    }
    if let Some((quota, period)) = reader.text(&folder, "cpu.max").and_then(|text| text.trim().split_once(' ')) {
        cpu.quota = quota.parse().unwrap_or(0);
        cpu.period = period.parse().unwrap_or(0);
    }
    let memory = reader.number(&folder, "memory.max").map(|limit| MemorySpec {
        limit,
        swap_limit: reader.number(&folder, "memory.swap.max").unwrap_or(0),
        reservation: reader.number(&folder, "memory.min").unwrap_or(0),
    });
    Spec { cpu: Some(cpu), memory }
}

fn memory(reader: &mut Reader, roots: &Roots, folders: &Folders<'_>, folder: &Path, stats: &mut Stats) {
    let memory = &mut stats.memory;
    for (name, value) in numbers(reader.text(folder, "memory.stat").unwrap_or_default()) {
        match name {
            "file" => memory.cache = value,
            "anon" => memory.resident = value,
            "file_mapped" => memory.mapped = value,
            "pgfault" => memory.page_faults = value,
            "pgmajfault" => memory.major_faults = value,
            "active_file" => memory.active_file = value,
            "inactive_file" => memory.inactive_file = value,
            _ => {}
        }
    }
    match reader.number(folder, "memory.current") {
        Some(usage) => {
            memory.usage = usage;
            memory.max_usage = reader.number(folder, "memory.peak").unwrap_or(0);
            memory.swap = reader.number(folder, "memory.swap.current").unwrap_or(0);
        }
        // The cgroup that all others are in does not count itself; the machine does.
        None if folders.is_root() => {
            memory.usage = memory.resident.saturating_add(memory.cache);
            let machine = reader.text(&roots.proc, "meminfo").unwrap_or_default();
            let swap = |name| kilobytes(machine, name).unwrap_or(0);
            memory.swap = swap("SwapTotal").saturating_sub(swap("SwapFree"));
        }
        None => {}
    }
}

/// In it alone, if the kernel tells that.
fn kills(reader: &mut Reader, folder: &Path) -> u64 {
    let mut of = |file| {
        let events = reader.text(folder, file)?;
        numbers(events).find(|(name, _)| *name == "oom_kill").map(|(_, kills)| kills)
    };
    of("memory.events.local").or_else(|| of("memory.events")).unwrap_or(0)
}

/// A line is `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
fn io(text: &str) -> Io {
    let mut io = Io::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(|word| word.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let (table, operation) = match name {
                "rbytes" => (&mut io.bytes, "Read"),
                "wbytes" => (&mut io.bytes, "Write"),
                "rios" => (&mut io.operations, "Read"),
                "wios" => (&mut io.operations, "Write"),
                _ => continue,
            };
            if let Ok(value) = value.parse() {
                Disk::put(table, major, minor, operation, value);
            }
        }
    }
    io
}

/// Lines of `some avg10=0.00 … total=5`.
fn waited(text: &str) -> Waited {
    let mut waited = Waited::default();
    for line in text.lines() {
        let total = line.rsplit_once("total=").and_then(|(_, total)| total.trim().parse().ok());
        match (line.split(' ').next(), total) {
            (Some("some"), Some(total)) => waited.some = total,
            (Some("full"), Some(total)) => waited.full = total,
            _ => {}
        }
    }
    waited
}

fn huge_pages(reader: &mut Reader, folder: &Path, size: &str) -> Option<HugePages> {
    let reserved = reader.number(folder, &format!("hugetlb.{size}.rsvd.current"));
    let usage = reserved.or_else(|| reader.number(folder, &format!("hugetlb.{size}.current")))?;
    let events = reader.text(folder, &format!("hugetlb.{size}.events")).unwrap_or_default();
    let failures = numbers(events).find(|(name, _)| *name == "max").map_or(0, |(_, failures)| failures);
    Some(HugePages { size: size.to_owned(), usage, max_usage: 0, failures })
}
