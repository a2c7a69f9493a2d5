//! The address of a probe's target.

use std::net::{IpAddr, SocketAddr};

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

/// The address of a host, of the wanted protocol, for any port; and how many seconds it took to find it, or not.
pub(super) async fn resolve(
    probe: &mut Probe,
    family: modules::Family,
    host: &str,
) -> (Result<SocketAddr, String>, f64) {
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
            probe.set(&ADDRESS_HASH, hash(address.ip()));
            probe.say(format!("{host} is {}", address.ip()));
        }
        Err(error) => {
            probe.say(format!("no address of {host}: {error}"));
        }
    }
    (chosen, seconds)
}

/// All addresses of a host. One of a link is of use only with the interface that it is at: `fe80::1%eth0`.
pub(super) async fn addresses(host: &str) -> Result<Vec<SocketAddr>, String> {
    if host.is_empty() {
        return Err("the target names no host".to_owned());
    }
    let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| error.to_string())?;
    Ok(found.map(canonical).collect())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::new(v4.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// The same host at a port.
pub(super) fn at_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

fn choose(found: &[SocketAddr], family: modules::Family) -> Result<SocketAddr, String> {
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
        let any_port = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let found = ["10.0.0.1", "::1", "10.0.0.2"].map(any_port);
        let chosen = |found: &[SocketAddr], prefer_v4, fallback| {
            choose(found, modules::Family { prefer_v4, fallback }).map(|address| address.ip().to_string())
        };
        assert_eq!(chosen(&found, true, true), Ok("10.0.0.1".to_owned()));
        assert_eq!(chosen(&found, false, false), Ok("::1".to_owned()));
        assert_eq!(chosen(&[found[0], found[2]], false, true), Ok("10.0.0.2".to_owned()));
        assert_eq!(chosen(&found[..1], false, false), Err("unable to find ip; no fallback".to_owned()));
    }

    #[tokio::test]
    async fn an_address_of_a_link_keeps_its_interface() {
        let loopback = nix::net::if_::if_nametoindex("lo").unwrap();
        let found = addresses("fe80::1%lo").await.unwrap();
        let SocketAddr::V6(address) = at_port(found[0], 53) else { panic!("{found:?}") };
        assert_eq!((address.scope_id(), address.port()), (loopback, 53));
        assert_eq!(addresses("::ffff:10.0.0.1").await.unwrap(), ["10.0.0.1:0".parse().unwrap()]);
    }
}
