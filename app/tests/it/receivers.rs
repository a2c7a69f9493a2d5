//! What receivers say of the requests that they get.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::process::{PATIENCE, Started, run};
use crate::retries::port_of;

#[test]
fn a_line_about_a_request_names_the_receiver() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = "http {\n\t\tlisten_address = \"127.0.0.1\"\n\t\tlisten_port = 0\n\t}\n\tforward_to = []\n";
    let text = format!("prometheus.receive_http \"two\" {{\n\t{server}}}\n");
    std::fs::write(folder.path().join("config.alloy"), text).expect("it is written");
    let Started::Running(mut running) = run(folder.path(), &[], "config.alloy") else { panic!("it is refused") };

    let port = port_of(&mut running, "prometheus.receive_http.two");
    let mut connection = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let head = "POST /api/v1/metrics/write HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\njunk";
    connection.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    let until = Instant::now() + PATIENCE;
    let line = loop {
        if let Some(line) = running.read_log().iter().find(|line| line.contains("a request cannot be read")) {
            break line.clone();
        }
        assert!(Instant::now() < until, "it says nothing:\n{}", running.log.join("\n"));
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(line.contains("component_id=prometheus.receive_http.two"), "{line}");
    running.stop("TERM");
}
