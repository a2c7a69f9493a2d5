//! Against a stand-in that plays what a real API server said (`recorded.jsonl`, Kubernetes 1.33). What Alloy made of it
//! stands in `expected.json`.

use std::collections::BTreeMap;

use language_eval::{Scope, Value};
use sdk_component::health::HealthState;
use sdk_testing::component::Alone;
use sdk_testing::kubernetes::FakeKubernetes;
use sdk_testing::patience::until;

use super::*;

const RECORDED: &str = include_str!("recorded.jsonl");
const EXPECTED: &str = include_str!("expected.json");

type Labels = BTreeMap<String, String>;

async fn recorded() -> FakeKubernetes {
    let api = FakeKubernetes::start().await;
    RECORDED.lines().for_each(|line| api.play(line));
    api
}

fn start(api: &FakeKubernetes, rest: &str) -> Alone<Kubernetes> {
    let config = format!("api_server = {:?}\n{rest}\n", api.url());
    Alone::start(&config, &Scope::new()).expect("it starts")
}

fn targets(alone: &Alone<Kubernetes>) -> Vec<Labels> {
    let Some(Value::Array(targets)) = alone.export("targets") else { panic!("targets are a list") };
    let labels = |target: &Value| {
        let Value::Target(target) = target else { panic!("a target") };
        target.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Labels>()
    };
    let mut targets: Vec<Labels> = targets.iter().map(labels).collect();
    targets.sort();
    targets
}

fn names(alone: &Alone<Kubernetes>) -> Vec<String> {
    let mut names: Vec<String> =
        targets(alone).iter().map(|labels| labels["__meta_kubernetes_pod_name"].clone()).collect();
    names.sort();
    names.dedup();
    names
}

fn pod(name: &str, node: &str, ip: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"namespace": "shop", "name": "{name}", "uid": "u-{name}"}},
            "spec": {{"nodeName": "{node}", "containers": [{{"name": "c", "image": "i"}}]}},
            "status": {{"podIP": "{ip}", "phase": "Running"}}}}"#
    )
}

#[tokio::test]
async fn every_role_gives_the_targets_that_alloy_gave() {
    let api = recorded().await;
    let expected: BTreeMap<String, Vec<Labels>> = serde_json::from_str(EXPECTED).expect("good expectations");
    assert_eq!(expected.len(), 12);
    for (case, mut expected) in expected {
        let (role, attach) = case.split_once('_').expect("role and whether labels are attached");
        let mut config = format!("role = {role:?}\nnamespaces {{ names = [\"shop\"] }}\n");
        if attach == "attach" {
            config += "attach_metadata {\n node = true\n namespace = true\n}\n";
        }
        let mut alone = start(&api, &config);
        until(|| !targets(&alone).is_empty()).await;
        expected.sort();
        assert_eq!(targets(&alone), expected, "{case}");
        alone.stop().await.expect("it stops");
    }
}

#[tokio::test]
async fn pods_come_change_and_go_without_being_listed_again() {
    let api = recorded().await;
    let mut alone = start(&api, r#"role = "pod""#);
    until(|| names(&alone) == ["web-0"]).await;
    api.set(&pod("db-0", "node-a", "10.1.0.8"));
    until(|| names(&alone) == ["db-0", "web-0"]).await;
    // A node's selector chooses pods; one that has no address yet is none.
    api.set(&pod("db-1", "node-a", ""));
    api.delete("/api/v1/pods", "shop", "web-0");
    until(|| names(&alone) == ["db-0"]).await;
    let address = &targets(&alone)[0]["__address__"];
    assert_eq!(address, "10.1.0.8");
    let lists = api.requests().iter().filter(|request| !request.contains("watch=true")).count();
    assert_eq!(lists, 1);
    assert_eq!(
        alone.metric("prometheus_sd_kubernetes_events_total", &[("role", "pod"), ("event", "delete")]),
        Some(1.0)
    );
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_server_that_restarts_or_forgets_loses_nothing() {
    let api = recorded().await;
    let mut alone = start(&api, r#"role = "pod""#);
    until(|| names(&alone) == ["web-0"]).await;
    api.hang_up();
    api.set(&pod("db-0", "node-a", "10.1.0.8"));
    until(|| names(&alone) == ["db-0", "web-0"]).await;

    // While it fails, what was found stays; afterwards it has forgotten what happened in between (410).
    api.refuse("pods", 503);
    api.hang_up();
    until(|| alone.health().is_some_and(|(state, _)| state == HealthState::Unhealthy)).await;
    let (_, message) = alone.health().expect("a health");
    assert_eq!(message, "the API server answered 503: refused by the test");
    assert_eq!(names(&alone), ["db-0", "web-0"]);
    api.delete("/api/v1/pods", "shop", "db-0");
    api.forget();
    api.refuse("pods", 0);
    until(|| names(&alone) == ["web-0"]).await;
    until(|| alone.health().is_some_and(|(state, _)| state == HealthState::Healthy)).await;
    assert!(alone.metric("prometheus_sd_kubernetes_failures_total", &[]) >= Some(1.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn selectors_are_for_the_server_and_reach_it() {
    let api = recorded().await;
    api.set(&pod("far-0", "node-b", "10.2.0.1"));
    let config = "role = \"pod\"\nselectors {\n role = \"pod\"\n field = \"spec.nodeName=node-b\"\n label = \"\"\n}\n";
    let mut alone = start(&api, config);
    until(|| names(&alone) == ["far-0"]).await;
    assert!(api.requests()[0].ends_with("/api/v1/pods?limit=500&fieldSelector=spec.nodeName%3Dnode-b"));
    // Other arguments are taken up at once; what was found stays until the new is known.
    alone.update(&format!("api_server = {:?}\nrole = \"pod\"\n", api.url()), &Scope::new()).expect("good arguments");
    assert_eq!(names(&alone), ["far-0"]);
    until(|| names(&alone) == ["far-0", "web-0"]).await;
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn pods_behind_a_service_are_told_with_it_when_they_come_later() {
    let api = recorded().await;
    api.delete("/api/v1/pods", "shop", "web-0");
    let mut alone = start(&api, r#"role = "endpointslice""#);
    until(|| targets(&alone).len() == 2).await;
    assert!(targets(&alone).iter().all(|labels| !labels.contains_key("__meta_kubernetes_pod_name")));
    api.set(&pod("web-0", "node-a", "10.1.0.5"));
    until(|| targets(&alone).iter().any(|labels| labels.contains_key("__meta_kubernetes_pod_name"))).await;
    alone.stop().await.expect("it stops");
}

#[test]
fn what_cannot_work_is_refused_at_load() {
    let refusal = |config: &str| {
        Alone::<Kubernetes>::build(config, &Scope::new()).err().unwrap_or_else(|| panic!("{config} is accepted"))
    };
    assert!(refusal(r#"role = "pods""#).contains("unknown Kubernetes SD role \"pods\""));
    let own = "role = \"pod\"\napi_server = \"http://x\"\nnamespaces {\n own_namespace = true\n}\n";
    assert!(refusal(own).contains("own_namespace is for the cluster that we run in"));
    assert!(refusal("role = \"pod\"\nkubeconfig_file = \"/nowhere/config\"").contains("/nowhere/config: "));
    assert!(refusal("role = \"pod\"\napi_server = \"ftp://x\"").contains("expected http:// or https://"));
}

#[test]
fn arguments_are_alloys() {
    let schema = KubernetesArguments::schema();
    let differences = sdk_testing::schema::compare_schema(&schema, "discovery.kubernetes").unwrap_or_default();
    assert_eq!(differences, Vec::<String>::new());
}
