//! Against a stand-in whose logs behave as a kubelet's: the head of an answer comes with the first line, `sinceTime` is
//! cut to the second, a log ends with its container, `previous` is the instance before.

use std::path::Path;
use std::time::Duration;

use language_eval::{Scope, ToValue};
use sdk_signals::{LogBatch, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::kubernetes::FakeKubernetes;

use super::*;

const WEB: &str = "shop/web-0/nginx";

/// How the pod's container is, as JSON; the kubelet tells the API server.
fn pod(uid: &str, policy: &str, restarts: u32, state: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"namespace": "shop", "name": "web-0", "uid": "{uid}"}},
            "spec": {{"restartPolicy": "{policy}", "containers": [{{"name": "nginx", "image": "i"}}]}},
            "status": {{"phase": "Running", "podIP": "10.1.0.5", "containerStatuses": [
                {{"name": "nginx", "restartCount": {restarts}, "state": {state}, "containerID": "c{restarts}"}}]}}}}"#
    )
}

const RUNNING: &str = r#"{"running": {"startedAt": "2025-10-09T08:53:00Z"}}"#;
const FAILED: &str = r#"{"terminated": {"exitCode": 1, "finishedAt": "2025-10-09T08:54:00Z"}}"#;
const DONE: &str = r#"{"terminated": {"exitCode": 0, "finishedAt": "2025-10-09T08:54:00Z"}}"#;

struct Story {
    api: FakeKubernetes,
    collector: Arc<Collector<LogBatch>>,
    scope: Scope,
    folder: tempfile::TempDir,
}

impl Story {
    async fn begin() -> Story {
        let api = FakeKubernetes::start().await;
        let (collector, receiver) = Collector::new();
        let scope = scope([("out", LogsReceiver(receiver).to_value())]);
        Story { api, collector, scope, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn config(&self, labels: &str) -> String {
        format!(
            "targets = [{{__meta_kubernetes_namespace = \"shop\", __meta_kubernetes_pod_name = \"web-0\", \
             __meta_kubernetes_pod_container_name = \"nginx\", __meta_kubernetes_pod_uid = \"u1\", {labels}}}]\n\
             forward_to = [out]\nclient {{\n api_server = {:?}\n}}\n",
            self.api.url()
        )
    }

    fn start(&self) -> Alone<Kubernetes> {
        let mut alone =
            Alone::build_in(&self.config("app = \"web\""), &self.scope, self.folder.path()).expect("good arguments");
        alone.run();
        alone
    }

    /// All lines so far, each with the value of label `app`.
    fn lines(&self) -> Vec<String> {
        let groups = self.collector.batches().into_iter().flat_map(|batch| batch.groups);
        let lines = groups.flat_map(|group| {
            let app = group.labels.get("app").unwrap_or_default().to_owned();
            group.entries.into_iter().map(move |entry| format!("{app} {}", String::from_utf8_lossy(&entry.line)))
        });
        lines.collect()
    }

    /// Waits until these lines have come, and no other.
    async fn expect(&self, expected: &[&str]) {
        for _ in 0..3000 {
            if self.lines().len() >= expected.len() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let whole: Vec<String> = expected.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(self.lines(), whole);
    }

    async fn asked_for(&self, part: &str, times: usize) {
        for _ in 0..3000 {
            if self.api.requests().iter().filter(|request| request.contains(part)).count() >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{part:?} was asked for less than {times} times: {:#?}", self.api.requests());
    }
}

#[tokio::test]
async fn lines_arrive_with_their_times_and_a_restart_neither_loses_nor_repeats_one() {
    let story = Story::begin().await;
    story.api.set(&pod("u1", "Always", 0, RUNNING));
    story.api.print(WEB, "2025-10-09T08:53:20.000000001Z one");
    let mut alone = story.start();
    story.expect(&["web one"]).await;
    let group = &story.collector.batches()[0].groups[0];
    let labels = r#"{app="web", instance="shop/web-0:nginx", job="loki.source.kubernetes.test"}"#;
    assert_eq!((group.labels.to_string().as_str(), group.entries[0].timestamp), (labels, 1_760_000_000_000_000_001));
    // Two of the same moment, the second of which comes while we are away, in the same second.
    story.api.print(WEB, "2025-10-09T08:53:20.5Z two");
    story.expect(&["web one", "web two"]).await;
    alone.stop().await.expect("it stops");
    story.api.print(WEB, "2025-10-09T08:53:20.5Z three");
    let mut alone = story.start();
    story.expect(&["web one", "web two", "web three"]).await;
    alone.stop().await.expect("it stops");
    let asked =
        story.api.requests().into_iter().rfind(|request| request.contains("/log?")).expect("a log was asked for");
    assert!(asked.contains("follow=true") && asked.contains("sinceTime=2025-10-09T08%3A53%3A20.5Z"), "{asked}");
}

#[tokio::test]
async fn a_changed_label_changes_the_label_and_nothing_else() {
    let story = Story::begin().await;
    story.api.set(&pod("u1", "Always", 0, RUNNING));
    story.api.print(WEB, "2025-10-09T08:53:20Z one");
    let mut alone = story.start();
    story.expect(&["web one"]).await;
    alone.update(&story.config("app = \"shop\""), &story.scope).expect("good arguments");
    // Discovery begins anew and knows nothing for a while.
    let nothing = format!("targets = []\nforward_to = [out]\nclient {{\n api_server = {:?}\n}}\n", story.api.url());
    alone.update(&nothing, &story.scope).expect("good arguments");
    tokio::time::sleep(Duration::from_millis(50)).await;
    alone.update(&story.config("app = \"shop\""), &story.scope).expect("good arguments");
    tokio::time::sleep(Duration::from_millis(50)).await;
    story.api.print(WEB, "2025-10-09T08:53:21Z two");
    story.expect(&["web one", "shop two"]).await;
    let opened = story.api.requests().iter().filter(|request| request.contains("/log?")).count();
    assert_eq!(opened, 1);
    alone.stop().await.expect("it stops");
    let positions = std::fs::read_to_string(positions(story.folder.path())).expect("a positions file");
    assert!(
        positions.contains("cursor-shop/web-0:nginx:u1") && positions.contains("\"1760000001000000\""),
        "{positions}"
    );
    assert!(positions.contains(r#"app="shop""#) && !positions.contains(r#"app="web""#), "{positions}");
}

fn positions(folder: &Path) -> std::path::PathBuf {
    folder.join("loki.source.kubernetes.test/positions.yml")
}

#[tokio::test]
async fn what_the_instance_before_said_last_is_read_before_the_next_one() {
    let story = Story::begin().await;
    story.api.set(&pod("u1", "Always", 0, RUNNING));
    story.api.print(WEB, "2025-10-09T08:53:20Z one");
    let mut alone = story.start();
    story.expect(&["web one"]).await;
    // The connection breaks, and before it is made again the container has crashed and was restarted.
    story.api.refuse("/log?", 502);
    story.api.hang_up();
    story.asked_for("/log?", 2).await;
    story.api.print(WEB, "2025-10-09T08:53:21Z last words");
    story.api.end(WEB);
    story.api.print(WEB, "2025-10-09T08:53:22Z good morning");
    story.api.set(&pod("u1", "Always", 1, RUNNING));
    story.api.refuse("/log?", 0);
    story.expect(&["web one", "web last words", "web good morning"]).await;
    // An end that is seen is not read twice.
    story.api.set(&pod("u1", "Always", 1, FAILED));
    story.api.end(WEB);
    story.api.print(WEB, "2025-10-09T08:53:23Z again");
    story.api.set(&pod("u1", "Always", 2, RUNNING));
    story.expect(&["web one", "web last words", "web good morning", "web again"]).await;
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_container_that_has_ended_for_good_is_read_to_its_end_and_left_alone() {
    let story = Story::begin().await;
    story.api.print(WEB, "2025-10-09T08:53:20Z one");
    story.api.print(WEB, "2025-10-09T08:53:21Z two");
    story.api.end(WEB);
    story.api.set(&pod("u1", "Never", 0, DONE));
    let mut alone = story.start();
    story.expect(&["web one", "web two"]).await;
    alone.update(&story.config("app = \"shop\""), &story.scope).expect("good arguments");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(story.lines().len(), 2);
    let opened = story.api.requests().iter().filter(|request| request.contains("/log?")).count();
    assert_eq!(opened, 1);
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_pod_of_the_same_name_is_another_one() {
    let story = Story::begin().await;
    story.api.set(&pod("u2", "Always", 0, RUNNING));
    story.api.print(WEB, "2025-10-09T08:53:20Z not mine");
    let mut alone = story.start();
    story.asked_for("/pods/web-0", 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(story.lines(), Vec::<String>::new());
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn an_api_server_that_fails_is_asked_again_and_what_is_refused_is_read_again() {
    let story = Story::begin().await;
    story.api.refuse("/pods/", 500);
    story.api.set(&pod("u1", "Always", 0, RUNNING));
    story.api.print(WEB, "2025-10-09T08:53:20Z one");
    let full = Refused::retryable("full");
    story.collector.refuse(Some(full));
    let mut alone = story.start();
    story.asked_for("/pods/", 2).await;
    story.api.refuse("/pods/", 0);
    story.asked_for("/log?", 2).await;
    story.collector.refuse(None);
    story.expect(&["web one"]).await;
    story.api.hang_up();
    story.api.print(WEB, "2025-10-09T08:53:20Z two");
    story.expect(&["web one", "web two"]).await;
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn last_words_of_a_pod_that_is_deleted_are_heard() {
    let story = Story::begin().await;
    story.api.set(&pod("u1", "Always", 0, RUNNING));
    story.api.print(WEB, "2025-10-09T08:53:20Z one");
    let mut alone = story.start();
    story.expect(&["web one"]).await;
    let nothing = format!("targets = []\nforward_to = [out]\nclient {{\n api_server = {:?}\n}}\n", story.api.url());
    alone.update(&nothing, &story.scope).expect("good arguments");
    story.api.print(WEB, "2025-10-09T08:53:21Z bye");
    story.api.end(WEB);
    story.expect(&["web one", "web bye"]).await;
    alone.stop().await.expect("it stops");
}

#[test]
fn targets_without_a_pod_are_left_out_and_bad_clients_refused() {
    let out = scope([("out", LogsReceiver(Collector::new().1).to_value())]);
    let build = |config: &str| Alone::<Kubernetes>::build(config, &out).err().unwrap_or_default();
    let fine = "targets = [{app = \"x\"}]\nforward_to = [out]\nclient {\n api_server = \"http://x\"\n}\n";
    assert_eq!(build(fine), "");
    let both = fine.replace("}\n", " kubeconfig_file = \"/y\"\n}\n");
    assert!(build(&both).contains("only one of api_server and kubeconfig_file can be set"), "{}", build(&both));
    let token = fine.replace("api_server = \"http://x\"", "bearer_token = \"t\"");
    assert!(build(&token).contains("api_server must be set when custom HTTP client configuration is provided"));
}

#[test]
fn arguments_are_alloys() {
    let schema = KubernetesArguments::schema();
    let differences = sdk_testing::schema::compare_schema(&schema, "loki.source.kubernetes").unwrap_or_default();
    assert_eq!(differences, Vec::<String>::new());
}
