//! The host's own NTP server: what time it has, and whether it can be trusted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use base_metrics::{FamilyWriter, Kind};
use base_sys::chance::Chance;
use base_sys::clock;
use tokio::time::Instant;

use super::collector::{Collector, Failure, Scratch};

pub(crate) struct Ntp {
    settings: NtpSettings,
    /// The midnight behind a leap second that was announced, in seconds since 1970. The announcement ends with it.
    leap_midnight: Option<f64>,
}

/// What the `ntp` block sets.
#[derive(Clone, Debug)]
pub(crate) struct NtpSettings {
    pub server: String,
    pub port: u16,
    pub version: u8,
    pub hops: u32,
    /// Seconds.
    pub max_distance: f64,
    /// Seconds.
    pub offset_tolerance: f64,
}

/// What a server answered. Times in seconds.
#[derive(Debug, PartialEq)]
struct Answer {
    leap: u8,
    stratum: u8,
    root_delay: f64,
    root_dispersion: f64,
    /// When its clock was last set, since 1970.
    reference: f64,
    /// When it answered, since 1970.
    time: f64,
    round_trip: f64,
    offset: f64,
    /// How far the times at least are off that contradict each other.
    least_error: f64,
}

const TIMEOUT: Duration = Duration::from_secs(1);
const PACKET: usize = 48;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;

/// 1970 in seconds since 1900.
const EPOCH: f64 = 2_208_988_800.0;
const NOT_SYNCHRONIZED: u8 = 3;
const LEAP_ANNOUNCED: std::ops::RangeInclusive<u8> = 1..=2;
const MAX_STRATUM: u8 = 16;
/// Seconds: 2¹⁷, the longest time between two questions.
const MAX_AGE: f64 = 131_072.0;
/// Seconds.
const MAX_DISPERSION: f64 = 16.0;
const DAY: f64 = 86_400.0;

impl Ntp {
    pub fn new(settings: NtpSettings) -> Ntp {
        Ntp { settings, leap_midnight: None }
    }

    fn ask(&self) -> std::io::Result<Answer> {
        let invalid = |what: &'static str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
        let NtpSettings { server, port, version, hops, .. } = &self.settings;
        let host = match server.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, *port),
            Err(_) => (server.as_str(), *port).to_socket_addrs()?.next().ok_or_else(|| invalid("no such host"))?,
        };
        let any = if host.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        if host.is_ipv4() {
            socket.set_ttl(*hops)?;
        }
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.connect(host)?;
        // A number by chance instead of our time: the answer repeats it, and nobody else knows it.
        let token = Chance::new().number().to_be_bytes();
        let mut packet = [0; PACKET];
        packet[0] = version << 3 | CLIENT;
        packet[40..].copy_from_slice(&token);
        let (sent, begin) = (clock::now_ns() as f64 / 1e9, Instant::now());
        socket.send(&packet)?;
        let mut room = [0; 512];
        let length = socket.recv(&mut room)?;
        let received = sent + begin.elapsed().as_secs_f64();
        if length < PACKET {
            return Err(invalid("the answer is too short"));
        }
        Answer::parse(&room[..PACKET].try_into().unwrap_or([0; PACKET]), token, sent, received).map_err(invalid)
    }
}

impl Collector for Ntp {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let answer = self.ask().map_err(|error| Failure::Failed(format!("no answer from the NTP server: {error}")))?;
        let mut tolerance = self.settings.offset_tolerance;
        if LEAP_ANNOUNCED.contains(&answer.leap) {
            self.leap_midnight = Some((answer.time / DAY).floor() * DAY + DAY);
        }
        // Some servers spread the second over the day.
        if self.leap_midnight.is_some_and(|midnight| (midnight - DAY..midnight + DAY).contains(&answer.time)) {
            tolerance += 1.0;
        }
        let distance = (answer.round_trip + answer.root_delay) / 2.0 + answer.root_dispersion;
        let sane = answer.is_valid() && distance <= self.settings.max_distance && answer.least_error <= tolerance;
        for (name, help, value) in [
            ("stratum", "NTPD stratum.", answer.stratum.into()),
            ("leap", "NTPD leap second indicator, 2 bits.", answer.leap.into()),
            ("rtt_seconds", "RTT to NTPD.", answer.round_trip),
            ("offset_seconds", "ClockOffset between NTP and local clock.", answer.offset),
            ("reference_timestamp_seconds", "NTPD ReferenceTime, UNIX timestamp.", answer.reference.max(0.0)),
            ("root_delay_seconds", "NTPD RootDelay.", answer.root_delay),
            ("root_dispersion_seconds", "NTPD RootDispersion.", answer.root_dispersion),
            ("sanity", "NTPD sanity according to RFC5905 heuristics and configured limits.", f64::from(u8::from(sane))),
        ] {
            page.family(&format!("node_ntp_{name}"), help, Kind::Gauge).sample(&[], value);
        }
        Ok(())
    }
}

impl Answer {
    /// See RFC 5905, 7.3.
    fn parse(packet: &[u8; PACKET], token: [u8; 8], sent: f64, received: f64) -> Result<Answer, &'static str> {
        let word = |at: usize| f64::from(u32::from_be_bytes(std::array::from_fn(|offset| packet[at + offset])));
        let time = |at: usize| word(at) - EPOCH + word(at + 4) / 4_294_967_296.0;
        if packet[0] & 7 != SERVER {
            return Err("the answer is not that of a server");
        }
        if packet[40..] == [0; 8] {
            return Err("the answer has no time");
        }
        if packet[24..32] != token {
            return Err("the answer is to another question");
        }
        if packet[32..40] > packet[40..48] {
            return Err("the server's clock ticked backwards");
        }
        let (arrived, answered) = (time(32), time(40));
        Ok(Answer {
            leap: packet[0] >> 6,
            stratum: packet[1],
            root_delay: word(4) / 65_536.0,
            root_dispersion: word(8) / 65_536.0,
            reference: time(16),
            time: answered,
            round_trip: ((received - sent) - (answered - arrived)).max(0.0),
            offset: ((arrived - sent) + (answered - received)) / 2.0,
            least_error: (sent - arrived).max(answered - received).max(0.0),
        })
    }

    fn is_valid(&self) -> bool {
        let stratum = self.stratum > 0 && self.stratum < MAX_STRATUM;
        let age = self.time - self.reference;
        stratum
            && (0.0..=MAX_AGE).contains(&age)
            && self.root_delay / 2.0 + self.root_dispersion <= MAX_DISPERSION
            && self.leap != NOT_SYNCHRONIZED
    }
}

#[cfg(test)]
mod tests {
    use base_metrics::Page;

    use super::*;

    /// A server that answers once, from its clock's reference.
    fn server(stratum: u8, leap: u8) -> NtpSettings {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut question = [0; PACKET];
            let (_, asker) = socket.recv_from(&mut question).unwrap();
            let mut answer = [0; PACKET];
            answer[0] = leap << 6 | question[0] & 0x38 | SERVER;
            answer[1] = stratum;
            answer[6] = 0x80; // a root delay of half a second
            let now = (clock::now_ns() / 1_000_000_000) as u32 + 2_208_988_800_u64 as u32;
            answer[16..20].copy_from_slice(&(now - 100).to_be_bytes());
            answer[24..32].copy_from_slice(&question[40..48]);
            answer[32..36].copy_from_slice(&now.to_be_bytes());
            answer[40..44].copy_from_slice(&now.to_be_bytes());
            socket.send_to(&answer, asker).unwrap();
        });
        let server = "127.0.0.1".to_owned();
        NtpSettings { server, port, version: 4, hops: 1, max_distance: 10.0, offset_tolerance: 10.0 }
    }

    fn page(settings: NtpSettings) -> String {
        let (mut page, mut text) = (Page::new(), String::new());
        Ntp::new(settings).collect(&mut Scratch::default(), &mut page.writer()).unwrap();
        page.encode(&mut text, &base_metrics::Losses::default());
        text
    }

    #[test]
    fn a_server_in_step_is_sane() {
        let text = page(server(2, 0));
        for line in
            ["node_ntp_stratum 2\n", "node_ntp_leap 0\n", "node_ntp_root_delay_seconds 0.5\n", "node_ntp_sanity 1\n"]
        {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn one_that_is_not_in_step_is_not() {
        assert!(page(server(16, 0)).contains("node_ntp_sanity 0\n"));
        assert!(page(server(2, NOT_SYNCHRONIZED)).contains("node_ntp_sanity 0\n"));
    }
}
