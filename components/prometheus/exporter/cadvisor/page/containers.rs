//! Families about containers.

use base_metrics::{FamilyWriter, Kind as Type, Samples};

use super::super::filesystems::DiskStats;
use super::super::kinds::{Kind, Kinds};
use super::super::machine::Machine;
use super::super::measured::{CpuSpec, Disk, FilesystemUsage, Interface, Io, MemorySpec, Stats, Tcp, Udp};
use super::super::network::{ADVANCED, TCP_STATES};
use super::Shown;

const NANOSECONDS: f64 = 1e9;

/// Limits above this are none; the kernel rounds its largest number.
const UNLIMITED: u64 = 1 << 62;

/// What a container was given.
pub(super) fn limits(page: &mut FamilyWriter<'_>, shown: &[Shown], machine: &Machine) {
    let mut family = |name: &str, help: &str, value: &dyn Fn(&Shown) -> Option<f64>| {
        let mut family = page.family(name, help, Type::Gauge);
        for container in shown {
            if let Some(value) = value(container) {
                family.with(&container.labels).sample(&[], value);
            }
        }
    };
    let created = "Start time of the container since unix epoch in seconds.";
    family("container_start_time_seconds", created, &|container| Some(container.created as f64));
    let cpu = |container: &Shown, value: fn(&CpuSpec) -> u64| container.spec.cpu.as_ref().map(value);
    family("container_spec_cpu_period", "CPU period of the container.", &|container| {
        cpu(container, |cpu| cpu.period).map(|period| period as f64)
    });
    family("container_spec_cpu_quota", "CPU quota of the container.", &|container| {
        cpu(container, |cpu| cpu.quota).filter(|quota| *quota != 0).map(|quota| quota as f64)
    });
    family("container_spec_cpu_shares", "CPU share of the container.", &|container| {
        cpu(container, |cpu| cpu.shares).map(|shares| shares as f64)
    });
    let memory = |container: &Shown, value: &dyn Fn(&MemorySpec) -> u64| {
        let bytes = value(container.spec.memory.as_ref()?);
        Some(if bytes > UNLIMITED { 0.0 } else { bytes as f64 })
    };
    family("container_spec_memory_limit_bytes", "Memory limit for the container.", &|container| {
        memory(container, &|memory| if memory.limit == 0 { machine.memory } else { memory.limit })
    });
    family("container_spec_memory_swap_limit_bytes", "Memory swap limit for the container.", &|container| {
        memory(container, &|memory| memory.swap_limit)
    });
    let reservation = "Memory reservation limit for the container.";
    family("container_spec_memory_reservation_limit_bytes", reservation, &|container| {
        memory(container, &|memory| memory.reservation)
    });
}

/// A family with one sample for each container: name, help, type and value.
type Single = (&'static str, &'static str, Type, fn(&Stats) -> f64);

/// What a container uses. `now` is in milliseconds since 1970.
pub(super) fn usage(page: &mut FamilyWriter<'_>, shown: &[Shown], kinds: Kinds, now: i64) {
    let mut family = page.family("container_last_seen", "Last time a container was seen by the exporter", Type::Gauge);
    for container in shown {
        family.with(&container.labels).sample_at(&[], (now / 1000) as f64, now);
    }
    let help = "The result of the container's health check";
    let mut family = page.family("container_health_state", help, Type::Gauge);
    for container in shown {
        let health = f64::from(u8::from(container.is_healthy));
        family.with(&container.labels).sample_at(&[], health, container.stats.at);
    }
    for (kind, families) in SINGLE {
        if kinds.has(*kind) {
            for (name, help, kind, value) in *families {
                each(page, shown, name, help, *kind, |samples, stats| {
                    samples.sample_at(&[], value(stats), stats.at);
                });
            }
        }
    }
    let writers: [(Kind, fn(&mut FamilyWriter<'_>, &[Shown])); 12] = [
        (Kind::Cpu, cpu),
        (Kind::CpuLoad, tasks),
        (Kind::Memory, memory_failures),
        (Kind::MemoryNuma, numa),
        (Kind::HugePages, huge_pages),
        (Kind::Disk, filesystems),
        (Kind::DiskIo, disks),
        (Kind::Network, network),
        (Kind::Tcp, tcp),
        (Kind::AdvancedTcp, advanced_tcp),
        (Kind::Udp, udp),
        (Kind::Process, process_limits),
    ];
    for (kind, write) in writers {
        if kinds.has(kind) {
            write(page, shown);
        }
    }
}

/// One family, with what `write` has for each container.
fn each(
    page: &mut FamilyWriter<'_>,
    shown: &[Shown],
    name: &str,
    help: &str,
    kind: Type,
    mut write: impl FnMut(&mut Samples<'_>, &Stats),
) {
    let mut family = page.family(name, help, kind);
    for container in shown {
        write(family.with(&container.labels), &container.stats);
    }
}

const SINGLE: &[(Kind, &[Single])] = &[
    (
        Kind::Cpu,
        &[
            (
                "container_cpu_user_seconds_total",
                "Cumulative user cpu time consumed in seconds.",
                Type::Counter,
                |stats| seconds(stats.cpu.user),
            ),
            (
                "container_cpu_system_seconds_total",
                "Cumulative system cpu time consumed in seconds.",
                Type::Counter,
                |stats| seconds(stats.cpu.system),
            ),
        ],
    ),
    (
        Kind::Sched,
        &[
            (
                "container_cpu_schedstat_run_seconds_total",
                "Time duration the processes of the container have run on the CPU.",
                Type::Counter,
                |stats| seconds(stats.schedule.run),
            ),
            (
                "container_cpu_schedstat_runqueue_seconds_total",
                "Time duration processes of the container have been waiting on a runqueue.",
                Type::Counter,
                |stats| seconds(stats.schedule.wait),
            ),
            (
                "container_cpu_schedstat_run_periods_total",
                "Number of times processes of the cgroup have run on the cpu",
                Type::Counter,
                |stats| stats.schedule.periods as f64,
            ),
        ],
    ),
    (
        // Only read by a cAdvisor that was started with a flag, which Alloy does not have.
        Kind::CpuLoad,
        &[
            (
                "container_cpu_load_average_10s",
                "Value of container cpu load average over the last 10 seconds.",
                Type::Gauge,
                |_| 0.0,
            ),
            (
                "container_cpu_load_d_average_10s",
                "Value of container cpu load.d average over the last 10 seconds.",
                Type::Gauge,
                |_| 0.0,
            ),
        ],
    ),
    (
        Kind::Memory,
        &[
            ("container_memory_cache", "Number of bytes of page cache memory.", Type::Gauge, |stats| {
                stats.memory.cache as f64
            }),
            ("container_memory_rss", "Size of RSS in bytes.", Type::Gauge, |stats| stats.memory.resident as f64),
            ("container_memory_kernel_usage", "Size of kernel memory allocated in bytes.", Type::Gauge, |stats| {
                stats.memory.kernel as f64
            }),
            ("container_memory_mapped_file", "Size of memory mapped files in bytes.", Type::Gauge, |stats| {
                stats.memory.mapped as f64
            }),
            ("container_memory_swap", "Container swap usage in bytes.", Type::Gauge, |stats| stats.memory.swap as f64),
            ("container_memory_failcnt", "Number of memory usage hits limits", Type::Counter, |stats| {
                stats.memory.failures as f64
            }),
            (
                "container_memory_usage_bytes",
                "Current memory usage in bytes, including all memory regardless of when it was accessed",
                Type::Gauge,
                |stats| stats.memory.usage as f64,
            ),
            ("container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes", Type::Gauge, |stats| {
                stats.memory.max_usage as f64
            }),
            ("container_memory_working_set_bytes", "Current working set in bytes.", Type::Gauge, |stats| {
                stats.memory.working_set() as f64
            }),
            ("container_memory_total_active_file_bytes", "Current total active file in bytes.", Type::Gauge, |stats| {
                stats.memory.active_file as f64
            }),
            (
                "container_memory_total_inactive_file_bytes",
                "Current total inactive file in bytes.",
                Type::Gauge,
                |stats| stats.memory.inactive_file as f64,
            ),
        ],
    ),
    (
        Kind::CpuSet,
        &[("container_memory_migrate", "Memory migrate status.", Type::Gauge, |stats| stats.memory_migrate as f64)],
    ),
    (
        Kind::Process,
        &[
            ("container_processes", "Number of processes running inside the container.", Type::Gauge, |stats| {
                stats.processes.count as f64
            }),
            (
                "container_file_descriptors",
                "Number of open file descriptors for the container.",
                Type::Gauge,
                |stats| stats.processes.files as f64,
            ),
            ("container_sockets", "Number of open sockets for the container.", Type::Gauge, |stats| {
                stats.processes.sockets as f64
            }),
            (
                "container_threads_max",
                "Maximum number of threads allowed inside the container, infinity if value is zero",
                Type::Gauge,
                |stats| stats.processes.max_threads as f64,
            ),
            ("container_threads", "Number of threads running inside the container", Type::Gauge, |stats| {
                stats.processes.threads as f64
            }),
        ],
    ),
    (
        Kind::ReferencedMemory,
        &[(
            "container_referenced_bytes",
            "Container referenced bytes during last measurements cycle",
            Type::Gauge,
            |stats| stats.referenced as f64,
        )],
    ),
    (
        Kind::OutOfMemory,
        &[(
            "container_oom_events_total",
            "Count of out of memory events observed for the container",
            Type::Counter,
            |stats| stats.killed as f64,
        )],
    ),
    (
        Kind::Pressure,
        &[
            (
                "container_pressure_cpu_stalled_seconds_total",
                "Total time duration no tasks in the container could make progress due to CPU congestion.",
                Type::Counter,
                |stats| stats.pressure.cpu.full as f64 / 1e6,
            ),
            (
                "container_pressure_cpu_waiting_seconds_total",
                "Total time duration tasks in the container have waited due to CPU congestion.",
                Type::Counter,
                |stats| stats.pressure.cpu.some as f64 / 1e6,
            ),
            (
                "container_pressure_memory_stalled_seconds_total",
                "Total time duration no tasks in the container could make progress due to memory congestion.",
                Type::Counter,
                |stats| stats.pressure.memory.full as f64 / 1e6,
            ),
            (
                "container_pressure_memory_waiting_seconds_total",
                "Total time duration tasks in the container have waited due to memory congestion.",
                Type::Counter,
                |stats| stats.pressure.memory.some as f64 / 1e6,
            ),
            (
                "container_pressure_io_stalled_seconds_total",
                "Total time duration no tasks in the container could make progress due to IO congestion.",
                Type::Counter,
                |stats| stats.pressure.io.full as f64 / 1e6,
            ),
            (
                "container_pressure_io_waiting_seconds_total",
                "Total time duration tasks in the container have waited due to IO congestion.",
                Type::Counter,
                |stats| stats.pressure.io.some as f64 / 1e6,
            ),
        ],
    ),
];

fn cpu(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let help = "Cumulative cpu time consumed in seconds.";
    each(page, shown, "container_cpu_usage_seconds_total", help, Type::Counter, |samples, stats| {
        if stats.cpu.each.is_empty() && stats.cpu.total > 0 {
            samples.sample_at(&[("cpu", "total")], seconds(stats.cpu.total), stats.at);
        }
        for (at, time) in stats.cpu.each.iter().enumerate().filter(|(_, time)| **time > 0) {
            samples.sample_at(&[("cpu", &format!("cpu{at:02}"))], seconds(*time), stats.at);
        }
    });
    let throttling: [(&str, &str, fn(&Stats) -> f64); 3] = [
        ("container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals.", |stats| {
            stats.cpu.periods as f64
        }),
        ("container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals.", |stats| {
            stats.cpu.throttled_periods as f64
        }),
        (
            "container_cpu_cfs_throttled_seconds_total",
            "Total time duration the container has been throttled.",
            |stats| seconds(stats.cpu.throttled),
        ),
    ];
    for (name, help, value) in throttling {
        let mut family = page.family(name, help, Type::Counter);
        let limited = |container: &&Shown| container.spec.cpu.as_ref().is_some_and(|cpu| cpu.quota != 0);
        for container in shown.iter().filter(limited) {
            let stats = &container.stats;
            family.with(&container.labels).sample_at(&[], value(stats), stats.at);
        }
    }
}

/// As the load, only read with a flag that Alloy does not have.
fn tasks(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let help = "Number of tasks in given state";
    each(page, shown, "container_tasks_state", help, Type::Gauge, |samples, stats| {
        for state in ["iowaiting", "running", "sleeping", "stopped", "uninterruptible"] {
            samples.sample_at(&[("state", state)], 0.0, stats.at);
        }
    });
}

fn memory_failures(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let help = "Cumulative count of memory allocation failures.";
    each(page, shown, "container_memory_failures_total", help, Type::Counter, |samples, stats| {
        for (kind, count) in [("pgfault", stats.memory.page_faults), ("pgmajfault", stats.memory.major_faults)] {
            for scope in ["container", "hierarchy"] {
                samples.sample_at(&[("failure_type", kind), ("scope", scope)], count as f64, stats.at);
            }
        }
    });
}

fn numa(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let help = "Number of used pages per NUMA node";
    each(page, shown, "container_memory_numa_pages", help, Type::Gauge, |samples, stats| {
        for pages in &stats.numa {
            let labels = [("node", pages.node.as_str()), ("scope", pages.scope), ("type", pages.kind)];
            samples.sample_at(&labels, pages.pages as f64, stats.at);
        }
    });
}

fn huge_pages(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let mut family = |name: &str, help: &str, kind, value: fn(&super::super::measured::HugePages) -> u64| {
        each(page, shown, name, help, kind, |samples, stats| {
            for pages in &stats.huge_pages {
                samples.sample_at(&[("pagesize", &pages.size)], value(pages) as f64, stats.at);
            }
        });
    };
    family("container_hugetlb_failcnt", "Number of hugepage usage hits limits", Type::Counter, |pages| pages.failures);
    family("container_hugetlb_usage_bytes", "Current hugepage usage in bytes", Type::Gauge, |pages| pages.usage);
    let help = "Maximum hugepage usage recorded in bytes";
    family("container_hugetlb_max_usage_bytes", help, Type::Gauge, |pages| pages.max_usage);
}

fn filesystems(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let mut family = |name: &str, help: &str, value: fn(&FilesystemUsage) -> Option<f64>| {
        each(page, shown, name, help, Type::Gauge, |samples, stats| {
            for filesystem in &stats.filesystems {
                if let Some(value) = value(filesystem) {
                    samples.sample_at(&[("device", &filesystem.device)], value, stats.at);
                }
            }
        });
    };
    family("container_fs_inodes_free", "Number of available Inodes", |filesystem| Some(filesystem.inodes_free));
    family("container_fs_inodes_total", "Number of Inodes", |filesystem| filesystem.inodes);
    let help = "Number of bytes that can be consumed by the container on this filesystem.";
    family("container_fs_limit_bytes", help, |filesystem| Some(filesystem.limit));
    let help = "Number of bytes that are consumed by the container on this filesystem.";
    family("container_fs_usage_bytes", help, |filesystem| filesystem.usage);
}

fn disks(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    type OfCgroup = Option<(fn(&Io) -> &[Disk], &'static str, f64)>;
    type OfDisk = Option<fn(&DiskStats) -> f64>;
    // The file systems' times are in thousandths of seconds and are shown as billionths: that is how everybody has them.
    let families: [(&str, &str, Type, OfCgroup, OfDisk); 13] = [
        (
            "container_fs_reads_bytes_total",
            "Cumulative count of bytes read",
            Type::Counter,
            Some((|io| &io.bytes, "Read", 1.0)),
            None,
        ),
        (
            "container_fs_reads_total",
            "Cumulative count of reads completed",
            Type::Counter,
            Some((|io| &io.operations, "Read", 1.0)),
            Some(|disk| disk.reads as f64),
        ),
        (
            "container_fs_sector_reads_total",
            "Cumulative count of sector reads completed",
            Type::Counter,
            Some((|io| &io.sectors, "Read", 1.0)),
            Some(|disk| disk.sectors_read as f64),
        ),
        (
            "container_fs_reads_merged_total",
            "Cumulative count of reads merged",
            Type::Counter,
            Some((|io| &io.merged, "Read", 1.0)),
            Some(|disk| disk.reads_merged as f64),
        ),
        (
            "container_fs_read_seconds_total",
            "Cumulative count of seconds spent reading",
            Type::Counter,
            Some((|io| &io.service_time, "Read", NANOSECONDS)),
            Some(|disk| seconds(disk.read_time)),
        ),
        (
            "container_fs_writes_bytes_total",
            "Cumulative count of bytes written",
            Type::Counter,
            Some((|io| &io.bytes, "Write", 1.0)),
            None,
        ),
        (
            "container_fs_writes_total",
            "Cumulative count of writes completed",
            Type::Counter,
            Some((|io| &io.operations, "Write", 1.0)),
            Some(|disk| disk.writes as f64),
        ),
        (
            "container_fs_sector_writes_total",
            "Cumulative count of sector writes completed",
            Type::Counter,
            Some((|io| &io.sectors, "Write", 1.0)),
            Some(|disk| disk.sectors_written as f64),
        ),
        (
            "container_fs_writes_merged_total",
            "Cumulative count of writes merged",
            Type::Counter,
            Some((|io| &io.merged, "Write", 1.0)),
            Some(|disk| disk.writes_merged as f64),
        ),
        (
            "container_fs_write_seconds_total",
            "Cumulative count of seconds spent writing",
            Type::Counter,
            Some((|io| &io.service_time, "Write", NANOSECONDS)),
            Some(|disk| seconds(disk.write_time)),
        ),
        (
            "container_fs_io_current",
            "Number of I/Os currently in progress",
            Type::Gauge,
            Some((|io| &io.queued, "Total", 1.0)),
            Some(|disk| disk.in_progress as f64),
        ),
        (
            "container_fs_io_time_seconds_total",
            "Cumulative count of seconds spent doing I/Os",
            Type::Counter,
            Some((|io| &io.service_time, "Total", NANOSECONDS)),
            Some(|disk| seconds(disk.busy_time)),
        ),
        (
            "container_fs_io_time_weighted_seconds_total",
            "Cumulative weighted I/O time in seconds",
            Type::Counter,
            None,
            Some(|disk| seconds(disk.weighted_time)),
        ),
    ];
    for (name, help, kind, of_cgroup, of_disk) in families {
        each(page, shown, name, help, kind, |samples, stats| {
            if let Some((table, operation, unit)) = of_cgroup {
                for disk in table(&stats.io) {
                    let value = disk.value(operation) as f64 / unit;
                    samples.sample_at(&[("device", &disk.name)], value, stats.at);
                }
            }
            if let Some(value) = of_disk {
                for filesystem in &stats.filesystems {
                    samples.sample_at(&[("device", &filesystem.device)], value(&filesystem.disk), stats.at);
                }
            }
        });
    }
    let help = "Blkio Device bytes usage";
    each(page, shown, "container_blkio_device_usage_total", help, Type::Counter, |samples, stats| {
        for disk in &stats.io.bytes {
            let (major, minor) = (disk.major.to_string(), disk.minor.to_string());
            for (operation, bytes) in &disk.values {
                let labels = [
                    ("device", disk.name.as_str()),
                    ("major", major.as_str()),
                    ("minor", minor.as_str()),
                    ("operation", operation.as_str()),
                ];
                samples.sample_at(&labels, *bytes as f64, stats.at);
            }
        }
    });
}

fn network(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let families: [(&str, &str, fn(&Interface) -> u64); 8] = [
        ("receive_bytes", "bytes received", |interface| interface.received.bytes),
        ("receive_packets", "packets received", |interface| interface.received.packets),
        ("receive_packets_dropped", "packets dropped while receiving", |interface| interface.received.dropped),
        ("receive_errors", "errors encountered while receiving", |interface| interface.received.errors),
        ("transmit_bytes", "bytes transmitted", |interface| interface.sent.bytes),
        ("transmit_packets", "packets transmitted", |interface| interface.sent.packets),
        ("transmit_packets_dropped", "packets dropped while transmitting", |interface| interface.sent.dropped),
        ("transmit_errors", "errors encountered while transmitting", |interface| interface.sent.errors),
    ];
    for (name, what, value) in families {
        let (name, help) = (format!("container_network_{name}_total"), format!("Cumulative count of {what}"));
        each(page, shown, &name, &help, Type::Counter, |samples, stats| {
            for interface in &stats.network {
                samples.sample_at(&[("interface", &interface.name)], value(interface) as f64, stats.at);
            }
        });
    }
}

fn tcp(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let mut family = |version: &str, value: fn(&Stats) -> &Tcp| {
        let help = format!("{version} connection usage statistic for container");
        let name = format!("container_network_{version}_usage_total");
        each(page, shown, &name, &help, Type::Gauge, |samples, stats| {
            for (state, count) in TCP_STATES.iter().zip(value(stats)) {
                samples.sample_at(&[("tcp_state", state)], *count as f64, stats.at);
            }
        });
    };
    family("tcp", |stats| &stats.tcp);
    family("tcp6", |stats| &stats.tcp6);
}

fn advanced_tcp(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let help = "advance tcp connections statistic for container";
    each(page, shown, "container_network_advance_tcp_stats_total", help, Type::Gauge, |samples, stats| {
        for (at, name) in ADVANCED.iter().enumerate() {
            let value = stats.advanced_tcp.get(at).copied().unwrap_or(0.0);
            samples.sample_at(&[("tcp_state", name)], value, stats.at);
        }
    });
}

fn udp(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let mut family = |version: &str, value: fn(&Stats) -> &Udp| {
        let help = format!("{version} connection usage statistic for container");
        let name = format!("container_network_{version}_usage_total");
        each(page, shown, &name, &help, Type::Gauge, |samples, stats| {
            let udp = value(stats);
            for (state, count) in [
                ("dropped", udp.dropped),
                ("listen", udp.sockets),
                ("rxqueued", udp.receive_queue),
                ("txqueued", udp.transmit_queue),
            ] {
                samples.sample_at(&[("udp_state", state)], count as f64, stats.at);
            }
        });
    };
    family("udp", |stats| &stats.udp);
    family("udp6", |stats| &stats.udp6);
}

fn process_limits(page: &mut FamilyWriter<'_>, shown: &[Shown]) {
    let help = "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice";
    each(page, shown, "container_ulimits_soft", help, Type::Gauge, |samples, stats| {
        if let Some(limit) = stats.processes.max_files {
            samples.sample_at(&[("ulimit", "max_open_files")], limit, stats.at);
        }
    });
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
