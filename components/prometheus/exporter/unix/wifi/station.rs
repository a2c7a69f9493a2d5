//! Whom a wireless device talks with, and how well.

use base_metrics::{FamilyWriter, Kind};

use super::{MAC, attributes, word, written};

/// The attribute with all that is known of one.
pub(super) const STATION: u16 = 21;

/// Whom a device talks with.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Station {
    mac: String,
    /// Seconds.
    connected: u32,
    /// Milliseconds.
    inactive: u32,
    received_bytes: u64,
    sent_bytes: u64,
    /// dBm.
    signal: i8,
    retries: u32,
    failures: u32,
    beacon_losses: u32,
    /// Bits per second.
    receive_rate: u64,
    /// Bits per second.
    send_rate: u64,
}

// === impl Station ===

impl Station {
    /// None: an answer about something else.
    pub(super) fn of(answer: &[u8]) -> Option<Station> {
        let mut station = Station::default();
        let mut is_told = false;
        for (kind, value) in attributes(answer) {
            match kind {
                MAC => station.mac = written(value),
                STATION => {
                    is_told = true;
                    station.read(value);
                }
                _ => {}
            }
        }
        is_told.then_some(station)
    }

    fn read(&mut self, told: &[u8]) {
        let long = |value: &[u8]| value.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        for (kind, value) in attributes(told) {
            match kind {
                1 => self.inactive = word(value, 0),
                // Where both are told, these have counted to their end.
                2 if self.received_bytes == 0 => self.received_bytes = word(value, 0).into(),
                3 if self.sent_bytes == 0 => self.sent_bytes = word(value, 0).into(),
                7 => self.signal = value.first().copied().unwrap_or(0).cast_signed(),
                8 => self.send_rate = rate(value),
                11 => self.retries = word(value, 0),
                12 => self.failures = word(value, 0),
                14 => self.receive_rate = rate(value),
                16 => self.connected = word(value, 0),
                18 => self.beacon_losses = word(value, 0),
                23 => self.received_bytes = long(value),
                24 => self.sent_bytes = long(value),
                _ => {}
            }
        }
    }

    pub(super) fn show(&self, device: &str, page: &mut FamilyWriter<'_>) {
        let labels = [("device", device), ("mac_address", &self.mac)];
        for (name, help, kind, value) in [
            (
                "connected_seconds_total",
                "The total number of seconds a station has been connected to an access point.",
                Kind::Counter,
                self.connected.into(),
            ),
            (
                "inactive_seconds",
                "The number of seconds since any wireless activity has occurred on a station.",
                Kind::Gauge,
                f64::from(self.inactive) / 1000.0,
            ),
            (
                "receive_bits_per_second",
                "The current WiFi receive bitrate of a station, in bits per second.",
                Kind::Gauge,
                self.receive_rate as f64,
            ),
            (
                "transmit_bits_per_second",
                "The current WiFi transmit bitrate of a station, in bits per second.",
                Kind::Gauge,
                self.send_rate as f64,
            ),
            (
                "receive_bytes_total",
                "The total number of bytes received by a WiFi station.",
                Kind::Counter,
                self.received_bytes as f64,
            ),
            (
                "transmit_bytes_total",
                "The total number of bytes transmitted by a WiFi station.",
                Kind::Counter,
                self.sent_bytes as f64,
            ),
            (
                "signal_dbm",
                "The current WiFi signal strength, in decibel-milliwatts (dBm).",
                Kind::Gauge,
                self.signal.into(),
            ),
            (
                "transmit_retries_total",
                "The total number of times a station has had to retry while sending a packet.",
                Kind::Counter,
                self.retries.into(),
            ),
            (
                "transmit_failed_total",
                "The total number of times a station has failed to send a packet.",
                Kind::Counter,
                self.failures.into(),
            ),
            (
                "beacon_loss_total",
                "The total number of times a station has detected a beacon loss.",
                Kind::Counter,
                self.beacon_losses.into(),
            ),
        ] {
            page.family(&format!("node_wifi_station_{name}"), help, kind).sample(&labels, value);
        }
    }
}

/// A bit rate, which comes as hundreds of kilobits a second: in four bytes, and by older kernels in two.
fn rate(told: &[u8]) -> u64 {
    let (mut wide, mut narrow) = (0, 0);
    for (kind, value) in attributes(told) {
        match kind {
            1 => narrow = value.first_chunk().map_or(0, |bytes| u16::from_ne_bytes(*bytes)),
            5 => wide = word(value, 0),
            _ => {}
        }
    }
    u64::from(if wide == 0 { u32::from(narrow) } else { wide }) * 100_000
}
