//! `pipelines/docker`: containers of a real engine, on a stand-in for it: the targets that they make, and what they print.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sdk_testing::oracle::{self, Group};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::{PATIENCE, Started, run};

/// What was recorded.
#[derive(Deserialize)]
struct Recording {
    containers: Vec<Container>,
    discovery: BTreeMap<String, Discovery>,
    source: BTreeMap<String, Source>,
    positions: String,
    metrics: Vec<String>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    run_options: Vec<String>,
    prints: Vec<String>,
}

#[derive(Deserialize)]
struct Discovery {
    config: String,
    targets: Vec<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Source {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    labels: BTreeMap<String, String>,
    line: Value,
}

/// The engine cuts longer lines into pieces, in bytes.
const PIECE: usize = 16 << 10;

#[test]
fn containers_are_found_and_heard_as_by_alloy() {
    let Some(text) = oracle::text("pipelines/docker/docker.json") else { return };
    // Real ids have no brackets and no spaces.
    let text = text.replace("<id ", "id-").replace("<network ", "network-").replace('>', "");
    let mut recording: Recording = serde_json::from_str(&text).expect("a recording");
    // What has ended was gone again.
    recording.containers.retain(|container| container.prints.iter().any(|print| print == "sleep:60000"));
    let mut group = Group::new("docker");
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let containers = Arc::new(std::mem::take(&mut recording.containers));
    drop(std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let containers = containers.clone();
            drop(std::thread::spawn(move || answer(stream, &containers)));
        }
    }));

    let host = format!("unix://{}", socket.display());
    std::fs::write(folder.path().join("config.alloy"), config(&recording, &host)).expect("it can be written");
    let Started::Running(mut process) = run(folder.path(), &[], "config.alloy") else { panic!("it runs") };
    for (name, Discovery { targets, .. }) in &recording.discovery {
        let (expected, path) = (said(targets), format!("/api/v0/web/components/discovery.docker.{name}"));
        group.compare(name, &expected, &until(&expected, || said(&exported(&process.http("GET", &path, &[]).2))));
    }
    for (name, source) in &recording.source {
        let expected = lines(source.entries.iter().map(|entry| (said(&entry.labels), whole(&entry.line))));
        let actual = until(&expected, || lines(heard(process.read_log(), &format!("loki.echo.{name}"))));
        group.compare(&format!("source {name}"), &expected, &actual);
    }
    let metrics = names(&process.http("GET", "/metrics", &[]).2);
    group.compare("metrics", &recording.metrics.join("\n"), &metrics);
    assert_eq!(process.stop("TERM"), Some(0));
    let positions = folder.path().join("data/loki.source.docker.relabelled/positions.yml");
    let positions = std::fs::read_to_string(positions).expect("positions are saved");
    group.compare("positions", &cursors(&recording.positions), &cursors(&positions));
    group.finish();
}

/// All discoveries, and both sources.
fn config(recording: &Recording, host: &str) -> String {
    let mut config = "logging {\n\tformat = \"json\"\n}\n".to_owned();
    for (name, discovery) in &recording.discovery {
        config += &discovery.config.replace("@docker@", host).replacen("\"d\"", &format!("{name:?}"), 1);
        config.push('\n');
    }
    let rule = |source: &str, regex: &str, target: &str| {
        format!(
            "\trule {{\n\t\tsource_labels = [{source:?}]\n\t\tregex = {regex:?}\n\t\ttarget_label = {target:?}\n\t}}\n"
        )
    };
    config += "discovery.relabel \"names\" {\n\ttargets = discovery.docker.default.targets\n";
    config += &rule("__meta_docker_container_name", "/(.*)", "container");
    config += "}\nloki.relabel \"streams\" {\n\tforward_to = []\n";
    config += &rule("__meta_docker_container_log_stream", "(.*)", "stream");
    config += "}\n";
    for (name, targets, rules) in [
        ("plain", "discovery.docker.default.targets", ""),
        ("relabelled", "discovery.relabel.names.output", "\trelabel_rules = loki.relabel.streams.rules\n"),
    ] {
        config += &format!(
            "loki.source.docker {name:?} {{\n\thost = {host:?}\n\ttargets = {targets}\n\tlabels = {{ app = \"docker\" }}\n\
             {rules}\tforward_to = [loki.echo.{name}.receiver]\n}}\nloki.echo {name:?} {{ }}\n"
        );
    }
    config
}

/// What it says in the end; at the latest when patience ends.
fn until(expected: &str, mut say: impl FnMut() -> String) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let actual = say();
        if actual == expected || Instant::now() > until {
            return actual;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn said(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("it is JSON")
}

/// The targets that a component exports, in their order.
fn exported(page: &str) -> Vec<BTreeMap<String, String>> {
    let page: Value = serde_json::from_str(page).expect("it is JSON");
    let elements = |value: &Value| value["value"].as_array().cloned().unwrap_or_default();
    let targets =
        page["exports"].as_array().and_then(|exports| exports.first()).map(|export| elements(&export["value"]));
    let target = |target: &Value| {
        let pair = |pair: &Value| Some((pair["key"].as_str()?.to_owned(), pair["value"]["value"].as_str()?.to_owned()));
        elements(target).iter().filter_map(pair).collect()
    };
    targets.unwrap_or_default().iter().map(target).collect()
}

/// Entries in one order: those of different containers interleave freely.
fn lines(entries: impl Iterator<Item = (String, String)>) -> String {
    let mut lines: Vec<String> = entries.map(|(labels, line)| format!("{labels} {line:?}")).collect();
    lines.sort();
    lines.join("\n")
}

/// Long lines are recorded by their length.
fn whole(line: &Value) -> String {
    let long = || Some(line["repeats"].as_str()?.repeat(usize::try_from(line["length"].as_u64()?).ok()?));
    line.as_str().map(str::to_owned).or_else(long).expect("a line")
}

/// The entries that came to an echo component.
fn heard<'a>(log: &'a [String], echo: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
    let entries = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries.filter(move |line| line["component_id"] == echo).filter_map(|line| {
        let labels = line["labels"].as_str()?.trim_matches(['{', '}']).split(", ");
        let labels: BTreeMap<&str, &str> = labels
            .filter_map(|label| Some((label.split_once('=')?.0, label.split_once('=')?.1.trim_matches('"'))))
            .collect();
        Some((said(&labels), line["entry"].as_str()?.to_owned()))
    })
}

/// Names of the component's families, as the recording lists them.
fn names(page: &str) -> String {
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    families.filter(|name| name.starts_with("loki_source_docker_")).collect::<Vec<_>>().join("\n")
}

/// What each cursor belongs to. That of ours which knows more than seconds is not Alloy's.
fn cursors(positions: &str) -> String {
    let mut cursors = Vec::new();
    let mut path = "";
    for line in positions.lines() {
        if let Some(name) = line.trim().strip_prefix("? path: ") {
            path = name;
        } else if let Some(labels) = line.trim().strip_prefix("labels: ").filter(|_| path.starts_with("cursor-id-")) {
            cursors.push(format!("{path} {labels}"));
        }
    }
    cursors.sort();
    cursors.join("\n")
}

/// One connection of the engine's.
fn answer(stream: UnixStream, containers: &[Container]) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut request = String::new();
        while reader.read_line(&mut request).ok()? > 2 {}
        let path = percent_decoded(request.split(' ').nth(1)?);
        let one = containers.iter().find(|container| path.contains(&format!("/{}/", id(&container.name))));
        let body = match one {
            Some(container) if path.contains("/logs") => {
                let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: close\r\n\r\n";
                writer.write_all(&[&head[..], &container.log()].concat()).ok()?;
                // They run on, and are silent.
                return reader.read_line(&mut request).ok().map(drop);
            }
            Some(container) => container.inspected(),
            None if path.contains("/events") => {
                writer.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
                return reader.read_line(&mut request).ok().map(drop);
            }
            None if path.contains("/containers/json") => {
                let wanted = |container: &&Container| !path.contains("\"team\"") || said(&container.labels()).contains("team");
                containers.iter().filter(wanted).map(Container::listed).collect()
            }
            None if path.contains("/networks") => ["shopnet", "host", "none"]
                .map(|name| json!({"Name": name, "Id": network(name), "Scope": "local", "Internal": false, "Ingress": false, "Labels": {}}))
                .into_iter()
                .collect(),
            None => json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"}),
        }
        .to_string();
        let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n";
        writer.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).ok()?;
    }
}

fn id(name: &str) -> String {
    format!("id-{name}")
}

fn network(name: &str) -> String {
    format!("network-{name}")
}

fn percent_decoded(path: &str) -> String {
    url::form_urlencoded::parse(path.as_bytes()).map(|(key, value)| format!("{key}={value}&")).collect()
}

// === impl Container ===

impl Container {
    /// The values of an option of `docker run`.
    fn options<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        self.run_options.windows(2).filter(move |pair| pair[0] == option).map(|pair| pair[1].as_str())
    }

    fn network(&self) -> &str {
        self.options("--network").next().unwrap_or("bridge")
    }

    fn labels(&self) -> BTreeMap<&str, &str> {
        self.options("-l").filter_map(|label| label.split_once('=')).collect()
    }

    /// As `docker ps` lists it.
    fn listed(&self) -> Value {
        let mut ports = Vec::new();
        let name = self.network();
        if name != "host" && name != "none" {
            // The image exposes both.
            for (port, kind) in [(8080, "tcp"), (53, "udp")] {
                let published = |option: &str| {
                    let (host, private) = option.rsplit_once(':')?;
                    let (ip, public) = host.rsplit_once(':')?;
                    let public: u16 = public.parse().ok()?;
                    let here = private == port.to_string() && kind == "tcp";
                    here.then(|| json!({"IP": ip, "PrivatePort": port, "PublicPort": public, "Type": kind}))
                };
                let unpublished = || json!({"PrivatePort": port, "Type": kind});
                ports.push(self.options("-p").find_map(published).unwrap_or_else(unpublished));
            }
        }
        let ip = self.options("--ip").next().unwrap_or_default();
        json!({
            "Id": id(&self.name), "Names": [format!("/{}", self.name)], "Labels": self.labels(), "State": "running", "Ports": ports,
            "HostConfig": {"NetworkMode": name},
            "NetworkSettings": {"Networks": {name: {"NetworkID": network(name), "IPAddress": ip}}},
        })
    }

    /// As `docker inspect` shows it.
    fn inspected(&self) -> Value {
        json!({
            "Id": id(&self.name), "Name": format!("/{}", self.name),
            "State": {"Status": "running", "Running": true, "FinishedAt": "0001-01-01T00:00:00Z"},
            "Config": {"Tty": self.tty()}, "HostConfig": {"LogConfig": {"Type": "json-file"}},
        })
    }

    fn tty(&self) -> bool {
        self.run_options.iter().any(|option| option == "-t")
    }

    /// What the engine sends of what it has printed: pieces of lines, each with its time; what has no end yet is kept back.
    fn log(&self) -> Vec<u8> {
        let (mut log, mut count, mut held) = (Vec::new(), 0, [Vec::new(), Vec::new()]);
        for print in &self.prints {
            let (output, text) = print.strip_prefix("e:").map_or((1, print.as_str()), |text| (2, text));
            let text = match text.split_once(':') {
                Some(("sleep", _)) => continue,
                Some(("long", length)) => "L".repeat(length.parse().expect("a length")) + "\n",
                _ => text.replace("\\n", "\n").replace("\\r", "\r").replace("\\e", "\u{1b}"),
            };
            let line = &mut held[output - 1];
            line.extend_from_slice(text.as_bytes());
            while line.len() >= PIECE || line.contains(&b'\n') {
                let end = line.iter().position(|byte| *byte == b'\n').map_or(PIECE, |end| end + 1).min(PIECE);
                let mut text = format!("2026-11-01T10:00:00.{count:09}Z ").into_bytes();
                text.extend(line.drain(..end));
                count += 1;
                if self.tty() {
                    let end = text.len() - 1;
                    text.splice(end.., *b"\r\n");
                } else {
                    let length = u32::try_from(text.len()).expect("it is short").to_be_bytes();
                    log.extend_from_slice(&[&[u8::try_from(output).expect("1 or 2"), 0, 0, 0][..], &length].concat());
                }
                log.append(&mut text);
            }
        }
        log
    }
}
