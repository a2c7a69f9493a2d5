//! Records from the servers of `/etc/resolv.conf`. The questions and answers on the wire are hickory's.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base_sys::fs;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The file has some lines.
const MAX_FILE: usize = 1 << 20;

/// The kind of record that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wants {
    A,
    Aaaa,
    Srv,
    Mx,
    Ns,
}

/// What a record leads to. Names end in a dot, as they stand in the record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    Ip(IpAddr),
    Service { target: String, port: u16 },
    Named(String),
}

/// Whom to ask, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Servers {
    pub addresses: Vec<IpAddr>,
    pub port: u16,
    /// What may follow a name that is not whole.
    pub search: Vec<String>,
    /// A name with more labels than that is tried as it is first.
    pub ndots: usize,
    pub timeout: Duration,
    pub attempts: usize,
}

/// Asks servers.
pub(super) struct Resolver {
    servers: Servers,
    resolver: TokioResolver,
}

/// What is known of one name.
enum Known {
    Records(Vec<Address>),
    DoesNotExist,
}

/// Why nobody knows.
enum Unknown {
    /// A server answered that it cannot say.
    Answered(String),
    /// None of the servers answered.
    Silent(String),
}

// === impl Servers ===

impl Servers {
    /// Those of `/etc/resolv.conf`.
    pub(super) fn of_this_host() -> Result<Servers, String> {
        let text = fs::read_text_bounded(Path::new(RESOLV_CONF), MAX_FILE)
            .map_err(|error| format!("cannot read {RESOLV_CONF}: {error}"))?;
        Ok(Servers::parse(&text))
    }

    /// See resolv.conf(5). What is not understood is passed over, as every resolver does.
    fn parse(text: &str) -> Servers {
        let (port, timeout) = (53, Duration::from_secs(5));
        let mut servers = Servers { addresses: Vec::new(), port, search: Vec::new(), ndots: 1, timeout, attempts: 2 };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // An address with a zone is one of a link, which nobody but its host knows.
                    let address = words.next().and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok());
                    servers.addresses.extend(address);
                }
                Some("domain") => servers.search = words.next().map(str::to_owned).into_iter().collect(),
                Some("search") => servers.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| servers.option(option)),
                _ => {}
            }
        }
        servers
    }

    fn option(&mut self, option: &str) {
        let Some((name, number)) = option.split_once(':') else { return };
        let Ok(number) = number.parse::<usize>() else { return };
        match name {
            "ndots" => self.ndots = number.min(15),
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, 30) as u64),
            "attempts" => self.attempts = number.clamp(1, 5),
            _ => {}
        }
    }

    /// For whoever has to mend them.
    fn shown(&self) -> String {
        let addresses: Vec<_> = self.addresses.iter().map(IpAddr::to_string).collect();
        addresses.join(", ")
    }

    /// The whole names that a name may stand for, in the order in which they are tried.
    fn whole_names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{name}.{}.", domain.trim_end_matches('.')));
        let itself = [format!("{name}.")];
        match name.split('.').count() > self.ndots {
            true => itself.into_iter().chain(searched).collect(),
            false => searched.chain(itself).collect(),
        }
    }
}

// === impl Resolver ===

impl Resolver {
    pub(super) fn new(servers: Servers) -> Result<Resolver, String> {
        if servers.addresses.is_empty() {
            return Err(format!("there is no nameserver in {RESOLV_CONF}"));
        }
        let connections = || {
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = servers.port;
                connection
            })
        };
        let name_servers = servers.addresses.iter().map(|ip| NameServerConfig::new(*ip, true, connections().into()));
        let config = ResolverConfig::from_parts(None, Vec::new(), name_servers.collect());
        let mut options = ResolverOpts::default();
        options.timeout = servers.timeout;
        // Those behind the first.
        options.attempts = servers.attempts.saturating_sub(1);
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.num_concurrent_reqs = 1;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let resolver = builder.build().map_err(|error| format!("cannot ask DNS servers: {error}"))?;
        Ok(Resolver { servers, resolver })
    }

    /// The records of a name. A name that is known without such records, or that does not exist whatever follows it, has
    /// none; an error means that nobody knows.
    pub(super) async fn lookup(&self, name: &str, wants: Wants) -> Result<Vec<Address>, String> {
        let mut unknown = None;
        for whole in self.servers.whole_names(name) {
            match self.lookup_whole(&whole, wants).await {
                Ok(Known::Records(records)) => return Ok(records),
                Ok(Known::DoesNotExist) => {}
                Err(Unknown::Answered(error)) => {
                    unknown = Some(format!("cannot resolve {name:?}: no answer for {whole:?}: {error}"));
                }
                // They would be as silent about the next name, and each costs all attempts.
                Err(Unknown::Silent(error)) => {
                    let servers = self.servers.shown();
                    return Err(format!("cannot resolve {name:?}: no answer for {whole:?} from {servers}: {error}"));
                }
            }
        }
        unknown.map_or(Ok(Vec::new()), Err)
    }

    async fn lookup_whole(&self, name: &str, wants: Wants) -> Result<Known, Unknown> {
        let name = Name::from_ascii(name).or_else(|_| Name::from_utf8(name));
        let name = name.map_err(|error| Unknown::Answered(error.to_string()))?;
        let record_type = wants.record_type();
        let answer = match self.resolver.lookup(name, record_type).await {
            Ok(answer) => answer,
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NoError => return Ok(Known::Records(Vec::new())),
                ResponseCode::NXDomain => return Ok(Known::DoesNotExist),
                other => return Err(Unknown::Answered(other.to_string())),
            },
            Err(error @ (NetError::Timeout | NetError::NoConnections | NetError::Io(_))) => {
                return Err(Unknown::Silent(error.to_string()));
            }
            Err(error) => return Err(Unknown::Answered(error.to_string())),
        };
        let records = answer.answers().iter().filter(|record| record.record_type() == record_type);
        Ok(Known::Records(records.filter_map(|record| Address::of(&record.data)).collect()))
    }
}

// === impl Wants ===

impl Wants {
    fn record_type(self) -> RecordType {
        match self {
            Wants::A => RecordType::A,
            Wants::Aaaa => RecordType::AAAA,
            Wants::Srv => RecordType::SRV,
            Wants::Mx => RecordType::MX,
            Wants::Ns => RecordType::NS,
        }
    }
}

// === impl Address ===

impl Address {
    fn of(data: &RData) -> Option<Address> {
        Some(match data {
            RData::A(address) => Address::Ip(IpAddr::V4(address.0)),
            RData::AAAA(address) => Address::Ip(IpAddr::V6(address.0)),
            RData::SRV(service) => Address::Service { target: service.target.to_ascii(), port: service.port },
            RData::MX(mail) => Address::Named(mail.exchange.to_ascii()),
            RData::NS(server) => Address::Named(server.0.to_ascii()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_the_system_reads_it() {
        let text = "# comment\nnameserver 10.0.0.10\nnameserver fe80::1%eth0\nnameserver junk\n\
                    domain a.test\nsearch shop.svc.cluster.local svc.cluster.local.\noptions ndots:5 timeout:2 edns0 attempts:9\n";
        let servers = Servers::parse(text);
        assert_eq!(servers.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>(), ["10.0.0.10", "fe80::1"]);
        assert_eq!((servers.ndots, servers.timeout, servers.attempts), (5, Duration::from_secs(2), 5));
        assert_eq!(servers.whole_names("web"), ["web.shop.svc.cluster.local.", "web.svc.cluster.local.", "web."]);
        assert_eq!(servers.whole_names("web."), ["web."]);
        let few = Servers { ndots: 1, ..servers };
        assert_eq!(few.whole_names("web.eu")[0], "web.eu.");
        assert!(Resolver::new(Servers::parse("")).is_err());
    }
}
