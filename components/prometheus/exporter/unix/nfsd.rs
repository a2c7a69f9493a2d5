//! What this host served over NFS.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};
use super::rpc::{Lines, Procedures, VERSION_2, VERSION_3, values};

pub(crate) struct Nfsd {
    source: Source,
}

const LINES: [&str; 12] =
    ["rc", "fh", "io", "th", "ra", "net", "rpc", "proc2", "proc3", "proc4", "proc4ops", "wdeleg_getattr"];

/// The operations within a compound of version 4; the first three numbers are of none.
const OPERATIONS_4: Procedures = &[
    (4, "Access"),
    (5, "Close"),
    (6, "Commit"),
    (7, "Create"),
    (8, "DelegPurge"),
    (9, "DelegReturn"),
    (10, "GetAttr"),
    (11, "GetFH"),
    (12, "Link"),
    (13, "Lock"),
    (14, "Lockt"),
    (15, "Locku"),
    (16, "Lookup"),
    (17, "LookupRoot"),
    (18, "Nverify"),
    (19, "Open"),
    (20, "OpenAttr"),
    (21, "OpenConfirm"),
    (22, "OpenDgrd"),
    (23, "PutFH"),
    (26, "Read"),
    (27, "ReadDir"),
    (28, "ReadLink"),
    (29, "Remove"),
    (30, "Rename"),
    (31, "Renew"),
    (32, "RestoreFH"),
    (33, "SaveFH"),
    (34, "SecInfo"),
    (35, "SetAttr"),
    (38, "Verify"),
    (39, "Write"),
    (40, "RelLockOwner"),
];

impl Nfsd {
    pub fn new(paths: &Paths) -> Nfsd {
        Nfsd { source: Source::records(paths.procfs.join("net/rpc/nfsd")) }
    }
}

impl Collector for Nfsd {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.source.path().to_owned();
        let text = self.source.read(scratch).map_err(|error| Failure::absent_or(&path, &error))?;
        let lines = Lines::parse(text, &path, &LINES)?;
        let [hits, misses, not_cached] = lines.exactly("rc")?;
        let [stale, ..] = lines.exactly::<5>("fh")?;
        let [read, written] = lines.exactly("io")?;
        let [threads, _] = lines.exactly("th")?;
        let read_ahead = lines.exactly::<12>("ra")?;
        let [_, udp, tcp, connections] = lines.exactly("net")?;
        let [calls, _, malformed, unauthorized, client] = lines.exactly("rpc")?;
        lines.counted("proc4", 2)?;
        let versions = [
            ("2", lines.counted("proc2", 18)?, VERSION_2),
            ("3", lines.counted("proc3", 22)?, VERSION_3),
            ("4", lines.counted("proc4ops", 39)?, OPERATIONS_4),
        ];

        for (name, help, value) in [
            ("reply_cache_hits_total", "Total number of NFSd Reply Cache hits (client lost server response).", hits),
            (
                "reply_cache_misses_total",
                "Total number of NFSd Reply Cache an operation that requires caching (idempotent).",
                misses,
            ),
            (
                "reply_cache_nocache_total",
                "Total number of NFSd Reply Cache non-idempotent operations (rename/delete/…).",
                not_cached,
            ),
            ("file_handles_stale_total", "Total number of NFSd stale file handles", stale),
            ("disk_bytes_read_total", "Total NFSd bytes read.", read),
            ("disk_bytes_written_total", "Total NFSd bytes written.", written),
            ("read_ahead_cache_not_found_total", "Total number of NFSd read ahead cache not found.", read_ahead[11]),
            ("connections_total", "Total number of NFSd TCP connections.", connections),
            ("server_rpcs_total", "Total number of NFSd RPCs.", calls),
        ] {
            page.counter(&format!("node_nfsd_{name}"), help, value as f64);
        }
        let help = "Total number of NFSd kernel threads that are running.";
        page.gauge("node_nfsd_server_threads", help, threads as f64);
        let help = "How large the read ahead cache is in blocks.";
        page.gauge("node_nfsd_read_ahead_cache_size_blocks", help, read_ahead[0] as f64);
        let help = "Total NFSd network packets (sent+received) by protocol type.";
        page.family("node_nfsd_packets_total", help, Kind::Counter)
            .sample(&[("proto", "tcp")], tcp as f64)
            .sample(&[("proto", "udp")], udp as f64);
        let help = "Total number of NFSd RPC errors by error type.";
        page.family("node_nfsd_rpc_errors_total", help, Kind::Counter)
            .sample(&[("error", "auth")], unauthorized as f64)
            .sample(&[("error", "cInt")], client as f64)
            .sample(&[("error", "fmt")], malformed as f64);
        let help = "Total number NFSd Requests by method and protocol.";
        let mut family = page.family("node_nfsd_requests_total", help, Kind::Counter);
        for (version, numbers, procedures) in versions {
            for (method, count) in values(numbers, procedures) {
                family.sample(&[("method", method), ("proto", version)], count);
            }
        }
        Ok(())
    }
}
