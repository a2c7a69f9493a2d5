//! `/proc/diskstats`, with what udev knows of each device.

mod udev;

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};
use super::filter::DeviceFilter;
use udev::Properties;

pub(crate) struct Diskstats {
    source: Source,
    udev: PathBuf,
    devices: DeviceFilter,
    rows: Vec<Row>,
}

struct Row {
    device: String,
    major: String,
    minor: String,
    values: [f64; COLUMNS.len()],
    /// Older kernels have fewer.
    known: usize,
    properties: Properties,
}

/// Names, helps and factors of the file's columns, from the fourth on.
const COLUMNS: [(&str, &str, f64); 17] = [
    ("node_disk_reads_completed_total", "The total number of reads completed successfully.", 1.0),
    ("node_disk_reads_merged_total", "The total number of reads merged.", 1.0),
    ("node_disk_read_bytes_total", "The total number of bytes read successfully.", SECTOR_BYTES),
    ("node_disk_read_time_seconds_total", "The total number of seconds spent by all reads.", TICK_SECONDS),
    ("node_disk_writes_completed_total", "The total number of writes completed successfully.", 1.0),
    ("node_disk_writes_merged_total", "The number of writes merged.", 1.0),
    ("node_disk_written_bytes_total", "The total number of bytes written successfully.", SECTOR_BYTES),
    ("node_disk_write_time_seconds_total", "This is the total number of seconds spent by all writes.", TICK_SECONDS),
    (IO_NOW, "The number of I/Os currently in progress.", 1.0),
    ("node_disk_io_time_seconds_total", "Total seconds spent doing I/Os.", TICK_SECONDS),
    ("node_disk_io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.", TICK_SECONDS),
    ("node_disk_discards_completed_total", "The total number of discards completed successfully.", 1.0),
    ("node_disk_discards_merged_total", "The total number of discards merged.", 1.0),
    ("node_disk_discarded_sectors_total", "The total number of sectors discarded successfully.", 1.0),
    (
        "node_disk_discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        TICK_SECONDS,
    ),
    ("node_disk_flush_requests_total", "The total number of flush requests completed successfully", 1.0),
    (
        "node_disk_flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        TICK_SECONDS,
    ),
];
/// The only column that goes down, too.
const IO_NOW: &str = "node_disk_io_now";
/// Always this, whatever the device's own sectors are.
const SECTOR_BYTES: f64 = 512.0;
const TICK_SECONDS: f64 = 0.001;

impl Diskstats {
    pub fn new(paths: &Paths, devices: DeviceFilter) -> Diskstats {
        let source = Source::short_records(paths.procfs.join("diskstats"));
        Diskstats { source, udev: paths.udev.clone(), devices, rows: Vec::new() }
    }

    fn update(&mut self, scratch: &mut Scratch) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        self.rows.clear();
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let (Some(major), Some(minor), Some(device)) = (fields.next(), fields.next(), fields.next()) else {
                return Err(Failure::malformed(path, line));
            };
            if self.devices.ignores(device) {
                continue;
            }
            let (mut values, mut known) = ([0.0; COLUMNS.len()], 0);
            for ((value, (_, _, factor)), field) in values.iter_mut().zip(COLUMNS).zip(fields) {
                *value = number(field, path)? * factor;
                known += 1;
            }
            let properties = Properties::read(&self.udev.join(format!("b{major}:{minor}")));
            let [device, major, minor] = [device, major, minor].map(str::to_owned);
            self.rows.push(Row { device, major, minor, values, known, properties });
        }
        Ok(())
    }
}

impl Collector for Diskstats {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        self.update(scratch)?;
        let mut info = page.family("node_disk_info", "Info of /sys/block/<block_device>.", Kind::Gauge);
        for row in &self.rows {
            let udev = &row.properties;
            let serial = udev.first_of(&["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT"]);
            info.sample(
                &[
                    ("device", &row.device),
                    ("major", &row.major),
                    ("minor", &row.minor),
                    ("model", udev.get("ID_MODEL")),
                    ("path", udev.get("ID_PATH")),
                    ("revision", udev.get("ID_REVISION")),
                    ("serial", serial),
                    ("wwn", udev.get("ID_WWN")),
                ],
                1.0,
            );
        }
        for (column, (name, help, _)) in COLUMNS.into_iter().enumerate() {
            let kind = if name == IO_NOW { Kind::Gauge } else { Kind::Counter };
            let mut family = page.family(name, help, kind);
            for row in self.rows.iter().filter(|row| column < row.known) {
                family.sample(&[("device", &row.device)], row.values[column]);
            }
        }
        let mut filesystems = page.family("node_disk_filesystem_info", "Info about disk filesystem.", Kind::Gauge);
        for row in self.rows.iter().filter(|row| !row.properties.get("ID_FS_TYPE").is_empty()) {
            let udev = &row.properties;
            filesystems.sample(
                &[
                    ("device", &row.device),
                    ("type", udev.get("ID_FS_TYPE")),
                    ("usage", udev.get("ID_FS_USAGE")),
                    ("uuid", udev.get("ID_FS_UUID")),
                    ("version", udev.get("ID_FS_VERSION")),
                ],
                1.0,
            );
        }
        let mut mappers = page.family("node_disk_device_mapper_info", "Info about disk device mapper.", Kind::Gauge);
        for row in self.rows.iter().filter(|row| !row.properties.get("DM_NAME").is_empty()) {
            let udev = &row.properties;
            mappers.sample(
                &[
                    ("device", &row.device),
                    ("lv_layer", udev.get("DM_LV_LAYER")),
                    ("lv_name", udev.get("DM_LV_NAME")),
                    ("name", udev.get("DM_NAME")),
                    ("uuid", udev.get("DM_UUID")),
                    ("vg_name", udev.get("DM_VG_NAME")),
                ],
                1.0,
            );
        }
        for (property, name, help) in [
            ("ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache", "ATA disk has a write cache."),
            (
                "ID_ATA_WRITE_CACHE_ENABLED",
                "node_disk_ata_write_cache_enabled",
                "ATA disk has its write cache enabled.",
            ),
            (
                "ID_ATA_ROTATION_RATE_RPM",
                "node_disk_ata_rotation_rate_rpm",
                "ATA disk rotation rate in RPMs (0 for SSDs).",
            ),
        ] {
            let mut family = page.family(name, help, Kind::Gauge);
            for row in self.rows.iter().filter(|row| !row.properties.get("ID_ATA").is_empty()) {
                if let Ok(value) = row.properties.get(property).parse() {
                    family.sample(&[("device", &row.device)], value);
                }
            }
        }
        Ok(())
    }
}
