//! `/proc/net/dev`: what each network device sent and received.

use std::net::IpAddr;

use base_metrics::{FamilyWriter, Kind};
use nix::sys::socket::SockaddrStorage;

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};
use super::filter::DeviceFilter;

pub(crate) struct Netdev {
    source: Source,
    settings: NetdevSettings,
    rows: Vec<(String, [f64; COLUMNS.len()])>,
}

/// What the `netdev` block sets.
#[derive(Debug)]
pub(crate) struct NetdevSettings {
    pub devices: DeviceFilter,
    /// Whether to show the devices' addresses, too.
    pub address_info: bool,
}

/// The columns of the file, as the families call them.
const COLUMNS: [&str; 16] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
];

impl Netdev {
    pub fn new(paths: &Paths, settings: NetdevSettings) -> Netdev {
        Netdev { source: Source::short_records(paths.procfs.join("net/dev")), settings, rows: Vec::new() }
    }
}

impl Collector for Netdev {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        self.rows.clear();
        for line in text.lines().skip(2) {
            // An alias such as `eth0:1` has a colon of its own; the last one ends the name.
            let (device, fields) = line.rsplit_once(':').ok_or_else(|| Failure::malformed(path, line))?;
            let device = device.trim();
            if self.settings.devices.ignores(device) {
                continue;
            }
            let (mut values, mut known) = ([0.0; COLUMNS.len()], 0);
            for (value, field) in values.iter_mut().zip(fields.split_ascii_whitespace()) {
                *value = number(field, path)?;
                known += 1;
            }
            if known < COLUMNS.len() {
                return Err(Failure::malformed(path, line));
            }
            self.rows.push((device.to_owned(), values));
        }
        for (column, key) in COLUMNS.into_iter().enumerate() {
            let (name, help) = (format!("node_network_{key}_total"), format!("Network device statistic {key}."));
            let mut family = page.family(&name, &help, Kind::Counter);
            for (device, values) in &self.rows {
                family.sample(&[("device", device)], values[column]);
            }
        }
        if self.settings.address_info {
            addresses(page)?;
        }
        Ok(())
    }
}

/// The devices' addresses, from the network namespace we run in.
fn addresses(page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
    let interfaces = nix::ifaddrs::getifaddrs()
        .map_err(|error| Failure::Failed(format!("cannot list the addresses of network devices: {error}")))?;
    let mut family = page.family("node_network_address_info", "node network address by device", Kind::Gauge);
    for interface in interfaces {
        let ip = |address: Option<SockaddrStorage>| {
            let address = address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        };
        let Some(address) = ip(interface.address) else { continue };
        let bits = match ip(interface.netmask) {
            Some(IpAddr::V4(mask)) => mask.to_bits().leading_ones(),
            Some(IpAddr::V6(mask)) => mask.to_bits().leading_ones(),
            None => continue,
        };
        family.sample(
            &[
                ("address", &address.to_string()),
                ("device", &interface.interface_name),
                ("netmask", &bits.to_string()),
                ("scope", scope(address)),
            ],
            1.0,
        );
    }
    Ok(())
}

fn scope(address: IpAddr) -> &'static str {
    let (link_local, interface_local) = match address {
        IpAddr::V4(v4) => (v4.is_link_local() || v4.octets()[..3] == [224, 0, 0], false),
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            (v6.is_unicast_link_local() || first & 0xff0f == 0xff02, first & 0xff0f == 0xff01)
        }
    };
    let broadcast = address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    if address.is_loopback() || link_local {
        "link-local"
    } else if interface_local {
        "interface-local"
    } else if !broadcast && !address.is_unspecified() && !address.is_multicast() {
        "global"
    } else {
        ""
    }
}
