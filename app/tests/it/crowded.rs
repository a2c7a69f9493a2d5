//! A process that may open no more files.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use crate::process::{PATIENCE, Running, Started, run};

const SAID: &str = "no file descriptor is left";

fn started(folder: &std::path::Path, more: &str) -> Box<Running> {
    let config = format!("logging {{\n\tlevel = \"info\"\n}}\n{more}");
    std::fs::write(folder.join("config.alloy"), config).unwrap();
    match run(folder, &[], "config.alloy") {
        Started::Running(running) => running,
        Started::Refused(_, log) => panic!("{log:?}"),
    }
}

/// Allows no descriptor beyond the last one that is open.
fn no_more_files(process: u32) {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let last: u32 = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).max().unwrap();
    let limit = format!("--nofile={0}:{0}", last + 1);
    assert!(Command::new("prlimit").args(["--pid", &process.to_string(), &limit]).status().unwrap().success());
}

#[test]
fn without_a_file_descriptor_left_readiness_is_told_and_unused_connections_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = started(folder.path(), "");
    no_more_files(running.id());
    let mut unused = Vec::new();
    let until = Instant::now() + PATIENCE;
    while !running.read_log().iter().any(|line| line.contains(SAID)) {
        assert!(Instant::now() < until, "{}", running.read_log().join("\n"));
        unused.push(TcpStream::connect(&running.address).unwrap());
        std::thread::yield_now();
        assert!(unused.len() < 400, "so many connections fit:\n{}", running.read_log().join("\n"));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for _ in 0..2 {
        assert_eq!(running.http("GET", "/-/ready", &[]).0, 200);
    }
    for mut connection in unused {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(connection.read(&mut [0]).unwrap(), 0, "it is closed");
    }
    let log = running.read_log().join("\n");
    assert_eq!(log.matches(SAID).count(), 1, "{log}");
    assert!(log.contains("LimitNOFILE=") && log.contains("limit="), "{log}");
}

#[test]
fn without_a_file_descriptor_left_a_receiver_of_otlp_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = "otelcol.receiver.otlp \"a\" {\n\thttp {\n\t\tendpoint = \"127.0.0.1:0\"\n\t}\n\
                    \toutput {\n\t\ttraces = [otelcol.exporter.debug.a.input]\n\t}\n}\n\
                    otelcol.exporter.debug \"a\" { }\n";
    let mut running = started(folder.path(), receiver);
    let until = Instant::now() + PATIENCE;
    let address = loop {
        let log = running.read_log();
        let listening = log.iter().filter(|line| line.contains("listening") && line.contains("endpoint=127.0.0.1:"));
        let address = listening.filter_map(|line| line.split("endpoint=").nth(1)?.split_whitespace().next()).next();
        if let Some(address) = address {
            break address.to_owned();
        }
        assert!(Instant::now() < until, "{}", log.join("\n"));
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    no_more_files(running.id());
    // They take what there was, and are not used.
    let mut unused = Vec::new();
    while !running.read_log().iter().any(|line| line.contains(SAID) && line.contains(&address)) {
        assert!(Instant::now() < until, "{}", running.read_log().join("\n"));
        unused.push(TcpStream::connect(&address).unwrap());
        assert!(unused.len() < 400, "so many connections fit:\n{}", running.read_log().join("\n"));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for _ in 0..2 {
        let mut connection = TcpStream::connect(&address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for mut connection in unused {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(connection.read(&mut [0]).unwrap(), 0, "it is closed");
    }
    let log = running.read_log().join("\n");
    assert!(log.contains("LimitNOFILE=") && log.contains("limit="), "{log}");
}
