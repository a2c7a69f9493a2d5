use std::sync::Mutex;

use language_eval::{Block as _, Scope, Value};
use sdk_component::HealthState;
use sdk_testing::component::Alone;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;

use super::*;

/// What a manager answered, and the targets that Alloy made of it; with the fallback port 9100 for nodes.
const SERVICES: &str = include_str!("recorded/services.json");
const TASKS: &str = include_str!("recorded/tasks.json");
const NODES: &str = include_str!("recorded/nodes.json");
const NETWORKS: &str = include_str!("recorded/networks.json");
const TARGETS: &str = include_str!("recorded/targets.json");

/// A manager, or, told so, an engine that is none.
struct Manager {
    folder: tempfile::TempDir,
    is_manager: Arc<Mutex<bool>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    fn start() -> Manager {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket");
        let manager = Manager { folder, is_manager: Arc::new(Mutex::new(true)), asked: Arc::default() };
        let (is_manager, asked) = (manager.is_manager.clone(), manager.asked.clone());
        drop(base_sys::task::spawn("manager", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut head = String::new();
                while stream.read_line(&mut head).await.is_ok_and(|length| length > 2) {}
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let (status, body) = match path.split('?').next() {
                    _ if !*is_manager.lock().expect("no holder panics") => {
                        ("503 Service Unavailable", r#"{"message": "This node is not a swarm manager."}"#)
                    }
                    Some("/services") => ("200 OK", SERVICES),
                    Some("/tasks") => ("200 OK", TASKS),
                    Some("/nodes") => ("200 OK", NODES),
                    Some("/networks") => ("200 OK", NETWORKS),
                    _ => ("404 Not Found", "{}"),
                };
                asked.lock().expect("no holder panics").push(path);
                let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        }));
        manager
    }

    fn config(&self, role: &str, more: &str) -> String {
        let socket = self.folder.path().join("docker.sock");
        format!("host = \"unix://{}\"\nrole = \"{role}\"\n{more}\n", socket.display())
    }
}

/// The targets, once they are as many; 30 s are waited.
async fn targets(alone: &Alone<DockerSwarm>, count: usize) -> Vec<BTreeMap<String, String>> {
    for _ in 0..3000 {
        if let Some(Value::Array(found)) = alone.export("targets")
            && found.len() == count
        {
            let pairs = |value: &Value| match value {
                Value::Target(target) => {
                    target.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
                }
                other => panic!("a target, not {other:?}"),
            };
            return found.iter().map(pairs).collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not {count} targets: {:?}", alone.health());
}

#[tokio::test]
async fn targets_are_alloys() {
    let expected: BTreeMap<String, Vec<BTreeMap<String, String>>> = serde_json::from_str(TARGETS).expect("targets");
    let manager = Manager::start();
    for (role, expected) in expected {
        let more = if role == "nodes" { "port = 9100" } else { "" };
        let mut alone = Alone::<DockerSwarm>::start(&manager.config(&role, more), &Scope::new()).expect("it starts");
        assert_eq!(targets(&alone, expected.len()).await, expected, "{role}");
        alone.stop().await.expect("it stops");
    }
}

#[tokio::test]
async fn filters_are_of_the_role_alone() {
    let manager = Manager::start();
    let filters =
        "filter {\n name = \"label\"\n values = [\"a\"]\n}\nfilter {\n name = \"label\"\n values = [\"b\"]\n}";
    let mut alone = Alone::<DockerSwarm>::start(&manager.config("tasks", filters), &Scope::new()).expect("it starts");
    targets(&alone, 4).await;
    alone.stop().await.expect("it stops");
    let asked = manager.asked.lock().expect("no holder panics").clone();
    let filtered = "/tasks?filters=%7B%22label%22%3A%5B%22a%22%2C%22b%22%5D%7D";
    assert_eq!(asked, [filtered, "/services", "/nodes", "/networks"]);
}

#[tokio::test]
async fn targets_stay_while_the_engine_is_no_manager() {
    let manager = Manager::start();
    let config = manager.config("nodes", "refresh_interval = \"50ms\"");
    let mut alone = Alone::<DockerSwarm>::start(&config, &Scope::new()).expect("it starts");
    targets(&alone, 1).await;
    *manager.is_manager.lock().expect("no holder panics") = false;
    let told =
        |health: Option<(HealthState, String)>| health.is_some_and(|(_, why)| why.contains("not a swarm manager"));
    for _ in 0..3000 {
        if told(alone.health()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(told(alone.health()), "{:?}", alone.health());
    assert_eq!(targets(&alone, 1).await.len(), 1);
    alone.stop().await.expect("it stops");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let manager = "host = \"unix:///var/run/docker.sock\"\n";
    for (config, why) in [
        (format!("{manager}role = \"pods\""), "tasks"),
        (format!("{manager}role = \"nodes\"\nrefresh_interval = \"0s\""), "greater than 0"),
        ("host = \"ftp://x\"\nrole = \"nodes\"".to_owned(), "ftp"),
    ] {
        let error = Alone::<DockerSwarm>::build(&config, &Scope::new()).err().expect("it is refused");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn arguments_are_alloys() {
    let schema = DockerSwarmArguments::schema();
    let differences = sdk_testing::schema::compare_schema(&schema, "discovery.dockerswarm").unwrap_or_default();
    assert_eq!(differences, Vec::<String>::new());
}
