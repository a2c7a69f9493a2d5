//! `discovery.dns`: targets from the records of names.

mod resolve;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base_stdx::duration::GoDuration;
use futures_util::{StreamExt as _, stream};
use language_eval::{Arguments, Target};
use sdk_component::metrics::Counter;
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};

use crate::rounds::{Ask, DiscoveryExports, Found, Rounds, interval};
use resolve::{Address, Resolver, Wants};

/// Names that are asked for at the same time.
const AT_ONCE: usize = 16;

/// Asks DNS for targets.
///
/// The servers and the search list are those of `/etc/resolv.conf`, which is read again in each round; `/etc/hosts` is not
/// asked. Each target gets the label `__meta_dns_name`; those of SRV, MX and NS records tell the record in
/// `__meta_dns_srv_record_target`, `__meta_dns_srv_record_port`, `__meta_dns_mx_record_target` and
/// `__meta_dns_ns_record_target`. A name that does not exist has no targets; one that cannot be asked for keeps those found
/// last.
#[derive(Arguments)]
pub struct DnsArguments {
    /// The names to ask for.
    #[attr]
    names: Vec<String>,
    /// How often to ask.
    #[attr(default = GoDuration::from_secs(30))]
    refresh_interval: GoDuration,
    /// The kind of record: `SRV`, `A`, `AAAA`, `MX` or `NS`.
    #[attr(default = "SRV".to_owned())]
    r#type: String,
    /// The port of targets; SRV records have their own.
    #[attr(optional)]
    port: i64,
}

/// The component.
pub struct Dns {
    counters: Counters,
    rounds: Rounds<Wanted>,
}

/// Checked arguments.
struct Wanted {
    names: Vec<String>,
    wants: Wants,
    port: i64,
    interval: Duration,
    counters: Counters,
    servers: Servers,
}

/// What is asked for a name, and what becomes of the answer.
#[derive(PartialEq, Eq, Hash)]
struct Question {
    name: String,
    wants: Wants,
    port: i64,
}

/// Where the servers stand.
enum Servers {
    ResolvConf,
    #[cfg(test)]
    These(resolve::Servers),
}

#[derive(Clone)]
struct Counters {
    lookups: Counter,
    failures: Counter,
}

impl Component for Dns {
    const NAME: &'static str = "discovery.dns";

    type Arguments = DnsArguments;
    type Exports = DiscoveryExports;

    fn build(context: &Context, arguments: DnsArguments) -> Result<Dns, Problem> {
        let metrics = context.metrics();
        let counters = Counters {
            lookups: metrics.counter("prometheus_sd_dns_lookups_total", "The number of DNS-SD lookups."),
            failures: metrics
                .counter("prometheus_sd_dns_lookup_failures_total", "The number of DNS-SD lookup failures."),
        };
        let wanted = check(arguments, counters.clone())?;
        Ok(Dns { counters, rounds: Rounds::new(context, "dns", wanted) })
    }

    fn update(&self, arguments: DnsArguments) -> Result<Update, Problem> {
        Ok(self.rounds.update(check(arguments, self.counters.clone())?))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.rounds.run(stop).await;
        Ok(())
    }
}

// === impl Wanted ===

impl Ask for Wanted {
    /// What was found for each question.
    type Memory = HashMap<Question, Vec<Target>>;

    fn interval(&self) -> Duration {
        self.interval
    }

    async fn ask(&self, last: &mut HashMap<Question, Vec<Target>>) -> Result<Found, String> {
        let resolver = match &self.servers {
            Servers::ResolvConf => resolve::Servers::of_this_host().and_then(Resolver::new),
            #[cfg(test)]
            Servers::These(servers) => Resolver::new(servers.clone()),
        };
        let resolver = &resolver;
        let answers = stream::iter(self.names.clone()).map(|name| async move {
            let answer = match resolver {
                Ok(resolver) => resolver.lookup(&name, self.wants).await,
                Err(error) => Err(error.clone()),
            };
            (name, answer)
        });
        let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
        let mut found = Found::default();
        let mut asked = HashMap::new();
        for (name, answer) in answers {
            self.counters.lookups.inc();
            let question = Question { name, wants: self.wants, port: self.port };
            let targets = match answer {
                Ok(addresses) => addresses.into_iter().map(|address| self.target(&question.name, address)).collect(),
                Err(error) => {
                    self.counters.failures.inc();
                    found.problem.get_or_insert(error);
                    last.remove(&question).unwrap_or_default()
                }
            };
            found.targets.extend(targets.iter().cloned());
            asked.insert(question, targets);
        }
        *last = asked;
        Ok(found)
    }
}

impl Wanted {
    fn target(&self, name: &str, address: Address) -> Target {
        let (mut srv, mut srv_port, mut mx, mut ns) = (String::new(), String::new(), String::new(), String::new());
        let at = match address {
            Address::Ip(ip) => join(&ip.to_string(), self.port),
            Address::Service { target, port } => {
                let at = join(target.trim_end_matches('.'), port.into());
                (srv, srv_port) = (target, port.to_string());
                at
            }
            Address::Named(target) => {
                let at = join(target.trim_end_matches('.'), self.port);
                *(if self.wants == Wants::Mx { &mut mx } else { &mut ns }) = target;
                at
            }
        };
        let labels = [
            ("__address__", at),
            ("__meta_dns_name", name.to_owned()),
            ("__meta_dns_srv_record_target", srv),
            ("__meta_dns_srv_record_port", srv_port),
            ("__meta_dns_mx_record_target", mx),
            ("__meta_dns_ns_record_target", ns),
        ];
        labels.into_iter().collect()
    }
}

/// As Go joins them.
fn join(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn check(arguments: DnsArguments, counters: Counters) -> Result<Wanted, Problem> {
    let wants = match arguments.r#type.to_uppercase().as_str() {
        "SRV" => Wants::Srv,
        "A" => Wants::A,
        "AAAA" => Wants::Aaaa,
        "MX" => Wants::Mx,
        "NS" => Wants::Ns,
        _ => {
            let problem = Problem::at("type", format!("invalid DNS-SD records type {}", arguments.r#type));
            return Err(problem.with_hint("one of SRV, A, AAAA, MX, NS"));
        }
    };
    if wants != Wants::Srv && arguments.port == 0 {
        let message = "a port is required in DNS-SD configs for all record types except SRV";
        return Err(Problem::new(message));
    }
    let interval = interval(arguments.refresh_interval)?;
    Ok(Wanted { names: arguments.names, wants, port: arguments.port, interval, counters, servers: Servers::ResolvConf })
}

#[cfg(test)]
mod tests;
