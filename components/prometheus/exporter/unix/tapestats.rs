//! `/sys/class/scsi_tape`: what tape drives read and wrote.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::filter::Pattern;
use super::listing::{entries, unsigned_if_any};

pub(crate) struct Tapestats {
    root: PathBuf,
    ignored: Pattern,
}

/// The file, the family, its help, its type, and what a unit of the file is.
const FAMILIES: [(&str, &str, &str, Kind, f64); 10] = [
    ("in_flight", "node_tape_io_now", "The number of I/Os currently outstanding to this device.", Kind::Gauge, 1.0),
    (
        "io_ns",
        "node_tape_io_time_seconds_total",
        "The amount of time spent waiting for all I/O to complete (including read and write). This includes tape \
         movement commands such as seeking between file or set marks and implicit tape movement such as when rewind on \
         close tape devices are used.",
        Kind::Counter,
        NANOSECOND,
    ),
    (
        "other_cnt",
        "node_tape_io_others_total",
        "The number of I/Os issued to the tape drive other than read or write commands. The time taken to complete \
         these commands uses the following calculation \
         io_time_seconds_total-read_time_seconds_total-write_time_seconds_total",
        Kind::Counter,
        1.0,
    ),
    (
        "read_byte_cnt",
        "node_tape_read_bytes_total",
        "The number of bytes read from the tape drive.",
        Kind::Counter,
        1.0,
    ),
    (
        "read_cnt",
        "node_tape_reads_completed_total",
        "The number of read requests issued to the tape drive.",
        Kind::Counter,
        1.0,
    ),
    (
        "read_ns",
        "node_tape_read_time_seconds_total",
        "The amount of time spent waiting for read requests to complete.",
        Kind::Counter,
        NANOSECOND,
    ),
    (
        "resid_cnt",
        "node_tape_residual_total",
        "The number of times during a read or write we found the residual amount to be non-zero. This should mean that \
         a program is issuing a read larger thean the block size on tape. For write not all data made it to tape.",
        Kind::Counter,
        1.0,
    ),
    (
        "write_byte_cnt",
        "node_tape_written_bytes_total",
        "The number of bytes written to the tape drive.",
        Kind::Counter,
        1.0,
    ),
    (
        "write_cnt",
        "node_tape_writes_completed_total",
        "The number of write requests issued to the tape drive.",
        Kind::Counter,
        1.0,
    ),
    (
        "write_ns",
        "node_tape_write_time_seconds_total",
        "The amount of time spent waiting for write requests to complete.",
        Kind::Counter,
        NANOSECOND,
    ),
];
const NANOSECOND: f64 = 0.000_000_001;

impl Tapestats {
    pub fn new(paths: &Paths, ignored: Pattern) -> Tapestats {
        Tapestats { root: paths.sysfs.join("class/scsi_tape"), ignored }
    }
}

impl Collector for Tapestats {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for (device, folder) in entries(&self.root)? {
            // Besides `st0` there are `nst0`, `st0a` and others: ways to the same drive.
            let number = device.strip_prefix("st").unwrap_or_default();
            let is_drive = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            if !is_drive || self.ignored.is_match(&device) {
                continue;
            }
            let folder = folder.join("stats");
            entries(&folder)?;
            for (file, name, help, kind, unit) in FAMILIES {
                let value = unsigned_if_any(&folder.join(file))?.unwrap_or_default();
                page.family(name, help, kind).sample(&[("device", &device)], value as f64 * unit);
            }
        }
        Ok(())
    }
}
