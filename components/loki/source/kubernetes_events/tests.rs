//! Against a stand-in that plays what a real API server said (`recorded.jsonl`, Kubernetes 1.33).

use language_eval::{Scope as Names, ToValue};
use sdk_component::health::HealthState;
use sdk_signals::Refused;
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::kubernetes::FakeKubernetes;

use super::*;

const RECORDED: &str = include_str!("recorded.jsonl");

struct Story {
    api: FakeKubernetes,
    collector: Arc<Collector<LogBatch>>,
    names: Names,
    folder: tempfile::TempDir,
}

impl Story {
    async fn begin() -> Story {
        let (collector, receiver) = Collector::new();
        let names = scope([("out", LogsReceiver(receiver).to_value())]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        Story { api: FakeKubernetes::start().await, collector, names, folder }
    }

    fn start(&self, more: &str) -> Alone<KubernetesEvents> {
        let config = format!("forward_to = [out]\nclient {{\n api_server = {:?}\n}}\n{more}", self.api.url());
        let mut alone = Alone::build_in(&config, &self.names, self.folder.path()).expect("good arguments");
        alone.run();
        alone
    }

    fn lines(&self) -> Vec<String> {
        let groups = self.collector.batches().into_iter().flat_map(|batch| batch.groups);
        groups.flat_map(|group| group.entries).map(|entry| String::from_utf8_lossy(&entry.line).into_owned()).collect()
    }

    /// Waits for so many lines; shows the last word of each.
    async fn reasons(&self, count: usize) -> Vec<String> {
        for _ in 0..3000 {
            if self.lines().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let word = |line: String| {
            let reason = line.split("reason=").nth(1).unwrap_or(&line).split(' ').next().unwrap_or_default().to_owned();
            let count = line.split("count=").nth(1).map(|rest| rest.split(' ').next().unwrap_or_default().to_owned());
            format!("{reason}{}", count.unwrap_or_default())
        };
        self.lines().into_iter().map(word).collect()
    }
}

fn event(name: &str, at: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Event", "metadata": {{"namespace": "shop", "name": "{name}"}},
            "involvedObject": {{"kind": "Pod", "name": "p", "namespace": "shop"}}, "reason": "{name}",
            "message": "a <b>", "lastTimestamp": {at}, "source": {{}}}}"#
    )
}

#[tokio::test]
async fn events_are_told_each_time_they_happen() {
    let story = Story::begin().await;
    let mut alone = story.start("");
    while !story.api.requests().iter().any(|request| request.contains("watch=true")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    RECORDED.lines().for_each(|line| story.api.play(line));
    assert_eq!(story.reasons(3).await, ["BackOff1", "BackOff2", "SuccessfulCreate"]);
    let first = &story.collector.batches()[0].groups[0];
    let labels =
        r#"{instance="loki.source.kubernetes_events.test", job="loki.source.kubernetes_events", namespace="shop"}"#;
    assert_eq!(first.labels.to_string(), labels);
    assert_eq!(Rfc3339(first.entries[0].timestamp).to_string(), "2026-11-21T10:00:05Z");
    let version = "101";
    let expected = format!(
        "name=web-0 kind=Pod objectAPIversion=v1 objectRV=77 eventRV={version} reportinginstance=node-a \
         reportingcontroller=kubelet sourcecomponent=kubelet sourcehost=node-a reason=BackOff type=Warning count=1 \
         msg=\"Back-off restarting failed container \\\"nginx\\\"\" "
    );
    assert_eq!(story.lines()[0], expected);
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_restart_neither_loses_nor_repeats_an_event_even_if_it_is_told_late() {
    let story = Story::begin().await;
    story.api.set(&event("one", r#""2026-11-21T10:00:05Z""#));
    story.api.set(&event("timeless", "null"));
    let mut alone = story.start("");
    assert_eq!(story.reasons(2).await, ["one", "timeless"]);
    alone.stop().await.expect("it stops");
    // It happened before the others, but the server learned of it later.
    story.api.set(&event("late", r#""2026-11-21T10:00:01Z""#));
    let mut alone = story.start("");
    assert_eq!(story.reasons(3).await, ["one", "timeless", "late"]);
    // The server restarts and has forgotten its past: everything is listed again, and nothing told again.
    story.api.refuse("events", 503);
    story.api.hang_up();
    while alone.health().is_none_or(|(state, _)| state != HealthState::Unhealthy) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    story.api.forget();
    story.api.set(&event("next", r#""2026-11-21T10:00:09Z""#));
    story.api.refuse("events", 0);
    assert_eq!(story.reasons(4).await, ["one", "timeless", "late", "next"]);
    alone.stop().await.expect("it stops");
    let file = story.folder.path().join("loki.source.kubernetes_events.test/positions.yml");
    let positions = std::fs::read_to_string(file).expect("a positions file");
    assert!(positions.contains("path: cursor-events\n    labels: ''\n  : \"1795255209000000\""), "{positions}");
}

#[tokio::test]
async fn what_is_refused_is_told_again() {
    let story = Story::begin().await;
    story.collector.refuse(Some(Refused::retryable("full")));
    story.api.set(&event("one", r#""2026-11-21T10:00:05Z""#));
    let mut alone = story.start("log_format = \"json\"\nnamespaces = [\"shop\", \"other\"]\n");
    tokio::time::sleep(Duration::from_millis(200)).await;
    story.collector.refuse(None);
    story.reasons(1).await;
    let expected = r#"{"eventRV":"101","kind":"Pod","msg":"a \u003cb\u003e","name":"p","reason":"one"}"#;
    assert_eq!(story.lines(), [expected]);
    alone.stop().await.expect("it stops");
}

#[test]
fn arguments_are_checked() {
    let out = scope([("out", LogsReceiver(Collector::new().1).to_value())]);
    let refusal = |more: &str| {
        let config = format!("forward_to = [out]\nclient {{\n api_server = \"http://x\"\n}}\n{more}");
        Alone::<KubernetesEvents>::build(&config, &out).err().unwrap_or_default()
    };
    assert_eq!(refusal(""), "");
    assert!(refusal("job_name = \"\"").contains("job_name must not be an empty string"));
    assert!(refusal("log_format = \"xml\"").contains("supported values of log_format are logfmt and json"));
}

#[test]
fn arguments_are_alloys() {
    use language_eval::Block as _;
    let schema = KubernetesEventsArguments::schema();
    let differences = sdk_testing::schema::compare_schema(&schema, "loki.source.kubernetes_events").unwrap_or_default();
    assert_eq!(differences, Vec::<String>::new());
}
