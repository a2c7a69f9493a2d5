//! Looks at a host made of files, and compares the page with what node_exporter shows of the same files.

use std::path::Path;
use std::time::Duration;

use base_metrics::Page;

use super::collector::Paths;
use super::cpu::CpuSettings;
use super::filesystem::FilesystemSettings;
use super::filter::{DeviceFilter, Pattern};
use super::netclass::NetclassSettings;
use super::netdev::NetdevSettings;
use super::node::{KNOWN, Node, Settings};

/// Unpacks `fixtures/host.txt`: lines of `--- path`, each followed by the file's text.
fn host() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in include_str!("fixtures/host.txt").split("--- ").skip(1) {
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
        cpu: CpuSettings {
            guest: true,
            info: true,
            frequency: true,
            bugs: Some(pattern("spectre|mds")),
            flags: Some(pattern("^avx")),
        },
        disk_devices: DeviceFilter::new(r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$", "").unwrap(),
        filesystem: FilesystemSettings {
            mount_points_exclude: pattern("^/(proc|var/lib/docker/.+)($|/)"),
            fs_types_exclude: pattern("^overlay$"),
            mount_timeout: Duration::from_secs(600),
        },
        netclass: NetclassSettings { ignored_devices: pattern("^$"), ignore_invalid_speed: false },
        netdev: NetdevSettings { devices: DeviceFilter::new("^veth", "").unwrap(), address_info: false },
        netstat_fields: pattern(
            "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPTimeouts)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
        ),
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
    text.split_inclusive('\n').filter(|line| !varies(line)).collect()
}

const READ_FROM_FILES: &[&str] = &[
    "arp",
    "conntrack",
    "cpu",
    "diskstats",
    "entropy",
    "filefd",
    "filesystem",
    "loadavg",
    "meminfo",
    "netclass",
    "netdev",
    "netstat",
    "os",
    "pressure",
    "processes",
    "schedstat",
    "selinux",
    "sockstat",
    "softnet",
    "stat",
    "udp_queues",
    "vmstat",
];

/// `expected.txt` agrees with node_exporter 1.5 on these files, but for what came later: `adminstate`, the newer columns
/// of softnet, the serial number from SCSI, read-only mounts that give an error.
#[test]
fn the_page_is_what_node_exporter_shows_of_the_same_files() {
    let host = host();
    let page = page(host.path(), READ_FROM_FILES);
    let (expected, mut differences) = (include_str!("fixtures/expected.txt"), Vec::new());
    for line in expected.lines().filter(|line| !page.lines().any(|ours| ours == *line)) {
        differences.push(format!("- {line}"));
    }
    for line in page.lines().filter(|line| !expected.lines().any(|theirs| theirs == *line)) {
        differences.push(format!("+ {line}"));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
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
