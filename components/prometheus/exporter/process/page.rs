//! The families of process-exporter.

use std::collections::BTreeMap;

use base_metrics::{FamilyWriter, Kind};

use super::groups::{Group, Threads};
use super::proc::Counts;
use crate::build_info;

/// What went wrong since the exporter began.
#[derive(Default)]
pub(super) struct Errors {
    /// Looks at the host that failed.
    pub scrapes: u64,
    /// Processes that could not be looked at.
    pub unreadable: u64,
    /// Processes of which something could not be read.
    pub partial: u64,
}

/// What Go shows of a time that was never set: the beginning of the year 1.
const NEVER: f64 = -62_135_596_800.0;

type Groups = BTreeMap<String, Group>;

/// Writes them all.
pub(super) fn write(page: &mut FamilyWriter<'_>, groups: &Groups, threads: bool, smaps: bool, errors: &Errors) {
    of_groups(page, groups, smaps);
    if threads {
        of_threads(page, groups);
    }
    let counters = [
        ("scrape_errors", "general scrape errors: no proc metrics collected during a cycle", errors.scrapes),
        ("scrape_procread_errors", "incremented each time a proc's metrics collection fails", errors.unreadable),
        (
            "scrape_partial_errors",
            "incremented each time a tracked proc's metrics collection fails partially, e.g. unreadable I/O stats",
            errors.partial,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(&format!("namedprocess_{name}"), help, value as f64);
    }
    build_info::write(page, "process_exporter_build_info", "process_exporter");
}

fn of_groups(page: &mut FamilyWriter<'_>, groups: &Groups, smaps: bool) {
    let one = |page: &mut FamilyWriter<'_>, name: &str, help: &str, kind, value: fn(&Group) -> f64| {
        let mut family = page.family(&format!("namedprocess_namegroup_{name}"), help, kind);
        for (group, all) in groups {
            family.sample(&[("groupname", group)], value(all));
        }
    };
    one(page, "num_procs", "number of processes in this group", Kind::Gauge, |group| group.processes as f64);
    one(page, "num_threads", "Number of threads", Kind::Gauge, |group| group.threads_count as f64);
    one(page, "open_filedesc", "number of open file descriptors for this group", Kind::Gauge, |group| {
        group.open_files as f64
    });
    one(
        page,
        "worst_fd_ratio",
        "the worst (closest to 1) ratio between open fds and max fds among all procs in this group",
        Kind::Gauge,
        |group| group.worst_files,
    );
    one(
        page,
        "oldest_start_time_seconds",
        "start time in seconds since 1970/01/01 of oldest process in group",
        Kind::Gauge,
        |group| group.oldest.map_or(NEVER, |milliseconds| (milliseconds / 1000) as f64),
    );
    one(page, "read_bytes_total", "number of bytes read by this group", Kind::Counter, |group| {
        group.counts.read as f64
    });
    one(page, "write_bytes_total", "number of bytes written by this group", Kind::Counter, |group| {
        group.counts.written as f64
    });
    one(page, "major_page_faults_total", "Major page faults", Kind::Counter, |group| group.counts.major_faults as f64);
    one(page, "minor_page_faults_total", "Minor page faults", Kind::Counter, |group| group.counts.minor_faults as f64);

    let mut family =
        page.family("namedprocess_namegroup_cpu_seconds_total", "Cpu user usage in seconds", Kind::Counter);
    for (group, all) in groups {
        family.sample(&[("groupname", group), ("mode", "system")], Counts::seconds(all.counts.system));
        family.sample(&[("groupname", group), ("mode", "user")], Counts::seconds(all.counts.user));
    }
    let mut family = page.family("namedprocess_namegroup_context_switches_total", "Context switches", Kind::Counter);
    for (group, all) in groups {
        for (kind, count) in [("nonvoluntary", all.counts.involuntary), ("voluntary", all.counts.voluntary)] {
            family.sample(&[("ctxswitchtype", kind), ("groupname", group)], count as f64);
        }
    }
    let mut family =
        page.family("namedprocess_namegroup_memory_bytes", "number of bytes of memory in use", Kind::Gauge);
    for (group, all) in groups {
        let shared = [
            ("proportionalResident", all.memory.proportional),
            ("proportionalSwapped", all.memory.proportional_swapped),
        ];
        let own =
            [("resident", all.memory.resident), ("swapped", all.memory.swapped), ("virtual", all.memory.virtual_size)];
        for (kind, bytes) in shared.into_iter().filter(|_| smaps).chain(own) {
            family.sample(&[("groupname", group), ("memtype", kind)], bytes as f64);
        }
    }
    let help = "Number of processes in states Running, Sleeping, Waiting, Zombie, or Other";
    let mut family = page.family("namedprocess_namegroup_states", help, Kind::Gauge);
    for (group, all) in groups {
        for (state, count) in [
            ("Other", all.states.other),
            ("Running", all.states.running),
            ("Sleeping", all.states.sleeping),
            ("Waiting", all.states.waiting),
            ("Zombie", all.states.zombie),
        ] {
            family.sample(&[("groupname", group), ("state", state)], count as f64);
        }
    }
    let help = "Number of threads in this group waiting on each wchan";
    let mut family = page.family("namedprocess_namegroup_threads_wchan", help, Kind::Gauge);
    for (group, all) in groups {
        for (wchan, count) in &all.wchans {
            family.sample(&[("groupname", group), ("wchan", wchan)], *count as f64);
        }
    }
}

fn of_threads(page: &mut FamilyWriter<'_>, groups: &Groups) {
    let all = || {
        groups.iter().flat_map(|(group, all)| {
            all.threads.iter().map(move |(name, threads)| (group.as_str(), name.as_str(), threads))
        })
    };
    let one = |page: &mut FamilyWriter<'_>, name: &str, help: &str, kind, value: fn(&Threads) -> f64| {
        let mut family = page.family(&format!("namedprocess_namegroup_thread_{name}"), help, kind);
        for (group, name, threads) in all() {
            family.sample(&[("groupname", group), ("threadname", name)], value(threads));
        }
    };
    one(page, "count", "Number of threads in this group with same threadname", Kind::Gauge, |threads| {
        threads.count as f64
    });
    one(page, "major_page_faults_total", "Major page faults for these threads", Kind::Counter, |threads| {
        threads.counts.major_faults as f64
    });
    one(page, "minor_page_faults_total", "Minor page faults for these threads", Kind::Counter, |threads| {
        threads.counts.minor_faults as f64
    });
    let mut family = page.family(
        "namedprocess_namegroup_thread_cpu_seconds_total",
        "Cpu user/system usage in seconds",
        Kind::Counter,
    );
    for (group, name, threads) in all() {
        for (mode, ticks) in [("system", threads.counts.system), ("user", threads.counts.user)] {
            family.sample(&[("groupname", group), ("mode", mode), ("threadname", name)], Counts::seconds(ticks));
        }
    }
    let mut family = page.family(
        "namedprocess_namegroup_thread_io_bytes_total",
        "number of bytes read/written by these threads",
        Kind::Counter,
    );
    for (group, name, threads) in all() {
        for (mode, bytes) in [("read", threads.counts.read), ("write", threads.counts.written)] {
            family.sample(&[("groupname", group), ("iomode", mode), ("threadname", name)], bytes as f64);
        }
    }
    let mut family = page.family(
        "namedprocess_namegroup_thread_context_switches_total",
        "Context switches for these threads",
        Kind::Counter,
    );
    for (group, name, threads) in all() {
        for (kind, count) in [("nonvoluntary", threads.counts.involuntary), ("voluntary", threads.counts.voluntary)] {
            family.sample(&[("ctxswitchtype", kind), ("groupname", group), ("threadname", name)], count as f64);
        }
    }
}
