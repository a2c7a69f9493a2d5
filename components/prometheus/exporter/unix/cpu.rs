//! The CPU lines of `/proc/stat`, throttling and isolation from sysfs, and `/proc/cpuinfo` when asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number, read_number};
use super::filter::Pattern;

pub(crate) struct Cpu {
    settings: CpuSettings,
    stat: Source,
    cpuinfo: Source,
    sysfs: PathBuf,
    /// Seconds by CPU; kept because the kernel's counters sometimes step back a little and ours must not.
    seconds: Vec<CpuSeconds>,
    /// As the kernel was told at boot.
    isolated: Vec<String>,
    throttles: Option<Throttles>,
}

/// What the `cpu` block sets.
#[derive(Debug, Default)]
pub(crate) struct CpuSettings {
    pub guest: bool,
    pub info: bool,
    /// Frequencies come from here only when the cpufreq collector is off.
    pub frequency: bool,
    pub bugs: Option<Pattern>,
    pub flags: Option<Pattern>,
}

struct CpuSeconds {
    name: String,
    /// In the order of the file: see `MODES`.
    modes: [f64; FIELDS],
    seen: bool,
}

/// The columns of a CPU's line: user nice system idle iowait irq softirq steal guest guest_nice.
const FIELDS: usize = 10;
const IDLE: usize = 3;
/// In the order shown, with their columns.
const MODES: [(&str, usize); 8] =
    [("idle", IDLE), ("iowait", 4), ("irq", 5), ("nice", 1), ("softirq", 6), ("steal", 7), ("system", 2), ("user", 0)];
const GUEST_MODES: [(&str, usize); 2] = [("nice", 9), ("user", 8)];

/// The kernel shows times to user space in hundredths of a second on every architecture.
const USER_HZ: f64 = 100.0;
/// An idle time that steps back further than this means the CPU was unplugged and came back.
const JUMP_BACK_SECONDS: f64 = 3.0;

impl Cpu {
    pub fn new(paths: &Paths, settings: CpuSettings) -> Cpu {
        let sysfs = paths.sysfs.join("devices/system/cpu");
        let isolated = std::fs::read_to_string(sysfs.join("isolated")).map(|text| cpu_list(&text)).unwrap_or_default();
        Cpu {
            settings,
            stat: Source::single(paths.procfs.join("stat")),
            cpuinfo: Source::records(paths.procfs.join("cpuinfo")),
            sysfs,
            seconds: Vec::new(),
            isolated,
            throttles: None,
        }
    }

    /// Takes the CPU lines in; true when a CPU came or went.
    fn update(&mut self, scratch: &mut Scratch) -> Result<bool, Failure> {
        let text = self.stat.read(scratch);
        let path = self.stat.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        let mut changed = false;
        self.seconds.iter_mut().for_each(|cpu| cpu.seen = false);
        // The first line sums the others up; they follow it without a gap.
        for line in text.lines().skip_while(|line| !line.starts_with("cpu")).skip(1) {
            let Some(line) = line.strip_prefix("cpu") else { break };
            let mut fields = line.split_ascii_whitespace();
            let name = fields.next().ok_or_else(|| Failure::malformed(path, line))?;
            let mut now = [0.0; FIELDS];
            for (mode, field) in now.iter_mut().zip(fields) {
                *mode = number(field, path)? / USER_HZ;
            }
            match self.seconds.iter_mut().find(|cpu| cpu.name == name) {
                Some(cpu) => cpu.advance(now),
                None => {
                    self.seconds.push(CpuSeconds { name: name.to_owned(), modes: now, seen: true });
                    changed = true;
                }
            }
        }
        let before = self.seconds.len();
        self.seconds.retain(|cpu| cpu.seen);
        Ok(changed || self.seconds.len() < before)
    }

    fn info(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.cpuinfo.read(scratch);
        let text = text.map_err(|error| Failure::reading(self.cpuinfo.path(), &error))?;
        // One block of `name : value` lines for each CPU, an empty line between blocks.
        let cpus: Vec<BTreeMap<&str, &str>> = text
            .split("\n\n")
            .map(|block| {
                let lines = block.lines().filter_map(|line| line.split_once(':'));
                lines.map(|(name, value)| (name.trim(), value.trim())).collect::<BTreeMap<_, _>>()
            })
            .filter(|fields| fields.contains_key("processor"))
            .collect();
        let field = |cpu: &BTreeMap<&str, &'_ str>, name: &str| cpu.get(name).copied().unwrap_or("").to_owned();
        let mut info = page.family("node_cpu_info", "CPU information from /proc/cpuinfo.", Kind::Gauge);
        for cpu in &cpus {
            info.sample(
                &[
                    ("cachesize", &field(cpu, "cache size")),
                    ("core", &field(cpu, "core id")),
                    ("cpu", &field(cpu, "processor")),
                    ("family", &field(cpu, "cpu family")),
                    ("microcode", &field(cpu, "microcode")),
                    ("model", &field(cpu, "model")),
                    ("model_name", &field(cpu, "model name")),
                    ("package", &field(cpu, "physical id")),
                    ("stepping", &field(cpu, "stepping")),
                    ("vendor", &field(cpu, "vendor_id")),
                ],
                1.0,
            );
        }
        if self.settings.frequency {
            let mut frequency =
                page.family("node_cpu_frequency_hertz", "CPU frequency in hertz from /proc/cpuinfo.", Kind::Gauge);
            for cpu in &cpus {
                let megahertz = field(cpu, "cpu MHz").parse::<f64>().unwrap_or(0.0);
                frequency.sample(
                    &[
                        ("core", &field(cpu, "core id")),
                        ("cpu", &field(cpu, "processor")),
                        ("package", &field(cpu, "physical id")),
                    ],
                    megahertz * 1e6,
                );
            }
        }
        let Some(first) = cpus.first() else { return Ok(()) };
        for (name, help, label, fields, pattern) in [
            (
                "node_cpu_flag_info",
                "The `flags` field of CPU information from /proc/cpuinfo taken from the first core.",
                "flag",
                // On x86, and on ARM.
                &["flags", "Features"][..],
                &self.settings.flags,
            ),
            (
                "node_cpu_bug_info",
                "The `bugs` field of CPU information from /proc/cpuinfo taken from the first core.",
                "bug",
                &["bugs"][..],
                &self.settings.bugs,
            ),
        ] {
            let Some(pattern) = pattern else { continue };
            let mut family = page.family(name, help, Kind::Gauge);
            let words = fields.iter().find_map(|field| first.get(field)).copied().unwrap_or("");
            for word in words.split_ascii_whitespace().filter(|word| pattern.is_match(word)) {
                family.sample(&[(label, word)], 1.0);
            }
        }
        Ok(())
    }
}

impl Collector for Cpu {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        if self.settings.info {
            self.info(scratch, page)?;
        }
        if self.update(scratch)? {
            self.throttles = None;
        }
        let mut family = page.family("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", Kind::Counter);
        for cpu in &self.seconds {
            for (mode, column) in MODES {
                family.sample(&[("cpu", &cpu.name), ("mode", mode)], cpu.modes[column]);
            }
        }
        if self.settings.guest {
            let mut family = page.family(
                "node_cpu_guest_seconds_total",
                "Seconds the CPUs spent in guests (VMs) for each mode.",
                Kind::Counter,
            );
            for cpu in &self.seconds {
                for (mode, column) in GUEST_MODES {
                    family.sample(&[("cpu", &cpu.name), ("mode", mode)], cpu.modes[column]);
                }
            }
        }
        let mut isolated = page.family(
            "node_cpu_isolated",
            "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.",
            Kind::Gauge,
        );
        for cpu in &self.isolated {
            isolated.sample(&[("cpu", cpu)], 1.0);
        }
        self.throttles.get_or_insert_with(|| Throttles::find(&self.sysfs)).write(scratch, page);
        Ok(())
    }
}

impl CpuSeconds {
    /// Takes the new values, but none that is less than before: a counter that steps back reads as a restart.
    fn advance(&mut self, now: [f64; FIELDS]) {
        self.seen = true;
        if self.modes[IDLE] - now[IDLE] >= JUMP_BACK_SECONDS {
            self.modes = now;
            return;
        }
        for (mode, now) in self.modes.iter_mut().zip(now) {
            *mode = mode.max(now);
        }
    }
}

/// How often cores and packages were slowed down because of heat: found once, read at each look.
#[derive(Default)]
struct Throttles {
    packages: Vec<(String, Source)>,
    cores: Vec<(String, String, Source)>,
}

impl Throttles {
    fn find(sysfs: &Path) -> Throttles {
        let mut found = Throttles::default();
        let (mut packages, mut cores) = (BTreeMap::new(), BTreeMap::new());
        let entries = std::fs::read_dir(sysfs).into_iter().flatten().flatten();
        for cpu in entries.map(|entry| entry.path()) {
            let name = cpu.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit())) {
                continue;
            }
            let topology = |file: &str| read_number(&cpu.join("topology").join(file)).ok().map(|id| id as u64);
            let (Some(package), Some(core)) = (topology("physical_package_id"), topology("core_id")) else { continue };
            let counter = |file: &str| Some(cpu.join("thermal_throttle").join(file)).filter(|path| path.exists());
            // Threads of a core, and cores of a package, show the same counter: one of them is enough.
            if let Some(path) = counter("core_throttle_count") {
                cores.entry((package, core)).or_insert(path);
            }
            if let Some(path) = counter("package_throttle_count") {
                packages.entry(package).or_insert(path);
            }
        }
        for (package, path) in packages {
            found.packages.push((package.to_string(), Source::single(path)));
        }
        for ((package, core), path) in cores {
            found.cores.push((package.to_string(), core.to_string(), Source::single(path)));
        }
        found
    }

    fn write(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) {
        let mut count = |source: &mut Source| source.read(scratch).ok()?.trim().parse::<f64>().ok();
        let mut family = page.family(
            "node_cpu_package_throttles_total",
            "Number of times this CPU package has been throttled.",
            Kind::Counter,
        );
        for (package, source) in &mut self.packages {
            if let Some(count) = count(source) {
                family.sample(&[("package", package)], count);
            }
        }
        let mut family = page.family(
            "node_cpu_core_throttles_total",
            "Number of times this CPU core has been throttled.",
            Kind::Counter,
        );
        for (package, core, source) in &mut self.cores {
            if let Some(count) = count(source) {
                family.sample(&[("core", core), ("package", package)], count);
            }
        }
    }
}

/// `1,3-5` as 1, 3, 4, 5.
fn cpu_list(text: &str) -> Vec<String> {
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    });
    ranges.flatten().map(|cpu| cpu.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_steps_back_a_little_stays_and_a_replugged_cpu_starts_anew() {
        let mut cpu = CpuSeconds { name: "0".to_owned(), modes: [100.0; FIELDS], seen: false };
        let mut now = [101.0; FIELDS];
        now[IDLE] = 99.0;
        cpu.advance(now);
        assert_eq!((cpu.modes[IDLE], cpu.modes[0]), (100.0, 101.0));
        cpu.advance([2.0; FIELDS]);
        assert_eq!((cpu.modes[IDLE], cpu.modes[0]), (2.0, 2.0));
    }

    #[test]
    fn lists_of_cpus_may_hold_ranges() {
        assert_eq!(cpu_list("1,3-5\n"), ["1", "3", "4", "5"]);
        assert_eq!(cpu_list("\n"), [""; 0]);
    }
}
