//! The page of one host: which collectors there are, which of them run, and one look at all of them.

use base_metrics::{FamilyWriter, Kind};
use tokio::time::Instant;
use url::Url;

use super::collector::{Collector, Failure, Paths, Scratch};
use super::filter::{DeviceFilter, Pattern};
use super::{
    arp, bcache, bonding, btrfs, buddyinfo, cgroups, conntrack, cpu, cpu_vulnerabilities, cpufreq, diskstats, dmi,
    drbd, drm, edac, entropy, ethtool, fibrechannel, filefd, filesystem, hwmon, infiniband, interrupts, ipvs, ksmd,
    lnstat, loadavg, logind, mdadm, meminfo, meminfo_numa, mountstats, netclass, netdev, netstat, network_route, nfs,
    nfsd, ntp, nvme, os, perf, powersupplyclass, pressure, processes, qdisc, rapl, runit, schedstat, selinux, slabinfo,
    sockstat, softirqs, softnet, stat, supervisord, sysctl, systemd, tapestats, tcpstat, textfile, thermal_zone, time,
    timex, udp_queues, uname, vmstat, wifi, xfs, zfs, zoneinfo,
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
    pub bcache_priority_stats: bool,
    pub cpu: cpu::CpuSettings,
    pub disk_devices: DeviceFilter,
    pub ethtool: ethtool::EthtoolSettings,
    pub filesystem: filesystem::FilesystemSettings,
    pub hwmon_chips: DeviceFilter,
    pub ipvs_labels: ipvs::BackendLabels,
    pub netclass: netclass::NetclassSettings,
    pub netdev: netdev::NetdevSettings,
    pub netstat_fields: Pattern,
    pub ntp: ntp::NtpSettings,
    pub perf: perf::PerfSettings,
    pub power_supplies_ignored: Pattern,
    pub runit_services: String,
    /// None if the collector does not run.
    pub supervisord: Option<Url>,
    pub sysctl_numbers: Vec<String>,
    pub sysctl_texts: Vec<String>,
    pub systemd: systemd::SystemdSettings,
    pub tapes_ignored: Pattern,
    pub textfile_directory: String,
    pub vmstat_fields: Pattern,
}

/// A collector of node_exporter's on Linux.
pub(crate) struct Known {
    pub name: &'static str,
    /// Runs unless it is disabled.
    pub default: bool,
}

const fn here(name: &'static str) -> Known {
    Known { name, default: true }
}

const fn on_demand(name: &'static str) -> Known {
    Known { name, default: false }
}

/// Every collector a configuration may name.
pub(crate) const KNOWN: &[Known] = &[
    here("arp"),
    here("bcache"),
    here("bonding"),
    here("btrfs"),
    here("conntrack"),
    here("cpu"),
    here("cpufreq"),
    here("diskstats"),
    here("dmi"),
    here("edac"),
    here("entropy"),
    here("fibrechannel"),
    here("filefd"),
    here("filesystem"),
    here("hwmon"),
    here("infiniband"),
    here("ipvs"),
    here("loadavg"),
    here("mdadm"),
    here("meminfo"),
    here("netclass"),
    here("netdev"),
    here("netstat"),
    here("nfs"),
    here("nfsd"),
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
    here("tapestats"),
    here("textfile"),
    here("thermal_zone"),
    here("time"),
    here("timex"),
    here("udp_queues"),
    here("uname"),
    here("vmstat"),
    here("xfs"),
    here("zfs"),
    on_demand("buddyinfo"),
    on_demand("cgroups"),
    on_demand("cpu_vulnerabilities"),
    on_demand("drbd"),
    on_demand("drm"),
    on_demand("ethtool"),
    on_demand("interrupts"),
    on_demand("ksmd"),
    on_demand("lnstat"),
    on_demand("logind"),
    on_demand("meminfo_numa"),
    on_demand("mountstats"),
    on_demand("network_route"),
    on_demand("ntp"),
    on_demand("perf"),
    on_demand("processes"),
    on_demand("qdisc"),
    on_demand("runit"),
    on_demand("slabinfo"),
    on_demand("softirqs"),
    on_demand("supervisord"),
    on_demand("sysctl"),
    on_demand("systemd"),
    on_demand("tcpstat"),
    on_demand("wifi"),
    on_demand("zoneinfo"),
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
        add("bcache", Box::new(bcache::Bcache::new(&paths, settings.bcache_priority_stats)));
        add("bonding", Box::new(bonding::Bonding::new(&paths)));
        add("btrfs", Box::new(btrfs::Btrfs::new(&paths)));
        add("conntrack", Box::new(conntrack::Conntrack::new(&paths)));
        add("cpu", Box::new(cpu::Cpu::new(&paths, settings.cpu)));
        add("cpufreq", Box::new(cpufreq::Cpufreq::new(&paths)));
        add("diskstats", Box::new(diskstats::Diskstats::new(&paths, settings.disk_devices)));
        add("dmi", Box::new(dmi::Dmi::new(&paths)));
        add("edac", Box::new(edac::Edac::new(&paths)));
        add("entropy", Box::new(entropy::Entropy::new(&paths)));
        add("fibrechannel", Box::new(fibrechannel::FibreChannel::new(&paths)));
        add("filefd", Box::new(filefd::Filefd::new(&paths)));
        add("filesystem", Box::new(filesystem::Filesystem::new(&paths, settings.filesystem)));
        add("hwmon", Box::new(hwmon::Hwmon::new(&paths, settings.hwmon_chips)));
        add("infiniband", Box::new(infiniband::Infiniband::new(&paths)));
        add("ipvs", Box::new(ipvs::Ipvs::new(&paths, settings.ipvs_labels)));
        add("loadavg", Box::new(loadavg::Loadavg::new(&paths)));
        add("mdadm", Box::new(mdadm::Mdadm::new(&paths)));
        add("meminfo", Box::new(meminfo::Meminfo::new(&paths)));
        add("netclass", Box::new(netclass::Netclass::new(&paths, settings.netclass)));
        add("netdev", Box::new(netdev::Netdev::new(&paths, settings.netdev)));
        add("netstat", Box::new(netstat::Netstat::new(&paths, settings.netstat_fields)));
        add("nfs", Box::new(nfs::Nfs::new(&paths)));
        add("nfsd", Box::new(nfsd::Nfsd::new(&paths)));
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
        add("tapestats", Box::new(tapestats::Tapestats::new(&paths, settings.tapes_ignored)));
        add("textfile", Box::new(textfile::Textfile::new(settings.textfile_directory)));
        add("thermal_zone", Box::new(thermal_zone::ThermalZone::new(&paths)));
        add("time", Box::new(time::Time::new(&paths)));
        add("timex", Box::new(timex::Timex));
        add("udp_queues", Box::new(udp_queues::UdpQueues::new(&paths)));
        add("uname", Box::new(uname::Uname));
        add("vmstat", Box::new(vmstat::Vmstat::new(&paths, settings.vmstat_fields)));
        add("xfs", Box::new(xfs::Xfs::new(&paths)));
        add("zfs", Box::new(zfs::Zfs::new(&paths)));
        add("buddyinfo", Box::new(buddyinfo::Buddyinfo::new(&paths)));
        add("cgroups", Box::new(cgroups::Cgroups::new(&paths)));
        add("cpu_vulnerabilities", Box::new(cpu_vulnerabilities::CpuVulnerabilities::new(&paths)));
        add("drbd", Box::new(drbd::Drbd::new(&paths)));
        add("drm", Box::new(drm::Drm::new(&paths)));
        add("interrupts", Box::new(interrupts::Interrupts::new(&paths)));
        add("ksmd", Box::new(ksmd::Ksmd::new(&paths)));
        add("perf", Box::new(perf::Perf::new(&paths, settings.perf)));
        add("logind", Box::new(logind::Logind::new()));
        add("mountstats", Box::new(mountstats::Mountstats::new(&paths)));
        if let Some(url) = settings.supervisord {
            add("supervisord", Box::new(supervisord::Supervisord::new(url)));
        }
        add("wifi", Box::new(wifi::Wifi));
        add("lnstat", Box::new(lnstat::Lnstat::new(&paths)));
        add("meminfo_numa", Box::new(meminfo_numa::MeminfoNuma::new(&paths)));
        add("runit", Box::new(runit::Runit::new(settings.runit_services.into())));
        add("slabinfo", Box::new(slabinfo::Slabinfo::new(&paths)));
        add("softirqs", Box::new(softirqs::Softirqs::new(&paths)));
        let sysctl = sysctl::Sysctl::new(&paths, &settings.sysctl_numbers, &settings.sysctl_texts);
        add("sysctl", Box::new(sysctl));
        add("zoneinfo", Box::new(zoneinfo::Zoneinfo::new(&paths)));
        add("ethtool", Box::new(ethtool::Ethtool::new(&paths, settings.ethtool)));
        add("network_route", Box::new(network_route::NetworkRoute));
        add("ntp", Box::new(ntp::Ntp::new(settings.ntp)));
        add("qdisc", Box::new(qdisc::Qdisc));
        add("systemd", Box::new(systemd::Systemd::new(settings.systemd)));
        add("tcpstat", Box::new(tcpstat::Tcpstat::new(&paths)));
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
