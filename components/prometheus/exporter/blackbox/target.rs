//! `host:port`, as targets are written.

/// Takes host and port apart; `[::1]:80` is an address of IPv6.
pub(super) fn split_host_port(target: &str) -> Result<(String, u16), String> {
    let (host, port) = target.rsplit_once(':').ok_or_else(|| format!("address {target}: missing port in address"))?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(bare) => bare,
        None if host.contains(':') => return Err(format!("address {target}: too many colons in address")),
        None => host,
    };
    let port = port.parse().map_err(|_| format!("address {target}: {port:?} is not a port"))?;
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart() {
        assert_eq!(split_host_port("a.b:80"), Ok(("a.b".to_owned(), 80)));
        assert_eq!(split_host_port("[::1]:80"), Ok(("::1".to_owned(), 80)));
        for bad in ["a", "::1", "a:b:80", "a:http", "a:99999"] {
            assert!(split_host_port(bad).is_err(), "{bad}");
        }
    }
}
