//! This host: its name, its system, its processor.

use std::net::{IpAddr, ToSocketAddrs as _};

use base_sys::{names, task};
use sdk_protocols_otlp::model::AnyValue;

use super::super::arguments::System;
use super::{Finding, Found, Missing, World};

pub(super) async fn detect(given: &System, world: &World) -> Result<Found, Missing> {
    let mut finding = Finding::new(&given.resource_attributes);
    let chosen = finding.chosen;
    let name = host_name(&given.hostname_sources, world).await.map_err(Missing::Failed)?;
    finding.set("host.name", name);
    finding.set("os.type", system_type());
    finding.set("host.arch", architecture());
    let release = world.file("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    finding.set("os.version", field("VERSION_ID"));
    finding.set("os.name", field("ID"));
    if chosen.has("os.build.id") {
        finding.set("os.build.id", field("BUILD_ID"));
    }
    if chosen.has("os.description") {
        let kernel = world.file("/proc/sys/kernel/osrelease").unwrap_or_default();
        finding.set("os.description", format!("{} (Linux {})", field("PRETTY_NAME"), kernel.trim()));
    }
    if chosen.has("host.id") {
        let id = world.file("/etc/machine-id").or_else(|_| world.file("/var/lib/dbus/machine-id"));
        match id {
            Ok(id) => finding.set("host.id", id.trim()),
            Err(error) => tracing::warn!(error, "cannot tell the id of this host"),
        }
    }
    interfaces(&mut finding)?;
    if [
        "host.cpu.vendor.id",
        "host.cpu.family",
        "host.cpu.model.id",
        "host.cpu.model.name",
        "host.cpu.stepping",
        "host.cpu.cache.l2.size",
    ]
    .iter()
    .any(|name| chosen.has(name))
    {
        processor(&mut finding, &world.file("/proc/cpuinfo").map_err(Missing::Failed)?);
    }
    Ok(finding.found)
}

/// The name from the first source that has one.
async fn host_name(sources: &[String], world: &World) -> Result<String, String> {
    let own = nix::unistd::gethostname().map_err(|error| format!("cannot tell the name of this host: {error}"))?;
    let own = own.to_string_lossy().into_owned();
    let mut reasons = Vec::new();
    for source in sources {
        let name = match &source[..] {
            "os" => Ok(own.clone()),
            "dns" => full_name(&own, world).await,
            "cname" => canonical_name(&own).await,
            _ => by_address(&own).await,
        };
        match name {
            Ok(name) => return Ok(name),
            Err(reason) => reasons.push(format!("{source}: {reason}")),
        }
    }
    Err(format!("all hostname sources failed to get hostname: {}", reasons.join("; ")))
}

/// The full name: that of the file of hosts, or the name that the resolver has for our address.
async fn full_name(own: &str, world: &World) -> Result<String, String> {
    let hosts = world.file("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    for line in lines {
        let names: Vec<&str> = line.skip(1).collect();
        if let Some(first) = names.first().filter(|_| names.contains(&own)) {
            return Ok((*first).to_owned());
        }
    }
    by_address(own).await
}

/// The name that the resolver has for an address of ours.
async fn by_address(own: &str) -> Result<String, String> {
    let host = own.to_owned();
    let found = task::blocking("host name", move || {
        let addresses = (&host[..], 0).to_socket_addrs().map_err(|error| error.to_string())?;
        let mut addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
        addresses.dedup();
        addresses.into_iter().find_map(names::of_address).ok_or_else(|| "no address of this host has a name".to_owned())
    });
    found.await.returned().unwrap_or_else(|| Err("the resolver failed".to_owned()))
}

/// The resolver's first name for us. Without an alias that is the name itself.
async fn canonical_name(own: &str) -> Result<String, String> {
    by_address(own).await
}

fn system_type() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "dragonfly" => "dragonflybsd",
        other => other,
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// Names, addresses and hardware addresses of the network interfaces.
fn interfaces(finding: &mut Finding<'_, super::attributes::System>) -> Result<(), Missing> {
    use nix::net::if_::InterfaceFlags;
    if !["host.ip", "host.mac", "host.interface"].iter().any(|name| finding.chosen.has(name)) {
        return Ok(());
    }
    let all = nix::ifaddrs::getifaddrs()
        .map_err(|error| Missing::Failed(format!("cannot list the network interfaces: {error}")))?;
    let (mut names, mut addresses, mut hardware): (Vec<String>, Vec<AnyValue>, Vec<AnyValue>) = Default::default();
    for interface in all {
        if !names.contains(&interface.interface_name) {
            names.push(interface.interface_name.clone());
        }
        let is_up = interface.flags.contains(InterfaceFlags::IFF_UP);
        let Some(address) =
            interface.address.filter(|_| is_up && !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK))
        else {
            continue;
        };
        if let Some(v4) = address.as_sockaddr_in() {
            addresses.push(v4.ip().to_string().into());
        } else if let Some(v6) = address.as_sockaddr_in6() {
            addresses.push(v6.ip().to_string().into());
        } else if let Some(mac) = address.as_link_addr().and_then(|link| link.addr()) {
            hardware.push(mac.map(|byte| format!("{byte:02X}")).join("-").into());
        }
    }
    finding.set("host.ip", addresses);
    finding.set("host.mac", hardware);
    finding.set("host.interface", names.into_iter().map(AnyValue::from).collect::<Vec<_>>());
    Ok(())
}

/// What `/proc/cpuinfo` tells of the first processor.
fn processor(finding: &mut Finding<'_, super::attributes::System>, text: &str) {
    let field = |name: &str| {
        let lines = text.lines().take_while(|line| !line.is_empty());
        let mut pairs = lines.filter_map(|line| line.split_once(':'));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    finding.set("host.cpu.vendor.id", field("vendor_id"));
    finding.set("host.cpu.family", field("cpu family"));
    finding.set("host.cpu.model.id", field("model"));
    finding.set("host.cpu.model.name", field("model name"));
    finding.set("host.cpu.stepping", field("stepping"));
    let kilobytes = field("cache size").trim_end_matches(" KB").parse::<i64>();
    finding.set("host.cpu.cache.l2.size", kilobytes.map_or(AnyValue::Empty, AnyValue::from));
}
