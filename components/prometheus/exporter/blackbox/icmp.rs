//! The ICMP probe: one echo. A ping socket needs no privilege where the system allows it to our group
//! (net.ipv4.ping_group_range); a raw one needs CAP_NET_RAW.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::modules::Icmp;
use super::probe::{Family, Probe};
use super::resolve::resolve;

const PHASES: Family = Family { name: "probe_icmp_duration_seconds", help: "Duration of icmp request by phase" };
const HOP_LIMIT: Family =
    Family { name: "probe_icmp_reply_hop_limit", help: "Replied packet hop limit (TTL for ipv4)" };

/// What an echo carries, as blackbox_exporter's does.
const PAYLOAD: &[u8] = b"Prometheus Blackbox Exporter";

/// The head of an echo.
const HEAD: usize = 8;
/// The head of a packet of IPv4 without options.
const IPV4_HEAD: usize = 20;

/// How a socket shows packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The kernel chooses the identifier.
    Ping,
    Raw,
    /// Raw, and we write the head of the packet.
    WholePacket,
}

struct Echo {
    identifier: u16,
    sequence: u16,
    payload: Vec<u8>,
}

/// Probes a host.
pub(super) async fn probe(probe: &mut Probe, target: &str, module: &Icmp) -> bool {
    for phase in ["resolve", "setup", "rtt"] {
        probe.add_phase(&PHASES, phase, 0.0);
    }
    let (address, seconds) = resolve(probe, module.family(), target).await;
    let Ok(to) = address else { return false };
    let address = to.ip();
    probe.add_phase(&PHASES, "resolve", seconds);
    let start = Instant::now();
    let (socket, kind) = match open(address, module) {
        Ok(opened) => opened,
        Err(error) => {
            let why = format!("error opening a socket for ICMP: {error}");
            probe.is_equipped(Err(&why));
            return probe.fail(why);
        }
    };
    probe.is_equipped(Ok(()));
    let echo = Echo::new(module.payload_size);
    let packet = match kind {
        Kind::WholePacket => whole_packet(&echo, address, module),
        _ => echo.message(address.is_ipv6()),
    };
    probe.add_phase(&PHASES, "setup", start.elapsed().as_secs_f64());
    let sent = Instant::now();
    let exchange = async {
        let to = to.into();
        socket.async_io(Interest::WRITABLE, || SockRef::from(&socket).send_to(&packet, &to)).await?;
        let mut room = vec![0; 65_536];
        loop {
            let (length, from, hops) = socket.async_io(Interest::READABLE, || receive(&socket, &mut room)).await?;
            let mut reply = &room[..length];
            let mut hops = hops;
            if kind != Kind::Ping && address.is_ipv4() {
                let Some(head) = reply.first().map(|first| usize::from(first & 0x0f) * 4) else { continue };
                hops = hops.or_else(|| reply.get(8).map(|ttl| i32::from(*ttl)));
                reply = reply.get(head..).unwrap_or_default();
            }
            if from == Some(address) && echo.is_answered_by(reply, kind == Kind::Ping, address.is_ipv6()) {
                return Ok(hops);
            }
        }
    };
    let hops = probe.in_time(async { exchange.await.map_err(|error: io::Error| error.to_string()) }).await;
    match hops {
        Ok(hops) => {
            probe.add_phase(&PHASES, "rtt", sent.elapsed().as_secs_f64());
            if let Some(hops) = hops {
                probe.set(&HOP_LIMIT, f64::from(hops));
            }
            true
        }
        Err(error) => probe.fail(format!("no answer from {address}: {error}")),
    }
}

fn open(to: IpAddr, module: &Icmp) -> Result<(UdpSocket, Kind), String> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let raw = || Socket::new(domain, Type::RAW, Some(protocol));
    let (socket, kind) = if module.dont_fragment && to.is_ipv4() {
        (raw(), Kind::WholePacket)
    } else {
        match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Ok(socket) => (Ok(socket), Kind::Ping),
            Err(_) => (raw(), Kind::Raw),
        }
    };
    let socket = socket.map_err(|error| {
        format!("{error}; it needs a group within net.ipv4.ping_group_range, or the capability CAP_NET_RAW")
    })?;
    let prepare = || -> io::Result<()> {
        socket.set_nonblocking(true)?;
        if let Some(from) = module.source_ip_address {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        if kind == Kind::WholePacket {
            socket.set_header_included_v4(true)?;
        } else if module.ttl > 0 && to.is_ipv4() {
            socket.set_ttl_v4(module.ttl as u32)?;
        } else if module.ttl > 0 {
            socket.set_unicast_hops_v6(module.ttl as u32)?;
        }
        match to {
            IpAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?,
            IpAddr::V6(_) => socket.set_recv_hoplimit_v6(true)?,
        }
        Ok(())
    };
    prepare().map_err(|error| error.to_string())?;
    // For the runtime every socket of datagrams is one of UDP.
    Ok((UdpSocket::from_std(socket.into()).map_err(|error| error.to_string())?, kind))
}

/// A packet: its length, whom it is from, and how many hops it had left.
fn receive(socket: &UdpSocket, room: &mut [u8]) -> io::Result<(usize, Option<IpAddr>, Option<i32>)> {
    let mut control = nix::cmsg_space!([i32; 8]);
    let mut parts = [IoSliceMut::new(room)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let from = received.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    let hops = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) => Some(hops),
        _ => None,
    });
    Ok((received.bytes, from, hops))
}

/// The echo in a packet that must not be fragmented; the kernel adds its checksum and length.
fn whole_packet(echo: &Echo, to: IpAddr, module: &Icmp) -> Vec<u8> {
    let message = echo.message(false);
    let as_v4 = |address: Option<IpAddr>| match address {
        Some(IpAddr::V4(address)) => address,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let mut packet = vec![0; IPV4_HEAD];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&((IPV4_HEAD + message.len()) as u16).to_be_bytes());
    packet[6] = 0x40; // don't fragment
    packet[8] = if module.ttl > 0 { module.ttl as u8 } else { 64 };
    packet[9] = 1; // ICMP
    packet[12..16].copy_from_slice(&as_v4(module.source_ip_address).octets());
    packet[16..20].copy_from_slice(&as_v4(Some(to)).octets());
    packet.extend(message);
    packet
}

// === impl Echo ===

impl Echo {
    fn new(payload_size: usize) -> Echo {
        static SEQUENCE: AtomicU16 = AtomicU16::new(0);
        let mut payload = PAYLOAD.to_vec();
        if payload_size > 0 {
            payload.resize(payload_size, 0);
        }
        Echo { identifier: std::process::id() as u16, sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed), payload }
    }

    fn message(&self, is_v6: bool) -> Vec<u8> {
        let mut message = vec![if is_v6 { 128 } else { 8 }, 0, 0, 0];
        message.extend(self.identifier.to_be_bytes());
        message.extend(self.sequence.to_be_bytes());
        message.extend(&self.payload);
        // The kernel makes the checksum of ICMPv6.
        if !is_v6 {
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        message
    }

    fn is_answered_by(&self, reply: &[u8], any_identifier: bool, is_v6: bool) -> bool {
        let Some((head, payload)) = reply.split_at_checked(HEAD) else { return false };
        head[0] == if is_v6 { 129 } else { 0 }
            && (any_identifier || head[4..6] == self.identifier.to_be_bytes())
            && head[6..8] == self.sequence.to_be_bytes()
            && payload == self.payload
    }
}

/// The checksum of the Internet (RFC 1071).
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
