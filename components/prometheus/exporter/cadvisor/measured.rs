//! What is read of a container.

/// The limits that it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spec {
    pub cpu: Option<CpuSpec>,
    pub memory: Option<MemorySpec>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CpuSpec {
    /// In microseconds.
    pub period: u64,
    /// In microseconds in a period; 0 without a limit.
    pub quota: u64,
    pub shares: u64,
}

/// Bytes; the largest numbers mean no limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct MemorySpec {
    pub limit: u64,
    pub swap_limit: u64,
    pub reservation: u64,
}

/// What it uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stats {
    /// When this was read, in milliseconds since 1970.
    pub at: i64,
    pub cpu: Cpu,
    pub memory: Memory,
    pub io: Io,
    pub pressure: Pressure,
    /// Processes that were killed for want of memory.
    pub killed: u64,
    pub huge_pages: Vec<HugePages>,
    pub numa: Vec<NumaPages>,
    /// 1 if the pages of its memory move with it to other nodes.
    pub memory_migrate: u64,
    pub filesystems: Vec<FilesystemUsage>,
    pub network: Vec<Interface>,
    pub tcp: Tcp,
    pub tcp6: Tcp,
    pub udp: Udp,
    pub udp6: Udp,
    /// By the position of their names in `network::ADVANCED`; empty if not read.
    pub advanced_tcp: Vec<f64>,
    pub processes: Processes,
    pub schedule: Schedule,
    /// Bytes.
    pub referenced: u64,
}

/// Nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cpu {
    pub user: u64,
    pub system: u64,
    pub total: u64,
    /// Empty if not known.
    pub each: Vec<u64>,
    /// A count.
    pub periods: u64,
    /// A count.
    pub throttled_periods: u64,
    pub throttled: u64,
}

/// Bytes, but for the counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    pub usage: u64,
    pub max_usage: u64,
    /// How often a limit was met.
    pub failures: u64,
    pub kernel: u64,
    pub cache: u64,
    pub resident: u64,
    pub swap: u64,
    pub mapped: u64,
    pub active_file: u64,
    pub inactive_file: u64,
    /// A count.
    pub page_faults: u64,
    /// A count.
    pub major_faults: u64,
}

impl Memory {
    /// What cannot be taken from it without harm.
    pub fn working_set(&self) -> u64 {
        self.usage.saturating_sub(self.inactive_file)
    }
}

/// What it did on disks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Io {
    pub bytes: Vec<Disk>,
    pub operations: Vec<Disk>,
    pub queued: Vec<Disk>,
    pub sectors: Vec<Disk>,
    /// Nanoseconds.
    pub service_time: Vec<Disk>,
    pub merged: Vec<Disk>,
}

/// One disk in one of the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Disk {
    pub major: u64,
    pub minor: u64,
    /// `/dev/sda`; empty if nobody knows.
    pub name: String,
    /// `Read`, `Write`, …
    pub values: Vec<(String, u64)>,
}

impl Disk {
    pub fn value(&self, operation: &str) -> u64 {
        self.values.iter().find(|(name, _)| name == operation).map_or(0, |(_, value)| *value)
    }

    /// Puts a number into a table.
    pub fn put(table: &mut Vec<Disk>, major: u64, minor: u64, operation: &str, value: u64) {
        let at = table.iter().position(|disk| (disk.major, disk.minor) == (major, minor));
        let at = at.unwrap_or_else(|| {
            table.push(Disk { major, minor, ..Disk::default() });
            table.len() - 1
        });
        table[at].values.push((operation.to_owned(), value));
    }
}

/// Microseconds that some or all of it waited.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pressure {
    pub cpu: Waited,
    pub memory: Waited,
    pub io: Waited,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Waited {
    pub some: u64,
    pub full: u64,
}

/// Bytes, but for the failures.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HugePages {
    /// `2MB`
    pub size: String,
    pub usage: u64,
    pub max_usage: u64,
    pub failures: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NumaPages {
    /// `file`, `anon`, `unevictable`
    pub kind: &'static str,
    /// `container`, `hierarchy`
    pub scope: &'static str,
    pub node: String,
    pub pages: u64,
}

/// What it takes of a file system.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FilesystemUsage {
    pub device: String,
    pub limit: f64,
    /// None until it has been measured.
    pub usage: Option<f64>,
    /// None until it has been measured.
    pub inodes: Option<f64>,
    pub inodes_free: f64,
    pub disk: super::filesystems::DiskStats,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Interface {
    pub name: String,
    pub received: Traffic,
    pub sent: Traffic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Traffic {
    pub bytes: u64,
    pub packets: u64,
    pub errors: u64,
    pub dropped: u64,
}

/// Connections by state, in the order of `network::TCP_STATES`.
pub(super) type Tcp = [u64; 11];

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Udp {
    pub sockets: u64,
    pub dropped: u64,
    pub receive_queue: u64,
    pub transmit_queue: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Processes {
    pub count: u64,
    pub files: u64,
    pub sockets: u64,
    pub threads: u64,
    /// 0 without a limit.
    pub max_threads: u64,
    /// Of the first process, if it is known; -1 without a limit.
    pub max_files: Option<f64>,
}

/// Nanoseconds on and before CPUs, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Schedule {
    pub run: u64,
    pub wait: u64,
    pub periods: u64,
}
