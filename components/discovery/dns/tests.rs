use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use sdk_testing::component::Alone;
use tokio::net::UdpSocket;

use super::*;

type Names = &'static [(&'static str, &'static [&'static [u8]])];

/// Answers each question with the records of its name. A name that is not there does not exist; while it is `broken`, it
/// answers that it knows nothing.
async fn server(names: Names, broken: Arc<AtomicBool>) -> resolve::Servers {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let port = socket.local_addr().expect("bound").port();
    drop(base_sys::task::spawn("dns", async move {
        let mut asked = [0; 1500];
        while let Ok((_, from)) = socket.recv_from(&mut asked).await {
            let (mut name, mut at) = (String::new(), 12);
            while asked[at] != 0 {
                let label = &asked[at + 1..][..usize::from(asked[at])];
                name.push_str(&format!("{}.", String::from_utf8_lossy(label)));
                at += 1 + label.len();
            }
            let known = names.iter().find(|(known, _)| *known == name);
            let code = if broken.load(Ordering::SeqCst) { 2 } else { known.map_or(3, |_| 0) };
            let records = known.filter(|_| code == 0).map_or(&[][..], |(_, records)| records);
            let mut answer = vec![asked[0], asked[1], 0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
            answer.extend(&asked[12..at + 5]);
            for record in records {
                // The name of the question, its type, class IN, a minute.
                answer.extend([0xc0, 0x0c, asked[at + 1], asked[at + 2], 0, 1, 0, 0, 0, 60, 0, record.len() as u8]);
                answer.extend(*record);
            }
            let _ = socket.send_to(&answer, from).await;
        }
    }));
    resolve::Servers {
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        port,
        search: vec!["test".to_owned()],
        ndots: 1,
        timeout: Duration::from_secs(30),
        attempts: 1,
    }
}

fn wanted(names: &[&str], wants: Wants, port: i64, servers: resolve::Servers) -> Wanted {
    Wanted {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        wants,
        port,
        interval: Duration::from_secs(1),
        counters: Counters { lookups: Counter::new(), failures: Counter::new() },
        servers: Servers::These(servers),
    }
}

fn shown(found: &Found) -> Vec<String> {
    let text = |target: &Target| {
        let labels = target.iter().filter(|(_, value)| !value.is_empty());
        let labels = labels.map(|(name, value)| format!("{}={value}", name.trim_start_matches("__meta_dns_")));
        labels.collect::<Vec<_>>().join(" ")
    };
    found.targets.iter().map(text).collect()
}

const NAMES: Names = &[
    ("two.example.", &[&[10, 0, 0, 1], &[10, 0, 0, 2]]),
    ("web.test.", &[&[10, 0, 0, 3]]),
    ("none.example.", &[]),
    ("_web._tcp.example.", &[&[0, 1, 0, 2, 0x1f, 0x90, 1, b'a', 0]]),
    ("mail.example.", &[&[0, 5, 2, b'm', b'x', 0]]),
    ("ns.example.", &[&[2, b'n', b's', 0]]),
    ("six.example.", &[&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]),
];

#[tokio::test]
async fn every_kind_of_record_becomes_targets() {
    let servers = server(NAMES, Arc::default()).await;
    let ask = async |names: &[&str], wants, port| {
        let found =
            wanted(names, wants, port, servers.clone()).ask(&mut HashMap::new()).await.expect("names are asked for");
        assert_eq!(found.problem, None);
        shown(&found)
    };
    assert_eq!(
        ask(&["two.example", "web", "none.example", "nobody.example."], Wants::A, 80).await,
        [
            "__address__=10.0.0.1:80 name=two.example",
            "__address__=10.0.0.2:80 name=two.example",
            "__address__=10.0.0.3:80 name=web"
        ]
    );
    assert_eq!(ask(&["six.example"], Wants::Aaaa, 9).await, ["__address__=[::1]:9 name=six.example"]);
    assert_eq!(
        ask(&["_web._tcp.example"], Wants::Srv, 0).await,
        ["__address__=a:8080 name=_web._tcp.example srv_record_port=8080 srv_record_target=a."]
    );
    assert_eq!(
        ask(&["mail.example"], Wants::Mx, 25).await,
        ["__address__=mx:25 mx_record_target=mx. name=mail.example"]
    );
    assert_eq!(ask(&["ns.example"], Wants::Ns, 53).await, ["__address__=ns:53 name=ns.example ns_record_target=ns."]);
}

#[tokio::test]
async fn what_was_found_stays_while_the_servers_know_nothing() {
    let broken = Arc::<AtomicBool>::default();
    let wanted = wanted(&["two.example"], Wants::A, 80, server(NAMES, broken.clone()).await);
    let mut memory = HashMap::new();
    let before = wanted.ask(&mut memory).await.expect("names are asked for");
    broken.store(true, Ordering::SeqCst);
    let after = wanted.ask(&mut memory).await.expect("names are asked for");
    assert_eq!(shown(&after), shown(&before));
    let problem = after.problem.expect("the server is broken");
    assert!(problem.starts_with("cannot resolve \"two.example\": "), "{problem}");
    assert_eq!((wanted.counters.lookups.get(), wanted.counters.failures.get()), (2.0, 1.0));
    broken.store(false, Ordering::SeqCst);
    assert_eq!(wanted.ask(&mut memory).await.expect("names are asked for").problem, None);
}

#[tokio::test]
async fn silent_servers_are_named_and_asked_for_one_name_only() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let servers = resolve::Servers {
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        port: socket.local_addr().expect("bound").port(),
        search: vec!["first.test".to_owned(), "second.test".to_owned()],
        ndots: 5,
        timeout: Duration::from_millis(100),
        attempts: 2,
    };
    let wanted = wanted(&["web"], Wants::A, 80, servers);
    let found = wanted.ask(&mut HashMap::new()).await.expect("names are asked for");
    let problem = found.problem.expect("nobody answers");
    assert!(
        problem.starts_with("cannot resolve \"web\": no answer for \"web.first.test.\" from 127.0.0.1: "),
        "{problem}"
    );
    let (mut asked, mut question) = (0, [0; 1500]);
    while let Ok(length) = socket.try_recv(&mut question) {
        let question = &question[..length];
        assert!(question.windows(6).any(|label| label == b"\x05first"), "{}", String::from_utf8_lossy(question));
        asked += 1;
    }
    assert_eq!(asked, 2, "as often as `attempts` says");
}

#[test]
fn what_cannot_work_is_refused() {
    let refused = |config: &str| Alone::<Dns>::build(config, &language_eval::Scope::new()).err().unwrap_or_default();
    assert!(refused("names = [\"a\"]\ntype = \"A\"").contains("a port is required"));
    assert!(refused("names = [\"a\"]\ntype = \"TXT\"").contains("invalid DNS-SD records type TXT"));
    assert!(refused("names = [\"a\"]\nrefresh_interval = \"0s\"").contains("refresh_interval"));
    assert!(refused("").contains("names"));
    assert_eq!(refused("names = [\"a\"]\ntype = \"aaaa\"\nport = 1"), "");
}
