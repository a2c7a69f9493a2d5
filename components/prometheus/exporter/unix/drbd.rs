//! `/proc/drbd`: disks that are mirrored over the network.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};

pub(crate) struct Drbd {
    source: Source,
}

/// Key, family, help, type, and what a unit is.
const NUMBERS: [(&str, &str, &str, Kind, f64); 12] = [
    ("ns", "node_drbd_network_sent_bytes_total", "Total number of bytes sent via the network.", Kind::Counter, KIB),
    (
        "nr",
        "node_drbd_network_received_bytes_total",
        "Total number of bytes received via the network.",
        Kind::Counter,
        1.0,
    ),
    ("dw", "node_drbd_disk_written_bytes_total", "Net data written on local hard disk; in bytes.", Kind::Counter, KIB),
    ("dr", "node_drbd_disk_read_bytes_total", "Net data read from local hard disk; in bytes.", Kind::Counter, KIB),
    (
        "al",
        "node_drbd_activitylog_writes_total",
        "Number of updates of the activity log area of the meta data.",
        Kind::Counter,
        1.0,
    ),
    (
        "bm",
        "node_drbd_bitmap_writes_total",
        "Number of updates of the bitmap area of the meta data.",
        Kind::Counter,
        1.0,
    ),
    ("lo", "node_drbd_local_pending", "Number of open requests to the local I/O sub-system.", Kind::Gauge, 1.0),
    (
        "pe",
        "node_drbd_remote_pending",
        "Number of requests sent to the peer, but that have not yet been answered by the latter.",
        Kind::Gauge,
        1.0,
    ),
    (
        "ua",
        "node_drbd_remote_unacknowledged",
        "Number of requests received by the peer via the network connection, but that have not yet been answered.",
        Kind::Gauge,
        1.0,
    ),
    (
        "ap",
        "node_drbd_application_pending",
        "Number of block I/O requests forwarded to DRBD, but not yet answered by DRBD.",
        Kind::Gauge,
        1.0,
    ),
    ("ep", "node_drbd_epochs", "Number of Epochs currently on the fly.", Kind::Gauge, 1.0),
    ("oos", "node_drbd_out_of_sync_bytes", "Amount of data known to be out of sync; in bytes.", Kind::Gauge, KIB),
];
const KIB: f64 = 1024.0;

/// Key, family, help, and the state that is well. The states of both nodes stand there: `Primary/Secondary`.
const STATES: [(&str, &str, &str, &str); 2] = [
    ("ro", "node_drbd_node_role_is_primary", "Whether the role of the node is in the primary state.", "Primary"),
    ("ds", "node_drbd_disk_state_is_up_to_date", "Whether the disk of the node is up to date.", "UpToDate"),
];

impl Drbd {
    pub fn new(paths: &Paths) -> Drbd {
        Drbd { source: Source::records(paths.procfs.join("drbd")) }
    }
}

impl Collector for Drbd {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.source.path().to_owned();
        let text = self.source.read(scratch).map_err(|error| Failure::absent_or(&path, &error))?;
        let mut device = "unknown".to_owned();
        let is = |yes: bool| f64::from(u8::from(yes));
        for word in text.split_whitespace() {
            let Some((key, value)) = word.split_once(':').filter(|(_, value)| !value.contains(':')) else { continue };
            if value.is_empty() {
                if let Ok(number) = key.parse::<u64>() {
                    device = format!("drbd{number}");
                }
            } else if let Some((_, name, help, kind, unit)) = NUMBERS.into_iter().find(|family| family.0 == key) {
                let value: f64 = value.parse().map_err(|_| Failure::malformed(&path, word))?;
                page.family(name, help, kind).sample(&[("device", &device)], value * unit);
            } else if let Some((_, name, help, well)) = STATES.into_iter().find(|family| family.0 == key) {
                let (local, remote) = value.split_once('/').ok_or_else(|| Failure::malformed(&path, word))?;
                page.family(name, help, Kind::Gauge)
                    .sample(&[("device", &device), ("node", "local")], is(local == well))
                    .sample(&[("device", &device), ("node", "remote")], is(remote == well));
            } else if key == "cs" {
                page.family("node_drbd_connected", "Whether DRBD is connected to the peer.", Kind::Gauge)
                    .sample(&[("device", &device)], is(value == "Connected"));
            }
        }
        Ok(())
    }
}
