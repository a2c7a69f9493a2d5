//! Pods' logs end to end, on both ways: files of a node, and the API. What a kubelet and an API server do is played.

use std::path::Path;
use std::time::Duration;

use sdk_testing::kubernetes::FakeKubernetes;
use sdk_testing::oracle;
use sdk_testing::sink::{self, Protocol, Tally};

use crate::process::{PATIENCE, Running, Started, run};

const POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web-0", "uid": "u1",
      "labels": {"app": "web"}},
    "spec": {"nodeName": "node-a", "containers": [{"name": "nginx", "image": "i"}]},
    "status": {"phase": "Running", "podIP": "10.1.0.5", "containerStatuses": [
        {"name": "nginx", "restartCount": 0, "state": {"running": {}}, "containerID": "c0"}]}}"#;

/// An example of ours, with the addresses of this test.
fn example(name: &str, api: &FakeKubernetes, sink: u16, pods: &Path) -> String {
    let text = std::fs::read_to_string(oracle::root().join("examples").join(name)).expect("the example is there");
    let api = format!("api_server = {:?}", api.url());
    let client = format!("\tclient {{\n\t\t{api}\n\t}}\n");
    text.replace("http://loki:3100", &format!("http://127.0.0.1:{sink}"))
        .replace("/var/log/pods", &pods.display().to_string())
        .replace("coalesce(sys.env(\"NODE_NAME\"), constants.hostname)", "\"node-a\"")
        .replace("\trole = \"pod\"\n", &format!("\trole = \"pod\"\n\t{api}\n"))
        .replace(
            "\ttargets    = discovery.relabel.pods.output\n",
            &format!("\ttargets = discovery.relabel.pods.output\n{client}"),
        )
        .replace("\tlog_format = \"json\"\n", &format!("\tlog_format = \"json\"\n{client}"))
        .replace("sync_period  = \"5s\"", "sync_period = \"100ms\"")
}

async fn arrive(running: &mut Running, tally: &Tally, expected: &[&str]) {
    let lines = || {
        let lines = tally.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let texts =
            lines.unwrap_or_default().into_iter().map(|line| String::from_utf8_lossy(&line).trim_end().to_owned());
        let mut texts: Vec<String> = texts.collect();
        texts.sort();
        texts
    };
    let start = std::time::Instant::now();
    while lines().len() < expected.len() && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lines = lines();
    if lines != expected {
        let components = running.http("GET", "/api/v0/web/components", &[]).2;
        panic!("{lines:?} instead of {expected:?}:\n{components}\n{}", running.read_log().join("\n"));
    }
}

async fn start(config: String) -> (tempfile::TempDir, Box<Running>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("config.alloy"), config).expect("a configuration");
    let path = folder.path().to_owned();
    let started = tokio::task::spawn_blocking(move || run(&path, &[], "config.alloy")).await.expect("it returns");
    match started {
        Started::Running(running) => (folder, running),
        Started::Refused(code, lines) => panic!("it ended with {code:?}: {}", lines.join("\n")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_files_of_a_nodes_pods_arrive_as_their_containers_printed_them() {
    let (port, tally) = sink::http(Protocol::Loki).await.expect("a sink");
    tally.keep_lines();
    let api = FakeKubernetes::start().await;
    let pods = tempfile::tempdir().expect("a temporary folder");
    let container = pods.path().join("shop_web-0_u1/nginx");
    std::fs::create_dir_all(&container).expect("a folder");
    let text =
        "2025-10-09T08:53:20.1Z stdout F one\n2025-10-09T08:53:20.2Z stderr P tw\n2025-10-09T08:53:20.3Z stderr F o\n";
    std::fs::write(container.join("0.log"), text).expect("a log");
    let (_folder, mut running) = start(example("kubernetes-pod-logs.alloy", &api, port, pods.path())).await;
    // The pod is found after the start, and its container is restarted later on.
    api.set(POD);
    arrive(&mut running, &tally, &["one", "two"]).await;
    std::fs::write(container.join("1.log"), "2025-10-09T08:53:21Z stdout F three\n").expect("a log");
    arrive(&mut running, &tally, &["one", "three", "two"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_events_arrive_through_the_api() {
    let (port, tally) = sink::http(Protocol::Loki).await.expect("a sink");
    tally.keep_lines();
    let api = FakeKubernetes::start().await;
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let (_folder, mut running) = start(example("kubernetes-api-logs.alloy", &api, port, nowhere.path())).await;
    api.set(POD);
    api.print("shop/web-0/nginx", "2025-10-09T08:53:20Z one");
    api.set(
        r#"{"apiVersion": "v1", "kind": "Event", "metadata": {"namespace": "shop", "name": "e"}, "message": "hello",
            "involvedObject": {"name": "web-0", "namespace": "shop"}, "lastTimestamp": "2025-10-09T08:53:20Z"}"#,
    );
    arrive(&mut running, &tally, &["one", "{\"eventRV\":\"102\",\"msg\":\"hello\",\"name\":\"web-0\"}"]).await;
}
