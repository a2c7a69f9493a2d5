//! The network that a process is in, as `/proc/PID/net` tells of it.

use std::path::Path;

use super::host::Reader;
use super::measured::{Interface, Tcp, Traffic, Udp};

/// Interfaces of the host that belong to containers, and the one that goes nowhere.
const IGNORED: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];

/// The states of connections under cAdvisor's names, the first of which is 1 to the kernel.
pub(super) const TCP_STATES: [&str; 11] = [
    "established",
    "synsent",
    "synrecv",
    "finwait1",
    "finwait2",
    "timewait",
    "close",
    "closewait",
    "lastack",
    "listen",
    "closing",
];

/// What is told of the kernel's counters of TCP: their names in small letters.
pub(super) const ADVANCED: [&str; 99] = [
    "rtoalgorithm",
    "rtomin",
    "rtomax",
    "maxconn",
    "activeopens",
    "passiveopens",
    "attemptfails",
    "estabresets",
    "currestab",
    "insegs",
    "outsegs",
    "retranssegs",
    "inerrs",
    "outrsts",
    "incsumerrors",
    "embryonicrsts",
    "syncookiessent",
    "syncookiesrecv",
    "syncookiesfailed",
    "prunecalled",
    "rcvpruned",
    "ofopruned",
    "outofwindowicmps",
    "lockdroppedicmps",
    "tw",
    "twrecycled",
    "twkilled",
    "tcptimewaitoverflow",
    "tcptimeouts",
    "tcpspuriousrtos",
    "tcplossprobes",
    "tcplossproberecovery",
    "tcprenorecoveryfail",
    "tcpsackrecoveryfail",
    "tcprenofailures",
    "tcpsackfailures",
    "tcplossfailures",
    "delayedacks",
    "delayedacklocked",
    "delayedacklost",
    "listenoverflows",
    "listendrops",
    "tcphphits",
    "tcppureacks",
    "tcphpacks",
    "tcprenorecovery",
    "tcpsackrecovery",
    "tcpsackreneging",
    "tcpfackreorder",
    "tcpsackreorder",
    "tcprenoreorder",
    "tcptsreorder",
    "tcpfullundo",
    "tcppartialundo",
    "tcpdsackundo",
    "tcplossundo",
    "tcpfastretrans",
    "tcpslowstartretrans",
    "tcplostretransmit",
    "tcpretransfail",
    "tcprcvcollapsed",
    "tcpdsackoldsent",
    "tcpdsackofosent",
    "tcpdsackrecv",
    "tcpdsackoforecv",
    "tcpabortondata",
    "tcpabortonclose",
    "tcpabortonmemory",
    "tcpabortontimeout",
    "tcpabortonlinger",
    "tcpabortfailed",
    "tcpmemorypressures",
    "tcpmemorypressureschrono",
    "tcpsackdiscard",
    "tcpdsackignoredold",
    "tcpdsackignorednoundo",
    "tcpmd5notfound",
    "tcpmd5unexpected",
    "tcpmd5failure",
    "tcpsackshifted",
    "tcpsackmerged",
    "tcpsackshiftfallback",
    "tcpbacklogdrop",
    "pfmemallocdrop",
    "tcpminttldrop",
    "tcpdeferacceptdrop",
    "ipreversepathfilter",
    "tcpreqqfulldocookies",
    "tcpreqqfulldrop",
    "tcpfastopenactive",
    "tcpfastopenactivefail",
    "tcpfastopenpassive",
    "tcpfastopenpassivefail",
    "tcpfastopenlistenoverflow",
    "tcpfastopencookiereqd",
    "tcpsynretrans",
    "tcporigdatasent",
    "pawsactive",
    "pawsestab",
];

/// The traffic of each interface.
pub(super) fn interfaces(reader: &mut Reader, process: &Path) -> Vec<Interface> {
    let text = reader.text(process, "net/dev").unwrap_or_default();
    let lines = text.lines().skip(2).filter_map(interface);
    let ignored = |name: &str| {
        let name = name.to_ascii_lowercase();
        IGNORED.iter().any(|prefix| name.starts_with(prefix))
    };
    lines.filter(|interface| !ignored(&interface.name)).collect()
}

/// `eth0: ` and sixteen numbers, half of them for what was received.
fn interface(line: &str) -> Option<Interface> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> = numbers.split_whitespace().map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let traffic = |numbers: &[u64]| match *numbers {
        [bytes, packets, errors, dropped, ..] => Some(Traffic { bytes, packets, errors, dropped }),
        _ => None,
    };
    let sent = traffic(numbers.get(8..)?)?;
    Some(Interface { name: name.trim().to_owned(), received: traffic(&numbers)?, sent })
}

/// How many connections are in which state; `file` is `net/tcp` or `net/tcp6`.
pub(super) fn tcp(reader: &mut Reader, process: &Path, file: &str) -> Tcp {
    let mut states = Tcp::default();
    let text = reader.text(process, file).unwrap_or_default();
    for state in text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3)) {
        let at = usize::from_str_radix(state, 16).ok().and_then(|state| state.checked_sub(1));
        if let Some(count) = at.and_then(|at| states.get_mut(at)) {
            *count += 1;
        }
    }
    states
}

/// Sockets and what waits in them; `file` is `net/udp` or `net/udp6`.
pub(super) fn udp(reader: &mut Reader, process: &Path, file: &str) -> Udp {
    let mut udp = Udp::default();
    let text = reader.text(process, file).unwrap_or_default();
    for line in text.lines().skip(1) {
        udp.sockets += 1;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(queues), Some(dropped)) = (words.get(4).and_then(|queues| queues.split_once(':')), words.get(12))
        else {
            continue;
        };
        udp.transmit_queue += u64::from_str_radix(queues.0, 16).unwrap_or(0);
        udp.receive_queue += u64::from_str_radix(queues.1, 16).unwrap_or(0);
        udp.dropped += dropped.parse().unwrap_or(0);
    }
    udp
}

/// The counters that [`ADVANCED`] names.
pub(super) fn advanced(reader: &mut Reader, process: &Path) -> Vec<f64> {
    let mut counters = vec![0.0; ADVANCED.len()];
    for file in ["net/netstat", "net/snmp"] {
        let text = reader.text(process, file).unwrap_or_default();
        let mut lines = text.lines();
        while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
            let (Some((protocol, names)), Some((_, values))) = (names.split_once(": "), values.split_once(": ")) else {
                continue;
            };
            if !["Tcp", "TcpExt"].contains(&protocol) {
                continue;
            }
            for (name, value) in names.split(' ').zip(values.split(' ')) {
                if let Some(at) = ADVANCED.iter().position(|known| known.eq_ignore_ascii_case(name)) {
                    counters[at] = value.parse().unwrap_or(0.0);
                }
            }
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("net")).expect("a folder");
        folder
    }

    #[test]
    fn interfaces_of_containers_and_what_is_no_line_are_left_out() {
        let process = process();
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                    vethab: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0:10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n eth1: x\n";
        std::fs::write(process.path().join("net/dev"), text).expect("a file");
        let all = interfaces(&mut Reader::default(), process.path());
        let [eth0] = &all[..] else { panic!("one interface: {all:?}") };
        assert_eq!(eth0.name, "eth0");
        assert_eq!(eth0.received, Traffic { bytes: 10, packets: 2, errors: 3, dropped: 4 });
        assert_eq!(eth0.sent, Traffic { bytes: 50, packets: 6, errors: 7, dropped: 8 });
        assert_eq!(interfaces(&mut Reader::default(), Path::new("/no/such")), []);
    }

    #[test]
    fn connections_are_counted_by_state_and_sockets_with_their_queues() {
        let process = process();
        let tcp_text =
            "  sl  local\n 0: 0100007F:1F90 00000000:0000 0A 0 0\n 1: a b 01 0\n 2: a b 0A 0\n 3: a b 0C 0\n";
        std::fs::write(process.path().join("net/tcp"), tcp_text).expect("a file");
        let udp_text = "  sl  local\n 1: a b 07 00000010:00000003 00:0 0 0 0 1 2 f 5\n 2: short\n";
        std::fs::write(process.path().join("net/udp"), udp_text).expect("a file");
        let states = tcp(&mut Reader::default(), process.path(), "net/tcp");
        assert_eq!((states[0], states[9], states.iter().sum::<u64>()), (1, 2, 3));
        let expected = Udp { sockets: 2, dropped: 5, receive_queue: 3, transmit_queue: 16 };
        assert_eq!(udp(&mut Reader::default(), process.path(), "net/udp"), expected);
    }

    #[test]
    fn counters_are_found_by_their_names_whatever_the_order() {
        let process = process();
        std::fs::write(
            process.path().join("net/netstat"),
            "TcpExt: New TW PAWSEstab\nTcpExt: 1 2 3\nIpExt: TW\nIpExt: 9\n",
        )
        .expect("a file");
        std::fs::write(process.path().join("net/snmp"), "Ip: A\nIp: 1\nTcp: MaxConn InSegs\nTcp: -1 7\n")
            .expect("a file");
        let counters = advanced(&mut Reader::default(), process.path());
        let of = |name: &str| counters[ADVANCED.iter().position(|known| *known == name).expect("a known name")];
        assert_eq!((of("tw"), of("pawsestab"), of("maxconn"), of("insegs")), (2.0, 3.0, -1.0, 7.0));
    }
}
