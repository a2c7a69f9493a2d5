//! What waits, in the kernel's queues, to be sent by network devices.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};
use nix::sys::socket::SockProtocol;

use super::collector::{Collector, Failure, Scratch};
use super::netlink::{self, attributes, text, word};

/// Asks the kernel, whatever tree its files come from.
pub(crate) struct Qdisc;

const RTM_GETQDISC: u16 = 38;

/// The length of `tcmsg`.
const HEAD: usize = 20;
const DEVICE_AT: usize = 4;
const PARENT_AT: usize = 12;
const TC_H_ROOT: u32 = u32::MAX;

const TCA_KIND: u16 = 1;
const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;

/// A queue that belongs to a device itself, not to another queue.
#[derive(Default)]
struct Root {
    device: u32,
    kind: String,
    bytes: u64,
    packets: u32,
    waiting: u32,
    waiting_bytes: u32,
    dropped: u32,
    requeued: u32,
    over_limit: u32,
}

impl Collector for Qdisc {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut roots = Vec::new();
        netlink::dump(SockProtocol::NetlinkRoute, RTM_GETQDISC, &[0; HEAD], |message| roots.extend(Root::of(message)))
            .map_err(|error| Failure::Failed(format!("cannot ask the kernel for queues: {error}")))?;
        let devices = device_names();
        for root in roots {
            let device = devices.iter().find(|(number, _)| *number == root.device).map_or("", |(_, name)| name);
            for (name, help, kind, value) in [
                ("bytes_total", "Number of bytes sent.", Kind::Counter, root.bytes as f64),
                ("packets_total", "Number of packets sent.", Kind::Counter, root.packets.into()),
                ("drops_total", "Number of packets dropped.", Kind::Counter, root.dropped.into()),
                (
                    "requeues_total",
                    "Number of packets dequeued, not transmitted, and requeued.",
                    Kind::Counter,
                    root.requeued.into(),
                ),
                ("overlimits_total", "Number of overlimit packets.", Kind::Counter, root.over_limit.into()),
                (
                    "current_queue_length",
                    "Number of packets currently in queue to be sent.",
                    Kind::Gauge,
                    root.waiting.into(),
                ),
                ("backlog", "Number of bytes currently in queue to be sent.", Kind::Gauge, root.waiting_bytes.into()),
            ] {
                page.family(&format!("node_qdisc_{name}"), help, kind)
                    .sample(&[("device", device), ("kind", &root.kind)], value);
            }
        }
        Ok(())
    }
}

impl Root {
    fn of(message: &[u8]) -> Option<Root> {
        if !matches!(word(message, PARENT_AT), 0 | TC_H_ROOT) {
            return None;
        }
        let mut root = Root { device: word(message, DEVICE_AT), ..Root::default() };
        for (kind, value) in attributes(message.get(HEAD..)?) {
            match kind {
                TCA_KIND => root.kind = text(value),
                TCA_STATS2 => {
                    for (kind, value) in attributes(value) {
                        match kind {
                            TCA_STATS_BASIC => {
                                root.bytes = u64::from_ne_bytes(value.get(..8)?.try_into().ok()?);
                                root.packets = word(value, 8);
                            }
                            TCA_STATS_QUEUE => {
                                root.waiting = word(value, 0);
                                root.waiting_bytes = word(value, 4);
                                root.dropped = word(value, 8);
                                root.requeued = word(value, 12);
                                root.over_limit = word(value, 16);
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(root)
    }
}

/// The network devices of our own network, which is the one that netlink tells of.
pub(crate) fn device_names() -> Vec<(u32, String)> {
    let root = PathBuf::from("/sys/class/net");
    let names = std::fs::read_dir(&root).into_iter().flatten().flatten();
    let number = |name: &str| std::fs::read_to_string(root.join(name).join("ifindex")).ok()?.trim().parse().ok();
    names
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Some((number(&name)?, name))
        })
        .collect()
}
