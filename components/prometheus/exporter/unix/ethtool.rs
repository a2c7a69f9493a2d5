//! What drivers count of their network devices, and what the devices' ports can do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base_devices::ethtool::Link;
use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::filter::{DeviceFilter, Pattern};
use super::listing::entries;

pub(crate) struct Ethtool {
    root: PathBuf,
    settings: EthtoolSettings,
}

/// What the `ethtool` block sets.
#[derive(Debug)]
pub(crate) struct EthtoolSettings {
    pub devices: DeviceFilter,
    pub statistics: Pattern,
}

/// Statistics that have a family and a help of their own.
const USUAL: [(&str, &str, &str); 7] = [
    ("rx_bytes", "node_ethtool_received_bytes_total", "Network interface bytes received"),
    ("rx_dropped", "node_ethtool_received_dropped_total", "Number of received frames dropped"),
    ("rx_errors", "node_ethtool_received_errors_total", "Number of received frames with errors"),
    ("rx_packets", "node_ethtool_received_packets_total", "Network interface packets received"),
    ("tx_bytes", "node_ethtool_transmitted_bytes_total", "Network interface bytes sent"),
    ("tx_errors", "node_ethtool_transmitted_errors_total", "Number of sent frames with errors"),
    ("tx_packets", "node_ethtool_transmitted_packets_total", "Network interface packets sent"),
];

const PORTS: [(u32, &str); 6] = [(7, "TP"), (8, "AUI"), (9, "MII"), (10, "FIBRE"), (11, "BNC"), (16, "Backplane")];

/// The kernel's first word of bits: bit, Mbit/s, whether both may talk at once, and the medium.
const SPEEDS: [(u32, u32, bool, &str); 23] = [
    (0, 10, false, "T"),
    (1, 10, true, "T"),
    (2, 100, false, "T"),
    (3, 100, true, "T"),
    (4, 1000, false, "T"),
    (5, 1000, true, "T"),
    (12, 10_000, true, "T"),
    (15, 2500, true, "T"),
    (17, 1000, true, "KX"),
    (18, 10_000, true, "KX4"),
    (19, 10_000, true, "KR"),
    (20, 10_000, true, "R_FEC"),
    (21, 20_000, true, "MLD2"),
    (22, 20_000, true, "KR2"),
    (23, 40_000, true, "KR4"),
    (24, 40_000, true, "CR4"),
    (25, 40_000, true, "SR4"),
    (26, 40_000, true, "LR4"),
    (27, 56_000, true, "KR4"),
    (28, 56_000, true, "CR4"),
    (29, 56_000, true, "SR4"),
    (30, 56_000, true, "LR4"),
    (31, 25_000, true, "CR"),
];

const NEGOTIATION: u32 = 6;
const PAUSE: u32 = 13;
const ASYMMETRIC_PAUSE: u32 = 14;

/// Bytes a second.
const MEGABIT: f64 = 1_000_000.0 / 8.0;

impl Ethtool {
    pub fn new(paths: &Paths, settings: EthtoolSettings) -> Ethtool {
        Ethtool { root: paths.sysfs.join("class/net"), settings }
    }
}

impl Collector for Ethtool {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let devices: Vec<(String, PathBuf)> =
            entries(&self.root)?.into_iter().filter(|(_, path)| path.is_dir()).collect();
        if devices.is_empty() {
            return Err(Failure::Failed("no network devices found".to_owned()));
        }
        let kernel = base_devices::ethtool::Ethtool::new();
        let kernel = kernel.map_err(|error| Failure::Failed(format!("cannot ask for network devices: {error}")))?;
        for (device, _) in devices.iter().filter(|(device, _)| !self.settings.devices.ignores(device)) {
            match kernel.link(device) {
                Ok(link) => show_link(device, link, page),
                Err(error) => note(device, "link", &error),
            }
            match kernel.driver(device) {
                Ok(driver) => {
                    page.family(
                        "node_ethtool_info",
                        "A metric with a constant '1' value labeled by bus_info, device, driver, expansion_rom_version, \
                         firmware_version, version.",
                        Kind::Gauge,
                    )
                    .sample(
                        &[
                            ("bus_info", &driver.bus),
                            ("device", device),
                            ("driver", &driver.name),
                            ("expansion_rom_version", &driver.expansion_rom),
                            ("firmware_version", &driver.firmware),
                            ("version", &driver.version),
                        ],
                        1.0,
                    );
                }
                Err(error) => note(device, "driver", &error),
            }
            match kernel.statistics(device) {
                Ok(statistics) => self.show_statistics(device, &statistics, page),
                Err(error) => note(device, "statistics", &error),
            }
        }
        Ok(())
    }
}

impl Ethtool {
    /// Statistics whose families would have the same name are left out.
    fn show_statistics(&self, device: &str, statistics: &[(String, u64)], page: &mut FamilyWriter<'_>) {
        let mut families: BTreeMap<String, Vec<(&str, u64)>> = BTreeMap::new();
        for (name, value) in statistics.iter().filter(|(name, _)| self.settings.statistics.is_match(name)) {
            families.entry(family(name)).or_default().push((name, *value));
        }
        for (family, of_it) in families {
            let [(name, value)] = of_it[..] else { continue };
            let usual = USUAL.into_iter().find(|(usual, ..)| *usual == name);
            let (family, help) = match usual {
                Some((_, family, help)) => (family.to_owned(), help.to_owned()),
                None => (family, format!("Network interface {name}")),
            };
            page.family(&family, &help, Kind::Untyped).sample(&[("device", device)], value as f64);
        }
    }
}

fn note(device: &str, what: &str, error: &std::io::Error) {
    if error.raw_os_error() == Some(libc::EOPNOTSUPP) {
        tracing::debug!(device, %error, "the driver does not tell of its {what}");
    } else {
        tracing::error!(device, %error, "cannot ask a driver for its {what}");
    }
}

fn show_link(device: &str, link: Link, page: &mut FamilyWriter<'_>) {
    let is = |bits: u32, bit: u32| bits & 1 << bit != 0;
    for (of, bits, ended) in [("supported", link.supported, "supported"), ("advertised", link.advertised, "offered")] {
        let help = format!("Combination of speeds and features {ended} by network device");
        for (_, speed, full, medium) in SPEEDS.into_iter().filter(|(bit, ..)| is(bits, *bit)) {
            let duplex = if full { "full" } else { "half" };
            let mode = format!("{speed}base{medium}");
            page.family(&format!("node_network_{of}_speed_bytes"), &help, Kind::Gauge)
                .sample(&[("device", device), ("duplex", duplex), ("mode", &mode)], f64::from(speed) * MEGABIT);
        }
        let verb = if of == "supported" { "supports" } else { "offers" };
        for (name, bit, what) in [
            ("autonegotiate", NEGOTIATION, "autonegotiate"),
            ("pause", PAUSE, if of == "supported" { "pause frames" } else { "pause capability" }),
            (
                "asymmetricpause",
                ASYMMETRIC_PAUSE,
                if of == "supported" { "asymmetric pause frames" } else { "asymmetric pause capability" },
            ),
        ] {
            page.family(
                &format!("node_network_{name}_{of}"),
                &format!("If this port device {verb} {what}"),
                Kind::Gauge,
            )
            .sample(&[("device", device)], f64::from(u8::from(is(bits, bit))));
        }
    }
    for (_, port) in PORTS.into_iter().filter(|(bit, _)| is(link.supported, *bit)) {
        page.family(
            "node_network_supported_port_info",
            "Type of ports or PHYs supported by network device",
            Kind::Gauge,
        )
        .sample(&[("device", device), ("type", port)], 1.0);
    }
    page.family("node_network_autonegotiate", "If this port is using autonegotiate", Kind::Gauge)
        .sample(&[("device", device)], f64::from(u8::from(link.negotiates)));
}

/// `rx_queue_0_bytes` → `node_ethtool_received_queue_0_bytes`
fn family(statistic: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, ':' | '_');
    let clean: String = statistic.chars().map(|character| if allowed(character) { character } else { '_' }).collect();
    let clean = clean.trim_start_matches('_').to_lowercase();
    let words: Vec<&str> = clean.split('_').collect();
    let words = renamed(renamed(words, "rx", "received"), "tx", "transmitted");
    format!("node_ethtool_{}", words.join("_"))
}

/// A word that follows one that was renamed stays, as node_exporter's expressions take the blank between for the first.
fn renamed<'w>(words: Vec<&'w str>, from: &str, to: &'w str) -> Vec<&'w str> {
    let mut before = false;
    let rename = |word: &'w str| {
        before = word == from && !before;
        if before { to } else { word }
    };
    words.into_iter().map(rename).collect()
}

#[cfg(test)]
mod tests {
    use base_metrics::Page;

    use super::*;

    #[test]
    fn statistics_get_names_that_can_be_families() {
        for (statistic, expected) in [
            ("rx_queue_0_bytes", "node_ethtool_received_queue_0_bytes"),
            ("port.rx_dropped", "node_ethtool_port_received_dropped"),
            ("_Tx[3]", "node_ethtool_transmitted_3_"),
            ("rxq0_drops", "node_ethtool_rxq0_drops"),
            ("tx_tx_timeouts", "node_ethtool_transmitted_tx_timeouts"),
            ("rx_tx_both", "node_ethtool_received_transmitted_both"),
        ] {
            assert_eq!(family(statistic), expected);
        }
    }

    #[test]
    fn a_port_tells_its_speeds() {
        let (mut page, mut text) = (Page::new(), String::new());
        let link = Link { supported: 1 << 5 | 1 << 6 | 1 << 7, advertised: 1 << 5 | 1 << 13, negotiates: true };
        show_link("eth0", link, &mut page.writer());
        page.encode(&mut text, &base_metrics::Losses::default());
        for line in [
            "# HELP node_network_asymmetricpause_advertised If this port device offers asymmetric pause capability",
            "node_network_advertised_speed_bytes{device=\"eth0\",duplex=\"full\",mode=\"1000baseT\"} 1.25e+08",
            "node_network_supported_speed_bytes{device=\"eth0\",duplex=\"full\",mode=\"1000baseT\"} 1.25e+08",
            "# HELP node_network_supported_speed_bytes Combination of speeds and features supported by network device",
            "node_network_autonegotiate_advertised{device=\"eth0\"} 0",
            "node_network_autonegotiate_supported{device=\"eth0\"} 1",
            "node_network_pause_advertised{device=\"eth0\"} 1",
            "node_network_supported_port_info{device=\"eth0\",type=\"TP\"} 1",
            "node_network_autonegotiate{device=\"eth0\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
