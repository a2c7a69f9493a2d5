//! containerd and CRI-O, as stand-ins on sockets.

use std::sync::Mutex;

use bytes::Bytes;
use sdk_protocols_grpc::server::{Config, Headers, Service, serve};
use sdk_protocols_grpc::{Code, Status};

use super::*;

/// Two more ids.
const SANDBOX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const STARTING: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const POD: &str = "/kubepods.slice/kubepods-pod1.slice";

/// A containerd. It knows [`ID`], its [`SANDBOX`], and one that is [`STARTING`] until told otherwise.
#[derive(Default)]
struct Containerd {
    has_started: Mutex<bool>,
    calls: Mutex<Vec<String>>,
}

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 16384, "two bytes of length are enough for a test");
    let length = [bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8];
    [&[number << 3 | 2][..], &length, bytes].concat()
}

fn container(id: &str, kind: &str) -> Vec<u8> {
    let label = |name: &str, value: &str| field(2, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat());
    let spec = br#"{"ociVersion": "1.1", "process": {"args": ["/web"], "env": ["FOO_A=1", "BAR=2"]}}"#;
    let fields = [
        field(1, id.as_bytes()),
        label("io.cri-containerd.kind", kind),
        label("io.kubernetes.pod.name", "shop-1"),
        label("io.kubernetes.pod.namespace", "shops"),
        label("io.kubernetes.container.name", "web"),
        field(3, b"docker.io/library/shop:1"),
        field(4, &field(1, b"io.containerd.runc.v2")),
        field(5, &[field(1, b"types.containerd.io/opencontainers/runtime-spec/1/Spec"), field(2, spec)].concat()),
    ];
    field(1, &fields.concat())
}

impl Service for Containerd {
    type Admission = String;

    fn admit(&self, path: &str, headers: &Headers) -> Result<String, Status> {
        if headers.get("containerd-namespace") != Some(b"k8s.io") {
            return Err(Status::new(Code::FailedPrecondition, "namespace is required"));
        }
        Ok(path.to_owned())
    }

    async fn call(self: Arc<Self>, path: String, message: Bytes) -> Result<Bytes, Status> {
        self.calls.lock().expect("nobody panics").push(path.clone());
        let id = String::from_utf8_lossy(message.get(2..).unwrap_or_default()).into_owned();
        let unknown = || Status::new(Code::NotFound, format!("container {id:?}: not found"));
        let has_started = *self.has_started.lock().expect("nobody panics");
        let answer = match (path.as_str(), id.as_str()) {
            ("/containerd.services.version.v1.Version/Version", _) => field(1, b"v2.1.0"),
            ("/containerd.services.containers.v1.Containers/Get", SANDBOX) => container(&id, "sandbox"),
            ("/containerd.services.containers.v1.Containers/Get", ID | STARTING) => container(&id, "container"),
            ("/containerd.services.tasks.v1.Tasks/Get", STARTING) if !has_started => return Err(unknown()),
            ("/containerd.services.tasks.v1.Tasks/Get", _) => {
                field(1, &[field(1, id.as_bytes()), vec![3 << 3, 7, 4 << 3, 2]].concat())
            }
            _ => return Err(unknown()),
        };
        Ok(answer.into())
    }
}

impl Containerd {
    /// Listens in the folder of a machine.
    fn listen(self: &Arc<Self>, machine: &Machine) -> task::Task<()> {
        let listener = UnixListener::bind(machine.path().join("containerd.sock")).expect("nobody else has it");
        let service = self.clone();
        task::spawn("containerd", async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serve(stream, service.clone(), Config::default(), std::future::pending());
                connections.push(task::spawn("containerd connection", serving));
            }
        })
    }
}

/// A machine with these cgroups in a pod.
fn pod(prefix: &str, ids: &[&str]) -> Machine {
    let machine = Machine::v2();
    for id in ids {
        machine.write(&format!("cgroup{POD}/{prefix}{id}.scope/cpu.stat"), "usage_usec 1500000\n");
        machine.write(&format!("cgroup{POD}/{prefix}{id}.scope/memory.current"), "4096\n");
    }
    std::fs::remove_dir_all(machine.cgroups().join("system.slice")).expect("it was there");
    machine
}

/// The line of a family that is about an id.
fn line(page: &str, family: &str, id: &str) -> String {
    let mut lines = page.lines().filter(|line| line.starts_with(&format!("{family}{{")) && line.contains(id));
    lines.next().unwrap_or_else(|| panic!("no {family} of {id} in {page}")).to_owned()
}

#[tokio::test]
async fn containers_of_containerd_have_the_labels_of_their_pods() {
    let machine = pod("cri-containerd-", &[ID, SANDBOX]);
    let containerd = Arc::new(Containerd::default());
    let listening = containerd.listen(&machine);
    let mut exporter = machine.exporter("env_metadata_allowlist = [\"FOO\"]");
    let first = page(&mut exporter).await;
    let line_of = |id: &str| {
        let name = if id == ID { "container" } else { "sandbox" };
        format!(
            "container_memory_usage_bytes{{container_env_FOO_A=\"1\",container_label_io_cri_containerd_kind=\"{name}\",\
             container_label_io_kubernetes_container_name=\"web\",container_label_io_kubernetes_pod_name=\"shop-1\",\
             container_label_io_kubernetes_pod_namespace=\"shops\",id=\"{POD}/cri-containerd-{id}.scope\",\
             image=\"docker.io/library/shop:1\",name=\"{id}\"}} 4096 "
        )
    };
    for id in [ID, SANDBOX] {
        assert!(line(&first, "container_memory_usage_bytes", id).starts_with(&line_of(id)), "{first}");
    }
    // A pod has one network, which is counted once.
    let network = |id: &str| samples(&first, "container_network_receive_bytes_total", id);
    assert_eq!(network(&format!("{POD}/cri-containerd-{SANDBOX}.scope")), ["1"]);
    assert!(network(&format!("{POD}/cri-containerd-{ID}.scope")).is_empty(), "{first}");
    assert!(samples(&first, "container_fs_usage_bytes", &format!("{POD}/cri-containerd-{ID}.scope")).is_empty());
    assert_eq!(exporter.news(), Some(Ok("containers are measured".to_owned())));
    listening.cut();
}

#[tokio::test]
async fn who_is_known_is_not_asked_for_again_and_who_is_starting_is() {
    let machine = pod("cri-containerd-", &[ID, STARTING]);
    // Docker answers, and does not know them; so does CRI-O, whose names are others.
    let docker = machine.http("docker.sock", |path| (path == "/info").then(|| "{}".to_owned()));
    let crio = machine.http("crio.sock", |path| (path == "/info").then(|| "{}".to_owned()));
    let containerd = Arc::new(Containerd::default());
    let listening = containerd.listen(&machine);
    let mut exporter = machine.exporter("");
    let first = page(&mut exporter).await;
    assert!(!line(&first, "container_memory_usage_bytes", STARTING).contains("image=\"docker"), "{first}");
    *containerd.has_started.lock().expect("nobody panics") = true;
    let second = page(&mut exporter).await;
    assert!(line(&second, "container_memory_usage_bytes", STARTING).contains("image=\"docker"), "{second}");
    let calls = |exporter_calls: &Containerd| exporter_calls.calls.lock().expect("nobody panics").len();
    // Of containerd itself once; twice for one, and twice two for the other.
    assert_eq!(calls(&containerd), 1 + 2 + 4);
    page(&mut exporter).await;
    assert_eq!(calls(&containerd), 1 + 2 + 4);
    for stand_in in [docker, crio, listening] {
        stand_in.cut();
    }
}

#[tokio::test]
async fn an_engine_that_goes_away_and_comes_back_is_asked_again() {
    let machine = pod("cri-containerd-", &[ID]);
    let containerd = Arc::new(Containerd::default());
    let mut exporter = machine.exporter("");
    let first = page(&mut exporter).await;
    assert!(!first.contains("name="), "{first}");
    let why = exporter.news().expect("it has not been told").expect("it does its work");
    assert!(why.contains("Docker"), "{why}");
    let listening = containerd.listen(&machine);
    assert!(page(&mut exporter).await.contains(&format!("name=\"{ID}\"")));
    assert_eq!(exporter.news(), Some(Ok("containers are measured".to_owned())));
    // What is known stays so while nobody can be asked.
    listening.cut();
    std::fs::remove_file(machine.path().join("containerd.sock")).expect("it was there");
    assert!(page(&mut exporter).await.contains(&format!("name=\"{ID}\"")));
}

#[tokio::test]
async fn containers_of_crio_are_named_and_those_who_watch_them_are_not() {
    let machine = pod("crio-", &[ID, SANDBOX]);
    machine.write(&format!("cgroup{POD}/crio-conmon-{ID}.scope/memory.current"), "1\n");
    let root = machine.path().display().to_string();
    machine.write("overlay/l1/diff/file", "written");
    machine.write("pods/web/0.log", "a line\n");
    let crio = machine.http("crio.sock", move |path| match path.strip_prefix("/containers/") {
        None => Some(format!(r#"{{"storage_driver": "overlay", "storage_root": "{root}"}}"#)),
        Some(SANDBOX) => Some(
            r#"{"name": "k8s_POD_shop", "pid": 7, "image": "pause:3", "annotations": null,
                "labels": {"io.kubernetes.container.name": "POD"}, "log_path": "", "root": "/r/merged"}"#
                .to_owned(),
        ),
        Some(id) => (id == ID).then(|| {
            format!(
                r#"{{"name": "k8s_web_shop", "pid": 8, "image": "shop:1", "created_time": 1,
                    "labels": {{"io.kubernetes.container.name": "web", "io.kubernetes.pod.name": "shop-1"}},
                    "annotations": {{"io.kubernetes.container.restartCount": "3"}},
                    "log_path": "{root}/pods/web/0.log", "root": "{root}/overlay/l1/merged"}}"#
            )
        }),
    });
    let mut exporter = machine.exporter("");
    let shown = page(&mut exporter).await;
    let found = line(&shown, "container_memory_usage_bytes", &format!("/crio-{ID}"));
    assert!(
        found.contains("container_label_io_kubernetes_pod_name=\"shop-1\",container_label_restartcount=\"3\"")
            && found.contains("image=\"shop:1\",name=\"k8s_web_shop\""),
        "{found}"
    );
    let watcher = line(&shown, "container_memory_usage_bytes", "crio-conmon");
    assert!(watcher.contains("image=\"\",name=\"\""), "{watcher}");
    assert_eq!(samples(&shown, "container_network_receive_bytes_total", &format!("{POD}/crio-{SANDBOX}.scope")), ["1"]);
    assert!(samples(&shown, "container_network_receive_bytes_total", &format!("{POD}/crio-{ID}.scope")).is_empty());
    assert_eq!(exporter.news(), Some(Ok("containers are measured".to_owned())));
    crio.cut();
}

#[tokio::test]
async fn an_engine_that_the_configuration_names_is_missed() {
    let machine = pod("crio-", &[ID]);
    let crio = machine.http("crio.sock", |_| Some("[]".to_owned()));
    let mut exporter = machine.exporter("containerd_host = \"/run/other.sock\"");
    let shown = page(&mut exporter).await;
    assert!(!shown.contains("name="), "{shown}");
    let why = exporter.news().expect("it has not been told").expect("it does its work");
    assert!(why.contains("cannot ask containerd at"), "{why}");
    crio.cut();
    let refused = Alone::<Cadvisor>::build("containerd_namespace = \"a\\nb\"", &Scope::new()).err().unwrap_or_default();
    assert!(refused.contains("it is not the name of a namespace"), "{refused}");
}
