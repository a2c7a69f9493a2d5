//! `language/runtime`: scenarios played on the binary, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use sdk_testing::oracle::{self, Group};
use serde_json::Value;

use crate::process::{Running, Started, missing_components, run, write_files};

/// Steps for which there is nothing here yet; a scenario with one of them waits.
const WAITING_STEPS: &[&str] = &["server_saw", "command"];

/// Flags whose capability does not exist yet.
const WAITING_FLAGS: &[&str] = &["--cluster.enabled", "--server.http.enable-graphql"];

/// What Alloy shows after a pause, we must show within this time.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn scenarios_go_as_in_alloy() {
    let folder = oracle::shared().join("oracle/language/runtime");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED, no recordings in {}", folder.display());
        return;
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut group = Group::new("runtime");
    let listed = oracle::compatibility().difference.into_iter().filter(|difference| difference.group == "runtime");
    let listed: BTreeSet<String> = listed.flat_map(|difference| difference.cases).collect();
    let mut waiting = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let scenario: Value = serde_json::from_str(&text).expect("it is JSON");
        let name = scenario["name"].as_str().expect("it has a name").to_owned();
        if let Some(why) = waits(&scenario) {
            waiting.push(format!("{name} ({why})"));
            continue;
        }
        for (id, difference) in until_it_is_as_listed(&name, &text, &listed) {
            group.case(&id, difference);
        }
    }
    eprintln!("oracle runtime: {} scenarios wait: {}", waiting.len(), waiting.join(", "));
    group.finish();
}

fn waits(scenario: &Value) -> Option<String> {
    let steps = scenario["steps"].as_array()?;
    let step = steps.iter().filter_map(|step| step["do"].as_str()).find(|act| WAITING_STEPS.contains(act));
    if let Some(step) = step {
        return Some(step.to_owned());
    }
    if let Some(flag) = strings(&scenario["args"]).into_iter().find(|arg| WAITING_FLAGS.contains(&arg.as_str())) {
        return Some(flag);
    }
    let written = steps.iter().filter_map(|step| step["text"].as_str());
    let files = scenario["files"].as_object()?.iter().filter(|(name, _)| name.ends_with(".alloy"));
    let texts: Vec<&str> = files.filter_map(|(_, text)| text.as_str()).chain(written).collect();
    let mut missing = texts.into_iter().flat_map(missing_components);
    // One scenario is about blocks that are wrong, not about what they would do.
    let about_blocks = scenario["name"] == "services-in-config";
    missing.find(|name| name != "loki.fly" && !(about_blocks && name == "remotecfg"))
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

/// A step's id, and what differed, if anything.
type Case = (String, Option<String>);

/// How often a scenario is played at most: its pauses are those of another machine, and its ports may be taken by others.
const ROUNDS: usize = 3;

/// Plays a scenario until it differs from Alloy where `listed` says so, and nowhere else; the last round counts.
#[allow(clippy::print_stderr)]
fn until_it_is_as_listed(name: &str, text: &str, listed: &BTreeSet<String>) -> Vec<Case> {
    let mut cases = Vec::new();
    for round in 1..=ROUNDS {
        let scenario = serde_json::from_str(&with_ports(text)).expect("it is JSON");
        cases.clear();
        let played =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(name, &scenario, listed, &mut cases)));
        let surprising = cases.iter().find(|(id, difference)| difference.is_some() != listed.contains(id));
        match (played, surprising) {
            (Ok(()), None) => break,
            (Err(panic), _) if round == ROUNDS => std::panic::resume_unwind(panic),
            (_, surprising) => {
                let step = surprising.or(cases.last());
                eprintln!(
                    "{name}, round {round}: {}",
                    step.map_or_else(String::new, |(id, why)| format!("{id} {why:?}"))
                );
            }
        }
    }
    cases
}

fn play(name: &str, scenario: &Value, listed: &BTreeSet<String>, cases: &mut Vec<Case>) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let files: BTreeMap<String, String> = serde_json::from_value(scenario["files"].clone()).expect("files are texts");
    write_files(folder.path(), &files);
    let (mut args, path) = (strings(&scenario["args"]), scenario["path"].as_str().unwrap_or("config.alloy"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    if name == "listen-port-taken" {
        let address = taken.local_addr().expect("it is bound");
        args.push(format!("--server.http.listen-addr={address}"));
    }
    let (mut running, mut held) = (None, BTreeMap::new());
    for (index, step) in scenario["steps"].as_array().expect("there are steps").iter().enumerate() {
        let act = step["do"].as_str().expect("a step does something");
        let id = format!("{name}/{index}-{act}");
        if act == "start" {
            let started = run(folder.path(), &args, path);
            let ready = step["ready"].as_bool().unwrap_or(false);
            match started {
                Started::Running(process) if ready => {
                    cases.push((id, None));
                    running = Some(process);
                }
                Started::Running(_) => return cases.push((id, Some("alloy ends, ours runs".to_owned()))),
                Started::Refused(code, lines) if ready => {
                    let difference = format!("alloy runs, ours ended with {code:?}:\n{}", lines.join("\n"));
                    return cases.push((id, Some(difference)));
                }
                Started::Refused(code, _) => {
                    let same = code.map(i64::from) == step["exit"].as_i64();
                    return cases.push((id, (!same).then(|| format!("ended with {code:?}"))));
                }
            }
            continue;
        }
        let port = step["port"].as_str().unwrap_or_default();
        match act {
            "hold_port" => {
                let held_port =
                    std::net::TcpListener::bind(format!("127.0.0.1:{port}")).expect("it was free a moment ago");
                held.insert(port.to_owned(), held_port);
                continue;
            }
            "release_port" => {
                held.remove(port);
                continue;
            }
            _ => {}
        }
        let Some(process) = &mut running else { return };
        if let Some(parts) = parts(process, folder.path(), act, step, name) {
            cases.extend(parts.into_iter().map(|(part, difference)| (format!("{id} {part}"), difference)));
            continue;
        }
        // Where we differ on purpose, it is looked until we do.
        let differs = listed.contains(&id);
        // A port that is free again is tried every few seconds.
        let until = Instant::now() + if name.starts_with("busy-port") { 3 * SOON } else { SOON };
        let difference = loop {
            let difference = perform(process, folder.path(), act, step);
            // Only looking may be repeated.
            let looks = act == "health"
                || act == "metrics"
                || (act == "http" && !step["path"].as_str().unwrap_or_default().contains("reload"));
            if difference.is_some() == differs || !looks || Instant::now() > until {
                break difference;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        if matches!(act, "http" | "health" | "metrics" | "stop" | "signal" | "stream") {
            cases.push((id, difference));
        }
        if act == "stop" {
            return;
        }
    }
}

fn perform(process: &mut Running, folder: &Path, act: &str, step: &Value) -> Option<String> {
    match act {
        "write" => {
            let (file, text) = (step["file"].as_str()?, step["text"].as_str()?);
            std::fs::write(folder.join(file), text).expect("files can be written");
            None
        }
        "remove" => {
            std::fs::remove_file(folder.join(step["file"].as_str()?)).expect("it is there");
            None
        }
        // The recordings waited for the file system and for components; so must we before the next change.
        "sleep" => {
            std::thread::sleep(Duration::from_secs_f64(step["seconds"].as_f64().unwrap_or_default()));
            None
        }
        "http" => http(process, step),
        "stream" => stream(process, step),
        "health" => health(process, step),
        "metrics" => metrics(process, step),
        "signal" => {
            process.signal(step["signal"].as_str().unwrap_or("SIGHUP").trim_start_matches("SIG"));
            None
        }
        "stop" => {
            let code = process.stop(step["signal"].as_str().unwrap_or("SIGTERM").trim_start_matches("SIG"));
            let same = code.map(i64::from) == step["exit"].as_i64();
            (!same).then(|| format!("ended with {code:?}"))
        }
        _ => None,
    }
}

/// A free port for each that the recording picked before the start.
fn with_ports(text: &str) -> String {
    let mut text = text.to_owned();
    // Held until all are chosen, so that they differ.
    let mut taken = Vec::new();
    while let Some(name) =
        text.split("{PORT:").skip(1).filter_map(|rest| rest.split('}').next()).find(|name| *name != "SELF")
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        text = text.replace(&format!("{{PORT:{name}}}"), &port.to_string());
        taken.push(listener);
    }
    text
}

/// Steps that are compared in parts: which part, and what differs.
fn parts(
    process: &Running,
    folder: &Path,
    act: &str,
    step: &Value,
    scenario: &str,
) -> Option<Vec<(String, Option<String>)>> {
    let missing = |expected: Vec<String>, ours: &BTreeSet<String>| {
        let case = |name: String| {
            let difference = (!ours.contains(&name)).then(|| format!("{name} is missing; there are {ours:?}"));
            (name, difference)
        };
        expected.into_iter().map(case).collect()
    };
    match act {
        "metrics_names" => {
            let (_, _, page) = process.http("GET", "/metrics", &[]);
            let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
            let ours = names.map(str::to_owned).collect();
            let expected = strings(&step["names"]).into_iter().filter(|name| !name.starts_with("go_")).collect();
            Some(missing(expected, &ours))
        }
        "storage_tree" => {
            let mut ours = BTreeSet::new();
            tree(&folder.join("data"), "", &mut ours);
            // What is inside of a component's directory is its own business, but for the positions of files.
            let own = |entry: &String| !entry.contains("/wal") && !entry.contains("segment_marker");
            Some(missing(strings(&step["entries"]).into_iter().filter(own).collect(), &ours))
        }
        "support_bundle" => {
            let authorization = [("authorization".to_owned(), "Basic dTpw".to_owned())];
            let headers: &[_] = if scenario.ends_with("with-auth") { &authorization } else { &[] };
            let (status, _, archive) = process.request("GET", "/-/support?duration=1", headers);
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&archive));
            let files = unzip(&archive);
            for (name, contents) in &files {
                let text = String::from_utf8_lossy(contents);
                for secret in ["literal-secret", "hunter2", "= \"p\"", "\"pre\""] {
                    assert!(!text.contains(secret), "{secret} is in {name}");
                }
            }
            let ours: BTreeSet<String> = files.into_keys().collect();
            Some(missing(strings(&step["files"]), &ours))
        }
        _ => None,
    }
}

/// Paths in a folder; those of folders end with a slash.
fn tree(folder: &Path, prefix: &str, paths: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            tree(&entry.path(), &format!("{path}/"), paths);
            paths.insert(path + "/");
        } else {
            paths.insert(path);
        }
    }
}

/// The files of an archive, by name.
fn unzip(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let number = |at: usize| usize::from(u16::from_le_bytes([archive[at], archive[at + 1]]));
    let mut at = 0;
    while archive[at..].starts_with(b"PK\x03\x04") {
        let (packed, name) = (number(at + 18) | number(at + 20) << 16, number(at + 26));
        let start = at + 30 + name + number(at + 28);
        let mut contents = Vec::new();
        std::io::Read::read_to_end(
            &mut flate2::read::DeflateDecoder::new(&archive[start..start + packed]),
            &mut contents,
        )
        .expect("it was deflated");
        files.insert(String::from_utf8_lossy(&archive[at + 30..at + 30 + name]).into_owned(), contents);
        at = start + packed;
    }
    files
}

/// Reads a stream while lines are pushed.
fn stream(process: &Running, step: &Value) -> Option<String> {
    let (path, seconds) = (step["path"].as_str()?, step["seconds"].as_f64()?);
    let lines = step["pushed"].as_u64().unwrap_or_default();
    let api = process.http("GET", "/api/v0/web/components/loki.source.api.in", &[]).2;
    let api: Value = serde_json::from_str(&api).unwrap_or_default();
    let (port, address) = (port_of(&api), process.address.as_str());
    let (status, body) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| Running::stream(address, path, Duration::from_secs_f64(seconds)));
        std::thread::sleep(Duration::from_millis(200));
        (0..lines).for_each(|line| push(port.expect("the port is shown"), line));
        reading.join().expect("it reads")
    });
    let expected = step["body"].as_str().unwrap_or_default();
    // Pushed lines may come at the end of one window or the start of the next.
    let (expected, ours) = match path.contains("/graph") && status == 200 {
        true => (flows(expected), flows(&body)),
        false => (expected.to_owned(), without_times(&body)),
    };
    let same = Some(u64::from(status)) == step["status"].as_u64() && expected == ours;
    (!same).then(|| format!("{path}:\nalloy: {} {expected:?}\nours:  {status} {ours:?}", step["status"]))
}

/// The number behind `listen_port`, wherever it is shown.
fn port_of(shown: &Value) -> Option<u64> {
    match shown {
        Value::Object(fields) if fields.get("name").is_some_and(|name| name == "listen_port") => {
            fields["value"]["value"].as_f64().map(|port| port as u64)
        }
        Value::Object(fields) => fields.values().find_map(port_of),
        Value::Array(items) => items.iter().find_map(port_of),
        _ => None,
    }
}

fn push(port: u64, line: u64) {
    use std::io::{Read as _, Write as _};
    let now = base_sys::clock::now_ns();
    let line = serde_json::json!({"level": "warn", "n": line}).to_string();
    let body =
        serde_json::json!({"streams": [{"stream": {"app": "a"}, "values": [[now.to_string(), line]]}]}).to_string();
    let mut connection = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    write!(
        connection,
        "POST /loki/api/v1/push HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    assert!(answer.contains(" 204 "), "{answer}");
}

/// The sum of the rates of each component and signal.
fn flows(stream: &str) -> String {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for record in stream.split("|;|").filter(|record| !record.is_empty()) {
        let flows: Value = serde_json::from_str(record).unwrap_or_else(|error| panic!("{error}: {record}"));
        for flow in flows.as_array().into_iter().flatten() {
            let key = format!("{} {} {}", flow["componentID"], flow["type"], flow["targetComponentIDs"]);
            *sums.entry(key).or_default() += flow["rate"].as_f64().unwrap_or_default();
        }
    }
    format!("{sums:?}")
}

fn without_times(stream: &str) -> String {
    let mut parts = stream.split("timestamp: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.split_once(',').map_or("", |(_, rest)| rest);
        format!("{text}timestamp: TIME,{rest}")
    })
}

fn http(process: &Running, step: &Value) -> Option<String> {
    let (method, path) = (step["method"].as_str().unwrap_or("GET"), step["path"].as_str()?);
    let headers: BTreeMap<String, String> = serde_json::from_value(step["request_headers"].clone()).unwrap_or_default();
    if headers.contains_key("Accept-Encoding") {
        return None;
    }
    let headers: Vec<(String, String)> = headers.into_iter().collect();
    let (status, _, body) = process.http(method, path, &headers);
    if Some(u64::from(status)) != step["status"].as_u64() {
        return Some(format!("{method} {path}: alloy {}, ours {status}: {body}", step["status"]));
    }
    if let Some(expected) = step["body"].as_str() {
        if let (Ok(expected), Ok(ours)) =
            (serde_json::from_str::<Value>(expected), serde_json::from_str::<Value>(&body))
        {
            return differs(&expected, &ours, path);
        }
        let same = match (status, expected.split_once(": ")) {
            _ if expected == body => true,
            // Our words may be better; the place must be the same.
            (400 | 500, Some(_)) => crate::process::places(expected).is_subset(&crate::process::places(&body)),
            _ => false,
        };
        return (!same).then(|| format!("{method} {path}:\nalloy: {expected:?}\nours:  {body:?}"));
    }
    let expected = step.get("json")?;
    let Ok(ours) = serde_json::from_str::<Value>(&body) else { return Some(format!("{path}: no JSON: {body}")) };
    differs(expected, &ours, path)
}

/// What Alloy shows and we do not show in the same way.
fn differs(expected: &Value, ours: &Value, at: &str) -> Option<String> {
    match (expected, ours) {
        (Value::String(text), _) if text == "same as GET" => None,
        (Value::String(text), _)
            if text.contains("TIME") || text.contains("UUID") || text.contains("HOST") || text.contains("PORT") =>
        {
            None
        }
        (Value::Object(expected), Value::Object(ours)) => expected.iter().find_map(|(name, value)| {
            if name == "health" {
                return same_health(
                    &value["state"],
                    &value["message"],
                    &ours.get(name).cloned().unwrap_or_default(),
                    at,
                );
            }
            match ours.get(name) {
                Some(ours) => differs(value, ours, &format!("{at}.{name}")),
                None => Some(format!("{at}.{name} is missing")),
            }
        }),
        (Value::Array(expected), Value::Array(ours)) => {
            if expected.len() != ours.len() {
                return Some(format!(
                    "{at}:\nalloy: {}\nours:  {}",
                    Value::Array(expected.clone()),
                    Value::Array(ours.clone())
                ));
            }
            // Lists of components and of ids are in no order there.
            let key = |value: &Value| match value {
                Value::String(id) => id.clone(),
                _ => value.get("localID").or(value.get("name")).map(Value::to_string).unwrap_or_default(),
            };
            let (mut expected, mut ours): (Vec<&Value>, Vec<&Value>) =
                (expected.iter().collect(), ours.iter().collect());
            expected.sort_by_key(|value| key(value));
            ours.sort_by_key(|value| key(value));
            expected
                .iter()
                .zip(ours)
                .enumerate()
                .find_map(|(index, (expected, ours))| differs(expected, ours, &format!("{at}[{index}]")))
        }
        (expected, ours) if expected == ours => None,
        (expected, ours) => Some(format!("{at}:\nalloy: {expected}\nours:  {ours}")),
    }
}

/// Good health has many words; of bad health, the cause must be told.
fn same_health(state: &Value, message: &Value, ours: &Value, at: &str) -> Option<String> {
    let told = || Some(format!("{at}: alloy is {state} {message}, ours {ours}"));
    if *state != ours["state"] {
        return told();
    }
    let cause = message.as_str().unwrap_or_default().rsplit(": ").next().unwrap_or_default();
    let same = state == "healthy"
        || ours["message"].as_str().unwrap_or_default().to_lowercase().contains(&cause.to_lowercase());
    if same { None } else { told() }
}

fn health(process: &Running, step: &Value) -> Option<String> {
    let path = step["path"].as_str()?;
    let (status, _, body) = process.http("GET", path, &[]);
    if Some(u64::from(status)) != step["status"].as_u64() {
        return Some(format!("{path}: alloy {}, ours {status}", step["status"]));
    }
    let ours: Value = serde_json::from_str(&body).unwrap_or_default();
    let ours: BTreeMap<&str, &Value> = ours
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|component| Some((component["localID"].as_str()?, &component["health"])))
        .collect();
    let expected = step["components"].as_object()?;
    if ours.len() != expected.len() {
        return Some(format!("alloy has {:?}, ours {:?}", expected.keys(), ours.keys()));
    }
    expected.iter().find_map(|(id, health)| match ours.get(id.as_str()) {
        Some(ours) => same_health(&health[0], &health[1], ours, id),
        None => Some(format!("there is no {id}")),
    })
}

fn metrics(process: &Running, step: &Value) -> Option<String> {
    let (_, _, page) = process.http("GET", "/metrics", &[]);
    let sorted = |line: &str| -> String {
        // Labels may stand in any order.
        match line.split_once('{').and_then(|(name, rest)| Some((name, rest.rsplit_once('}')?))) {
            Some((name, (labels, value))) => {
                let mut labels: Vec<&str> = labels.split(',').collect();
                labels.sort_unstable();
                format!("{name}{{{}}}{value}", labels.join(","))
            }
            None => line.to_owned(),
        }
    };
    let ours: Vec<String> = page.lines().map(sorted).collect();
    let missing: Vec<String> = strings(&step["lines"])
        .into_iter()
        .filter(|line| !line.contains("TIMESTAMP") && !line.contains("VERSION") && !line.starts_with("go_"))
        .filter(|line| !ours.contains(&sorted(line)))
        .collect();
    (!missing.is_empty()).then(|| format!("no {missing:#?}"))
}
