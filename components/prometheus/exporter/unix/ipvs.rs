//! The kernel's load balancer: what it passed on, and to whom.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};

pub(crate) struct Ipvs {
    totals: Source,
    table: Source,
    labels: BackendLabels,
}

/// The labels of a backend's series, in the order of their names.
#[derive(Clone, Debug)]
pub(crate) struct BackendLabels(Vec<&'static str>);

/// Every label that a backend can have.
const LABELS: [&str; 6] = ["local_address", "local_mark", "local_port", "proto", "remote_address", "remote_port"];

const TOTALS: [(&str, &str); 5] = [
    ("node_ipvs_connections_total", "The total number of connections made."),
    ("node_ipvs_incoming_packets_total", "The total number of incoming packets."),
    ("node_ipvs_outgoing_packets_total", "The total number of outgoing packets."),
    ("node_ipvs_incoming_bytes_total", "The total amount of incoming data."),
    ("node_ipvs_outgoing_bytes_total", "The total amount of outgoing data."),
];

const OF_BACKENDS: [(&str, &str); 3] = [
    ("node_ipvs_backend_weight", "The current backend weight by local and remote address."),
    ("node_ipvs_backend_connections_active", "The current active connections by local and remote address."),
    ("node_ipvs_backend_connections_inactive", "The current inactive connections by local and remote address."),
];

/// A virtual server: the values of its labels, in the order of [`LABELS`].
#[derive(Clone, Default)]
struct Service {
    address: String,
    mark: String,
    port: String,
    protocol: String,
}

// === impl BackendLabels ===

impl BackendLabels {
    /// These, or all if there are none.
    pub fn new(names: &[String]) -> Result<BackendLabels, String> {
        let names: Vec<&str> = names.iter().flat_map(|name| name.split(',')).filter(|name| !name.is_empty()).collect();
        let mut unknown: Vec<&str> = names.iter().copied().filter(|name| !LABELS.contains(name)).collect();
        if !unknown.is_empty() {
            unknown.sort_unstable();
            return Err(format!("unknown IPVS backend labels: {:?}", unknown.join(", ")));
        }
        Ok(BackendLabels(LABELS.into_iter().filter(|label| names.is_empty() || names.contains(label)).collect()))
    }
}

// === impl Ipvs ===

impl Ipvs {
    pub fn new(paths: &Paths, labels: BackendLabels) -> Ipvs {
        let file = |name: &str| Source::records(paths.procfs.join(name));
        Ipvs { totals: file("net/ip_vs_stats"), table: file("net/ip_vs"), labels }
    }
}

impl Collector for Ipvs {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.totals.path().to_owned();
        let text = self.totals.read(scratch).map_err(|error| Failure::absent_or(&path, &error))?;
        let numbers: Vec<&str> = text.lines().nth(2).unwrap_or_default().split_whitespace().collect();
        if numbers.len() != TOTALS.len() {
            return Err(Failure::malformed(&path, "unexpected number of fields"));
        }
        for ((name, help), number) in TOTALS.into_iter().zip(numbers) {
            let value = u64::from_str_radix(number, 16).map_err(|_| Failure::malformed(&path, number))?;
            page.counter(name, help, value as f64);
        }
        let path = self.table.path().to_owned();
        let text = self.table.read(scratch).map_err(|error| Failure::reading(&path, &error))?;
        for (values, counts) in backends(text, &path, &self.labels.0)? {
            let labels: Vec<(&str, &str)> =
                self.labels.0.iter().copied().zip(values.iter().map(String::as_str)).collect();
            for ((name, help), count) in OF_BACKENDS.into_iter().zip(counts) {
                page.family(name, help, Kind::Gauge).sample(&labels, count as f64);
            }
        }
        Ok(())
    }
}

/// Weight, active and inactive connections of all backends with the same values of these labels.
fn backends(text: &str, path: &Path, labels: &[&str]) -> Result<BTreeMap<Vec<String>, [u64; 3]>, Failure> {
    let mut backends: BTreeMap<Vec<String>, [u64; 3]> = BTreeMap::new();
    let mut service = Service::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [protocol @ ("TCP" | "UDP"), local, ..] => {
                let (address, port) = address(local, path)?;
                service = Service { address, mark: String::new(), port, protocol: protocol.to_owned() };
            }
            [protocol @ "FWM", mark, ..] => {
                let (mark, port) = (mark.to_owned(), "0".to_owned());
                service = Service { address: String::new(), mark, port, protocol: protocol.to_owned() };
            }
            ["->", "RemoteAddress:Port", ..] => {}
            ["->", remote, _, weight, active, inactive, ..] => {
                let (remote_address, remote_port) = address(remote, path)?;
                let Service { address, mark, port, protocol } = service.clone();
                let values = [address, mark, port, protocol, remote_address, remote_port];
                let kept = LABELS.iter().zip(values).filter(|(label, _)| labels.contains(label));
                let sums = backends.entry(kept.map(|(_, value)| value).collect()).or_default();
                for (sum, number) in sums.iter_mut().zip([weight, active, inactive]) {
                    *sum += number.parse::<u64>().map_err(|_| Failure::malformed(path, number))?;
                }
            }
            _ => {}
        }
    }
    Ok(backends)
}

/// `C0A80016:0CEA` or `[fe80:0000:…:0001]:0CEA`: the address as people write it, and the port.
fn address(text: &str, path: &Path) -> Result<(String, String), Failure> {
    let malformed = || Failure::malformed(path, text);
    let (address, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let port = u16::from_str_radix(port, 16).map_err(|_| malformed())?.to_string();
    if let Some(v6) = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Ok((v6.parse::<Ipv6Addr>().map_err(|_| malformed())?.to_canonical().to_string(), port));
    }
    let bits = u32::from_str_radix(address, 16).map_err(|_| malformed())?;
    Ok((Ipv4Addr::from_bits(bits).to_string(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_of_the_same_labels_are_summed() {
        let table = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  \
                     -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
                     TCP  C0A80016:0CEA wlc\n  -> C0A85216:0CEA      Tunnel  100    248        2\n  \
                     -> C0A85318:0CEA      Tunnel  50     2          1\n\
                     FWM  10001000 wlc\n  -> [2620:0000:0000:0000:0000:0000:0000:0001]:01BB  Route   3      1          4\n";
        let found = backends(table, Path::new("ip_vs"), &["local_mark", "proto"]).unwrap();
        let expected = [(["10001000", "FWM"], [3, 1, 4]), (["", "TCP"], [150, 250, 3])];
        let expected = expected.map(|(values, counts)| (values.map(str::to_owned).to_vec(), counts));
        assert_eq!(found, BTreeMap::from(expected));
        let found = backends(table, Path::new("ip_vs"), &["remote_address"]).unwrap();
        assert_eq!(found.keys().flatten().collect::<Vec<_>>(), ["192.168.82.22", "192.168.83.24", "2620::1"]);
    }

    #[test]
    fn labels_that_do_not_exist_are_refused() {
        let error = BackendLabels::new(&["proto".to_owned(), "colour".to_owned(), "age".to_owned()]).unwrap_err();
        assert_eq!(error, "unknown IPVS backend labels: \"age, colour\"");
        assert_eq!(BackendLabels::new(&[]).unwrap().0, LABELS);
    }
}
