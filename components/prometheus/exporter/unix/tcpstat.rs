//! How many connections of TCP are in which state, and what waits in their queues.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};
use nix::sys::socket::SockProtocol;

use super::collector::{Collector, Failure, Paths, Scratch};
use super::netlink;

pub(crate) struct Tcpstat {
    /// Is there if the host speaks IPv6.
    table_of_v6: PathBuf,
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// The length of `inet_diag_req_v2`.
const QUESTION: usize = 56;

/// Every state but that of new connections that are not accepted.
const STATES: u32 = 0xfff;

/// In the order of the kernel's numbers, from 1.
const NAMES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

/// Where an answer, `inet_diag_msg`, has its state and the bytes in its queues.
const STATE_AT: usize = 1;
const RECEIVED_AT: usize = 56;
const TO_SEND_AT: usize = 60;

impl Tcpstat {
    pub fn new(paths: &Paths) -> Tcpstat {
        Tcpstat { table_of_v6: paths.procfs.join("net/tcp6") }
    }
}

impl Collector for Tcpstat {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut counts = [0_u64; NAMES.len()];
        let (mut received, mut to_send, mut seen) = (0, 0, false);
        let families = [libc::AF_INET, libc::AF_INET6];
        for family in families.into_iter().take(if self.table_of_v6.exists() { 2 } else { 1 }) {
            let mut question = [0; QUESTION];
            question[0] = family as u8;
            question[1] = libc::IPPROTO_TCP as u8;
            question[4..8].copy_from_slice(&STATES.to_ne_bytes());
            let asked = netlink::dump(SockProtocol::NetlinkSockDiag, SOCK_DIAG_BY_FAMILY, &question, |socket| {
                let state = socket.get(STATE_AT).map_or(0, |state| usize::from(*state));
                if let Some(count) = state.checked_sub(1).and_then(|at| counts.get_mut(at)) {
                    *count += 1;
                }
                received += u64::from(netlink::word(socket, RECEIVED_AT));
                to_send += u64::from(netlink::word(socket, TO_SEND_AT));
                seen = true;
            });
            asked.map_err(|error| Failure::Failed(format!("cannot ask the kernel for connections: {error}")))?;
        }
        let mut family = page.family("node_tcp_connection_states", "Number of connection states.", Kind::Gauge);
        for (state, count) in NAMES.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
            family.sample(&[("state", state)], count as f64);
        }
        if seen {
            family.sample(&[("state", "rx_queued_bytes")], received as f64);
            family.sample(&[("state", "tx_queued_bytes")], to_send as f64);
        }
        Ok(())
    }
}
