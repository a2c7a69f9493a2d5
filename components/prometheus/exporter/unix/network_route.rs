//! The kernel's table of routes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base_metrics::{FamilyWriter, Kind};
use nix::sys::socket::SockProtocol;

use super::collector::{Collector, Failure, Scratch};
use super::netlink::{self, attributes, word};
use super::qdisc::device_names;

/// Asks the kernel, whatever tree its files come from.
pub(crate) struct NetworkRoute;

const RTM_GETROUTE: u16 = 26;

/// The length of `rtmsg`.
const HEAD: usize = 12;
const DESTINATION_BITS_AT: usize = 1;
const PROTOCOL_AT: usize = 5;
const TYPE_AT: usize = 7;
/// To a host or network, in contrast to broadcasts and to ourselves.
const UNICAST: u8 = 1;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;

/// The head of each of several next hops, `rtnexthop`.
const HOP_HEAD: usize = 8;

/// From `linux/rtnetlink.h`.
const PROTOCOLS: [(u8, &str); 21] = [
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (17, "mrouted"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

/// A way to somewhere.
struct Route {
    device: u32,
    source: String,
    destination: String,
    priority: u32,
    protocol: &'static str,
    gateway: String,
    /// Of one way among several.
    weight: String,
}

impl Collector for NetworkRoute {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut routes = Vec::new();
        netlink::dump(SockProtocol::NetlinkRoute, RTM_GETROUTE, &[0; HEAD], |message| {
            Route::read(message, &mut routes)
        })
        .map_err(|error| Failure::Failed(format!("cannot ask the kernel for routes: {error}")))?;
        let devices = device_names();
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let mut family = page.family("node_network_route_info", "network routing table information", Kind::Gauge);
        for route in &routes {
            let device = devices.iter().find(|(number, _)| *number == route.device).map_or("", |(_, name)| name);
            *counts.entry(device).or_default() += 1;
            family.sample(
                &[
                    ("dest", &route.destination),
                    ("device", device),
                    ("gw", &route.gateway),
                    ("priority", &route.priority.to_string()),
                    ("proto", route.protocol),
                    ("src", &route.source),
                    ("weight", &route.weight),
                ],
                1.0,
            );
        }
        let mut family = page.family("node_network_routes", "network routes by interface", Kind::Gauge);
        for (device, count) in counts {
            family.sample(&[("device", device)], f64::from(count));
        }
        Ok(())
    }
}

impl Route {
    /// One way, or several to the same destination.
    fn read(message: &[u8], routes: &mut Vec<Route>) {
        let Some(rest) = message.get(HEAD..).filter(|_| message[TYPE_AT] == UNICAST) else { return };
        let protocol = PROTOCOLS.into_iter().find(|(number, _)| *number == message[PROTOCOL_AT]);
        let (mut destination, mut gateway, mut source, mut hops) = (None, None, None, &[][..]);
        let (mut device, mut priority) = (0, 0);
        for (kind, value) in attributes(rest) {
            match kind {
                RTA_DST => destination = address(value),
                RTA_OIF => device = word(value, 0),
                RTA_GATEWAY => gateway = address(value),
                RTA_PRIORITY => priority = word(value, 0),
                RTA_PREFSRC => source = address(value),
                RTA_MULTIPATH => hops = value,
                _ => {}
            }
        }
        let told = |address: Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
        let bits = message[DESTINATION_BITS_AT];
        let to = match destination {
            Some(address) if bits > 0 => format!("{address}/{bits}"),
            _ => "default".to_owned(),
        };
        let route = |device, gateway, weight| Route {
            device,
            source: told(source),
            destination: to.clone(),
            priority,
            protocol: protocol.map_or("unknown", |(_, name)| name),
            gateway: told(gateway),
            weight,
        };
        if hops.is_empty() {
            routes.push(route(device, gateway, String::new()));
        }
        while hops.len() >= HOP_HEAD {
            let length = usize::from(u16::from_ne_bytes([hops[0], hops[1]]));
            let Some(own) = hops.get(HOP_HEAD..length) else { break };
            let gateway = attributes(own).find(|(kind, _)| *kind == RTA_GATEWAY).and_then(|(_, value)| address(value));
            routes.push(route(word(hops, 4), gateway, (u32::from(hops[3]) + 1).to_string()));
            hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}
