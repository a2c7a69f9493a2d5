//! `language/runtime`: scenarios played on the binary, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use sdk_testing::oracle::{self, Group};
use serde_json::Value;

use crate::process::{Running, Started, missing_components, run, write_files};

/// Steps for which there is nothing here yet; a scenario with one of them waits.
const WAITING_STEPS: &[&str] = &[
    "server_saw",
    "stream",
    "support_bundle",
    "command",
    "hold_port",
    "release_port",
    "storage_tree",
    "metrics_names",
];

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
        let scenario: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).expect("it can be read")).expect("it is JSON");
        let name = scenario["name"].as_str().expect("it has a name").to_owned();
        if let Some(why) = waits(&scenario) {
            waiting.push(format!("{name} ({why})"));
            continue;
        }
        play(&name, &scenario, &listed, &mut group);
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
    missing.find(|name| name != "loki.fly")
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn play(name: &str, scenario: &Value, listed: &BTreeSet<String>, group: &mut Group) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let files: BTreeMap<String, String> = serde_json::from_value(scenario["files"].clone()).expect("files are texts");
    write_files(folder.path(), &files);
    let (mut args, path) = (strings(&scenario["args"]), scenario["path"].as_str().unwrap_or("config.alloy"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    if name == "listen-port-taken" {
        let address = taken.local_addr().expect("it is bound");
        args.push(format!("--server.http.listen-addr={address}"));
    }
    let mut running = None;
    for (index, step) in scenario["steps"].as_array().expect("there are steps").iter().enumerate() {
        let act = step["do"].as_str().expect("a step does something");
        let id = format!("{name}/{index}-{act}");
        if act == "start" {
            let started = run(folder.path(), &args, path);
            let ready = step["ready"].as_bool().unwrap_or(false);
            match started {
                Started::Running(process) if ready => {
                    group.case(&id, None);
                    running = Some(process);
                }
                Started::Running(_) => return group.case(&id, Some("alloy ends, ours runs".to_owned())),
                Started::Refused(code, lines) if ready => {
                    return group
                        .case(&id, Some(format!("alloy runs, ours ended with {code:?}:\n{}", lines.join("\n"))));
                }
                Started::Refused(code, _) => {
                    let same = code.map(i64::from) == step["exit"].as_i64();
                    return group.case(&id, (!same).then(|| format!("ended with {code:?}")));
                }
            }
            continue;
        }
        let Some(process) = &mut running else { return };
        // Where we differ on purpose, it is looked until we do.
        let differs = listed.contains(&id);
        let until = Instant::now() + SOON;
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
        if matches!(act, "http" | "health" | "metrics" | "stop" | "signal") {
            group.case(&id, difference);
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
            let key =
                |value: &Value| value.get("localID").or(value.get("name")).map(Value::to_string).unwrap_or_default();
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
