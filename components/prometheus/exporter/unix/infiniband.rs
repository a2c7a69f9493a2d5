//! `/sys/class/infiniband`: the adapters of InfiniBand networks and what passed their ports.

use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::{entries, unsigned_if_any};

pub(crate) struct Infiniband {
    root: PathBuf,
}

/// The file among a port's files, the family, its help, and what a unit of the file is.
///
/// Data are counted by lane, and there are four lanes. Before Linux 4.5, 64-bit counters stood in a folder of their own.
const COUNTERS: [(&str, &str, &str, u64); 29] = [
    (
        "counters_ext/port_multicast_rcv_packets",
        "legacy_multicast_packets_received_total",
        "Number of multicast packets received",
        1,
    ),
    (
        "counters_ext/port_multicast_xmit_packets",
        "legacy_multicast_packets_transmitted_total",
        "Number of multicast packets transmitted",
        1,
    ),
    (
        "counters_ext/port_rcv_data_64",
        "legacy_data_received_bytes_total",
        "Number of data octets received on all links",
        LANES,
    ),
    (
        "counters_ext/port_rcv_packets_64",
        "legacy_packets_received_total",
        "Number of data packets received on all links",
        1,
    ),
    (
        "counters_ext/port_unicast_rcv_packets",
        "legacy_unicast_packets_received_total",
        "Number of unicast packets received",
        1,
    ),
    (
        "counters_ext/port_unicast_xmit_packets",
        "legacy_unicast_packets_transmitted_total",
        "Number of unicast packets transmitted",
        1,
    ),
    (
        "counters_ext/port_xmit_data_64",
        "legacy_data_transmitted_bytes_total",
        "Number of data octets transmitted on all links",
        LANES,
    ),
    (
        "counters_ext/port_xmit_packets_64",
        "legacy_packets_transmitted_total",
        "Number of data packets received on all links",
        1,
    ),
    (
        "counters/excessive_buffer_overrun_errors",
        "excessive_buffer_overrun_errors_total",
        "Number of times that OverrunErrors consecutive flow control update periods occurred, each having at least one \
         overrun error.",
        1,
    ),
    (
        "counters/link_downed",
        "link_downed_total",
        "Number of times the link failed to recover from an error state and went down",
        1,
    ),
    (
        "counters/link_error_recovery",
        "link_error_recovery_total",
        "Number of times the link successfully recovered from an error state",
        1,
    ),
    (
        "counters/local_link_integrity_errors",
        "local_link_integrity_errors_total",
        "Number of times that the count of local physical errors exceeded the threshold specified by LocalPhyErrors.",
        1,
    ),
    (
        "counters/multicast_rcv_packets",
        "multicast_packets_received_total",
        "Number of multicast packets received (including errors)",
        1,
    ),
    (
        "counters/multicast_xmit_packets",
        "multicast_packets_transmitted_total",
        "Number of multicast packets transmitted (including errors)",
        1,
    ),
    (
        "counters/port_rcv_constraint_errors",
        "port_constraint_errors_received_total",
        "Number of packets received on the switch physical port that are discarded",
        1,
    ),
    (
        "counters/port_xmit_constraint_errors",
        "port_constraint_errors_transmitted_total",
        "Number of packets not transmitted from the switch physical port",
        1,
    ),
    ("counters/port_rcv_data", "port_data_received_bytes_total", "Number of data octets received on all links", LANES),
    (
        "counters/port_xmit_data",
        "port_data_transmitted_bytes_total",
        "Number of data octets transmitted on all links",
        LANES,
    ),
    (
        "counters/port_rcv_discards",
        "port_discards_received_total",
        "Number of inbound packets discarded by the port because the port is down or congested",
        1,
    ),
    (
        "counters/port_xmit_discards",
        "port_discards_transmitted_total",
        "Number of outbound packets discarded by the port because the port is down or congested",
        1,
    ),
    (
        "counters/port_rcv_errors",
        "port_errors_received_total",
        "Number of packets containing an error that were received on this port",
        1,
    ),
    (
        "counters/port_rcv_packets",
        "port_packets_received_total",
        "Number of packets received on all VLs by this port (including errors)",
        1,
    ),
    (
        "counters/port_xmit_packets",
        "port_packets_transmitted_total",
        "Number of packets transmitted on all VLs from this port (including errors)",
        1,
    ),
    (
        "counters/port_xmit_wait",
        "port_transmit_wait_total",
        "Number of ticks during which the port had data to transmit but no data was sent during the entire tick",
        1,
    ),
    (
        "counters/unicast_rcv_packets",
        "unicast_packets_received_total",
        "Number of unicast packets received (including errors)",
        1,
    ),
    (
        "counters/unicast_xmit_packets",
        "unicast_packets_transmitted_total",
        "Number of unicast packets transmitted (including errors)",
        1,
    ),
    (
        "counters/port_rcv_remote_physical_errors",
        "port_receive_remote_physical_errors_total",
        "Number of packets marked with the EBP (End of Bad Packet) delimiter received on the port.",
        1,
    ),
    (
        "counters/port_rcv_switch_relay_errors",
        "port_receive_switch_relay_errors_total",
        "Number of packets that could not be forwarded by the switch.",
        1,
    ),
    (
        "counters/symbol_error",
        "symbol_error_total",
        "Number of minor link errors detected on one or more physical lanes.",
        1,
    ),
];
const DROPPED: (&str, &str, &str) = (
    "counters/VL15_dropped",
    "vl15_dropped_total",
    "Number of incoming VL15 packets dropped due to resource limitations.",
);
const LANES: u64 = 4;

/// A rate is told in Gbit/s.
const GIGABIT: f64 = 125_000_000.0;

impl Infiniband {
    pub fn new(paths: &Paths) -> Infiniband {
        Infiniband { root: paths.sysfs.join("class/infiniband") }
    }
}

impl Collector for Infiniband {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for (device, folder) in entries(&self.root)? {
            let text = |name: &str| text(&folder.join(name));
            let firmware = text("fw_ver")?.ok_or(Failure::NoData)?;
            let (board, hca) = (text("board_id")?.unwrap_or_default(), text("hca_type")?.unwrap_or_default());
            page.family(
                "node_infiniband_info",
                "Non-numeric data from /sys/class/infiniband/<device>, value is always 1.",
                Kind::Gauge,
            )
            .sample(
                &[("board_id", &board), ("device", &device), ("firmware_version", &firmware), ("hca_type", &hca)],
                1.0,
            );
            for (number, folder) in entries(&folder.join("ports"))? {
                port(&device, &number, &folder, page)?;
            }
        }
        Ok(())
    }
}

fn port(device: &str, number: &str, folder: &Path, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
    let number = number.parse::<u32>().map_err(|_| Failure::malformed(folder, number))?.to_string();
    let labels = [("device", device), ("port", number.as_str())];
    let mut show = |name: &str, help: &str, kind: Kind, value: f64| {
        page.family(&format!("node_infiniband_{name}"), help, kind).sample(&labels, value);
    };
    let help = "State of the InfiniBand port (0: no change, 1: down, 2: init, 3: armed, 4: active, 5: act defer)";
    show("state_id", help, Kind::Gauge, state(&folder.join("state"))?);
    let help = "Physical state of the InfiniBand port (0: no change, 1: sleep, 2: polling, 3: disable, 4: shift, 5: link \
                up, 6: link error recover, 7: phytest)";
    show("physical_state_id", help, Kind::Gauge, state(&folder.join("phys_state"))?);
    show("rate_bytes_per_second", "Maximum signal transfer rate", Kind::Gauge, rate(&folder.join("rate"))?);
    let (file, name, help) = DROPPED;
    for (file, name, help, unit) in COUNTERS.into_iter().chain([(file, name, help, 1)]) {
        if let Some(count) = unsigned_if_any(&folder.join(file))? {
            show(name, help, Kind::Counter, count.wrapping_mul(unit) as f64);
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::reading(path, &error)),
    }
}

/// `4: ACTIVE` → 4
fn state(path: &Path) -> Result<f64, Failure> {
    let text = text(path)?.ok_or(Failure::NoData)?;
    let number = text.split_once(':').and_then(|(number, _)| number.trim().parse::<u32>().ok());
    number.map(f64::from).ok_or_else(|| Failure::malformed(path, &text))
}

/// `40 Gb/sec (4X QDR)` → 5e9
fn rate(path: &Path) -> Result<f64, Failure> {
    let text = text(path)?.ok_or(Failure::NoData)?;
    let number = text.split_once(' ').and_then(|(number, _)| number.parse::<f32>().ok());
    number.map(|rate| (f64::from(rate) * GIGABIT).trunc()).ok_or_else(|| Failure::malformed(path, &text))
}
