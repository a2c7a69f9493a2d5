//! The processes that supervisord runs, and how they are.

use std::io::{self, Read, Write};
use std::net::ToSocketAddrs as _;
use std::path::Path;

use base_metrics::{FamilyWriter, Kind};
use base64::Engine as _;
use url::Url;

use super::collector::{Collector, Failure, Scratch};
use super::conversation::{self, Conversation};
use super::xmlrpc::{self, Members};

pub(crate) struct Supervisord {
    url: Url,
}

/// Thousands of processes fit.
const MOST_BYTES: u64 = 16 << 20;

/// The states in which a process is there: starting, running and stopping.
const THERE: [i64; 3] = [10, 20, 40];

impl Supervisord {
    /// Over HTTP, or HTTP on a socket: `unix:///run/supervisor.sock`.
    pub fn new(url: Url) -> Supervisord {
        Supervisord { url }
    }

    fn ask(&self) -> Result<Vec<Members>, String> {
        let words = |error: io::Error| error.to_string();
        let answer = if self.url.scheme() == "unix" {
            let stream = Conversation::at_path(Path::new(self.url.path()), conversation::TIME).map_err(words)?;
            self.over(stream, "unix", "/RPC2")
        } else {
            let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let port = self.url.port_or_known_default().unwrap_or(80);
            let addresses = (host, port).to_socket_addrs().map_err(words)?;
            let stream = Conversation::at_addresses(addresses, conversation::TIME).map_err(words)?;
            self.over(stream, &self.url[url::Position::BeforeHost..url::Position::AfterPort], self.url.path())
        };
        xmlrpc::answer(&answer?)
    }

    /// HTTP/1.0, so that an answer ends where the connection does.
    fn over(&self, mut stream: Conversation, host: &str, path: &str) -> Result<String, String> {
        let call = xmlrpc::call("supervisor.getAllProcessInfo");
        let who = match (self.url.username(), self.url.password()) {
            ("", None) => String::new(),
            (user, password) => {
                let who = format!("{}:{}", decoded(user), decoded(password.unwrap_or_default()));
                format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(who))
            }
        };
        let request = format!(
            "POST {path} HTTP/1.0\r\nHost: {host}\r\n{who}Content-Type: text/xml\r\nContent-Length: {}\r\n\r\n{call}",
            call.len()
        );
        stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        stream.take(MOST_BYTES).read_to_end(&mut answer).map_err(|error| error.to_string())?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is not one of HTTP")?;
        match head.split_whitespace().nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(format!("it answers {:?}", head.lines().next().unwrap_or_default())),
        }
    }
}

/// A part of a URL as it was meant.
fn decoded(text: &str) -> String {
    let text = format!("a={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(text.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

impl Collector for Supervisord {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let answer = self.ask().map_err(|error| Failure::Failed(format!("unable to call supervisord: {error}")))?;
        for process in answer {
            let text = |name: &str| process.get(name).map_or("", String::as_str);
            let number = |name: &str| text(name).trim().parse::<i64>().unwrap_or(0);
            let labels = [("group", text("group")), ("name", text("name"))];
            let mut show = |name: &str, help: &str, kind: Kind, value: i64| {
                page.family(&format!("node_supervisord_{name}"), help, kind).sample(&labels, value as f64);
            };
            let is_there = THERE.contains(&number("state"));
            show("state", "Process State", Kind::Gauge, number("state"));
            show("exit_status", "Process Exit Status", Kind::Gauge, number("exitstatus"));
            show("up", "Process Up", Kind::Gauge, is_there.into());
            if is_there {
                show("start_time_seconds", "Process start time", Kind::Counter, number("start"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;

    use base_metrics::Page;

    use super::*;

    /// Answers one request with this, and gives what was asked.
    fn serve<S: Read + Write + Send + 'static>(mut stream: S, status: &str, body: &str) -> String {
        let mut asked = Vec::new();
        while !asked.ends_with(b"</methodCall>") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.push(byte[0]);
        }
        stream.write_all(format!("HTTP/1.0 {status}\r\nServer: Medusa\r\n\r\n{body}").as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    }

    fn processes() -> String {
        let process = |name: &str, state: i64| {
            format!(
                "<value><struct><member><name>name</name><value><string>{name}</string></value></member>\
                 <member><name>group</name><value><string>all</string></value></member>\
                 <member><name>start</name><value><int>1700000000</int></value></member>\
                 <member><name>exitstatus</name><value><int>3</int></value></member>\
                 <member><name>state</name><value><int>{state}</int></value></member></struct></value>"
            )
        };
        format!(
            "<?xml version='1.0'?><methodResponse><params><param><value><array><data>{}{}</data></array></value></param></params></methodResponse>",
            process("web", 20),
            process("old &amp; gone", 100)
        )
    }

    fn page(supervisord: &mut Supervisord) -> Result<Vec<String>, Failure> {
        let (mut page, mut text) = (Page::new(), String::new());
        let outcome = supervisord.collect(&mut Scratch::default(), &mut page.writer());
        page.encode(&mut text, &base_metrics::Losses::default());
        outcome.map(|()| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
    }

    const EXPECTED: [&str; 7] = [
        "node_supervisord_exit_status{group=\"all\",name=\"web\"} 3",
        "node_supervisord_exit_status{group=\"all\",name=\"old & gone\"} 3",
        "node_supervisord_start_time_seconds{group=\"all\",name=\"web\"} 1.7e+09",
        "node_supervisord_state{group=\"all\",name=\"web\"} 20",
        "node_supervisord_state{group=\"all\",name=\"old & gone\"} 100",
        "node_supervisord_up{group=\"all\",name=\"web\"} 1",
        "node_supervisord_up{group=\"all\",name=\"old & gone\"} 0",
    ];

    #[test]
    fn processes_are_shown_over_http_and_over_a_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://me:a%2Bb@{}/RPC2", listener.local_addr().unwrap());
        let served: JoinHandle<String> =
            std::thread::spawn(move || serve(listener.accept().unwrap().0, "200 OK", &processes()));
        assert_eq!(page(&mut Supervisord::new(url.parse().unwrap())).unwrap(), EXPECTED);
        let asked = served.join().unwrap();
        assert!(asked.starts_with("POST /RPC2 HTTP/1.0\r\n") && asked.contains("Basic bWU6YSti\r\n"), "{asked}");

        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("supervisor.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let served = std::thread::spawn(move || serve(listener.accept().unwrap().0, "200 OK", &processes()));
        let url = format!("unix://{}", socket.display());
        assert_eq!(page(&mut Supervisord::new(url.parse().unwrap())).unwrap(), EXPECTED);
        assert!(served.join().unwrap().contains("supervisor.getAllProcessInfo"));
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let why = |url: &str| match page(&mut Supervisord::new(url.parse().unwrap())) {
            Err(Failure::Failed(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(why("unix:///does/not/exist").starts_with("unable to call supervisord: "));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/RPC2", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            serve(listener.accept().unwrap().0, "401 Unauthorized", "");
            serve(listener.accept().unwrap().0, "200 OK", "<html>");
        });
        assert!(why(&url).contains("it answers \"HTTP/1.0 401 Unauthorized\""));
        assert!(why(&url).contains("not one of XML-RPC"));
        served.join().unwrap();
    }
}
