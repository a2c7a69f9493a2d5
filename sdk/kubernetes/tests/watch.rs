//! Watches against a stand-in for an API server that restarts, forgets, refuses and falls silent.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt as _};
use sdk_kubernetes::objects::Pod;
use sdk_kubernetes::{Access, Change, Cluster, Scope, Timing, watch};
use sdk_net::ClientConfig;
use sdk_testing::kubernetes::FakeKubernetes;

const TIMING: Timing = Timing {
    watch: Duration::from_secs(60),
    slack: Duration::from_secs(15),
    first_wait: Duration::from_millis(20),
    longest_wait: Duration::from_millis(100),
};

type Changes = Pin<Box<dyn Stream<Item = Change<Pod>> + Send>>;

fn pod(name: &str) -> String {
    format!(r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"namespace": "n", "name": "{name}"}}}}"#)
}

fn follow(api: &FakeKubernetes, timing: Timing) -> Changes {
    let cluster = Cluster::new(Access { server: api.url(), client: ClientConfig::default() }).expect("a good address");
    Box::pin(watch(cluster, Scope::namespace("n"), timing))
}

/// What comes next, in a word.
async fn next(changes: &mut Changes) -> String {
    let change = tokio::time::timeout(Duration::from_secs(30), changes.next()).await.expect("it comes in time");
    let name = |pod: &Pod| pod.metadata.name.clone();
    match change.expect("a watch has no end") {
        Change::All(pods) => format!("all {}", pods.iter().map(name).collect::<Vec<_>>().join(" ")),
        Change::Set(pod) => format!("set {}", name(&pod)),
        Change::Gone(pod) => format!("gone {}", name(&pod)),
        Change::Failing(error) => format!("failing {error}"),
        Change::Working => "working".to_owned(),
    }
}

#[tokio::test]
async fn changes_are_told_once_over_broken_connections() {
    let api = FakeKubernetes::start().await;
    api.set(&pod("a"));
    let mut changes = follow(&api, TIMING);
    assert_eq!(next(&mut changes).await, "all a");
    api.set(&pod("b"));
    assert_eq!(next(&mut changes).await, "set b");
    api.hang_up();
    api.delete("/api/v1/pods", "n", "a");
    assert_eq!(next(&mut changes).await, "gone a");
    let lists = api.requests().iter().filter(|request| !request.contains("watch=true")).count();
    assert_eq!(lists, 1);
}

#[tokio::test]
async fn what_was_forgotten_is_listed_again() {
    let api = FakeKubernetes::start().await;
    api.set(&pod("a"));
    let mut changes = follow(&api, TIMING);
    assert_eq!(next(&mut changes).await, "all a");
    api.set(&pod("b"));
    assert_eq!(next(&mut changes).await, "set b");
    api.refuse("watch=true", 503);
    api.hang_up();
    assert_eq!(next(&mut changes).await, "failing the API server answered 503: refused by the test");
    api.delete("/api/v1/pods", "n", "b");
    api.forget();
    api.refuse("watch=true", 0);
    let mut last = next(&mut changes).await;
    while last.starts_with("failing") {
        last = next(&mut changes).await;
    }
    assert_eq!(last, "all a");
    assert_eq!(next(&mut changes).await, "working");
}

#[tokio::test]
async fn a_watch_that_does_not_end_in_its_time_is_given_up() {
    let api = FakeKubernetes::start().await;
    api.set(&pod("a"));
    // The stand-in never ends a watch by itself: as if everything between us were gone without a word.
    let timing = Timing { watch: Duration::from_millis(50), slack: Duration::from_millis(50), ..TIMING };
    let mut changes = follow(&api, timing);
    assert_eq!(next(&mut changes).await, "all a");
    let waiting = tokio::time::timeout(Duration::from_millis(600), changes.next()).await;
    assert!(waiting.is_err(), "nothing has happened");
    let watches = api.requests().iter().filter(|request| request.contains("watch=true")).count();
    assert!(watches >= 3, "{watches}");
    api.set(&pod("b"));
    assert_eq!(next(&mut changes).await, "set b");
}

#[tokio::test]
async fn who_may_not_look_is_told_why() {
    let api = FakeKubernetes::start().await;
    api.refuse("/pods", 403);
    let mut changes = follow(&api, TIMING);
    let expected = "failing the API server answered 403: refused by the test (see the rights of our service account)";
    assert_eq!(next(&mut changes).await, expected);
    api.refuse("/pods", 0);
    assert_eq!(next(&mut changes).await, "all ");
}
