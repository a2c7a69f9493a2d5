//! The DNS probe: one question to a server, and whether its answer is as wanted.

mod message;
pub(super) mod names;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base_sys::chance::Chance;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::modules::{Dns, Expression, Validator};
use super::probe::{Family, Probe};
use super::resolve::{at_port, resolve};
use super::stream::{Stream, dial, secure};
use super::target::split_host_port;
use message::{Answer, Record};

const PHASES: Family = Family { name: "probe_dns_duration_seconds", help: "Duration of DNS request by phase" };
const ANSWERS: Family =
    Family { name: "probe_dns_answer_rrs", help: "Returns number of entries in the answer resource record list" };
const AUTHORITIES: Family =
    Family { name: "probe_dns_authority_rrs", help: "Returns number of entries in the authority resource record list" };
const ADDITIONALS: Family = Family {
    name: "probe_dns_additional_rrs",
    help: "Returns number of entries in the additional resource record list",
};
const SUCCEEDED: Family =
    Family { name: "probe_dns_query_succeeded", help: "Displays whether or not the query was executed successfully" };
const SERIAL: Family = Family { name: "probe_dns_serial", help: "Returns the serial number of the zone" };

/// Asks the server at `host`, `host:port`.
pub(super) async fn probe(probe: &mut Probe, target: &str, module: &Dns) -> bool {
    for phase in ["resolve", "connect", "request"] {
        probe.add_phase(&PHASES, phase, 0.0);
    }
    for family in [&ANSWERS, &AUTHORITIES, &ADDITIONALS, &SUCCEEDED] {
        probe.set(family, 0.0);
    }
    let is_tcp = match module.transport_protocol.as_str() {
        "" | "udp" => false,
        "tcp" => true,
        other => return probe.fail(format!("expected transport protocol udp or tcp, not {other:?}")),
    };
    let usual_port = if module.dns_over_tls { 853 } else { 53 };
    let (host, port) = split_host_port(target).unwrap_or_else(|_| (target.to_owned(), usual_port));
    let (address, seconds) = resolve(probe, module.family(), &host).await;
    let Ok(address) = address else { return false };
    probe.add_phase(&PHASES, "resolve", seconds);
    if module.dns_over_tls && !is_tcp {
        return probe.fail("expected transport protocol tcp for DNS over TLS");
    }
    let answer = ask(probe, module, at_port(address, port), &host, is_tcp).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return probe.fail(format!("error while sending a DNS query: {error}")),
    };
    probe.set(&ANSWERS, answer.answer.len() as f64);
    probe.set(&AUTHORITIES, answer.authority.len() as f64);
    probe.set(&ADDITIONALS, answer.additional.len() as f64);
    probe.set(&SUCCEEDED, 1.0);
    if module.query_type == names::TYPE_SOA {
        let serial = answer.answer.iter().filter_map(|record| record.serial).next_back();
        probe.set(&SERIAL, serial.map_or(0.0, f64::from));
    }
    judge(probe, module, &answer)
}

async fn ask(probe: &mut Probe, module: &Dns, to: SocketAddr, host: &str, is_tcp: bool) -> Result<Answer, String> {
    let id = Chance::new().number() as u16;
    let question =
        message::question(id, &module.query_name, module.query_type, module.query_class, module.recursion_desired)?;
    let start = Instant::now();
    let connection = probe.in_time(connect(module, to, host, is_tcp)).await;
    let connected = Instant::now();
    probe.add_phase(&PHASES, "connect", (connected - start).as_secs_f64());
    let answer = match connection? {
        Connection::Stream(stream) => probe.in_time(over_stream(stream, &question, id)).await,
        Connection::Datagrams(socket) => probe.in_time(over_datagrams(&socket, &question, id)).await,
    };
    probe.add_phase(&PHASES, "request", connected.elapsed().as_secs_f64());
    answer
}

/// The way to the server.
enum Connection {
    Stream(Box<dyn Stream>),
    Datagrams(UdpSocket),
}

async fn connect(module: &Dns, to: SocketAddr, host: &str, is_tcp: bool) -> Result<Connection, String> {
    if !is_tcp {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let from = module.source_ip_address.unwrap_or(any);
        let socket = UdpSocket::bind((from, 0)).await.map_err(|error| error.to_string())?;
        socket.connect(to).await.map_err(|error| error.to_string())?;
        return Ok(Connection::Datagrams(socket));
    }
    let stream = dial(to, module.source_ip_address).await?;
    if !module.dns_over_tls {
        return Ok(Connection::Stream(Box::new(stream)));
    }
    let (stream, _) = secure(stream, &module.tls(), host, &[]).await?;
    Ok(Connection::Stream(Box::new(stream)))
}

async fn over_stream(mut stream: Box<dyn Stream>, question: &[u8], id: u16) -> Result<Answer, String> {
    let talk = async {
        let mut sent = (question.len() as u16).to_be_bytes().to_vec();
        sent.extend(question);
        stream.write_all(&sent).await?;
        stream.flush().await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    let answer = talk.await.map_err(|error: std::io::Error| error.to_string())?;
    let answer = message::parse(&answer).ok_or("the answer is not a message of DNS")?;
    if answer.id == id { Ok(answer) } else { Err("the answer is to another question".to_owned()) }
}

async fn over_datagrams(socket: &UdpSocket, question: &[u8], id: u16) -> Result<Answer, String> {
    socket.send(question).await.map_err(|error| error.to_string())?;
    let mut room = vec![0; 65_535];
    loop {
        let length = socket.recv(&mut room).await.map_err(|error| error.to_string())?;
        // What answers another question is not for us.
        if room[..length].get(..2) == Some(&id.to_be_bytes()) {
            return message::parse(&room[..length]).ok_or_else(|| "the answer is not a message of DNS".to_owned());
        }
    }
}

fn judge(probe: &mut Probe, module: &Dns, answer: &Answer) -> bool {
    if answer.truncated {
        probe.say("the answer is truncated");
    }
    let wanted = match module.valid_rcodes.as_slice() {
        [] => vec![0],
        words => {
            let codes: Option<Vec<u16>> = words.iter().map(|word| names::code_of(word)).collect();
            let Some(codes) = codes else { return probe.fail("valid_rcodes holds a code that is not known") };
            codes
        }
    };
    if !wanted.contains(&answer.code) {
        return probe.fail(format!("rcode {} is not one of the valid ones", answer.code));
    }
    let sections = [
        (&answer.answer, &module.validate_answer_rrs, "answer"),
        (&answer.authority, &module.validate_authority_rrs, "authority"),
        (&answer.additional, &module.validate_additional_rrs, "additional"),
    ];
    for (records, validator, name) in sections {
        if let Err(why) = check(records, validator) {
            return probe.fail(format!("{name} RRs validation failed: {why}"));
        }
    }
    true
}

fn check(records: &[Record], validator: &Validator) -> Result<(), String> {
    let matches = |record: &Record, expression: &Expression| expression.0.is_match(&record.written);
    let none_matches = &validator.fail_if_none_matches_regexp;
    if records.is_empty() && !(validator.fail_if_not_matches_regexp.is_empty() && none_matches.is_empty()) {
        return Err("there are no records".to_owned());
    }
    for record in records {
        if validator.fail_if_matches_regexp.iter().any(|expression| matches(record, expression)) {
            return Err(format!("{} matched", record.written));
        }
        if validator.fail_if_not_matches_regexp.iter().any(|expression| !matches(record, expression)) {
            return Err(format!("{} did not match", record.written));
        }
    }
    let all = |expression| records.iter().all(|record| matches(record, expression));
    // Without records, all of them match.
    if validator.fail_if_all_match_regexp.iter().any(|expression| !all(expression)) {
        return Err("not all records matched".to_owned());
    }
    let any = |expression| records.iter().any(|record| matches(record, expression));
    if !none_matches.is_empty() && !none_matches.iter().any(any) {
        return Err("no record matched".to_owned());
    }
    Ok(())
}
