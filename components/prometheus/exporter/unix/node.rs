//! The page of one host: which collectors there are, which of them run, and one look at all of them.

use base_metrics::{FamilyWriter, Kind};
use tokio::time::Instant;

use super::collector::{Collector, Failure, Paths, Scratch};
use super::filter::{DeviceFilter, Pattern};
use super::{
    arp, bonding, conntrack, cpu, cpufreq, diskstats, dmi, edac, entropy, filefd, filesystem, hwmon, loadavg, mdadm,
    meminfo, netclass, netdev, netstat, nvme, os, powersupplyclass, pressure, processes, rapl, schedstat, selinux,
    sockstat, softnet, stat, textfile, thermal_zone, time, timex, udp_queues, uname, vmstat,
};

/// All that runs for one page.
pub(crate) struct Node {
    running: Vec<Running>,
    scratch: Scratch,
}

struct Running {
    name: &'static str,
    collector: Box<dyn Collector>,
    /// Said already, so it is not said again until it is well in between.
    failing: bool,
}

/// Everything a user can set, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub paths: Paths,
    /// By name; see [`KNOWN`].
    pub collectors: Vec<&'static str>,
    pub arp_devices: DeviceFilter,
    pub cpu: cpu::CpuSettings,
    pub disk_devices: DeviceFilter,
    pub filesystem: filesystem::FilesystemSettings,
    pub hwmon_chips: DeviceFilter,
    pub netclass: netclass::NetclassSettings,
    pub netdev: netdev::NetdevSettings,
    pub netstat_fields: Pattern,
    pub power_supplies_ignored: Pattern,
    pub textfile_directory: String,
    pub vmstat_fields: Pattern,
}

/// Stands for a collector that was asked for by name and does not exist yet: the page and the log say so.
struct Missing;

impl Collector for Missing {
    fn collect(&mut self, _: &mut Scratch, _: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        Err(Failure::Failed("this version of Ferroalloy does not have the collector yet".to_owned()))
    }
}

/// A collector of node_exporter's on Linux.
pub(crate) struct Known {
    pub name: &'static str,
    /// Runs unless it is disabled.
    pub default: bool,
    /// Exists here.
    pub here: bool,
}

const fn here(name: &'static str) -> Known {
    Known { name, default: true, here: true }
}

const fn missing(name: &'static str) -> Known {
    Known { name, default: true, here: false }
}

const fn missing_and_off(name: &'static str) -> Known {
    Known { name, default: false, here: false }
}

/// Every collector a configuration may name. What is not here yet is said when a configuration asks for it by name.
pub(crate) const KNOWN: &[Known] = &[
    here("arp"),
    missing("bcache"),
    here("bonding"),
    missing("btrfs"),
    here("conntrack"),
    here("cpu"),
    here("cpufreq"),
    here("diskstats"),
    here("dmi"),
    here("edac"),
    here("entropy"),
    missing("fibrechannel"),
    here("filefd"),
    here("filesystem"),
    here("hwmon"),
    missing("infiniband"),
    missing("ipvs"),
    here("loadavg"),
    here("mdadm"),
    here("meminfo"),
    here("netclass"),
    here("netdev"),
    here("netstat"),
    missing("nfs"),
    missing("nfsd"),
    here("nvme"),
    here("os"),
    here("powersupplyclass"),
    here("pressure"),
    here("rapl"),
    here("schedstat"),
    here("selinux"),
    here("sockstat"),
    here("softnet"),
    here("stat"),
    missing("tapestats"),
    here("textfile"),
    here("thermal_zone"),
    here("time"),
    here("timex"),
    here("udp_queues"),
    here("uname"),
    here("vmstat"),
    missing("watchdog"),
    missing("xfs"),
    missing("zfs"),
    missing_and_off("buddyinfo"),
    missing_and_off("cgroups"),
    missing_and_off("cpu_vulnerabilities"),
    missing_and_off("drbd"),
    missing_and_off("drm"),
    missing_and_off("ethtool"),
    missing_and_off("interrupts"),
    missing_and_off("ksmd"),
    missing_and_off("lnstat"),
    missing_and_off("logind"),
    missing_and_off("meminfo_numa"),
    missing_and_off("mountstats"),
    missing_and_off("network_route"),
    missing_and_off("ntp"),
    missing_and_off("pcidevice"),
    missing_and_off("perf"),
    Known { name: "processes", default: false, here: true },
    missing_and_off("qdisc"),
    missing_and_off("runit"),
    missing_and_off("slabinfo"),
    missing_and_off("softirqs"),
    missing_and_off("supervisord"),
    missing_and_off("swap"),
    missing_and_off("sysctl"),
    missing_and_off("systemd"),
    missing_and_off("tcpstat"),
    missing_and_off("wifi"),
    missing_and_off("xfrm"),
    missing_and_off("zoneinfo"),
];

impl Node {
    pub fn new(settings: Settings) -> Node {
        let Settings { paths, collectors, .. } = settings;
        let mut running: Vec<Running> = Vec::new();
        let mut add = |name: &'static str, collector: Box<dyn Collector>| {
            if collectors.contains(&name) {
                running.push(Running { name, collector, failing: false });
            }
        };
        add("arp", Box::new(arp::Arp::new(&paths, settings.arp_devices)));
        add("bonding", Box::new(bonding::Bonding::new(&paths)));
        add("conntrack", Box::new(conntrack::Conntrack::new(&paths)));
        add("cpu", Box::new(cpu::Cpu::new(&paths, settings.cpu)));
        add("cpufreq", Box::new(cpufreq::Cpufreq::new(&paths)));
        add("diskstats", Box::new(diskstats::Diskstats::new(&paths, settings.disk_devices)));
        add("dmi", Box::new(dmi::Dmi::new(&paths)));
        add("edac", Box::new(edac::Edac::new(&paths)));
        add("entropy", Box::new(entropy::Entropy::new(&paths)));
        add("filefd", Box::new(filefd::Filefd::new(&paths)));
        add("filesystem", Box::new(filesystem::Filesystem::new(&paths, settings.filesystem)));
        add("hwmon", Box::new(hwmon::Hwmon::new(&paths, settings.hwmon_chips)));
        add("loadavg", Box::new(loadavg::Loadavg::new(&paths)));
        add("mdadm", Box::new(mdadm::Mdadm::new(&paths)));
        add("meminfo", Box::new(meminfo::Meminfo::new(&paths)));
        add("netclass", Box::new(netclass::Netclass::new(&paths, settings.netclass)));
        add("netdev", Box::new(netdev::Netdev::new(&paths, settings.netdev)));
        add("netstat", Box::new(netstat::Netstat::new(&paths, settings.netstat_fields)));
        add("nvme", Box::new(nvme::Nvme::new(&paths)));
        add("os", Box::new(os::Os::new(&paths)));
        let supplies = powersupplyclass::PowerSupplyClass::new(&paths, settings.power_supplies_ignored);
        add("powersupplyclass", Box::new(supplies));
        add("pressure", Box::new(pressure::Pressure::new(&paths)));
        add("processes", Box::new(processes::Processes::new(&paths)));
        add("rapl", Box::new(rapl::Rapl::new(&paths)));
        add("schedstat", Box::new(schedstat::Schedstat::new(&paths)));
        add("selinux", Box::new(selinux::Selinux::new(&paths)));
        add("sockstat", Box::new(sockstat::Sockstat::new(&paths)));
        add("softnet", Box::new(softnet::Softnet::new(&paths)));
        add("stat", Box::new(stat::Stat::new(&paths)));
        add("textfile", Box::new(textfile::Textfile::new(settings.textfile_directory)));
        add("thermal_zone", Box::new(thermal_zone::ThermalZone::new(&paths)));
        add("time", Box::new(time::Time::new(&paths)));
        add("timex", Box::new(timex::Timex));
        add("udp_queues", Box::new(udp_queues::UdpQueues::new(&paths)));
        add("uname", Box::new(uname::Uname));
        add("vmstat", Box::new(vmstat::Vmstat::new(&paths, settings.vmstat_fields)));
        for known in KNOWN.iter().filter(|known| !known.here) {
            add(known.name, Box::new(Missing));
        }
        Node { running, scratch: Scratch::default() }
    }

    /// Reads the host now and writes its page. Takes some milliseconds, and a hung file system's timeout.
    pub fn collect(&mut self, page: &mut FamilyWriter<'_>) {
        let mut outcomes = Vec::with_capacity(self.running.len());
        for Running { name, collector, failing } in &mut self.running {
            let begin = Instant::now();
            let outcome = collector.collect(&mut self.scratch, page);
            let seconds = begin.elapsed().as_secs_f64();
            match &outcome {
                Err(Failure::Failed(error)) if !*failing => {
                    tracing::error!(name, duration_seconds = seconds, err = %error, "collector failed");
                }
                Err(Failure::Failed(error)) => {
                    tracing::debug!(name, duration_seconds = seconds, err = %error, "collector failed");
                }
                Err(Failure::NoData) => {
                    tracing::debug!(name, duration_seconds = seconds, "collector returned no data");
                }
                Ok(()) => {}
            }
            *failing = matches!(outcome, Err(Failure::Failed(_)));
            outcomes.push((*name, seconds, outcome.is_ok()));
        }
        let mut durations = page.family(
            "node_scrape_collector_duration_seconds",
            "node_exporter: Duration of a collector scrape.",
            Kind::Gauge,
        );
        for (name, seconds, _) in &outcomes {
            durations.sample(&[("collector", name)], *seconds);
        }
        let mut successes =
            page.family("node_scrape_collector_success", "node_exporter: Whether a collector succeeded.", Kind::Gauge);
        for (name, _, success) in &outcomes {
            successes.sample(&[("collector", name)], f64::from(u8::from(*success)));
        }
    }
}
