//! Where the backends are: a list, or the addresses of a name.

use std::time::Duration;

use super::arguments::{Dns, Resolver};

/// The port of a backend that names none.
const DEFAULT_PORT: &str = "4317";
/// `interval` and `timeout` of `dns` when they are 0.
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);

// === impl Resolver ===

impl Resolver {
    /// Its name in metrics.
    pub(super) fn name(&self) -> &'static str {
        if self.dns.is_some() { "dns" } else { "static" }
    }

    /// How long what was found holds; a list holds for ever.
    pub(super) fn interval(&self) -> Option<Duration> {
        let interval = |dns: &Dns| dns.interval.to_std().filter(|interval| !interval.is_zero()).unwrap_or(INTERVAL);
        self.dns.as_ref().map(interval)
    }

    /// The backends, in order, each `host:port`.
    ///
    /// # Errors
    /// The name cannot be asked for.
    pub(super) async fn resolve(&self) -> Result<Vec<String>, String> {
        let mut found = match (&self.r#static, &self.dns) {
            (_, Some(dns)) => lookup(dns).await?,
            (Some(list), None) => list.hostnames.iter().map(|name| with_port(name)).collect(),
            (None, None) => Vec::new(),
        };
        found.sort();
        found.dedup();
        Ok(found)
    }
}

async fn lookup(dns: &Dns) -> Result<Vec<String>, String> {
    let timeout = dns.timeout.to_std().filter(|timeout| !timeout.is_zero()).unwrap_or(TIMEOUT);
    let asking = tokio::net::lookup_host((&dns.hostname[..], 0));
    let addresses = tokio::time::timeout(timeout, asking)
        .await
        .map_err(|_| format!("cannot resolve {}: no answer within {timeout:?}", dns.hostname))?
        .map_err(|error| format!("cannot resolve {}: {error}", dns.hostname))?;
    let port = if dns.port.is_empty() { DEFAULT_PORT } else { &dns.port };
    let backend = |address: std::net::SocketAddr| match address.ip() {
        std::net::IpAddr::V4(ip) => format!("{ip}:{port}"),
        std::net::IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    };
    Ok(addresses.map(backend).collect())
}

fn with_port(name: &str) -> String {
    if name.contains(':') { name.to_owned() } else { format!("{name}:{DEFAULT_PORT}") }
}
