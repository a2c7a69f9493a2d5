//! `/sys/class/fc_host`: the adapters of Fibre Channel networks.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::{entries, unsigned_if_any};

pub(crate) struct FibreChannel {
    root: PathBuf,
}

/// Attributes that are texts, sorted by name. Those that are numbers in hexadecimal digits are shown without `0x`.
const TEXTS: [(&str, bool); 10] = [
    ("dev_loss_tmo", false),
    ("fabric_name", true),
    ("port_id", true),
    ("port_name", true),
    ("port_state", false),
    ("port_type", false),
    ("speed", false),
    ("supported_classes", false),
    ("supported_speeds", false),
    ("symbolic_name", false),
];

/// Where `fc_host` stands among the labels.
const HOST_AT: usize = 2;

const COUNTERS: [(&str, &str, &str); 14] = [
    ("dumped_frames", "dumped_frames_total", "Number of dumped frames"),
    ("error_frames", "error_frames_total", "Number of errors in frames"),
    ("invalid_crc_count", "invalid_crc_total", "Invalid Cyclic Redundancy Check count"),
    ("rx_frames", "rx_frames_total", "Number of frames received"),
    ("rx_words", "rx_words_total", "Number of words received by host port"),
    ("tx_frames", "tx_frames_total", "Number of frames transmitted by host port"),
    ("tx_words", "tx_words_total", "Number of words transmitted by host port"),
    ("seconds_since_last_reset", "seconds_since_last_reset_total", "Number of seconds since last host port reset"),
    ("invalid_tx_word_count", "invalid_tx_words_total", "Number of invalid words transmitted by host port"),
    ("link_failure_count", "link_failure_total", "Number of times the host port link has failed"),
    ("loss_of_sync_count", "loss_of_sync_total", "Number of failures on either bit or transmission word boundaries"),
    ("loss_of_signal_count", "loss_of_signal_total", "Number of times signal has been lost"),
    ("nos_count", "nos_total", "Number Not_Operational Primitive Sequence received by host port"),
    ("fcp_packet_aborts", "fcp_packet_aborts_total", "Number of aborted packets"),
];

impl FibreChannel {
    pub fn new(paths: &Paths) -> FibreChannel {
        FibreChannel { root: paths.sysfs.join("class/fc_host") }
    }
}

impl Collector for FibreChannel {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for (host, folder) in entries(&self.root)? {
            let mut labels: Vec<(&str, String)> = Vec::with_capacity(TEXTS.len() + 1);
            for (name, hexadecimal) in TEXTS {
                let path = folder.join(name);
                let text = match std::fs::read_to_string(&path) {
                    Ok(text) => text.trim().to_owned(),
                    // Not every driver has all of them.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                    Err(error) => return Err(Failure::reading(&path, &error)),
                };
                let digits = text.get(2..).filter(|_| hexadecimal && text.len() > 2).map(str::to_owned);
                labels.push((name, digits.unwrap_or(text)));
            }
            labels.insert(HOST_AT, ("fc_host", host.clone()));
            let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            page.family(
                "node_fibrechannel_info",
                "Non-numeric data from /sys/class/fc_host/<host>, value is always 1.",
                Kind::Gauge,
            )
            .sample(&labels, 1.0);
            for (file, name, help) in COUNTERS {
                // All bits set: the firmware does not count this.
                match unsigned_if_any(&folder.join("statistics").join(file))? {
                    None | Some(u64::MAX) => {}
                    Some(count) => {
                        page.family(&format!("node_fibrechannel_{name}"), help, Kind::Counter)
                            .sample(&[("fc_host", &host)], count as f64);
                    }
                }
            }
        }
        Ok(())
    }
}
