//! A process that may open no more files.

use std::io::Read as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use crate::process::{PATIENCE, Running, Started, run};

const SAID: &str = "no file descriptor is left";

fn started(folder: &std::path::Path) -> Box<Running> {
    std::fs::write(folder.join("config.alloy"), "logging {\n\tlevel = \"info\"\n}\n").unwrap();
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
    let mut running = started(folder.path());
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
