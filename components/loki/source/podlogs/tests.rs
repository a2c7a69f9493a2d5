//! Against a stand-in for the API server.

use language_eval::{ToValue, Value};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::kubernetes::FakeKubernetes;

use super::*;

fn pod(name: &str, app: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"namespace": "shop", "name": "{name}", "uid": "u-{name}",
              "labels": {{"app": "{app}"}}}},
            "spec": {{"restartPolicy": "Always", "nodeName": "node-a", "containers": [{{"name": "c", "image": "i"}}]}},
            "status": {{"phase": "Running", "podIP": "10.1.0.5", "containerStatuses": [
                {{"name": "c", "restartCount": 0, "state": {{"running": {{}}}}, "containerID": "c0"}}]}}}}"#
    )
}

fn chooser(spec: &str) -> String {
    format!(
        r#"{{"apiVersion": "monitoring.grafana.com/v1alpha2", "kind": "PodLogs",
            "metadata": {{"namespace": "shop", "name": "web", "labels": {{"team": "web"}}}}, "spec": {spec}}}"#
    )
}

const NAMESPACE: &str =
    r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"tier": "gold"}}}"#;

const BY_APP: &str = r#"{"selector": {"matchLabels": {"app": "web"}}, "namespaceSelector": {},
    "relabelings": [{"sourceLabels": ["__meta_kubernetes_namespace_label_tier"], "targetLabel": "tier"},
                    {"action": "LabelDrop", "regex": "job"}]}"#;

struct Story {
    api: FakeKubernetes,
    collector: Arc<Collector<LogBatch>>,
    alone: Alone<PodLogs>,
}

impl Story {
    async fn begin(more: &str) -> Story {
        let api = FakeKubernetes::start().await;
        api.set(NAMESPACE);
        let (collector, receiver) = Collector::new();
        let scope = scope([("out", LogsReceiver(receiver).to_value())]);
        let config = format!("forward_to = [out]\nclient {{\n api_server = {:?}\n}}\n{more}", api.url());
        let alone = Alone::start(&config, &scope).expect("good arguments");
        Story { api, collector, alone }
    }

    async fn lines(&self, count: usize) -> Vec<String> {
        let lines = || {
            let groups = self.collector.batches().into_iter().flat_map(|batch| batch.groups);
            let lines = groups.flat_map(|group| {
                let labels = group.labels.to_string();
                group.entries.into_iter().map(move |entry| format!("{labels} {}", String::from_utf8_lossy(&entry.line)))
            });
            lines.collect::<Vec<_>>()
        };
        for _ in 0..3000 {
            if lines().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        lines()
    }

    /// Waits until the debug information has this text in it.
    async fn shows(&self, text: &str) {
        for _ in 0..3000 {
            if format!("{:?}", self.alone.component.describe().debug_info).contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{text:?} is not in {:#?}", self.alone.component.describe().debug_info);
    }
}

#[tokio::test]
async fn whoever_is_chosen_is_followed_with_the_labels_of_the_rules() {
    let mut story = Story::begin("").await;
    story.api.set(&pod("web-0", "web"));
    story.api.set(&pod("db-0", "db"));
    story.api.print("shop/web-0/c", "2025-10-09T08:53:20Z one");
    story.api.print("shop/db-0/c", "2025-10-09T08:53:20Z private");
    story.api.set(&chooser(BY_APP));
    let expected = "{instance=\"shop/web-0:c\", job=\"shop/web:c\", tier=\"gold\"} one\n";
    assert_eq!(story.lines(1).await, [expected]);
    // A pod that joins later is chosen too, once it has the label.
    story.api.set(&pod("db-0", "web"));
    assert_eq!(story.lines(2).await[1], "{instance=\"shop/db-0:c\", job=\"shop/web:c\", tier=\"gold\"} private\n");
    story.shows("pod_logs").await;
    story.alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn selectors_say_which_objects_count() {
    let selectors = "selector {\n match_expression {\n  key = \"team\"\n  operator = \"NotIn\"\n  values = [\"web\"]\n }\n}\n\
                     preserve_discovered_labels = true\n";
    let mut story = Story::begin(selectors).await;
    story.api.set(&pod("web-0", "web"));
    story.api.print("shop/web-0/c", "2025-10-09T08:53:20Z one");
    story.api.set(&chooser(BY_APP));
    story.api.set(
        &chooser(BY_APP)
            .replace("\"team\": \"web\"", "\"team\": \"db\"")
            .replace("\"web\", \"labels", "\"db\", \"labels"),
    );
    let lines = story.lines(1).await;
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains("job=\"shop/db:c\"") && lines[0].contains("__meta_kubernetes_podlogs_name=\"db\""),
        "{lines:?}"
    );
    story.alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn an_object_that_makes_no_sense_is_told_and_hurts_nobody_else() {
    let mut story = Story::begin("").await;
    story.api.set(&pod("web-0", "web"));
    story.api.print("shop/web-0/c", "2025-10-09T08:53:20Z one");
    story.api.set(&chooser(r#"{"selector": {}, "relabelings": [{"regex": "("}]}"#));
    story.shows("invalid relabelings: ").await;
    story.api.set(&chooser(r#"{"selector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}"#));
    story.shows("invalid Pod selector: ").await;
    story.api.set(&chooser(BY_APP));
    assert_eq!(story.lines(1).await.len(), 1);
    story.alone.stop().await.expect("it stops");
}

#[test]
fn arguments_are_checked() {
    let out = scope([("out", LogsReceiver(Collector::new().1).to_value())]);
    let refusal = |more: &str| {
        let config = format!("forward_to = [out]\nclient {{\n api_server = \"http://x\"\n}}\n{more}");
        Alone::<PodLogs>::build(&config, &out).err().unwrap_or_default()
    };
    assert_eq!(refusal("node_filter {\n enabled = true\n node_name = \"a\"\n}"), "");
    let bad = "selector {\n match_expression {\n  key = \"a\"\n  operator = \"Like\"\n }\n}";
    assert!(refusal(bad).contains("\"Like\" is not a valid label selector operator"), "{}", refusal(bad));
    let _ = Value::Null;
}

#[test]
fn arguments_are_alloys() {
    let schema = PodLogsArguments::schema();
    let differences = sdk_testing::schema::compare_schema(&schema, "loki.source.podlogs").unwrap_or_default();
    assert_eq!(differences, Vec::<String>::new());
}
