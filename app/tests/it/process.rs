//! The binary under test: started, listened to, and stopped.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use language_syntax::{Source, ast};

pub const FERROALLOY: &str = env!("CARGO_BIN_EXE_ferroalloy");

/// What should happen has happened by then, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Lines of a log that a test may leave unread.
const UNREAD_LINES: usize = 100_000;

/// A running `ferroalloy run`.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    /// All lines so far.
    pub log: Vec<String>,
    /// Where its HTTP server listens.
    pub address: String,
}

/// How it went at the start.
pub enum Started {
    /// It runs.
    Running(Box<Running>),
    /// It ended with this code and these lines.
    Refused(Option<i32>, Vec<String>),
}

/// `ferroalloy run ARGS --storage.path=… PATH` in a folder, until it runs or ends.
pub fn run(folder: &Path, args: &[String], path: &str) -> Started {
    let mut command = Command::new(FERROALLOY);
    command.arg("run").args(args).arg("--storage.path=data");
    if !args.iter().any(|arg| arg.starts_with("--server.http.listen-addr")) {
        command.arg("--server.http.listen-addr=127.0.0.1:0");
    }
    let mut child = command
        .arg(path)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env("ORACLE_WORD", "hello")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let stderr = child.stderr.take().expect("it is piped");
    let (sender, lines) = sync_channel(UNREAD_LINES);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut running = Running { child, lines, log: Vec::new(), address: String::new() };
    let until = Instant::now() + PATIENCE;
    let (mut listens, mut runs) = (false, false);
    while !(listens && runs) {
        match running.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if line.contains("now listening for http traffic") {
                    listens = true;
                    let port = line.rsplit("127.0.0.1:").next().unwrap_or_default();
                    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
                    running.address = format!("127.0.0.1:{port}");
                }
                runs |= line.contains("Alloy is running");
                running.log.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => {
                let code = running.child.wait().expect("it has ended").code();
                return Started::Refused(code, std::mem::take(&mut running.log));
            }
            Err(RecvTimeoutError::Timeout) => panic!("neither running nor ended:\n{}", running.log.join("\n")),
        }
    }
    Started::Running(Box::new(running))
}

/// `ferroalloy validate ARGS PATH`: code and stderr.
pub fn validate(folder: &Path, args: &[String], path: &str) -> (Option<i32>, String) {
    let output = Command::new(FERROALLOY)
        .arg("validate")
        .args(args)
        .arg(path)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env("ORACLE_WORD", "hello")
        .output()
        .expect("the binary starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

impl Running {
    /// Of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads what was logged meanwhile.
    pub fn read_log(&mut self) -> &[String] {
        while let Ok(line) = self.lines.try_recv() {
            self.log.push(line);
        }
        &self.log
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().expect("kill is there").success());
    }

    /// Ends it; its code.
    pub fn stop(&mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not stop:\n{}", self.read_log().join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Status, headers and body of a request.
    pub fn http(&self, method: &str, path: &str, headers: &[(String, String)]) -> (u16, String, String) {
        let (status, head, body) = self.request(method, path, headers);
        let body = String::from_utf8_lossy(&body).into_owned();
        let body = if head.contains("transfer-encoding: chunked") { unchunk(&body) } else { body };
        (status, head, body)
    }

    /// Status and body of an answer that goes on, as far as it comes in this time.
    pub fn stream(address: &str, path: &str, time: Duration) -> (u16, String) {
        let mut connection = TcpStream::connect(address).expect("it listens");
        write!(connection, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("it reads");
        let (until, mut answer, mut piece) = (Instant::now() + time, Vec::new(), [0; 16 << 10]);
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            connection.set_read_timeout(Some(left)).expect("a time limit can be set");
            match connection.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend(&piece[..read]),
            }
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status");
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        (status, if chunked { unchunk(body) } else { body.to_owned() })
    }

    /// Status, headers and bytes of a request.
    pub fn request(&self, method: &str, path: &str, headers: &[(String, String)]) -> (u16, String, Vec<u8>) {
        let mut connection = TcpStream::connect(&self.address).expect("it listens");
        connection.set_read_timeout(Some(PATIENCE)).expect("a time limit can be set");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let host = &self.address;
        write!(connection, "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}connection: close\r\n\r\n")
            .expect("it reads");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("it answers");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status");
        (status, head.to_ascii_lowercase(), answer.split_off(end + 4))
    }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || size > rest.len() {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a case's files.
pub fn write_files<'a>(folder: &Path, files: impl IntoIterator<Item = (&'a String, &'a String)>) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("it is inside the folder")).expect("folders can be made");
        std::fs::write(path, text).expect("files can be written");
    }
}

/// Components that a configuration uses and that are not in our list.
pub fn missing_components(text: &str) -> BTreeSet<String> {
    let (file, _) = language_syntax::parse(Source::new("config.alloy", text.as_bytes().to_vec()));
    let mut used = BTreeSet::new();
    in_body(&file.body, &mut used);
    let known: BTreeSet<&str> = components::all().map(|definition| definition.name).collect();
    used.retain(|name| !known.contains(name.as_str()));
    used
}

/// Names of components have a family, so that `logging` and custom components do not count.
const FAMILIES: &[&str] = &[
    "beyla",
    "database_observability",
    "discovery",
    "faro",
    "local",
    "loki",
    "mimir",
    "otelcol",
    "prometheus",
    "pyroscope",
    "remote",
];

fn in_body(body: &ast::Body, used: &mut BTreeSet<String>) {
    for statement in &body.statements {
        let ast::Statement::Block(block) = statement else { continue };
        match block.full_name().as_str() {
            "declare" | "foreach" | "template" => in_body(&block.body, used),
            name if FAMILIES.contains(&name.split('.').next().unwrap_or(name)) && name.contains('.') => {
                used.insert(name.to_owned());
            }
            "remotecfg" => {
                used.insert("remotecfg".to_owned());
            }
            _ => {}
        }
    }
}

/// `LINE:COLUMN: message` of each error, without the name of the file; an error without a place is only its message.
pub fn errors(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().filter_map(|line| line.strip_prefix("Error: "));
    lines
        .map(str::to_owned)
        .filter(|line| !line.starts_with("could not perform") && line != "validation failed")
        .collect()
}

/// Whether all that is wrong is what this version cannot do yet.
pub fn waits_for_us(errors: &[String]) -> bool {
    !errors.is_empty() && errors.iter().all(|error| error.contains("not supported yet by this version of Ferroalloy"))
}

/// Every place that a text names: `config.alloy:2:11`.
pub fn places(text: &str) -> BTreeSet<String> {
    let words = text.split([' ', '\n', '"']);
    words
        .filter_map(|word| {
            let word = word.trim_end_matches(':');
            let (rest, column) = word.rsplit_once(':')?;
            let (file, line) = rest.rsplit_once(':')?;
            let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            (number(line) && number(column) && !file.is_empty()).then(|| word.to_owned())
        })
        .collect()
}
