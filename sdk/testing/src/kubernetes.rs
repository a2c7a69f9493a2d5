//! A stand-in for a Kubernetes API server: objects that are listed and watched, logs that are followed, and its failures.
//!
//! What it says of objects are recordings of a real server, played by the test; how it says it (versions, bookmarks, 410,
//! a head that comes only with the first line of a log) is what the real one was seen to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A server for one test; ends with it.
pub struct FakeKubernetes {
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
    accept: tokio::task::JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Counted up at each change, to wake whoever watches.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// Older versions cannot be watched.
    oldest: u64,
    /// By path of the collection, then `namespace/name`.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    events: Vec<Event>,
    /// By `namespace/pod/container`, the instances of a container.
    logs: BTreeMap<String, Vec<Instance>>,
    /// Path and query of each request.
    requests: Vec<String>,
    /// Requests with this in them are refused with this status.
    refusals: Vec<(String, u16)>,
    /// Connections of an older epoch hang up.
    epoch: u64,
}

#[derive(Clone)]
struct Event {
    version: u64,
    collection: String,
    namespace: String,
    line: Value,
}

#[derive(Clone, Default)]
struct Instance {
    lines: Vec<String>,
    ended: bool,
}

// === impl FakeKubernetes ===

impl FakeKubernetes {
    /// On a free port.
    pub async fn start() -> FakeKubernetes {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let state = State { version: 100, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changes: watch::Sender::new(0) });
        let served = shared.clone();
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = served.clone();
                tokio::spawn(async move {
                    let _ = shared.serve(stream).await;
                });
            }
        });
        FakeKubernetes { address, shared, accept }
    }

    /// `http://127.0.0.1:…`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes or changes an object, as `kubectl apply` would, status included.
    pub fn set(&self, object: &str) {
        self.play(
            &json!({"type": "SET", "object": serde_json::from_str::<Value>(object).expect("an object")}).to_string(),
        );
    }

    /// Does again what a recorded line of a watch tells.
    pub fn play(&self, line: &str) {
        let event: Value = serde_json::from_str(line).expect("an event of a watch");
        let mut object = event["object"].clone();
        if event["type"] == "BOOKMARK" {
            return;
        }
        let collection = collection(&object);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        let mut state = self.shared.lock();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let objects = state.objects.entry(collection.clone()).or_default();
        let key = format!("{namespace}/{name}");
        let kind = match event["type"].as_str() {
            Some("DELETED") => {
                objects.remove(&key);
                "DELETED"
            }
            _ if objects.insert(key, object.clone()).is_some() => "MODIFIED",
            _ => "ADDED",
        };
        state.events.push(Event { version, collection, namespace, line: json!({"type": kind, "object": object}) });
        drop(state);
        self.shared.wake();
    }

    /// Removes an object by the collection's path (`/api/v1/pods`).
    pub fn delete(&self, collection: &str, namespace: &str, name: &str) {
        let object = {
            let state = self.shared.lock();
            state.objects.get(collection).and_then(|objects| objects.get(&format!("{namespace}/{name}"))).cloned()
        };
        let object = object.expect("an object that is there");
        self.play(&json!({"type": "DELETED", "object": object}).to_string());
    }

    /// A container prints a line, which begins with its time.
    pub fn print(&self, container: &str, line: &str) {
        let mut state = self.shared.lock();
        let instances = state.logs.entry(container.to_owned()).or_default();
        match instances.last_mut().filter(|instance| !instance.ended) {
            Some(instance) => instance.lines.push(format!("{line}\n")),
            None => instances.push(Instance { lines: vec![format!("{line}\n")], ended: false }),
        }
        drop(state);
        self.shared.wake();
    }

    /// The present instance of a container ends; what it prints next is the next one's.
    pub fn end(&self, container: &str) {
        if let Some(instance) = self.shared.lock().logs.entry(container.to_owned()).or_default().last_mut() {
            instance.ended = true;
        }
        self.shared.wake();
    }

    /// Refuses requests with `part` in their path or query; `0` for no longer.
    pub fn refuse(&self, part: &str, status: u16) {
        let mut state = self.shared.lock();
        state.refusals.retain(|(known, _)| known != part);
        if status != 0 {
            state.refusals.push((part.to_owned(), status));
        }
    }

    /// Closes every connection.
    pub fn hang_up(&self) {
        self.shared.lock().epoch += 1;
        self.shared.wake();
    }

    /// Forgets what has happened: who wants to watch from an older version must list again.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.version += 1;
        state.oldest = state.version;
        state.events.clear();
    }

    /// Path and query of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }
}

impl Drop for FakeKubernetes {
    fn drop(&mut self) {
        self.accept.abort();
        self.hang_up();
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut first, mut line) = (String::new(), String::new());
        stream.read_line(&mut first).await?;
        while stream.read_line(&mut line).await? > 2 {
            line.clear();
        }
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query: BTreeMap<String, String> = query.split('&').filter_map(pair).collect();
        let (refusal, epoch) = {
            let mut state = self.lock();
            state.requests.push(target.clone());
            let refusal = state.refusals.iter().find(|(part, _)| target.contains(part)).map(|(_, status)| *status);
            (refusal, state.epoch)
        };
        if let Some(status) = refusal {
            return refuse(&mut stream, status, "refused by the test").await;
        }
        if path == "/version" {
            return answer(&mut stream, 200, &json!({"major": "1", "minor": "33", "gitVersion": "v1.33.4"})).await;
        }
        let (collection, namespace, rest) = split(path);
        if rest.last().is_some_and(|last| *last == "log") {
            let container = query.get("container").map_or("", String::as_str);
            let key = format!("{namespace}/{}/{container}", rest[0]);
            return self.log(&mut stream, &key, &query, epoch).await;
        }
        if let Some(name) = rest.first() {
            let object = {
                let state = self.lock();
                state.objects.get(&collection).and_then(|objects| objects.get(&format!("{namespace}/{name}"))).cloned()
            };
            return match object {
                Some(object) => answer(&mut stream, 200, &object).await,
                None => refuse(&mut stream, 404, &format!("{name:?} not found")).await,
            };
        }
        if query.contains_key("watch") {
            return self.watch(&mut stream, &collection, namespace, &query, epoch).await;
        }
        let list = {
            let state = self.lock();
            let objects = state.objects.get(&collection).into_iter().flat_map(BTreeMap::values);
            let items: Vec<_> = objects
                .filter(|object| namespace.is_empty() || object["metadata"]["namespace"] == namespace)
                .filter(|object| selected(object, &query))
                .cloned()
                .collect();
            json!({"kind": "List", "metadata": {"resourceVersion": state.version.to_string()}, "items": items})
        };
        answer(&mut stream, 200, &list).await
    }

    async fn watch(
        &self,
        stream: &mut BufReader<TcpStream>,
        collection: &str,
        namespace: &str,
        query: &BTreeMap<String, String>,
        epoch: u64,
    ) -> std::io::Result<()> {
        let mut changes = self.changes.subscribe();
        let mut told: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
        if told < self.lock().oldest {
            return refuse(stream, 410, "too old resource version").await;
        }
        stream.write_all(HEAD.as_bytes()).await?;
        loop {
            changes.borrow_and_update();
            let events: Vec<Event> = {
                let state = self.lock();
                if state.epoch != epoch {
                    return Ok(());
                }
                let new = state.events.iter().filter(|event| event.version > told && event.collection == collection);
                let new = new.filter(|event| namespace.is_empty() || event.namespace == namespace);
                new.filter(|event| selected(&event.line["object"], query)).cloned().collect()
            };
            for event in events {
                chunk(stream, &format!("{}\n", event.line)).await?;
                told = event.version;
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn log(
        &self,
        stream: &mut BufReader<TcpStream>,
        container: &str,
        query: &BTreeMap<String, String>,
        epoch: u64,
    ) -> std::io::Result<()> {
        let mut changes = self.changes.subscribe();
        let back = if query.contains_key("previous") { 2 } else { 1 };
        let instance = |state: &State| {
            let instances = state.logs.get(container)?;
            let index = instances.len().checked_sub(back)?;
            Some((index, instances[index].clone()))
        };
        let found = instance(&self.lock());
        let Some((index, _)) = found else {
            return match back {
                2 => refuse(stream, 400, "previous terminated container not found").await,
                _ => refuse(stream, 400, "container is waiting to start: ContainerCreating").await,
            };
        };
        // The kubelet is told whole seconds.
        let since = query.get("sinceTime").map(|since| since[..19].to_owned());
        let (mut sent, mut began) = (0, false);
        loop {
            changes.borrow_and_update();
            let (lines, ended) = {
                let state = self.lock();
                if state.epoch != epoch {
                    return Ok(());
                }
                let instance = &state.logs[container][index];
                (instance.lines[sent..].to_vec(), instance.ended || index + 1 < state.logs[container].len())
            };
            sent += lines.len();
            let mut text = String::new();
            for line in lines.iter().filter(|line| since.as_ref().is_none_or(|since| line[..19] >= **since)) {
                text += line;
            }
            let follows = query.contains_key("follow") && !ended;
            // Nothing at all is said before the first line.
            if !began && (!text.is_empty() || !follows) {
                stream.write_all(HEAD.as_bytes()).await?;
                began = true;
            }
            if !text.is_empty() {
                chunk(stream, &text).await?;
            }
            if !follows {
                return stream.write_all(b"0\r\n\r\n").await;
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

async fn chunk(stream: &mut BufReader<TcpStream>, text: &str) -> std::io::Result<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await
}

async fn refuse(stream: &mut BufReader<TcpStream>, status: u16, message: &str) -> std::io::Result<()> {
    answer(stream, status, &json!({"kind": "Status", "status": "Failure", "message": message, "code": status})).await
}

async fn answer(stream: &mut BufReader<TcpStream>, status: u16, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let mut head = format!("HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n");
    let _ = write!(head, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

/// Where objects of this kind are.
fn collection(object: &Value) -> String {
    let group = object["apiVersion"].as_str().expect("an apiVersion");
    let kind = object["kind"].as_str().expect("a kind").to_lowercase();
    let plural = match kind.as_str() {
        "endpoints" | "podlogs" => kind,
        "ingress" => "ingresses".to_owned(),
        kind => format!("{kind}s"),
    };
    if group.contains('/') { format!("/apis/{group}/{plural}") } else { format!("/api/{group}/{plural}") }
}

/// The collection without its namespace, the namespace, and what stands behind.
fn split(path: &str) -> (String, &str, Vec<&str>) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = if parts[0] == "api" { 2 } else { 3 };
    let (group, rest) = parts.split_at(group.min(parts.len()));
    match rest {
        ["namespaces", namespace, plural, rest @ ..] => {
            (format!("/{}/{plural}", group.join("/")), namespace, rest.to_vec())
        }
        [plural, rest @ ..] => (format!("/{}/{plural}", group.join("/")), "", rest.to_vec()),
        [] => (String::new(), "", Vec::new()),
    }
}

/// Selectors of one equation each, as far as tests need them.
fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let equation = |name: &str| query.get(name).and_then(|selector| selector.split_once('='));
    let label = equation("labelSelector").is_none_or(|(name, value)| object["metadata"]["labels"][name] == value);
    let field = equation("fieldSelector").is_none_or(|(path, value)| {
        let found = path.split('.').fold(object, |object, part| &object[part]);
        found == value
    });
    label && field
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.to_owned(), value.replace("%3A", ":").replace("%3D", "=").replace("%2F", "/").replace('+', " ")))
}
