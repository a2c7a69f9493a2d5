//! Converters of addresses.

use std::net::IpAddr;

use base64::Engine as _;
use sha1::{Digest, Sha1};

use super::{Arguments, Built, Function, Kind, converter, everywhere, optional, required};
use crate::coerce;
use crate::context::On;
use crate::error::{Error, Result};
use crate::expression::Expression;
use crate::text::url;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("URL", &[required("URI", Kind::Text)], |a| {
        let target = a.expression(0)?;
        converter(move |on| {
            let text = coerce::text(&target, on)?;
            if text.is_empty() {
                return Err("url cannot be empty".into());
            }
            Ok(Value::map(url::parts(&text.as_str())?))
        })
    }),
    everywhere("IsInCIDR", &[required("Target", Kind::Text), required("Networks", Kind::Texts)], is_in_cidr),
    everywhere(
        "CommunityID",
        &[
            required("SourceIP", Kind::Text),
            required("SourcePort", Kind::Int),
            required("DestinationIP", Kind::Text),
            required("DestinationPort", Kind::Int),
            optional("Protocol", Kind::Text),
            optional("Seed", Kind::Int),
        ],
        community_id,
    ),
];

/// An address as Go reads it: IPv4 in IPv6 is IPv4, and there are no zones.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// An address and how many of its bits count.
#[derive(Clone, Copy)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Result<Network> {
        let bad = || Error::new(format!("invalid CIDR address: {text}"));
        let (address, bits) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        if bits.starts_with('+') || bits.len() > 3 {
            return Err(bad());
        }
        let bits: u32 = bits.parse().map_err(|_| bad())?;
        if bits > if address.is_ipv4() { 32 } else { 128 } {
            return Err(bad());
        }
        Ok(Network { address, bits })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = u32::from(network) ^ u32::from(address);
                self.bits == 0 || differ >> (32 - self.bits) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = u128::from(network) ^ u128::from(address);
                self.bits == 0 || differ >> (128 - self.bits) == 0
            }
            _ => false,
        }
    }
}

fn is_in_cidr(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, networks) = (a.expression(0)?, a.expressions(1)?);
    let fixed: Option<Vec<Network>> = if networks.iter().all(|network| network.literal().is_some()) {
        let texts = networks.iter().filter_map(|network| match network.literal() {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        });
        Some(texts.map(|text| Network::parse(&text)).collect::<Result<_>>().map_err(|error| error.to_string())?)
    } else {
        None
    };
    converter(move |on| {
        let Some(address) = address(&coerce::text(&target, on)?.as_str()) else { return Ok(Value::Bool(false)) };
        if let Some(fixed) = &fixed {
            return Ok(Value::Bool(fixed.iter().any(|network| network.contains(address))));
        }
        for network in &networks {
            if Network::parse(&coerce::text(network, on)?.as_str())?.contains(address) {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    })
}

/// The hash of a flow that is the same in both directions, version 1.
/// Source: <https://github.com/corelight/community-id-spec>
fn community_id(a: &mut Arguments) -> std::result::Result<Built, String> {
    let source = (a.expression(0)?, a.expression(1)?);
    let destination = (a.expression(2)?, a.expression(3)?);
    let (protocol, seed) = (a.given_expression(4), a.given_expression(5));
    let end = |on: &On<'_>, (ip, port): &(Expression, Expression), name: &str| -> Result<(Vec<u8>, u16)> {
        let (ip, port) = (coerce::text(ip, on)?, coerce::int(port, on)?);
        let bad_port = |_| Error::new(format!("{name} port must be between 0 and 65535, got {port}"));
        let port = u16::try_from(port).map_err(bad_port)?;
        let address = address(&ip.as_str()).ok_or_else(|| Error::new(format!("invalid {name} IP: {}", ip.as_str())))?;
        Ok(match address {
            IpAddr::V4(address) => (address.octets().to_vec(), port),
            IpAddr::V6(address) => (address.octets().to_vec(), port),
        })
    };
    converter(move |on| {
        let mut ends = [end(on, &source, "source")?, end(on, &destination, "destination")?];
        let protocol = match &protocol {
            None => 6,
            Some(protocol) => match &*coerce::text(protocol, on)?.as_str() {
                "ICMP" => 1,
                "TCP" => 6,
                "UDP" => 17,
                "RSVP" => 46,
                "ICMP6" => 58,
                "SCTP" => 132,
                other => return Err(Error::new(format!("unsupported protocol: {other}"))),
            },
        };
        let seed = match &seed {
            None => 0,
            Some(seed) => {
                let seed = coerce::int(seed, on)?;
                let bad = |_| Error::new(format!("seed must be between 0 and 65535, got {seed}"));
                u16::try_from(seed).map_err(bad)?
            }
        };
        ends.sort_by(|a, b| a.0.len().cmp(&b.0.len()).then_with(|| a.cmp(b)));
        let [(first, first_port), (second, second_port)] = ends;
        let mut hash = Sha1::new();
        hash.update(seed.to_be_bytes());
        hash.update(first);
        hash.update(second);
        hash.update([protocol, 0]);
        hash.update(first_port.to_be_bytes());
        hash.update(second_port.to_be_bytes());
        Ok(Value::text(format!("1:{}", base64::engine::general_purpose::STANDARD.encode(hash.finalize()))))
    })
}
