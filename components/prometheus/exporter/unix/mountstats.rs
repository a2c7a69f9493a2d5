//! What each mount of NFS did: bytes, operations, events, and its connections.

use std::collections::BTreeMap;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};

pub(crate) struct Mountstats {
    stats: Source,
    mounts: Source,
}

/// What `/proc/self/mountstats` tells of one mount of NFS.
#[derive(Debug, Default)]
struct Mount {
    device: String,
    /// Of the server, as the list of mounts has it.
    address: String,
    /// 1.1 tells three numbers more of each connection.
    version: String,
    /// Seconds.
    age: u64,
    bytes: Vec<u64>,
    events: Vec<u64>,
    /// By protocol; the connections of one are added up.
    connections: BTreeMap<String, Connection>,
    operations: Vec<(String, Vec<u64>)>,
}

/// In the order of the kernel: 13 numbers.
type Connection = [u64; 13];

/// A name and a help.
type Named = (&'static str, &'static str);

const BYTES: [Named; 8] = [
    ("read_bytes_total", "Number of bytes read using the read() syscall."),
    ("write_bytes_total", "Number of bytes written using the write() syscall."),
    ("direct_read_bytes_total", "Number of bytes read using the read() syscall in O_DIRECT mode."),
    ("direct_write_bytes_total", "Number of bytes written using the write() syscall in O_DIRECT mode."),
    ("total_read_bytes_total", "Number of bytes read from the NFS server, in total."),
    ("total_write_bytes_total", "Number of bytes written to the NFS server, in total."),
    ("read_pages_total", "Number of pages read directly via mmap()'d files."),
    ("write_pages_total", "Number of pages written directly via mmap()'d files."),
];

/// The one without a name was never shown.
const EVENTS: [Named; 27] = [
    ("inode_revalidate", "Number of times cached inode attributes are re-validated from the server."),
    ("dnode_revalidate", "Number of times cached dentry nodes are re-validated from the server."),
    ("data_invalidate", "Number of times an inode cache is cleared."),
    ("attribute_invalidate", "Number of times cached inode attributes are invalidated."),
    ("vfs_open", "Number of times cached inode attributes are invalidated."),
    ("vfs_lookup", "Number of times a directory lookup has occurred."),
    ("vfs_access", "Number of times permissions have been checked."),
    ("vfs_update_page", "Number of updates (and potential writes) to pages."),
    ("vfs_read_page", "Number of pages read directly via mmap()'d files."),
    ("vfs_read_pages", "Number of times a group of pages have been read."),
    ("vfs_write_page", "Number of pages written directly via mmap()'d files."),
    ("vfs_write_pages", "Number of times a group of pages have been written."),
    ("vfs_getdents", "Number of times directory entries have been read with getdents()."),
    ("vfs_setattr", "Number of times directory entries have been read with getdents()."),
    ("vfs_flush", "Number of pending writes that have been forcefully flushed to the server."),
    ("vfs_fsync", "Number of times fsync() has been called on directories and files."),
    ("vfs_lock", "Number of times locking has been attempted on a file."),
    ("vfs_file_release", "Number of times files have been closed and released."),
    ("", ""),
    ("truncation", "Number of times files have been truncated."),
    ("write_extension", "Number of times a file has been grown due to writes beyond its existing end."),
    ("silly_rename", "Number of times a file was removed while still open by another process."),
    ("short_read", "Number of times the NFS server gave less data than expected while reading."),
    ("short_write", "Number of times the NFS server wrote less data than expected while writing."),
    ("jukebox_delay", "Number of times the NFS server indicated EJUKEBOX; retrieving data from offline storage."),
    ("pnfs_read", "Number of NFS v4.1+ pNFS reads."),
    ("pnfs_write", "Number of NFS v4.1+ pNFS writes."),
];

/// Where each stands among the numbers of a connection.
const CONNECTION: [(usize, Named); 10] = [
    (1, ("bind_total", "Number of times the client has had to establish a connection from scratch to the NFS server.")),
    (2, ("connect_total", "Number of times the client has made a TCP connection to the NFS server.")),
    (IDLE, ("idle_time_seconds", "Duration since the NFS mount last saw any RPC traffic, in seconds.")),
    (5, ("sends_total", "Number of RPC requests for this mount sent to the NFS server.")),
    (6, ("receives_total", "Number of RPC responses for this mount received from the NFS server.")),
    (
        7,
        (
            "bad_transaction_ids_total",
            "Number of times the NFS server sent a response with a transaction ID unknown to this client.",
        ),
    ),
    (9, ("backlog_queue_total", "Total number of items added to the RPC backlog queue.")),
    (SLOTS, ("maximum_rpc_slots", "Maximum number of simultaneously active RPC requests ever used.")),
    (11, ("sending_queue_total", "Total number of items added to the RPC transmission sending queue.")),
    (12, ("pending_queue_total", "Total number of items added to the RPC transmission pending queue.")),
];
const IDLE: usize = 4;
const SLOTS: usize = 10;

/// The last three are in milliseconds.
const OPERATION: [Named; 8] = [
    ("requests_total", "Number of requests performed for a given operation."),
    ("transmissions_total", "Number of times an actual RPC request has been transmitted for a given operation."),
    ("major_timeouts_total", "Number of times a request has had a major timeout for a given operation."),
    ("sent_bytes_total", "Number of bytes sent for a given operation, including RPC headers and payload."),
    ("received_bytes_total", "Number of bytes received for a given operation, including RPC headers and payload."),
    (
        "queue_time_seconds_total",
        "Duration all requests spent queued for transmission for a given operation before they were sent, in seconds.",
    ),
    (
        "response_time_seconds_total",
        "Duration all requests took to get a reply back after a request for a given operation was transmitted, in seconds.",
    ),
    (
        "request_time_seconds_total",
        "Duration all requests took from when a request was enqueued to when it was completely handled for a given operation, in seconds.",
    ),
];
const MILLISECONDS_FROM: usize = 5;

/// Times that the kernel has counted below zero are shown modulo this.
const MANTISSA: u64 = 1 << 53;

impl Mountstats {
    pub fn new(paths: &Paths) -> Mountstats {
        let of_us = |file: &str| Source::records(paths.procfs.join("self").join(file));
        Mountstats { stats: of_us("mountstats"), mounts: of_us("mountinfo") }
    }
}

impl Collector for Mountstats {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self
            .stats
            .read(scratch)
            .map_err(|error| Failure::Failed(format!("failed to parse mountstats: {error}")))?;
        let malformed = |line: &str| Failure::malformed(self.stats.path(), line);
        let mut mounts = parse(text).map_err(|line| malformed(&line))?;
        let text = self
            .mounts
            .read(scratch)
            .map_err(|error| Failure::Failed(format!("failed to parse mountinfo: {error}")))?;
        // Both list the same mounts in the same order.
        let addresses: Vec<&str> = text.lines().map(address).collect();
        let mut shown: Vec<(String, String, String)> = Vec::new();
        for (at, mount) in &mut mounts {
            mount.address = addresses.get(*at).copied().unwrap_or_default().to_owned();
            for (protocol, connection) in &mount.connections {
                // Two mounts of one file system are one to the kernel.
                let of = (mount.device.clone(), protocol.clone(), mount.address.clone());
                if !shown.contains(&of) {
                    mount.show(protocol, connection, page);
                    shown.push(of);
                }
            }
        }
        Ok(())
    }
}

/// The mounts of NFS, with where they stand among all; or the line that makes no sense.
fn parse(text: &str) -> Result<Vec<(usize, Mount)>, String> {
    let mut mounts: Vec<(usize, Mount)> = Vec::new();
    let mut count = 0;
    let mut is_nfs = false;
    let mut in_operations = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = words.first() else {
            (is_nfs, in_operations) = (false, false);
            continue;
        };
        if *first == "device" {
            (is_nfs, in_operations) = (false, false);
            if let [_, device, "mounted", "on", _, "with", "fstype", kind, rest @ ..] = &words[..] {
                if let [version, ..] = rest {
                    if !matches!(*kind, "nfs" | "nfs4") {
                        return Err(line.to_owned());
                    }
                    let version = version.strip_prefix("statvers=").unwrap_or(version).to_owned();
                    mounts.push((count, Mount { device: (*device).to_owned(), version, ..Mount::default() }));
                    is_nfs = true;
                }
            } else {
                return Err(line.to_owned());
            }
            count += 1;
            continue;
        }
        if let (true, Some((_, mount))) = (is_nfs, mounts.last_mut()) {
            mount.take(&words, &mut in_operations).ok_or_else(|| line.to_owned())?;
        }
    }
    Ok(mounts)
}

impl Mount {
    fn take(&mut self, words: &[&str], in_operations: &mut bool) -> Option<()> {
        let numbers = |words: &[&str]| words.iter().map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>();
        if *in_operations {
            let counts = numbers(&words[1..]).filter(|counts| counts.len() >= OPERATION.len())?;
            self.operations.push((words[0].trim_end_matches(':').to_owned(), counts));
            return Some(());
        }
        match words[0] {
            "age:" => self.age = words.get(1)?.parse().ok()?,
            "bytes:" => self.bytes = numbers(&words[1..]).filter(|bytes| bytes.len() == BYTES.len())?,
            "events:" => self.events = numbers(&words[1..]).filter(|events| events.len() == EVENTS.len())?,
            "per-op" => *in_operations = true,
            "xprt:" => {
                let protocol = *words.get(1)?;
                self.connect(protocol, &numbers(&words[2..])?)?;
            }
            _ => {}
        }
        Some(())
    }

    fn connect(&mut self, protocol: &str, numbers: &[u64]) -> Option<()> {
        let more = match self.version.as_str() {
            "1.0" => 0,
            "1.1" => 3,
            _ => return None,
        };
        let mut connection = [0; 13];
        match protocol {
            "tcp" if numbers.len() == 10 + more => connection[..10 + more].copy_from_slice(numbers),
            // There is nothing to connect, and so nothing is idle.
            "udp" if numbers.len() == 7 + more => {
                connection[..2].copy_from_slice(&numbers[..2]);
                connection[5..10 + more].copy_from_slice(&numbers[2..]);
            }
            "rdma" if more > 0 && (20..=28).contains(&numbers.len()) => {
                connection[..10].copy_from_slice(&numbers[..10]);
            }
            _ => return None,
        }
        // A mount may have several connections of a protocol.
        let known = self.connections.entry(protocol.to_owned()).or_insert([0; 13]);
        let is_first = *known == [0; 13];
        for (at, (known, new)) in known.iter_mut().zip(connection).enumerate() {
            *known = match at {
                _ if is_first => new,
                IDLE => new.min(*known),
                SLOTS => new.max(*known),
                _ => known.wrapping_add(new),
            };
        }
        Some(())
    }

    fn show(&self, protocol: &str, connection: &Connection, page: &mut FamilyWriter<'_>) {
        let labels = [("export", self.device.as_str()), ("mountaddr", self.address.as_str()), ("protocol", protocol)];
        let mut show = |name: &str, help: &str, kind: Kind, value: f64| {
            page.family(&format!("node_mountstats_nfs_{name}"), help, kind).sample(&labels, value);
        };
        show("age_seconds_total", "The age of the NFS mount in seconds.", Kind::Counter, self.age as f64);
        let count = |counts: &[u64], at: usize| counts.get(at).copied().unwrap_or(0) as f64;
        for (at, (name, help)) in BYTES.iter().enumerate() {
            show(name, help, Kind::Counter, count(&self.bytes, at));
        }
        for (at, (name, help)) in CONNECTION {
            let (kind, value) = match at {
                IDLE => (Kind::Gauge, connection[at] % MANTISSA),
                SLOTS => (Kind::Gauge, connection[at]),
                _ => (Kind::Counter, connection[at]),
            };
            show(&format!("transport_{name}"), help, kind, value as f64);
        }
        for (at, (name, help)) in EVENTS.iter().enumerate().filter(|(_, (name, _))| !name.is_empty()) {
            show(&format!("event_{name}_total"), help, Kind::Counter, count(&self.events, at));
        }
        for (operation, counts) in &self.operations {
            let [export, address, protocol] = labels;
            let labels = [export, address, ("operation", operation.as_str()), protocol];
            for (at, (name, help)) in OPERATION.iter().enumerate() {
                let value = match at {
                    MILLISECONDS_FROM.. => (counts[at] % MANTISSA) as f64 / 1000.0,
                    _ => counts[at] as f64,
                };
                page.family(&format!("node_mountstats_nfs_operations_{name}"), help, Kind::Counter)
                    .sample(&labels, value);
            }
        }
    }
}

/// The address of the server in a line of the list of mounts.
fn address(line: &str) -> &str {
    let system = line.split_once(" - ").map_or("", |(_, system)| system);
    let options = system.split(' ').nth(2).unwrap_or_default();
    options.split(',').find_map(|option| option.strip_prefix("addr=")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_protocol_are_added_up() {
        let text = "device h:/a mounted on /a with fstype nfs4 statvers=1.1\n\
            \txprt: tcp 800 1 1 0 9 5 4 0 7 2 30 6 8\n\
            \txprt: tcp 801 1 1 0 3 1 1 0 1 1 40 1 1\n\
            \txprt: udp 802 1 5 4 0 7 2 30 6 8\n\
            \tper-op statistics\n\tREAD: 1 2 3 4 5 6 7 8 9\n\n";
        let mounts = parse(text).unwrap();
        let (_, mount) = &mounts[0];
        assert_eq!(mount.connections["tcp"], [1601, 2, 2, 0, 3, 6, 5, 0, 8, 3, 40, 7, 9]);
        assert_eq!(mount.connections["udp"], [802, 1, 0, 0, 0, 5, 4, 0, 7, 2, 30, 6, 8]);
        assert_eq!(mount.operations, [("READ".to_owned(), vec![1, 2, 3, 4, 5, 6, 7, 8, 9])]);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let nfs = "device h:/a mounted on /a with fstype nfs statvers=1.1\n";
        for (line, version) in [
            ("bytes: 1 2\n", nfs),
            ("events: 1\n", nfs),
            ("age: soon\n", nfs),
            ("xprt: tcp 1\n", nfs),
            ("xprt: smoke 1\n", nfs),
            ("xprt:\n", nfs),
            ("per-op statistics\nREAD: 1 2\n", nfs),
            ("xprt: tcp 1 2 3 4 5 6 7 8 9 10\n", "device h:/a mounted on /a with fstype nfs statvers=2.0\n"),
            ("", "device h:/a mounted on /a with fstype ext4 statvers=1.0\n"),
            ("", "device h:/a mounted\n"),
        ] {
            assert!(parse(&format!("{version}{line}")).is_err(), "{line}");
        }
        assert!(
            parse("garbage\n\ndevice rootfs mounted on / with fstype rootfs\n").is_ok_and(|mounts| mounts.is_empty())
        );
    }
}
