//! The address of a probe's target.

use std::net::IpAddr;

use tokio::time::Instant;

use super::modules;
use super::probe::{Family, Probe};

const LOOKUP_TIME: Family =
    Family { name: "probe_dns_lookup_time_seconds", help: "Returns the time taken for probe dns lookup in seconds" };
const PROTOCOL: Family =
    Family { name: "probe_ip_protocol", help: "Specifies whether probe ip protocol is IP4 or IP6" };
const ADDRESS_HASH: Family = Family {
    name: "probe_ip_addr_hash",
    help: "Specifies the hash of IP address. It's useful to detect if the IP address changes.",
};

/// The address of a host, of the wanted protocol; and how many seconds it took to find it, or not.
pub(super) async fn resolve(probe: &mut Probe, family: modules::Family, host: &str) -> (Result<IpAddr, String>, f64) {
    probe.set(&PROTOCOL, 0.0);
    probe.set(&ADDRESS_HASH, 0.0);
    let start = Instant::now();
    let found = probe.in_time(addresses(host)).await;
    let seconds = start.elapsed().as_secs_f64();
    probe.set(&LOOKUP_TIME, seconds);
    let chosen = found.and_then(|found| choose(&found, family));
    match &chosen {
        Ok(address) => {
            probe.set(&PROTOCOL, if address.is_ipv4() { 4.0 } else { 6.0 });
            probe.set(&ADDRESS_HASH, hash(*address));
            probe.say(format!("{host} is {address}"));
        }
        Err(error) => {
            probe.say(format!("no address of {host}: {error}"));
        }
    }
    (chosen, seconds)
}

/// All addresses of a host.
pub(super) async fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    if host.is_empty() {
        return Err("the target names no host".to_owned());
    }
    let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| error.to_string())?;
    Ok(found.map(|address| address.ip().to_canonical()).collect())
}

fn choose(found: &[IpAddr], family: modules::Family) -> Result<IpAddr, String> {
    let wanted = found.iter().find(|address| address.is_ipv4() == family.prefer_v4);
    // Of the others the last, as blackbox_exporter does it.
    let other = found.last().filter(|_| family.fallback);
    wanted.or(other).copied().ok_or_else(|| "unable to find ip; no fallback".to_owned())
}

/// FNV-1a of the bytes of an address.
fn hash(address: IpAddr) -> f64 {
    let fnv = |bytes: &[u8]| {
        bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
    };
    f64::from(match address {
        IpAddr::V4(address) => fnv(&address.octets()),
        IpAddr::V6(address) => fnv(&address.octets()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_wanted_protocol_come_first() {
        let found: Vec<IpAddr> = ["10.0.0.1", "::1", "10.0.0.2"].map(|text| text.parse().unwrap()).to_vec();
        let chosen = |found: &[IpAddr], prefer_v4, fallback| {
            choose(found, modules::Family { prefer_v4, fallback }).map(|address| address.to_string())
        };
        assert_eq!(chosen(&found, true, true), Ok("10.0.0.1".to_owned()));
        assert_eq!(chosen(&found, false, false), Ok("::1".to_owned()));
        assert_eq!(chosen(&[found[0], found[2]], false, true), Ok("10.0.0.2".to_owned()));
        assert_eq!(chosen(&found[..1], false, false), Err("unable to find ip; no fallback".to_owned()));
    }
}
