//! Whoever says something in the log is named there.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::process::{PATIENCE, Running, Started, run};
use crate::retries::port_of;

fn start(text: &str) -> (tempfile::TempDir, Box<Running>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.alloy"), text).expect("it is written");
    match run(folder.path(), &[], "config.alloy") {
        Started::Running(running) => (folder, running),
        Started::Refused(_, log) => panic!("it is refused:\n{}", log.join("\n")),
    }
}

/// The line with these words, once it is there.
fn line_with(running: &mut Running, words: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(line) = running.read_log().iter().find(|line| line.contains(words)) {
            return line.clone();
        }
        assert!(Instant::now() < until, "it does not say {words:?}:\n{}", running.log.join("\n"));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_line_about_a_request_names_the_receiver() {
    let server = "http {\n\t\tlisten_address = \"127.0.0.1\"\n\t\tlisten_port = 0\n\t}\n\tforward_to = []\n";
    let (_folder, mut running) = start(&format!("prometheus.receive_http \"two\" {{\n\t{server}}}\n"));
    let port = port_of(&mut running, "prometheus.receive_http.two");
    let mut connection = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let head = "POST /api/v1/metrics/write HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\njunk";
    connection.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let line = line_with(&mut running, "a request cannot be read");
    assert!(line.contains("component_id=prometheus.receive_http.two"), "{line}");
    running.stop("TERM");
}

#[test]
fn a_line_about_arguments_names_their_component_at_the_start_and_after_a_reload() {
    let text = |mode: &str| {
        format!("otelcol.processor.probabilistic_sampler \"some\" {{\n\tmode = \"{mode}\"\n\toutput {{ }}\n}}\n")
    };
    let (folder, mut running) = start(&text("hash"));
    let line = line_with(&mut running, "mode=hash");
    assert!(line.contains("component_id=otelcol.processor.probabilistic_sampler.some"), "{line}");
    std::fs::write(folder.path().join("config.alloy"), text("equal")).expect("it is written");
    running.signal("HUP");
    let line = line_with(&mut running, "mode=equal");
    assert!(line.contains("component_id=otelcol.processor.probabilistic_sampler.some"), "{line}");
    running.stop("TERM");
}

#[test]
fn what_is_doubted_at_a_load_is_told_with_its_place_and_what_to_write() {
    let text = "prometheus.exporter.unix \"host\" {\n\tenable_collectors = [\"proceses\"]\n}\n";
    let (_folder, mut running) = start(text);
    let line = line_with(&mut running, "proceses");
    for words in ["config.alloy:2:22", "prometheus.exporter.unix.host", "hint=\"did you mean", "processes"] {
        assert!(line.contains(words), "{words}: {line}");
    }
    running.stop("TERM");
}
