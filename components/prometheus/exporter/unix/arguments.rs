//! What a `prometheus.exporter.unix` block holds, and what the collectors make of it.

use std::net::IpAddr;
use std::time::Duration;

use base_stdx::GoDuration;
use language_eval::{Arguments, Block};
use sdk_component::Problem;
use url::Url;

use super::collector::Paths;
use super::cpu::CpuSettings;
use super::ethtool::EthtoolSettings;
use super::filesystem::FilesystemSettings;
use super::filter::{DeviceFilter, Pattern};
use super::ipvs::BackendLabels;
use super::netclass::NetclassSettings;
use super::netdev::NetdevSettings;
use super::node::{KNOWN, Known, Settings};
use super::ntp::NtpSettings;
use super::perf::{CACHES, HARDWARE, Known as KnownEvent, PerfSettings, SOFTWARE, Tracepoint, cpus};
use super::systemd::SystemdSettings;

/// Shows this host's hardware and kernel metrics, under the names that node_exporter gave them: CPUs, memory, disks,
/// file systems, network devices, load, pressure and more.
#[derive(Arguments, Clone, Debug, PartialEq)]
pub struct Arguments {
    /// Whether the page also tells of the exporter itself: `process_*` and `promhttp_*`.
    #[attr(optional)]
    pub include_exporter_metrics: bool,
    /// Where the host's procfs is mounted.
    #[attr(default = "/proc")]
    pub procfs_path: String,
    /// Where the host's sysfs is mounted.
    #[attr(default = "/sys")]
    pub sysfs_path: String,
    /// Where the host's root file system is mounted.
    #[attr(default = "/")]
    pub rootfs_path: String,
    /// Where udev keeps what it knows of devices.
    #[attr(default = "/run/udev/data")]
    pub udev_data_path: String,
    /// Collectors to run besides the usual ones.
    #[attr(optional)]
    pub enable_collectors: Vec<String>,
    /// Collectors not to run.
    #[attr(optional)]
    pub disable_collectors: Vec<String>,
    /// Collectors to run instead of the usual ones.
    #[attr(optional)]
    pub set_collectors: Vec<String>,
    /// The arp collector.
    #[block(optional)]
    pub arp: ArpBlock,
    /// The bcache collector.
    #[block]
    pub bcache: Option<BcacheBlock>,
    /// The cpu collector.
    #[block(optional)]
    pub cpu: CpuBlock,
    /// The diskstats collector.
    #[block(optional)]
    pub disk: DiskBlock,
    /// The ethtool collector.
    #[block]
    pub ethtool: Option<EthtoolBlock>,
    /// The filesystem collector.
    #[block(optional)]
    pub filesystem: FilesystemBlock,
    /// The hwmon collector.
    #[block(optional)]
    pub hwmon: HwmonBlock,
    /// The ipvs collector.
    #[block]
    pub ipvs: Option<IpvsBlock>,
    /// The ntp collector.
    #[block]
    pub ntp: Option<NtpBlock>,
    /// The netclass collector.
    #[block(optional)]
    pub netclass: NetclassBlock,
    /// The netdev collector.
    #[block(optional)]
    pub netdev: NetdevBlock,
    /// The netstat collector.
    #[block(optional)]
    pub netstat: NetstatBlock,
    /// The perf collector.
    #[block]
    pub perf: Option<PerfBlock>,
    /// The powersupplyclass collector.
    #[block(optional)]
    pub powersupply: PowersupplyBlock,
    /// The runit collector.
    #[block]
    pub runit: Option<RunitBlock>,
    /// The supervisord collector.
    #[block]
    pub supervisord: Option<SupervisordBlock>,
    /// The sysctl collector.
    #[block]
    pub sysctl: Option<SysctlBlock>,
    /// The systemd collector.
    #[block]
    pub systemd: Option<SystemdBlock>,
    /// The tapestats collector.
    #[block]
    pub tapestats: Option<TapestatsBlock>,
    /// The textfile collector.
    #[block(optional)]
    pub textfile: TextfileBlock,
    /// The vmstat collector.
    #[block(optional)]
    pub vmstat: VmstatBlock,
}

/// The arp collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct ArpBlock {
    /// Devices to leave out; excludes `device_include`.
    #[attr(optional)]
    pub device_exclude: String,
    /// The only devices to show; excludes `device_exclude`.
    #[attr(optional)]
    pub device_include: String,
    /// Whether to ask netlink instead of reading `/proc/net/arp`.
    #[attr(optional)]
    pub netlink: bool,
}

/// The bcache collector.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct BcacheBlock {
    /// Whether to show the expensive priority statistics.
    #[attr(optional)]
    pub priority_stats: bool,
}

/// The cpu collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct CpuBlock {
    /// Which bugs of `/proc/cpuinfo` to show; turns `info` on.
    #[attr(optional)]
    pub bugs_include: String,
    /// Whether to show the time spent for virtual machines.
    #[attr(optional)]
    pub guest: bool,
    /// Whether to show what `/proc/cpuinfo` tells.
    #[attr(optional)]
    pub info: bool,
    /// Which flags of `/proc/cpuinfo` to show; turns `info` on.
    #[attr(optional)]
    pub flags_include: String,
}

/// The diskstats collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct DiskBlock {
    /// Devices to leave out; excludes `device_include`.
    #[attr(default = r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$")]
    pub device_exclude: String,
    /// The only devices to show; excludes `device_exclude`.
    #[attr(optional)]
    pub device_include: String,
}

/// The ethtool collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct EthtoolBlock {
    /// Devices to leave out.
    #[attr(optional)]
    pub device_exclude: String,
    /// The only devices to show.
    #[attr(optional)]
    pub device_include: String,
    /// Which statistics to show.
    #[attr(default = ".*")]
    pub metrics_include: String,
}

/// The filesystem collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct FilesystemBlock {
    /// Types of file systems to leave out.
    #[attr(
        default = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$"
    )]
    pub fs_types_exclude: String,
    /// Mount points to leave out.
    #[attr(default = "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+)($|/)")]
    pub mount_points_exclude: String,
    /// How long a file system may take to answer before it is left out until it does.
    #[attr(default = GoDuration::from_secs(5))]
    pub mount_timeout: GoDuration,
}

/// The hwmon collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct HwmonBlock {
    /// Chips to leave out.
    #[attr(optional)]
    pub chip_exclude: String,
    /// The only chips to show.
    #[attr(optional)]
    pub chip_include: String,
}

/// The ipvs collector.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct IpvsBlock {
    /// Labels of a backend's series.
    #[attr(optional)]
    pub backend_labels: Vec<String>,
}

/// The ntp collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct NtpBlock {
    /// Hops that a packet may take.
    #[attr(default = 1)]
    pub ip_ttl: i64,
    /// Tolerated offset of the local clock.
    #[attr(default = GoDuration::from_millis(1))]
    pub local_offset_tolerance: GoDuration,
    /// Largest distance to the root.
    #[attr(default = GoDuration(3_466_080_000))]
    pub max_distance: GoDuration,
    /// Version of the protocol.
    #[attr(default = 4)]
    pub protocol_version: i64,
    /// The server to ask.
    #[attr(default = "127.0.0.1")]
    pub server: String,
    /// Whether a server elsewhere counts as a local one.
    #[attr(optional)]
    pub server_is_local: bool,
}

/// The netclass collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct NetclassBlock {
    /// Whether to leave out the speed of devices that do not know it.
    #[attr(optional)]
    pub ignore_invalid_speed_device: bool,
    /// Devices to leave out.
    #[attr(default = "^$")]
    pub ignored_devices: String,
}

/// The netdev collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct NetdevBlock {
    /// Whether to show the devices' addresses.
    #[attr(optional)]
    pub address_info: bool,
    /// Devices to leave out; excludes `device_include`.
    #[attr(optional)]
    pub device_exclude: String,
    /// The only devices to show; excludes `device_exclude`.
    #[attr(optional)]
    pub device_include: String,
}

/// The netstat collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct NetstatBlock {
    /// Which fields to show.
    #[attr(
        default = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$"
    )]
    pub fields: String,
}

/// The perf collector.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct PerfBlock {
    /// CPUs to measure on.
    #[attr(optional)]
    pub cpus: String,
    /// Tracepoints to count.
    #[attr(optional)]
    pub tracepoint: Vec<String>,
    /// Whether to leave the hardware's counters out.
    #[attr(optional)]
    pub disable_hardware_profilers: bool,
    /// Whether to leave the software's counters out.
    #[attr(optional)]
    pub disable_software_profilers: bool,
    /// Whether to leave the caches' counters out.
    #[attr(optional)]
    pub disable_cache_profilers: bool,
    /// The hardware's counters to show.
    #[attr(optional)]
    pub hardware_profilers: Vec<String>,
    /// The software's counters to show.
    #[attr(optional)]
    pub software_profilers: Vec<String>,
    /// The caches' counters to show.
    #[attr(optional)]
    pub cache_profilers: Vec<String>,
}

/// The powersupplyclass collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct PowersupplyBlock {
    /// Supplies to leave out.
    #[attr(default = "^$")]
    pub ignored_supplies: String,
}

/// The runit collector.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct RunitBlock {
    /// Where the services live.
    #[attr(default = "/etc/service")]
    pub service_dir: String,
}

/// The supervisord collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct SupervisordBlock {
    /// Address of supervisord.
    #[attr(default = "http://localhost:9001/RPC2")]
    pub url: String,
}

/// The sysctl collector.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct SysctlBlock {
    /// Numbers to show.
    #[attr(optional)]
    pub include: Vec<String>,
    /// Texts to show.
    #[attr(optional)]
    pub include_info: Vec<String>,
}

/// The systemd collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct SystemdBlock {
    /// Whether to show how often services restarted.
    #[attr(optional)]
    pub enable_restarts: bool,
    /// Whether to show when units started.
    #[attr(optional)]
    pub start_time: bool,
    /// Whether to show the number of tasks.
    #[attr(optional)]
    pub task_metrics: bool,
    /// Units to leave out.
    #[attr(default = r".+\.(automount|device|mount|scope|slice)")]
    pub unit_exclude: String,
    /// The only units to show.
    #[attr(default = ".+")]
    pub unit_include: String,
}

/// The tapestats collector.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct TapestatsBlock {
    /// Devices to leave out.
    #[attr(default = "^$")]
    pub ignored_devices: String,
}

/// The textfile collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct TextfileBlock {
    /// Where the `*.prom` files are; the name may hold `*` and `?`.
    #[attr(optional)]
    pub directory: String,
}

/// The vmstat collector.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct VmstatBlock {
    /// Which fields to show.
    #[attr(default = "^(oom_kill|pgpg|pswp|pg.*fault).*")]
    pub fields: String,
}

const NTP_PORT: u16 = 123;

impl Arguments {
    /// What the collectors work by, or what of it cannot work.
    pub(crate) fn settings(&self) -> Result<Settings, Problem> {
        if self.arp.netlink {
            return Err(Problem::at("arp", "\"netlink\" of the arp block is not supported yet: /proc/net/arp is read"));
        }
        Ok(Settings {
            paths: Paths {
                procfs: self.procfs_path.as_str().into(),
                sysfs: self.sysfs_path.as_str().into(),
                rootfs: self.rootfs_path.as_str().into(),
                udev: self.udev_data_path.as_str().into(),
            },
            collectors: self.collectors(),
            arp_devices: devices("arp", &self.arp.device_exclude, &self.arp.device_include)?,
            bcache_priority_stats: self.bcache.as_ref().is_some_and(|bcache| bcache.priority_stats),
            cpu: CpuSettings {
                guest: self.cpu.guest,
                info: self.cpu.info || !self.cpu.flags_include.is_empty() || !self.cpu.bugs_include.is_empty(),
                // Unless turned off, the cpufreq collector is who tells frequencies.
                frequency: !self.runs("cpufreq", true),
                bugs: optional_pattern("cpu", "bugs_include", &self.cpu.bugs_include)?,
                flags: optional_pattern("cpu", "flags_include", &self.cpu.flags_include)?,
            },
            disk_devices: self.disk_devices()?,
            ethtool: self.ethtool()?,
            filesystem: FilesystemSettings {
                mount_points_exclude: pattern(
                    "filesystem",
                    "mount_points_exclude",
                    &self.filesystem.mount_points_exclude,
                )?,
                fs_types_exclude: pattern("filesystem", "fs_types_exclude", &self.filesystem.fs_types_exclude)?,
                mount_timeout: self.filesystem.mount_timeout.to_std().unwrap_or(Duration::ZERO),
            },
            hwmon_chips: devices("hwmon", &self.hwmon.chip_exclude, &self.hwmon.chip_include)?,
            ipvs_labels: BackendLabels::new(self.ipvs.as_ref().map_or(&[], |ipvs| ipvs.backend_labels.as_slice()))
                .map_err(|error| Problem::at("ipvs", error))?,
            netclass: NetclassSettings {
                ignored_devices: pattern("netclass", "ignored_devices", &self.netclass.ignored_devices)?,
                ignore_invalid_speed: self.netclass.ignore_invalid_speed_device,
            },
            netdev: NetdevSettings {
                devices: devices("netdev", &self.netdev.device_exclude, &self.netdev.device_include)?,
                address_info: self.netdev.address_info,
            },
            netstat_fields: pattern("netstat", "fields", &self.netstat.fields)?,
            ntp: self.ntp()?,
            perf: self.perf()?,
            power_supplies_ignored: pattern("powersupply", "ignored_supplies", &self.powersupply.ignored_supplies)?,
            runit_services: self.runit.as_ref().map_or("/etc/service", |runit| &runit.service_dir).to_owned(),
            supervisord: self.supervisord()?,
            sysctl_numbers: self.sysctl.as_ref().map_or_else(Vec::new, |sysctl| sysctl.include.clone()),
            sysctl_texts: self.sysctl.as_ref().map_or_else(Vec::new, |sysctl| sysctl.include_info.clone()),
            systemd: self.systemd()?,
            tapes_ignored: pattern(
                "tapestats",
                "ignored_devices",
                self.tapestats.as_ref().map_or("^$", |tapestats| &tapestats.ignored_devices),
            )?,
            textfile_directory: self.textfile.directory.clone(),
            vmstat_fields: pattern("vmstat", "fields", &self.vmstat.fields)?,
        })
    }

    fn ethtool(&self) -> Result<EthtoolSettings, Problem> {
        let EthtoolBlock { device_exclude, device_include, metrics_include } = self.ethtool.clone().unwrap_or_default();
        let exclude = optional_pattern("ethtool", "device_exclude", &device_exclude)?;
        let include = optional_pattern("ethtool", "device_include", &device_include)?;
        Ok(EthtoolSettings {
            devices: DeviceFilter::new(exclude, include),
            statistics: pattern("ethtool", "metrics_include", &metrics_include)?,
        })
    }

    fn systemd(&self) -> Result<SystemdSettings, Problem> {
        let block = self.systemd.clone().unwrap_or_default();
        let whole = |attribute: &str, expression: &str| pattern("systemd", attribute, &format!("^(?:{expression})$"));
        Ok(SystemdSettings {
            include: whole("unit_include", &block.unit_include)?,
            exclude: whole("unit_exclude", &block.unit_exclude)?,
            restarts: block.enable_restarts,
            start_time: block.start_time,
            tasks: block.task_metrics,
        })
    }

    /// What the collector does not accept is refused only if it runs.
    fn ntp(&self) -> Result<NtpSettings, Problem> {
        let block = self.ntp.clone().unwrap_or_default();
        let refused = |message: &str| Err(Problem::at("ntp", message));
        let seconds = |duration: GoDuration| duration.0 as f64 / 1e9;
        if self.runs("ntp", false) {
            let is_local = block.server.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            if !is_local && !block.server_is_local {
                return refused(
                    "only the IP address of a local NTP server is valid as server, unless server_is_local is set",
                );
            }
            if !(2..=4).contains(&block.protocol_version) {
                return refused("protocol_version must be 2, 3 or 4");
            }
            if block.local_offset_tolerance.0 < 0 {
                return refused("local_offset_tolerance must not be negative");
            }
        }
        Ok(NtpSettings {
            server: block.server,
            port: NTP_PORT,
            version: u8::try_from(block.protocol_version).unwrap_or_default(),
            hops: u32::try_from(block.ip_ttl).unwrap_or(1),
            max_distance: seconds(block.max_distance),
            offset_tolerance: seconds(block.local_offset_tolerance),
        })
    }

    /// What the collector does not accept is refused only if it runs.
    fn perf(&self) -> Result<PerfSettings, Problem> {
        let Some(block) = self.perf.as_ref().filter(|_| self.runs("perf", false)) else {
            return Ok(PerfSettings {
                events: HARDWARE.iter().chain(SOFTWARE).chain(CACHES).collect(),
                ..PerfSettings::default()
            });
        };
        let mut events = Vec::new();
        for (known, named, disabled) in [
            (HARDWARE, &block.hardware_profilers, block.disable_hardware_profilers),
            (SOFTWARE, &block.software_profilers, block.disable_software_profilers),
            (CACHES, &block.cache_profilers, block.disable_cache_profilers),
        ] {
            let names = |event: &&'static KnownEvent| named.iter().any(|name| name == event.name);
            // Names that nobody knows are as none, as in node_exporter.
            let all = !known.iter().any(|event| names(&event));
            let wanted = |event: &&'static KnownEvent| all || names(event);
            events.extend(known.iter().filter(|_| !disabled).filter(wanted));
        }
        let cpus = if block.cpus.is_empty() { Ok(Vec::new()) } else { cpus(&block.cpus) };
        let tracepoints = block.tracepoint.iter().map(|text| {
            Tracepoint::parse(text).ok_or_else(|| Problem::at("perf", format!("invalid tracepoint config {text}")))
        });
        Ok(PerfSettings {
            cpus: cpus.map_err(|error| Problem::at("perf", format!("cpus: {error}")))?,
            tracepoints: tracepoints.collect::<Result<_, _>>()?,
            events,
        })
    }

    /// Where supervisord is, if it is to be asked.
    fn supervisord(&self) -> Result<Option<Url>, Problem> {
        if !self.runs("supervisord", false) {
            return Ok(None);
        }
        let block = self.supervisord.clone().unwrap_or_default();
        let refused = |why: String| Problem::at("supervisord", format!("url {:?}: {why}", block.url));
        let url = Url::parse(&block.url).map_err(|error| refused(error.to_string()))?;
        match url.scheme() {
            "http" | "unix" => Ok(Some(url)),
            // supervisord itself does not speak TLS.
            other => Err(refused(format!("supervisord is asked over http and unix, not over {other}"))),
        }
    }

    /// Naming the only devices to show replaces the default of what to leave out.
    fn disk_devices(&self) -> Result<DeviceFilter, Problem> {
        let default = DiskBlock::default().device_exclude;
        let exclude = &self.disk.device_exclude;
        let replaced = !self.disk.device_include.is_empty() && *exclude == default;
        devices("disk", if replaced { "" } else { exclude }, &self.disk.device_include)
    }

    fn runs(&self, name: &str, by_default: bool) -> bool {
        let named = |names: &[String]| names.iter().any(|other| other == name);
        let usual = if self.set_collectors.is_empty() { by_default } else { named(&self.set_collectors) };
        (usual && !named(&self.disable_collectors)) || named(&self.enable_collectors)
    }

    /// What runs.
    fn collectors(&self) -> Vec<&'static str> {
        let runs = |known: &&Known| self.runs(known.name, known.default);
        KNOWN.iter().filter(runs).map(|known| known.name).collect()
    }

    /// Names of collectors that nobody knows. They are ignored, as in Alloy.
    pub(crate) fn unknown_collectors(&self) -> Vec<Problem> {
        let lists = [
            ("enable_collectors", &self.enable_collectors),
            ("disable_collectors", &self.disable_collectors),
            ("set_collectors", &self.set_collectors),
        ];
        let unknown = |name: &&String| !KNOWN.iter().any(|known| known.name == **name);
        let doubt = |list: &'static str, name: &String| {
            let problem = Problem::at(list, format!("no collector is called {name:?}; it is ignored"));
            match base_stdx::nearest(name, KNOWN.iter().map(|known| known.name)) {
                Some(nearest) => problem.with_hint(format!("did you mean {nearest:?}?")),
                None => problem,
            }
        };
        lists.iter().flat_map(|(list, names)| names.iter().filter(unknown).map(|name| doubt(list, name))).collect()
    }
}

fn pattern(block: &'static str, attribute: &str, expression: &str) -> Result<Pattern, Problem> {
    Pattern::new(expression).map_err(|error| Problem::at(block, format!("{attribute} of {block}: {error}")))
}

fn optional_pattern(block: &'static str, attribute: &str, expression: &str) -> Result<Option<Pattern>, Problem> {
    if expression.is_empty() { Ok(None) } else { pattern(block, attribute, expression).map(Some) }
}

fn devices(block: &'static str, exclude: &str, include: &str) -> Result<DeviceFilter, Problem> {
    if !exclude.is_empty() && !include.is_empty() {
        return Err(Problem::at(block, "device_exclude & device_include are mutually exclusive"));
    }
    let exclude = optional_pattern(block, "device_exclude", exclude)?;
    let include = optional_pattern(block, "device_include", include)?;
    Ok(DeviceFilter::new(exclude, include))
}
