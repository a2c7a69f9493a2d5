//! `/proc/net/udp` and `udp6`: bytes waiting in the queues of all UDP sockets.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};

pub(crate) struct UdpQueues {
    tables: [(&'static str, Source); 2],
}

impl UdpQueues {
    pub fn new(paths: &Paths) -> UdpQueues {
        UdpQueues {
            tables: [("v4", "net/udp"), ("v6", "net/udp6")]
                .map(|(ip, name)| (ip, Source::short_records(paths.procfs.join(name)))),
        }
    }
}

impl Collector for UdpQueues {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut family = page.family(
            "node_udp_queues",
            "Number of allocated memory in the kernel for UDP datagrams in bytes.",
            Kind::Gauge,
        );
        let mut found = false;
        for (ip, source) in &mut self.tables {
            let text = source.read(scratch);
            let path = source.path();
            let text = match text {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Failure::reading(path, &error)),
            };
            found = true;
            let (mut sent, mut received) = (0u64, 0u64);
            for line in text.lines().skip(1) {
                let queues = line.split_ascii_whitespace().nth(4).and_then(|field| {
                    let (sending, receiving) = field.split_once(':')?;
                    Some((u64::from_str_radix(sending, 16).ok()?, u64::from_str_radix(receiving, 16).ok()?))
                });
                let (sending, receiving) = queues.ok_or_else(|| Failure::malformed(path, line))?;
                sent += sending;
                received += receiving;
            }
            family.sample(&[("ip", ip), ("queue", "tx")], sent as f64);
            family.sample(&[("ip", ip), ("queue", "rx")], received as f64);
        }
        if found { Ok(()) } else { Err(Failure::NoData) }
    }
}
