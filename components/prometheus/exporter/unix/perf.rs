//! What processors and the kernel count of all that runs: cycles, instructions, caches, faults, switches, tracepoints.
//!
//! Counters are opened at the first look and kept. What a processor does not count, a virtual one usually, is left out.

use std::io;
use std::path::{Path, PathBuf};

use base_devices::perf::{Counter, Event};
use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};

pub(crate) struct Perf {
    settings: PerfSettings,
    /// Which CPUs there are.
    online: PathBuf,
    counters: Vec<Open>,
}

/// What the `perf` block sets.
#[derive(Debug, Default)]
pub(crate) struct PerfSettings {
    /// Empty: all.
    pub cpus: Vec<u32>,
    pub tracepoints: Vec<Tracepoint>,
    pub events: Vec<&'static Known>,
}

/// `subsystem:event`
#[derive(Debug, PartialEq)]
pub(crate) struct Tracepoint {
    subsystem: String,
    event: String,
}

/// An event with a name.
#[derive(Debug)]
pub(crate) struct Known {
    /// In the configuration.
    pub name: &'static str,
    family: &'static str,
    help: &'static str,
    event: Event,
}

struct Open {
    family: String,
    help: String,
    cpu: String,
    counter: Counter,
}

const fn known(name: &'static str, family: &'static str, help: &'static str, kind: u32, config: u64) -> Known {
    Known { name, family, help, event: Event { kind, config } }
}

pub(crate) const HARDWARE: &[Known] = &[
    known("CpuCycles", "cpucycles_total", "Number of CPU cycles (frequency scaled)", 0, 0),
    known("CpuInstr", "instructions_total", "Number of CPU instructions", 0, 1),
    known("CacheRef", "cache_refs_total", "Number of cache references (non frequency scaled)", 0, 2),
    known("CacheMisses", "cache_misses_total", "Number of cache misses", 0, 3),
    known("BranchInstr", "branch_instructions_total", "Number of CPU branch instructions", 0, 4),
    known("BranchMisses", "branch_misses_total", "Number of CPU branch misses", 0, 5),
    known("StalledCyclesFrontend", "stalled_cycles_frontend_total", "Number of stalled frontend CPU cycles", 0, 7),
    known("StalledCyclesBackend", "stalled_cycles_backend_total", "Number of stalled backend CPU cycles", 0, 8),
    known("RefCpuCycles", "ref_cpucycles_total", "Number of CPU cycles", 0, 9),
];

pub(crate) const SOFTWARE: &[Known] = &[
    known("PageFault", "page_faults_total", "Number of page faults", 1, 2),
    known("ContextSwitch", "context_switches_total", "Number of context switches", 1, 3),
    known("CpuMigration", "cpu_migrations_total", "Number of CPU process migrations", 1, 4),
    known("MinorFault", "minor_faults_total", "Number of minor page faults", 1, 5),
    known("MajorFault", "major_faults_total", "Number of major page faults", 1, 6),
];

/// A cache, whether it was read or written, and whether what was sought was not there.
const fn cache(cache: u64, write: u64, miss: u64) -> u64 {
    cache | write << 8 | miss << 16
}

pub(crate) const CACHES: &[Known] = &[
    known("L1DataReadHit", "cache_l1d_read_hits_total", "Number L1 data cache read hits", 3, cache(0, 0, 0)),
    known("L1DataReadMiss", "cache_l1d_read_misses_total", "Number L1 data cache read misses", 3, cache(0, 0, 1)),
    known("L1DataWriteHit", "cache_l1d_write_hits_total", "Number L1 data cache write hits", 3, cache(0, 1, 0)),
    known(
        "L1InstrReadMiss",
        "cache_l1_instr_read_misses_total",
        "Number instruction L1 instruction read misses",
        3,
        cache(1, 0, 1),
    ),
    known("LLReadHit", "cache_ll_read_hits_total", "Number last level read hits", 3, cache(2, 0, 0)),
    known("LLReadMiss", "cache_ll_read_misses_total", "Number last level read misses", 3, cache(2, 0, 1)),
    known("LLWriteHit", "cache_ll_write_hits_total", "Number last level write hits", 3, cache(2, 1, 0)),
    known("LLWriteMiss", "cache_ll_write_misses_total", "Number last level write misses", 3, cache(2, 1, 1)),
    known("InstrTLBReadHit", "cache_tlb_instr_read_hits_total", "Number instruction TLB read hits", 3, cache(4, 0, 0)),
    known(
        "InstrTLBReadMiss",
        "cache_tlb_instr_read_misses_total",
        "Number instruction TLB read misses",
        3,
        cache(4, 0, 1),
    ),
    known("BPUReadHit", "cache_bpu_read_hits_total", "Number BPU read hits", 3, cache(5, 0, 0)),
    known("BPUReadMiss", "cache_bpu_read_misses_total", "Number BPU read misses", 3, cache(5, 0, 1)),
];

const TRACEPOINT: u32 = 2;

/// Where the kernel tells of tracepoints, in newer ones and older ones.
const TRACING: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// More CPUs has nobody.
const MOST_CPUS: u32 = 8192;

impl Perf {
    pub fn new(paths: &Paths, settings: PerfSettings) -> Perf {
        Perf { settings, online: paths.sysfs.join("devices/system/cpu/online"), counters: Vec::new() }
    }

    fn open(&self) -> Result<Vec<Open>, Failure> {
        let cpus = match self.settings.cpus.as_slice() {
            [] => {
                let online = std::fs::read_to_string(&self.online);
                let online = online.map_err(|error| Failure::reading(&self.online, &error))?;
                cpus(online.trim()).map_err(|_| Failure::malformed(&self.online, &online))?
            }
            named => named.to_vec(),
        };
        let mut counters = Vec::new();
        let mut trouble = None;
        for cpu in cpus {
            for known in &self.settings.events {
                match Counter::open(known.event, cpu) {
                    Ok(counter) => counters.push(Open {
                        family: format!("node_perf_{}", known.family),
                        help: known.help.to_owned(),
                        cpu: cpu.to_string(),
                        counter,
                    }),
                    Err(error) => trouble = Some(error),
                }
            }
            for tracepoint in &self.settings.tracepoints {
                let failed = |error: io::Error| {
                    Failure::Failed(format!("cannot count {}:{}: {error}", tracepoint.subsystem, tracepoint.event))
                };
                let event = Event { kind: TRACEPOINT, config: tracepoint.number().map_err(failed)? };
                let counter = Counter::open(event, cpu).map_err(failed)?;
                counters.push(Open {
                    family: format!("node_perf_{}_{}", tracepoint.subsystem, tracepoint.event),
                    help: format!("Perf tracepoint {}:{}", tracepoint.subsystem, tracepoint.event),
                    cpu: cpu.to_string(),
                    counter,
                });
            }
        }
        match trouble {
            Some(error) if counters.is_empty() => Err(Failure::Failed(format!("nothing can be counted: {error}"))),
            _ => Ok(counters),
        }
    }
}

impl Collector for Perf {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        if self.counters.is_empty() {
            self.counters = self.open()?;
        }
        for open in &self.counters {
            let count = open.counter.read();
            let count = count.map_err(|error| Failure::Failed(format!("cannot read {}: {error}", open.family)))?;
            page.family(&open.family, &open.help, Kind::Counter).sample(&[("cpu", &open.cpu)], count as f64);
        }
        Ok(())
    }
}

// === impl Tracepoint ===

impl Tracepoint {
    /// None: it is not written as one.
    pub fn parse(text: &str) -> Option<Tracepoint> {
        let (subsystem, event) = text.split_once(':')?;
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        let tracepoint = Tracepoint { subsystem: subsystem.to_owned(), event: event.to_owned() };
        (is_name(subsystem) && is_name(event)).then_some(tracepoint)
    }

    /// The kernel's number for it.
    fn number(&self) -> io::Result<u64> {
        let mut outcome = Err(io::ErrorKind::NotFound.into());
        for tracing in TRACING {
            let file = Path::new(tracing).join("events").join(&self.subsystem).join(&self.event).join("id");
            outcome = std::fs::read_to_string(&file);
            if outcome.is_ok() {
                break;
            }
        }
        outcome?.trim().parse().map_err(io::Error::other)
    }
}

/// The CPUs of a list: `0-3,5`, or every fifth of some: `1-11:5`.
pub(crate) fn cpus(list: &str) -> Result<Vec<u32>, String> {
    let refused = || format!("{list:?} is no list of CPUs");
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number < MOST_CPUS).ok_or_else(refused);
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let Some((from, to)) = part.split_once('-') else {
            cpus.push(number(part)?);
            continue;
        };
        let (to, stride) = to.split_once(':').unwrap_or((to, "1"));
        let stride = number(stride).ok().filter(|stride| *stride > 0).ok_or_else(refused)?;
        cpus.extend((number(from)?..=number(to)?).step_by(stride as usize));
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use base_metrics::Page;

    use super::*;

    #[test]
    fn lists_of_cpus_are_read_as_the_kernel_and_node_exporter_write_them() {
        for (list, expected) in [("0", &[0][..]), ("0-3,5", &[0, 1, 2, 3, 5]), ("1-10:5", &[1, 6]), ("3-1", &[])] {
            assert_eq!(cpus(list).unwrap(), expected, "{list}");
        }
        for list in ["", "a", "1-", "0-4:0", "1-2-3", "99999999"] {
            assert!(cpus(list).is_err(), "{list}");
        }
    }

    #[test]
    fn tracepoints_have_a_subsystem_and_a_name() {
        let tracepoint = Tracepoint::parse("sched:sched_process_fork").unwrap();
        assert_eq!((&*tracepoint.subsystem, &*tracepoint.event), ("sched", "sched_process_fork"));
        for text in ["sched", "sched:", ":a", "a:b:c", "../..:id", "a/b:c"] {
            assert_eq!(Tracepoint::parse(text), None, "{text}");
        }
    }

    fn collect(settings: PerfSettings, root: &Path) -> Result<String, Failure> {
        let root = root.to_owned();
        let paths = Paths { procfs: root.clone(), sysfs: root.clone(), rootfs: root.clone(), udev: root };
        let (mut page, mut text) = (Page::new(), String::new());
        let mut perf = Perf::new(&paths, settings);
        let mut look = |page: &mut Page| perf.collect(&mut Scratch::default(), &mut page.writer());
        look(&mut page)?;
        page.clear();
        look(&mut page)?;
        page.encode(&mut text, &base_metrics::Losses::default());
        Ok(text)
    }

    #[test]
    fn what_the_kernel_counts_is_shown_for_each_cpu() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("devices/system/cpu")).unwrap();
        std::fs::write(root.path().join("devices/system/cpu/online"), "0\n").unwrap();
        let settings = PerfSettings { events: HARDWARE.iter().chain(SOFTWARE).collect(), ..PerfSettings::default() };
        match collect(settings, root.path()) {
            Ok(page) => {
                for known in SOFTWARE {
                    assert!(page.contains(&format!("node_perf_{}{{cpu=\"0\"}} ", known.family)), "{page}");
                }
            }
            Err(failure) => eprintln!("skipped: {failure:?}"),
        }
    }

    #[test]
    fn what_cannot_be_counted_is_told() {
        let root = tempfile::tempdir().unwrap();
        let events = || SOFTWARE.iter().collect();
        assert!(collect(PerfSettings { events: events(), ..PerfSettings::default() }, root.path()).is_err());
        let gone = PerfSettings { cpus: vec![MOST_CPUS - 1], events: events(), ..PerfSettings::default() };
        let told = collect(gone, root.path());
        assert!(matches!(&told, Err(Failure::Failed(why)) if why.starts_with("nothing can be counted: ")), "{told:?}");
        let tracepoints = vec![Tracepoint::parse("no:such").unwrap()];
        let told = collect(PerfSettings { cpus: vec![0], tracepoints, ..PerfSettings::default() }, root.path());
        assert!(matches!(&told, Err(Failure::Failed(why)) if why.starts_with("cannot count no:such: ")), "{told:?}");
    }
}
