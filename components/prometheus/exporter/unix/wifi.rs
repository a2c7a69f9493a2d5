//! Wireless devices: their frequency, the access point, and the stations they talk with.
//!
//! The kernel is asked over generic netlink (nl80211), one question for each device.

mod station;

use std::io;

use base_metrics::{FamilyWriter, Kind};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::collector::{Collector, Failure, Scratch};
use super::netlink::{self, attributes, text, word};
use station::Station;

/// Asks the kernel, whatever tree its files come from.
pub(crate) struct Wifi;

/// The family that knows the numbers of the others, and its question for all of them.
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// Command, version, and two bytes for nothing.
const HEAD: usize = 4;

const GET_INTERFACE: u8 = 5;
const GET_STATION: u8 = 17;
const GET_SCAN: u8 = 32;

const INDEX: u16 = 3;
const NAME: u16 = 4;
const MAC: u16 = 6;
const FREQUENCY: u16 = 38;
const BSS: u16 = 47;

const BSS_BSSID: u16 = 1;
const BSS_ELEMENTS: u16 = 6;
const BSS_STATUS: u16 = 9;

/// Of the elements of an access point's announcement, the one with its name.
const ELEMENT_SSID: u8 = 0;

/// A device.
#[derive(Debug, Default, PartialEq)]
struct Device {
    index: u32,
    name: String,
    mac: Vec<u8>,
    /// In MHz.
    frequency: u32,
}

/// The access point, or the network without one, that a device has joined.
#[derive(Debug, Default, PartialEq)]
struct Network {
    bssid: String,
    ssid: String,
    mode: &'static str,
}

impl Collector for Wifi {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let failed = |what: &str, error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Failure::NoData,
            _ => Failure::Failed(format!("failed to {what}: {error}")),
        };
        let family = family("nl80211").map_err(|error| failed("access wifi data", error))?.ok_or(Failure::NoData)?;
        let mut devices = Vec::new();
        ask(family, GET_INTERFACE, &[], |answer| devices.push(Device::of(answer)))
            .map_err(|error| failed("retrieve wifi interfaces", error))?;
        // Some are virtual, and have no name.
        for device in devices.iter().filter(|device| !device.name.is_empty()) {
            let hertz = f64::from(device.frequency) * 1e6;
            page.family(
                "node_wifi_interface_frequency_hertz",
                "The current frequency a WiFi interface is operating at, in hertz.",
                Kind::Gauge,
            )
            .sample(&[("device", &device.name)], hertz);
            let mut networks = Vec::new();
            ask(family, GET_SCAN, &device.named(), |answer| networks.extend(Network::of(answer)))
                .or_else(unless_absent)
                .map_err(|error| failed(&format!("retrieve BSS for device {}", device.name), error))?;
            if let Some(network) = networks.first() {
                network.show(&device.name, page);
            }
            let mut stations = Vec::new();
            ask(family, GET_STATION, &device.named(), |answer| stations.extend(Station::of(answer)))
                .or_else(unless_absent)
                .map_err(|error| failed(&format!("retrieve station info for device {}", device.name), error))?;
            for station in stations {
                station.show(&device.name, page);
            }
        }
        Ok(())
    }
}

/// What a kind of device does not have is not wrong.
fn unless_absent(error: io::Error) -> io::Result<()> {
    let absent = [Errno::ENOENT, Errno::EOPNOTSUPP].map(|errno| Some(errno as i32));
    if absent.contains(&error.raw_os_error()) { Ok(()) } else { Err(error) }
}

/// The number of a family of generic netlink.
fn family(wanted: &str) -> io::Result<Option<u16>> {
    let mut found = None;
    ask(CONTROLLER, GET_FAMILY, &[], |answer| found = found.or(family_of(answer, wanted)))?;
    Ok(found)
}

fn family_of(answer: &[u8], wanted: &str) -> Option<u16> {
    let (mut id, mut name) = (None, String::new());
    for (kind, value) in attributes(answer) {
        match kind {
            FAMILY_ID => id = value.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes)),
            FAMILY_NAME => name = text(value),
            _ => {}
        }
    }
    id.filter(|_| name == wanted)
}

/// Gives the attributes of each answer to `each`.
fn ask(family: u16, command: u8, question: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let body = [&[command, 1, 0, 0], question].concat();
    netlink::dump(SockProtocol::NetlinkGeneric, family, &body, |answer| {
        each(answer.get(HEAD..).unwrap_or_default());
    })
}

/// Six bytes in hexadecimal.
fn written(mac: &[u8]) -> String {
    let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

// === impl Device ===

impl Device {
    fn of(answer: &[u8]) -> Device {
        let mut device = Device::default();
        for (kind, value) in attributes(answer) {
            match kind {
                INDEX => device.index = word(value, 0),
                NAME => device.name = text(value),
                MAC => device.mac = value.to_vec(),
                FREQUENCY => device.frequency = word(value, 0),
                _ => {}
            }
        }
        device
    }

    /// Attributes that name it.
    fn named(&self) -> Vec<u8> {
        let mut question = attribute(INDEX, &self.index.to_ne_bytes());
        if !self.mac.is_empty() {
            question.extend(attribute(MAC, &self.mac));
        }
        question
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
    attribute.extend_from_slice(&kind.to_ne_bytes());
    attribute.extend_from_slice(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

// === impl Network ===

impl Network {
    /// None: one that was only heard of.
    fn of(answer: &[u8]) -> Option<Network> {
        let (_, bss) = attributes(answer).find(|(kind, _)| *kind == BSS)?;
        let mut network = Network::default();
        let mut status = None;
        for (kind, value) in attributes(bss) {
            match kind {
                BSS_BSSID => network.bssid = written(value),
                BSS_STATUS => status = Some(word(value, 0)),
                BSS_ELEMENTS => network.ssid = ssid(value).unwrap_or_default(),
                _ => {}
            }
        }
        network.mode = match status? {
            0 | 1 => "client",
            2 => "ad-hoc",
            _ => "unknown",
        };
        Some(network)
    }

    fn show(&self, device: &str, page: &mut FamilyWriter<'_>) {
        let labels = [("bssid", self.bssid.as_str()), ("device", device), ("mode", self.mode), ("ssid", &self.ssid)];
        page.family(
            "node_wifi_station_info",
            "Labeled WiFi interface station information as provided by the operating system.",
            Kind::Gauge,
        )
        .sample(&labels, 1.0);
    }
}

/// The name among elements: each has its number, its length and as many bytes.
fn ssid(mut elements: &[u8]) -> Option<String> {
    loop {
        let [number, length, rest @ ..] = elements else { return None };
        let (element, rest) = rest.split_at_checked(usize::from(*length))?;
        if *number == ELEMENT_SSID {
            return Some(String::from_utf8_lossy(element).into_owned());
        }
        elements = rest;
    }
}

#[cfg(test)]
mod tests {
    use base_metrics::Page;

    use super::station::STATION;
    use super::*;

    fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        attributes.iter().flat_map(|(kind, value)| attribute(*kind, value)).collect()
    }

    #[test]
    fn the_answers_of_the_kernel_become_families() {
        let mac = [2, 0, 0, 0, 0xab, 1];
        let answer = message(&[
            (INDEX, &3u32.to_ne_bytes()),
            (NAME, b"wlan0\0"),
            (MAC, &mac),
            (FREQUENCY, &2412u32.to_ne_bytes()),
        ]);
        let device = Device::of(&answer);
        assert_eq!(device, Device { index: 3, name: "wlan0".into(), mac: mac.to_vec(), frequency: 2412 });
        assert_eq!(device.named(), message(&[(INDEX, &3u32.to_ne_bytes()), (MAC, &mac)]));

        let bss = message(&[
            (BSS_BSSID, &mac),
            (BSS_ELEMENTS, b"\x01\x02ab\x00\x05my ap\x03\x00"),
            (BSS_STATUS, &1u32.to_ne_bytes()),
        ]);
        let network = Network::of(&message(&[(BSS, &bss)])).unwrap();
        // One that is not joined has no status.
        assert_eq!(Network::of(&message(&[(BSS, &message(&[(BSS_BSSID, &mac)]))])), None);

        let slow = message(&[(1, &540u16.to_ne_bytes())]);
        let fast = message(&[(1, &65_000u16.to_ne_bytes()), (5, &100_000u32.to_ne_bytes())]);
        let told = message(&[
            (1, &250u32.to_ne_bytes()),
            (2, &7u32.to_ne_bytes()),
            (23, &(1u64 << 33).to_ne_bytes()),
            (3, &8u32.to_ne_bytes()),
            (7, &[(-52i8).cast_unsigned()]),
            (8, &fast),
            (14, &slow),
            (11, &9u32.to_ne_bytes()),
            (12, &10u32.to_ne_bytes()),
            (16, &30u32.to_ne_bytes()),
            (18, &11u32.to_ne_bytes()),
        ]);
        let station = Station::of(&message(&[(MAC, &mac), (STATION, &told)])).unwrap();
        assert_eq!(Station::of(&message(&[(MAC, &mac)])), None);

        let (mut page, mut shown) = (Page::new(), String::new());
        network.show("wlan0", &mut page.writer());
        station.show("wlan0", &mut page.writer());
        page.encode(&mut shown, &base_metrics::Losses::default());
        let samples: Vec<String> = shown
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                line.replace("device=\"wlan0\",mac_address=\"02:00:00:00:ab:01\"", "of")
                    .replace("node_wifi_station_", "")
            })
            .collect();
        assert_eq!(
            samples,
            [
                "beacon_loss_total{of} 11",
                "connected_seconds_total{of} 30",
                "inactive_seconds{of} 0.25",
                "info{bssid=\"02:00:00:00:ab:01\",device=\"wlan0\",mode=\"client\",ssid=\"my ap\"} 1",
                "receive_bits_per_second{of} 5.4e+07",
                "receive_bytes_total{of} 8.589934592e+09",
                "signal_dbm{of} -52",
                "transmit_bits_per_second{of} 1e+10",
                "transmit_bytes_total{of} 8",
                "transmit_failed_total{of} 10",
                "transmit_retries_total{of} 9",
            ]
        );
    }

    #[test]
    fn families_are_found_by_name_and_cut_answers_are_nothing() {
        let answer = message(&[(FAMILY_ID, &28u16.to_ne_bytes()), (FAMILY_NAME, b"nl80211\0")]);
        assert_eq!((family_of(&answer, "nl80211"), family_of(&answer, "other")), (Some(28), None));
        for end in 0..answer.len() {
            family_of(&answer[..end], "nl80211");
        }
        assert_eq!(ssid(b"\x00\x09abc"), None);
        assert_eq!(ssid(b""), None);
    }
}
