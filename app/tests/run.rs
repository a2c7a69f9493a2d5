//! The life of the process: it starts, reloads, and stops when told to.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// A line that has not come by then will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running process and the lines of its log.
struct Running {
    child: Child,
    lines: Receiver<String>,
    folder: tempfile::TempDir,
}

impl Running {
    fn start(config: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.alloy"), config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ferroalloy"))
            .args(["run", "--storage.path=data", "--server.http.listen-addr=127.0.0.1:0", "config.alloy"])
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = sync_channel(10_000);
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Running { child, lines, folder }
    }

    fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("config.alloy")
    }

    /// The next line that holds a text.
    fn wait_for(&self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("{text:?} is not logged"),
                Err(RecvTimeoutError::Disconnected) => panic!("ended before {text:?} was logged"),
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn starts_reloads_and_stops() {
    let mut running = Running::start("logging {\n\tlevel = \"info\"\n}\n");
    assert!(running.wait_for("Alloy is starting").starts_with("ts=20"));
    let line = running.wait_for("now listening for http traffic");
    let address = line.split(" addr=").nth(1).unwrap().trim().to_owned();
    running.wait_for("{^_^} Alloy is running");
    assert!(get(&address, "/-/ready").starts_with("HTTP/1.1 200 OK"));
    assert!(get(&address, "/metrics").contains("process_resident_memory_bytes"));
    assert!(running.folder.path().join("data").is_dir());

    std::fs::write(running.config(), "logging {\n\tlevel = \"loud\"\n}\n").unwrap();
    running.signal("HUP");
    assert!(running.wait_for("failed to reload config").contains("config.alloy:2:10: "));
    assert!(get(&address, "/-/ready").starts_with("HTTP/1.1 200 OK"), "a bad reload leaves everything running");

    std::fs::write(running.config(), "logging {\n\tformat = \"json\"\n}\n").unwrap();
    running.signal("HUP");
    assert!(running.wait_for("config reloaded").starts_with("{\"ts\":"));

    running.signal("TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_in_use_is_said_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.alloy"), "").unwrap();
    let output = run(folder.path(), &["--server.http.listen-addr", &address, "config.alloy"]);
    assert!(output.starts_with(&format!("Error: failed to listen on {address}: ")), "{output}");
}

#[test]
fn a_configuration_in_another_encoding_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.alloy"), b"\xff\xfea\0").unwrap();
    let output = run(folder.path(), &["--server.http.listen-addr=127.0.0.1:0", "config.alloy"]);
    assert!(output.contains("configuration is encoded with UTF16LittleEndian but must be utf8"), "{output}");
}

/// What a process says that fails to start.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ferroalloy"))
        .args(["run", "--storage.path=data"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}
