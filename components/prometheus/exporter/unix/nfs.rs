//! What this host asked servers of NFS for.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};
use super::rpc::{Lines, Procedures, VERSION_2, VERSION_3, values};

pub(crate) struct Nfs {
    source: Source,
}

/// Those of version 4 have their names from the client's side of the kernel.
const VERSION_4: Procedures = &[
    (1, "Null"),
    (2, "Read"),
    (3, "Write"),
    (4, "Commit"),
    (5, "Open"),
    (6, "OpenConfirm"),
    (7, "OpenNoattr"),
    (8, "OpenDowngrade"),
    (9, "Close"),
    (10, "Setattr"),
    (11, "FsInfo"),
    (12, "Renew"),
    (13, "SetClientID"),
    (14, "SetClientIDConfirm"),
    (15, "Lock"),
    (16, "Lockt"),
    (17, "Locku"),
    (18, "Access"),
    (19, "Getattr"),
    (20, "Lookup"),
    (21, "LookupRoot"),
    (22, "Remove"),
    (23, "Rename"),
    (24, "Link"),
    (25, "Symlink"),
    (26, "Create"),
    (27, "Pathconf"),
    (28, "StatFs"),
    (29, "ReadLink"),
    (30, "ReadDir"),
    (31, "ServerCaps"),
    (32, "DelegReturn"),
    (33, "GetACL"),
    (34, "SetACL"),
    (35, "FsLocations"),
    (36, "ReleaseLockowner"),
    (37, "Secinfo"),
    (38, "FsidPresent"),
    (39, "ExchangeID"),
    (40, "CreateSession"),
    (41, "DestroySession"),
    (42, "Sequence"),
    (43, "GetLeaseTime"),
    (44, "ReclaimComplete"),
    (45, "GetDeviceInfo"),
    (46, "LayoutGet"),
    (47, "LayoutCommit"),
    (48, "LayoutReturn"),
    (49, "SecinfoNoName"),
    (50, "TestStateID"),
    (51, "FreeStateID"),
    (52, "GetDeviceList"),
    (53, "BindConnToSession"),
    (54, "DestroyClientID"),
    (55, "Seek"),
    (56, "Allocate"),
    (57, "DeAllocate"),
    (58, "LayoutStats"),
    (59, "Clone"),
];

const NULL: Procedures = &[(1, "Null")];

impl Nfs {
    pub fn new(paths: &Paths) -> Nfs {
        Nfs { source: Source::records(paths.procfs.join("net/rpc/nfs")) }
    }
}

impl Collector for Nfs {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.source.path().to_owned();
        let text = self.source.read(scratch).map_err(|error| Failure::absent_or(&path, &error))?;
        let lines = Lines::parse(text, &path, &["net", "rpc", "proc2", "proc3", "proc4"])?;
        let [_, udp, tcp, connections] = lines.exactly("net")?;
        let [calls, retransmissions, refreshes] = lines.exactly("rpc")?;
        let versions = [
            ("2", lines.counted("proc2", 18)?, VERSION_2),
            ("3", lines.counted("proc3", 22)?, VERSION_3),
            ("4", lines.counted("proc4", 0)?, VERSION_4),
        ];

        let help = "Total NFSd network packets (sent+received) by protocol type.";
        page.family("node_nfs_packets_total", help, Kind::Counter)
            .sample(&[("protocol", "tcp")], tcp as f64)
            .sample(&[("protocol", "udp")], udp as f64);
        page.counter("node_nfs_connections_total", "Total number of NFSd TCP connections.", connections as f64);
        page.counter("node_nfs_rpcs_total", "Total number of RPCs performed.", calls as f64);
        let help = "Number of RPC transmissions performed.";
        page.counter("node_nfs_rpc_retransmissions_total", help, retransmissions as f64);
        let help = "Number of RPC authentication refreshes performed.";
        page.counter("node_nfs_rpc_authentication_refreshes_total", help, refreshes as f64);
        let mut family = page.family("node_nfs_requests_total", "Number of NFS procedures invoked.", Kind::Counter);
        for (version, numbers, procedures) in versions {
            let null = if version == "4" { &[][..] } else { NULL };
            for (method, count) in values(numbers, null).chain(values(numbers, procedures)) {
                family.sample(&[("method", method), ("proto", version)], count);
            }
        }
        Ok(())
    }
}
