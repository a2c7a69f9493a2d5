//! Looks at a host made of files, and compares the page with what node_exporter shows of the same files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base_metrics::Page;
use bytes::Bytes;
use language_eval::block::BodySource;
use language_eval::{Object, Scope};
use language_syntax::{Source, parse};
use sdk_component::{BoxFuture, Context, ContextParts, Definition, Instance, MemoryHttp, Stability};

use super::collector::Paths;
use super::cpu::CpuSettings;
use super::ethtool::EthtoolSettings;
use super::filesystem::FilesystemSettings;
use super::filter::{DeviceFilter, Pattern};
use super::ipvs::BackendLabels;
use super::netclass::NetclassSettings;
use super::netdev::NetdevSettings;
use super::node::{KNOWN, Node, Settings};
use super::ntp::NtpSettings;
use super::perf::PerfSettings;
use super::systemd::SystemdSettings;

fn host() -> tempfile::TempDir {
    unpacked(include_str!("fixtures/host.txt"))
}

/// Lines of `--- path`, each followed by the file's text.
fn unpacked(files: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files.split("--- ").skip(1) {
        let (path, text) = file.split_once('\n').unwrap();
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn pattern(expression: &str) -> Pattern {
    Pattern::new(expression).unwrap()
}

fn settings(root: &Path, collectors: &[&str]) -> Settings {
    Settings {
        paths: Paths {
            procfs: root.join("proc"),
            sysfs: root.join("sys"),
            rootfs: root.join("root"),
            udev: root.join("udev"),
        },
        collectors: KNOWN.iter().map(|known| known.name).filter(|name| collectors.contains(name)).collect(),
        arp_devices: DeviceFilter::default(),
        bcache_priority_stats: true,
        cpu: CpuSettings {
            guest: true,
            info: true,
            frequency: true,
            bugs: Some(pattern("spectre|mds")),
            flags: Some(pattern("^avx")),
        },
        disk_devices: DeviceFilter::new(Some(pattern(r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$")), None),
        ethtool: EthtoolSettings { devices: DeviceFilter::default(), statistics: pattern(".*") },
        filesystem: FilesystemSettings {
            mount_points_exclude: pattern("^/(proc|var/lib/docker/.+)($|/)"),
            fs_types_exclude: pattern("^overlay$"),
            mount_timeout: Duration::from_secs(600),
        },
        hwmon_chips: DeviceFilter::default(),
        ipvs_labels: BackendLabels::new(&[]).unwrap(),
        netclass: NetclassSettings { ignored_devices: pattern("^$"), ignore_invalid_speed: false },
        netdev: NetdevSettings { devices: DeviceFilter::new(Some(pattern("^veth")), None), address_info: false },
        netstat_fields: pattern(
            "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPTimeouts)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
        ),
        ntp: NtpSettings {
            server: "127.0.0.1".to_owned(),
            port: 123,
            version: 4,
            hops: 1,
            max_distance: 3.5,
            offset_tolerance: 0.001,
        },
        perf: PerfSettings::default(),
        power_supplies_ignored: pattern("^$"),
        runit_services: root.join("root/etc/service").to_str().unwrap().to_owned(),
        supervisord: None,
        sysctl_numbers: ["kernel.threads-max", "kernel.seccomp", "net.ipv4.tcp_rmem:min,default,max"]
            .map(str::to_owned)
            .to_vec(),
        sysctl_texts: vec!["kernel.seccomp".to_owned()],
        systemd: SystemdSettings {
            include: pattern(".+"),
            exclude: pattern("^$"),
            restarts: false,
            start_time: false,
            tasks: false,
        },
        tapes_ignored: pattern("^$"),
        textfile_directory: String::new(),
        vmstat_fields: pattern("^(oom_kill|pgpg|pswp|pg.*fault).*"),
    }
}

/// The page of these collectors, without how long each took and how full our own disk is.
fn page(root: &Path, collectors: &[&str]) -> String {
    let (mut page, mut text) = (Page::new(), String::new());
    Node::new(settings(root, collectors)).collect(&mut page.writer());
    page.encode(&mut text, &base_metrics::Losses::default());
    let varies = |line: &str| {
        line.contains("collector_duration_seconds")
            || (line.contains("fstype=\"rootfs\"") && !line.contains("_error{") && !line.contains("_readonly{"))
    };
    let lines: String = text.split_inclusive('\n').filter(|line| !varies(line)).collect();
    lines.replace(root.to_str().unwrap(), "ROOT")
}

const READ_FROM_FILES: &[&str] = &[
    "arp",
    "bonding",
    "conntrack",
    "cpu",
    "cpufreq",
    "diskstats",
    "dmi",
    "edac",
    "entropy",
    "filefd",
    "filesystem",
    "hwmon",
    "loadavg",
    "mdadm",
    "meminfo",
    "netclass",
    "netdev",
    "netstat",
    "nvme",
    "os",
    "powersupplyclass",
    "pressure",
    "processes",
    "rapl",
    "schedstat",
    "selinux",
    "sockstat",
    "softnet",
    "stat",
    "thermal_zone",
    "udp_queues",
    "vmstat",
];

const RARE: &[&str] = &[
    "bcache",
    "btrfs",
    "buddyinfo",
    "cgroups",
    "cpu_vulnerabilities",
    "drbd",
    "drm",
    "fibrechannel",
    "infiniband",
    "interrupts",
    "ipvs",
    "ksmd",
    "lnstat",
    "meminfo_numa",
    "mountstats",
    "nfs",
    "nfsd",
    "slabinfo",
    "softirqs",
    "sysctl",
    "tapestats",
    "xfs",
    "zfs",
    "zoneinfo",
];

/// `expected.txt` agrees with node_exporter 1.5 on these files, but for what came later: `adminstate`, the newer columns
/// of softnet, the serial number from SCSI, read-only mounts that give an error.
#[test]
fn the_page_is_what_node_exporter_shows_of_the_same_files() {
    let host = host();
    same(include_str!("fixtures/expected.txt"), &page(host.path(), READ_FROM_FILES));
}

/// What few machines have: `rare.expected.txt` is what Alloy 1.18 shows of the same files.
#[test]
fn rare_hardware_and_what_runs_on_demand_is_shown_as_alloy_shows_it() {
    let host = unpacked(include_str!("fixtures/rare.txt"));
    same(include_str!("fixtures/rare.expected.txt"), &page(host.path(), RARE));
}

fn same(expected: &str, page: &str) {
    let mut differences = Vec::new();
    for line in expected.lines().filter(|line| !page.lines().any(|ours| ours == *line)) {
        differences.push(format!("- {line}"));
    }
    for line in page.lines().filter(|line| !expected.lines().any(|theirs| theirs == *line)) {
        differences.push(format!("+ {line}"));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A Raspberry Pi: what a CPU can do has another name there, and the board comes behind the CPUs.
#[test]
fn cpus_of_arm_are_shown_with_what_they_can_do() {
    let cpu =
        "BogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n";
    let host = unpacked(&format!(
        "--- proc/cpuinfo\nprocessor\t: 0\n{cpu}\nprocessor\t: 1\n{cpu}\nHardware\t: BCM2835\nRevision\t: c03111\n\
         Serial\t\t: 10000000\nModel\t\t: Raspberry Pi 4 Model B Rev 1.1\n--- proc/stat\ncpu0 1 2 3 4 5 6 7 8 9 10\n"
    ));
    let mut settings = settings(host.path(), &["cpu"]);
    settings.cpu.flags = Some(pattern("^(asimd|crc32)$"));
    let (mut page, mut text) = (Page::new(), String::new());
    Node::new(settings).collect(&mut page.writer());
    page.encode(&mut text, &base_metrics::Losses::default());
    let of = |family: &str| text.lines().filter(|line| line.starts_with(family)).collect::<Vec<_>>();
    assert_eq!(
        of("node_cpu_flag_info{"),
        ["node_cpu_flag_info{flag=\"asimd\"} 1", "node_cpu_flag_info{flag=\"crc32\"} 1"]
    );
    assert_eq!(of("node_cpu_info{").len(), 2);
    assert!(of("node_cpu_info{")[1].contains("cpu=\"1\""), "{text}");
}

/// On a machine without any of it, whatever is on by default has nothing to show, and logs nothing.
#[test]
fn a_machine_without_rare_hardware_is_no_failure() {
    let empty = tempfile::tempdir().unwrap();
    let page = page(empty.path(), RARE);
    let mut succeeded: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("node_scrape_collector_success{collector=\"")?.strip_suffix("\"} 1"))
        .collect();
    succeeded.sort_unstable();
    assert_eq!(succeeded, ["bcache", "btrfs", "cpu_vulnerabilities", "drm", "lnstat", "meminfo_numa", "xfs"]);
}

#[test]
fn a_host_without_the_files_says_which_collectors_failed() {
    let empty = tempfile::tempdir().unwrap();
    let page = page(empty.path(), &["conntrack", "cpu", "filesystem", "meminfo", "os", "pressure", "systemd", "uname"]);
    for line in [
        "node_scrape_collector_success{collector=\"conntrack\"} 0",
        "node_scrape_collector_success{collector=\"cpu\"} 0",
        "node_scrape_collector_success{collector=\"meminfo\"} 0",
        "node_scrape_collector_success{collector=\"os\"} 0",
        "node_scrape_collector_success{collector=\"pressure\"} 0",
        "node_scrape_collector_success{collector=\"systemd\"} 0",
        "node_scrape_collector_success{collector=\"uname\"} 1",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[test]
fn torn_files_fail_their_collector_and_nothing_else() {
    let host = host();
    for (path, text) in [
        ("proc/meminfo", "MemTotal:\n"),
        ("proc/stat", "cpu  1 2\ncpu0 one\nintr many\n"),
        ("proc/loadavg", "0.1"),
        ("proc/diskstats", "8 0\n"),
        ("proc/net/dev", "a\nb\nno colon\n"),
        ("proc/net/snmp", "Tcp: a b\nTcp: 1\n"),
        ("proc/net/softnet_stat", "xyz\n"),
        ("proc/net/udp", "head\n0: short\n"),
        ("proc/vmstat", "alone\n"),
        ("proc/1/mounts", "three fields only\n"),
        ("proc/pressure/io", "some avg10=0.00\n"),
        ("root/usr/lib/os-release", "no equals sign\n"),
    ] {
        std::fs::write(host.path().join(path), text).unwrap();
    }
    let page = page(host.path(), READ_FROM_FILES);
    let failed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("node_scrape_collector_success{collector=\"")?.strip_suffix("\"} 0"))
        .collect();
    assert_eq!(
        failed,
        [
            "cpu",
            "diskstats",
            "filesystem",
            "loadavg",
            "meminfo",
            "netdev",
            "netstat",
            "os",
            "pressure",
            "softnet",
            "stat",
            "udp_queues",
            "vmstat"
        ],
        "{page}"
    );
}

/// Whatever a kernel (or whoever mounted something else over `/proc`) shows: some collectors fail, none panics.
#[test]
fn garbage_never_ends_a_scrape() {
    let all = concat!(include_str!("fixtures/host.txt"), include_str!("fixtures/rare.txt"));
    let host = unpacked(all);
    let files: Vec<_> = all
        .split("--- ")
        .skip(1)
        .map(|file| file.split_once('\n').unwrap())
        .filter(|(path, _)| !path.contains("sys/devices/system/clocksource"))
        .collect();
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % sides as u64) as usize
    };
    let mut node = Node::new(settings(host.path(), &[READ_FROM_FILES, RARE].concat()));
    for _ in 0..100 {
        // A few at a time: the damage adds up, and disks are slow.
        for _ in 0..4 {
            let (path, text) = files[roll(files.len())];
            let mut bytes = text.as_bytes().to_vec();
            match roll(6) {
                0 => bytes.clear(),
                1 => bytes.truncate(roll(text.len())),
                2 => {
                    for _ in 0..1 + roll(8) {
                        let at = roll(bytes.len());
                        bytes[at] = roll(256) as u8;
                    }
                }
                3 => bytes = bytes.iter().map(|byte| if byte.is_ascii_digit() { b'9' } else { *byte }).collect(),
                4 => bytes.retain(|byte| !matches!(byte, b' ' | b':' | b'(' | b'[')),
                _ => {}
            }
            std::fs::write(host.path().join(path), bytes).unwrap();
        }
        let (mut page, mut text) = (Page::new(), String::new());
        node.collect(&mut page.writer());
        page.encode(&mut text, &base_metrics::Losses::default());
        assert!(text.contains("node_scrape_collector_success{collector=\"cpu\"}"));
    }
}

#[test]
fn the_clock_is_told_in_the_hosts_zone() {
    let host = host();
    let _held = base_sys::clock::hold(1_700_000_000_500_000_000);
    let paths = settings(host.path(), &[]).paths;
    let (mut page, mut text) = (Page::new(), String::new());
    let mut time = super::time::Time::in_zone(&paths, "Asia/Kolkata");
    super::collector::Collector::collect(&mut time, &mut super::collector::Scratch::default(), &mut page.writer())
        .unwrap();
    page.encode(&mut text, &base_metrics::Losses::default());
    for line in [
        "node_time_seconds 1.7000000005e+09",
        "node_time_zone_offset_seconds{time_zone=\"IST\"} 19800",
        "node_time_clocksource_available_info{clocksource=\"acpi_pm\",device=\"0\"} 1",
        "node_time_clocksource_current_info{clocksource=\"tsc\",device=\"0\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

// === the component ===

struct NoServer;

impl MemoryHttp for NoServer {
    fn address(&self) -> &str {
        "alloy.internal:12345"
    }

    /// Tells what it was asked for.
    fn call(&self, request: http::Request<Bytes>) -> BoxFuture<'_, http::Response<Bytes>> {
        Box::pin(async move { http::Response::new(Bytes::from(request.uri().to_string())) })
    }
}

/// Builds a component from the text of its block's body.
fn build(definition: &Definition, body: &str) -> Result<(Context, Arc<dyn Instance>), String> {
    let source = Source::new("test.alloy", body);
    let (file, diagnostics) = parse(source.clone());
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let scope = Scope::new();
    let body =
        BodySource { body: &file.body, source: &source, header: Default::default(), label: Some("u"), scope: &scope };
    let decoded = (definition.decode)(body).map_err(|diagnostics| diagnostics.to_string())?;
    let id = format!("{}.u", definition.name);
    let context = Context::new(ContextParts {
        local_id: id.clone(),
        id,
        module_path: "/".to_owned(),
        data_path: "/no/such".into(),
        minimum_stability: Stability::GenerallyAvailable,
        metrics: base_metrics::Scope::detached(),
        on_exports: Box::new(|_| ()),
        on_health: Box::new(|_, _| ()),
        memory_http: Arc::new(NoServer),
        listen_address: "127.0.0.1:12345".to_owned(),
    });
    let instance = (definition.build)(&context, decoded).map_err(|problem| problem.message)?;
    Ok((context, instance))
}

async fn get(instance: &dyn Instance, path: &str) -> (u16, String) {
    let request = http::Request::get(path).body(Bytes::new()).unwrap();
    let response = instance.http().unwrap()(request).await;
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

const UNIX: Definition = Definition::of::<super::Unix>();
const SELF: Definition = Definition::of::<crate::self_::SelfExporter>();

/// The exports as the recording writes them.
fn told(exports: &Object) -> serde_json::Value {
    let Some(language_eval::Value::Array(targets)) = exports.get("targets") else { panic!("{exports:?}") };
    let told = targets.iter().map(|target| {
        let language_eval::Value::Target(target) = target else { panic!("{target:?}") };
        target.iter().map(|(name, value)| (name.to_owned(), value.into())).collect::<serde_json::Map<_, _>>().into()
    });
    serde_json::Value::Array(told.collect())
}

#[test]
fn the_exported_targets_are_those_of_alloy() {
    let Some(recorded) = sdk_testing::oracle::text("pipelines/prometheus_exporter/families.json") else { return };
    let hostname = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let hostname = hostname.unwrap_or_else(|| nix::unistd::gethostname().unwrap().into_string().unwrap());
    let recorded: serde_json::Value = serde_json::from_str(&recorded.replace("@hostname@", &hostname)).unwrap();
    for (definition, recorded_as) in [(&UNIX, "prometheus.exporter.unix.u"), (&SELF, "prometheus.exporter.self.s")] {
        let (context, _) = build(definition, "").unwrap();
        let ours = told(&context.exports()).to_string().replace("exporter.self.u", "exporter.self.s");
        assert_eq!(ours, recorded[recorded_as]["targets"].to_string());
    }
}

#[test]
fn families_have_the_recorded_types_and_labels() {
    let Some(recorded) = sdk_testing::oracle::text("pipelines/prometheus_exporter/families.json") else { return };
    let recorded: serde_json::Value = serde_json::from_str(&recorded).unwrap();
    let families = recorded["prometheus.exporter.unix.u"]["families"].as_object().unwrap();
    let host = host();
    let page = page(host.path(), READ_FROM_FILES);
    let mut group = sdk_testing::oracle::Group::new("prometheus_exporter");
    for line in page.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else { continue };
        let Some(recorded) = families.get(name) else { continue };
        let is_of_family = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        // Some families only have samples that the test leaves out.
        let Some(sample) = page.lines().find(is_of_family) else { continue };
        let labels: Vec<&str> =
            sample.split(['{', ',', '}']).filter_map(|part| Some(part.split_once("=\"")?.0)).collect();
        let recorded_labels: Vec<&str> =
            recorded["labels"].as_array().unwrap().iter().filter_map(|label| label.as_str()).collect();
        let expected = format!("{} {recorded_labels:?}", recorded["type"].as_str().unwrap());
        group.compare(name, &expected, &format!("{kind} {labels:?}"));
    }
    group.finish();
}

#[tokio::test]
async fn a_scrape_answers_with_the_page_of_the_host() {
    let host = host();
    let root = host.path().to_str().unwrap();
    let paths = format!(
        "procfs_path = \"{root}/proc\"\nsysfs_path = \"{root}/sys\"\nrootfs_path = \"{root}/root\"\nudev_data_path = \"{root}/udev\"\n"
    );
    let (_, instance) = build(&UNIX, &paths).unwrap();
    let (status, page) = get(&*instance, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "node_load1 0.52",
        "node_memory_MemTotal_bytes 1.6708005888e+10",
        "node_network_receive_bytes_total{device=\"veth4B09XN\"} 648",
        "node_scrape_collector_success{collector=\"textfile\"} 1",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    assert!(page.contains("node_exporter_build_info{branch=\"\",goarch="));
    assert!(!page.contains("process_open_fds") && !page.contains("collector=\"processes\""));
    assert_eq!(get(&*instance, "/").await.0, 404);

    let update = instance
        .update(decoded(
            &UNIX,
            &format!("{paths}set_collectors = [\"loadavg\", \"systemd\"]\ninclude_exporter_metrics = true"),
        ))
        .unwrap();
    (update.commit)();
    let (_, page) = get(&*instance, "/metrics").await;
    assert!(page.contains("node_load1 0.52") && !page.contains("node_memory"));
    assert!(
        page.contains("process_open_fds") && page.contains("promhttp_metric_handler_requests_total{code=\"200\"} 0")
    );
    // Asked for by name and not there yet: the page says so.
    assert!(page.contains("node_scrape_collector_success{collector=\"systemd\"} 0"));
}

fn decoded(definition: &Definition, body: &str) -> sdk_component::Decoded {
    let source = Source::new("test.alloy", body);
    let (file, _) = parse(source.clone());
    let scope = Scope::new();
    let body = BodySource { body: &file.body, source: &source, header: Default::default(), label: None, scope: &scope };
    (definition.decode)(body).map_err(|diagnostics| diagnostics.to_string()).unwrap()
}

#[test]
fn which_collectors_run() {
    let collectors = |body: &str| {
        let _ = decoded(&UNIX, body);
        let source = Source::new("test.alloy", body);
        let (file, _) = parse(source.clone());
        let scope = Scope::new();
        let body =
            BodySource { body: &file.body, source: &source, header: Default::default(), label: None, scope: &scope };
        let arguments: super::Arguments = body.decode().map_err(|diagnostics| diagnostics.to_string()).unwrap();
        arguments.settings().unwrap().collectors
    };
    let usual = collectors("");
    assert!(usual.contains(&"cpu") && usual.contains(&"vmstat"));
    assert!(!usual.contains(&"processes") && !usual.contains(&"systemd"));
    assert_eq!(collectors("set_collectors = [\"cpu\", \"os\"]\ndisable_collectors = [\"os\"]"), ["cpu"]);
    assert!(collectors("enable_collectors = [\"processes\"]").contains(&"processes"));
    assert!(collectors("disable_collectors = [\"cpu\"]\nenable_collectors = [\"cpu\"]").contains(&"cpu"));
    assert!(collectors("bcache {\n}").contains(&"bcache"), "asked for by its block");
    assert!(!collectors("systemd {\n}").contains(&"systemd"), "a block does not turn on what is off");
}

#[test]
fn a_collector_that_nobody_knows_is_warned_of_at_its_list() {
    let doubts = |body: &str| (UNIX.doubts)(&decoded(&UNIX, body));
    let unknown = doubts("enable_collectors = [\"systemd\", \"sistemd\"]\ndisable_collectors = [\"of-nobody\"]");
    let told: Vec<_> =
        unknown.iter().map(|doubt| (doubt.field.as_deref(), &doubt.message[..], doubt.hint.as_deref())).collect();
    assert_eq!(
        told,
        [
            (
                Some("enable_collectors"),
                "no collector is called \"sistemd\"; it is ignored",
                Some("did you mean \"systemd\"?")
            ),
            (Some("disable_collectors"), "no collector is called \"of-nobody\"; it is ignored", None),
        ]
    );
    assert!(doubts("set_collectors = [\"cpu\"]").is_empty());
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    for (body, expected) in [
        ("arp {\n  netlink = true\n}", "\"netlink\" of the arp block is not supported yet: /proc/net/arp is read"),
        (
            "netdev {\n  device_exclude = \"a\"\n  device_include = \"b\"\n}",
            "device_exclude & device_include are mutually exclusive",
        ),
        ("vmstat {\n  fields = \"(\"\n}", "fields of vmstat: error parsing regexp: missing closing ): `(`"),
    ] {
        assert_eq!(build(&UNIX, body).err().unwrap(), expected);
    }
    let (_, instance) = build(&UNIX, "disk {\n  device_include = \"^sd\"\n}").unwrap();
    drop(instance);
}

#[tokio::test]
async fn the_own_metrics_are_those_of_the_server() {
    let (_, instance) = build(&SELF, "").unwrap();
    assert_eq!(get(&*instance, "/anything").await, (200, "/metrics".to_owned()));
}
