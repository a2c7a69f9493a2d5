//! The name behind an address, as the system's resolver knows it: `/etc/hosts`, DNS, whatever `nsswitch.conf` says.

use std::net::IpAddr;

/// The name of a host, without a dot at its end; `None` when the resolver has none. Blocks, for seconds if a name server is
/// away: call it through [`crate::task::blocking`].
#[cfg(unix)]
#[allow(unsafe_code)] // a system call that no crate of ours wraps
pub fn of_address(address: IpAddr) -> Option<String> {
    use std::ffi::{CStr, c_char};

    /// Names have at most 255 bytes; this is what the system's header recommends.
    const LONGEST: usize = 1025;
    let mut name = [0 as c_char; LONGEST];
    let mut ask = |socket: *const libc::sockaddr, length: usize| {
        // SAFETY: `socket` points at a socket address of `length` bytes that outlives the call, `name` is `LONGEST` bytes
        // long, and no service is asked for.
        unsafe {
            libc::getnameinfo(
                socket,
                length as libc::socklen_t,
                name.as_mut_ptr(),
                LONGEST as libc::socklen_t,
                std::ptr::null_mut(),
                0,
                libc::NI_NAMEREQD,
            )
        }
    };
    // SAFETY: both are plain numbers, for which all zeros is a value.
    let (mut v4, mut v6): (libc::sockaddr_in, libc::sockaddr_in6) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    let answered = match address {
        IpAddr::V4(address) => {
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
            ask((&raw const v4).cast(), size_of_val(&v4))
        }
        IpAddr::V6(address) => {
            v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            v6.sin6_addr.s6_addr = address.octets();
            ask((&raw const v6).cast(), size_of_val(&v6))
        }
    };
    if answered != 0 {
        return None;
    }
    // SAFETY: the call has succeeded, so there is a text that ends with a zero byte within the array.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    name.to_str().ok().map(|name| name.trim_end_matches('.').to_owned()).filter(|name| !name.is_empty())
}

/// Not known on this system.
#[cfg(not(unix))]
pub fn of_address(_: IpAddr) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_the_documentations_address() {
        // RFC 5737: no host has it, so whatever the resolver says, it is no panic and mostly nothing.
        let _ = of_address("192.0.2.1".parse().expect("an address"));
    }

    #[test]
    #[cfg(unix)]
    fn the_loopback_is_what_the_hosts_file_calls_it() {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let mut lines = hosts.lines().map(str::split_whitespace);
        let Some(mut line) = lines.find(|line| line.clone().next() == Some("127.0.0.1")) else { return };
        assert_eq!(of_address("127.0.0.1".parse().expect("an address")).as_deref(), line.nth(1));
    }
}
