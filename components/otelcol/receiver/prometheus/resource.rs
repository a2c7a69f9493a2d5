//! The resource of a target: what `job` and `instance` say of it.

use std::net::IpAddr;

use sdk_protocols_otlp::model::{Map, Resource};

/// Of this job and instance. A batch of samples does not say how its target was asked, so the scheme is always `http`, and
/// what Kubernetes knows of the target is not told.
pub(super) fn of_target(job: &str, instance: &str) -> Resource {
    let (host, port) = split_host_port(instance).unwrap_or((instance, ""));
    let mut attributes = Map::default();
    attributes.set("service.name", job);
    if is_discernible(host) {
        attributes.set("net.host.name", host);
        attributes.set("server.address", host);
    }
    attributes.set("service.instance.id", instance);
    attributes.set("net.host.port", port);
    attributes.set("http.scheme", "http");
    attributes.set("server.port", port);
    attributes.set("url.scheme", "http");
    Resource { attributes, ..Resource::default() }
}

/// `host:port` or `[host]:port`.
fn split_host_port(instance: &str) -> Option<(&str, &str)> {
    if let Some(rest) = instance.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return Some((host, port.strip_prefix(':').filter(|port| !port.contains(':'))?));
    }
    let (host, port) = instance.split_once(':')?;
    (!port.contains(':')).then_some((host, port))
}

/// Whether the host names one machine to others too.
fn is_discernible(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => !address.is_loopback() && !address.is_unspecified(),
        Err(_) => host != "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_parted_as_go_parts_them() {
        for (instance, expect) in [
            ("web:80", Some(("web", "80"))),
            ("[::1]:80", Some(("::1", "80"))),
            (":80", Some(("", "80"))),
            ("web", None),
            ("a:b:c", None),
            ("[::1]", None),
        ] {
            assert_eq!(split_host_port(instance), expect, "{instance}");
        }
    }

    #[test]
    fn addresses_of_the_machine_itself_name_no_host() {
        for (host, expect) in [
            ("web", true),
            ("10.0.0.1", true),
            ("127.0.0.9", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("localhost", false),
        ] {
            assert_eq!(is_discernible(host), expect, "{host}");
        }
    }
}
