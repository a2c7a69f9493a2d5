//! Against a stand-in of the API server.

use std::net::Ipv4Addr;

use sdk_component::health::HealthState;
use sdk_signals::Origin;
use sdk_testing::kubernetes::FakeKubernetes;
use serde_json::{Value as Json, json};

use super::*;
use crate::environment;
use crate::testing::{Bench, eventually};

/// A cluster, and the file that says where it is. The variable that names the file is that of this thread.
struct World {
    api: FakeKubernetes,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> World {
        let api = FakeKubernetes::start().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        let text = format!(
            "clusters: [{{name: c, cluster: {{server: \"{}\"}}}}]\nusers: []\ncontexts: [{{name: c, context: {{cluster: c, user: \"\"}}}}]\ncurrent-context: c\n",
            api.url()
        );
        std::fs::write(&file, text).unwrap();
        environment::test::set([("KUBECONFIG".to_owned(), file.display().to_string())]);
        World { api, _folder: folder }
    }

    fn watched(&self, what: &str) -> bool {
        self.api.requests().iter().any(|request| request.contains(what) && request.contains("watch=true"))
    }
}

fn start(more: &str) -> Bench<Component> {
    let config = format!(
        "auth_type = \"kubeConfig\"\n{more}\noutput {{\n traces = [next]\n metrics = [next]\n logs = [next]\n}}\n"
    );
    Bench::start(&config).unwrap()
}

/// What a resource from this address has become.
async fn told(bench: &Bench<Component>, attributes: &[(&str, &str)], peer: [u8; 4]) -> Json {
    let pairs: Vec<Json> =
        attributes.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect();
    let payload = json!({"resourceLogs": [{"resource": {"attributes": pairs}, "scopeLogs": [{"logRecords": [{}]}]}]});
    let origin = Origin { peer: Some(Ipv4Addr::from(peer).into()), ..Origin::default() };
    bench.send_from(&payload, origin).await.unwrap().detach();
    let out = bench.out().pop().unwrap();
    let pairs = out["resourceLogs"][0]["resource"]["attributes"].as_array().cloned().unwrap_or_default();
    let value = |pair: &Json| match pair["value"]["stringValue"].as_str() {
        Some(text) => json!(text),
        None => pair["value"].clone(),
    };
    pairs.iter().map(|pair| (pair["key"].as_str().unwrap().to_owned(), value(pair))).collect()
}

async fn known(bench: &Bench<Component>) {
    let healthy = async || {
        let (state, message) = bench.alone.health()?;
        (state == HealthState::Healthy && message != "started").then_some(())
    };
    eventually(healthy).await;
}

fn pod(name: &str, ip: &str, more: Json) -> Json {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("u-{name}"), "creationTimestamp": "2026-05-01T12:00:00Z",
            "labels": {"app": "web", "tier": "front", "pod-template-hash": "7d9f"},
            "annotations": {"team": "blue", "resource.opentelemetry.io/service.name": "shop-web"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d9f", "uid": "u-rs", "controller": true}],
        },
        "spec": {"nodeName": "node-a", "containers": [{"name": "c", "image": "ghcr.io/shop/web:1.4"}]},
        "status": {
            "podIP": ip, "phase": "Running", "startTime": "2026-05-01T12:00:01Z",
            "containerStatuses": [{
                "name": "c", "containerID": "containerd://abc", "restartCount": 2,
                "imageID": format!("ghcr.io/shop/web@sha256:{}", "0".repeat(64)),
            }],
        },
    });
    merge(&mut pod, more);
    pod
}

fn merge(to: &mut Json, from: Json) {
    match (to, from) {
        (Json::Object(to), Json::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(to.entry(key).or_insert(Json::Null), value));
        }
        (to, from) => *to = from,
    }
}

#[tokio::test]
async fn a_resource_gets_the_usual_of_its_pod_and_keeps_its_own() {
    let world = World::start().await;
    world.api.set(&pod("web-0", "10.0.0.7", json!({})).to_string());
    let mut bench = start("");
    known(&bench).await;
    let all = json!({
        "container.image.name": "ghcr.io/shop/web", "container.image.tag": "1.4", "k8s.deployment.name": "web",
        "k8s.namespace.name": "shop", "k8s.node.name": "node-a", "k8s.pod.name": "web-0",
        "k8s.pod.start_time": "2026-05-01T12:00:00Z", "k8s.pod.uid": "u-web-0",
    });
    assert_eq!(told(&bench, &[], [10, 0, 0, 7]).await, all);
    // An attribute that is empty counts as none.
    let mut own = all.clone();
    own["k8s.pod.name"] = json!("mine");
    assert_eq!(told(&bench, &[("k8s.pod.name", "mine"), ("k8s.node.name", "")], [10, 0, 0, 7]).await, own);
    // What the resource says goes before who sent it; `host.name` comes last.
    let mut by_attribute = all.clone();
    by_attribute["k8s.pod.ip"] = json!("10.0.0.7");
    assert_eq!(told(&bench, &[("k8s.pod.ip", "10.0.0.7")], [10, 0, 0, 9]).await, by_attribute);
    assert_eq!(told(&bench, &[("host.name", "10.0.0.7")], [10, 0, 0, 9]).await, json!({"host.name": "10.0.0.7"}));
    let count = |status: &str| {
        let labels = [("status", status), ("pod_identifier", "connection"), ("otelcol_signal", "logs")];
        bench.alone.metric("otelcol_k8s_pod_association_total", &labels)
    };
    assert_eq!((count("success"), count("error")), (Some(3.0), Some(1.0)));
    assert!(!world.watched("/replicasets") && !world.watched("/namespaces"), "nothing is watched that is not needed");
    bench.alone.stop().await.unwrap();
}

#[tokio::test]
async fn labels_annotations_and_surroundings_are_extracted_as_told() {
    let world = World::start().await;
    let object = |version: &str, kind: &str, name: &str, more: Json| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "uid": format!("u-{name}"),
            "labels": {"zone": "z1"}, "annotations": {"owner": "ops"}}});
        merge(&mut object, more);
        object.to_string()
    };
    world.api.set(&object("v1", "Namespace", "shop", json!({})));
    world.api.set(&object("v1", "Namespace", "kube-system", json!({})));
    world.api.set(&object("v1", "Node", "node-a", json!({})));
    let made_by = |kind: &str| json!({"metadata": {"uid": "u-rs", "namespace": "shop", "ownerReferences": [{"kind": kind, "name": "front", "uid": "u-front", "controller": true}]}});
    world.api.set(&object("apps/v1", "ReplicaSet", "web-7d9f", made_by("Deployment")));
    world.api.set(&object("apps/v1", "Deployment", "front", json!({"metadata": {"namespace": "shop"}})));
    world.api.set(&pod("web-0", "10.0.0.7", json!({})).to_string());
    let mut bench = start(
        r#"extract {
            metadata = ["k8s.deployment.name", "k8s.deployment.uid", "k8s.node.uid", "k8s.cluster.uid", "service.name", "service.namespace",
                "service.instance.id", "service.version", "container.id", "container.image.repo_digests", "k8s.container.name", "k8s.pod.hostname"]
            deployment_name_from_replicaset = false
            otel_annotations = true
            label {
                key = "app"
            }
            label {
                tag_name  = "labels.$1"
                key_regex = "ti(.*)"
            }
            label {
                key  = "zone"
                from = "node"
            }
            annotation {
                key      = "owner"
                from     = "namespace"
                tag_name = "who"
            }
            label {
                key  = "zone"
                from = "deployment"
            }
        }"#,
    );
    known(&bench).await;
    let digest = format!("ghcr.io/shop/web@sha256:{}", "0".repeat(64));
    assert_eq!(
        told(&bench, &[], [10, 0, 0, 7]).await,
        json!({
            "k8s.deployment.name": "front", "k8s.deployment.uid": "u-front", "k8s.node.uid": "u-node-a",
            "k8s.cluster.uid": "u-kube-system", "service.name": "shop-web", "service.namespace": "shop",
            "service.instance.id": "shop.web-0.c", "service.version": "1.4", "container.id": "abc",
            "container.image.repo_digests": {"arrayValue": {"values": [{"stringValue": digest}]}},
            "k8s.container.name": "c", "k8s.pod.hostname": "",
            "k8s.pod.labels.app": "web", "labels.er": "front", "k8s.node.labels.zone": "z1", "who": "ops",
            "k8s.deployment.label.zone": "z1",
        })
    );
    // The replica set gets to know its deployment late: the pod is looked at again.
    world.api.set(&object("apps/v1", "ReplicaSet", "web-7d9f", json!({"metadata": {"uid": "u-rs", "namespace": "shop", "ownerReferences": [{"kind": "Deployment", "name": "back", "uid": "u-back", "controller": true}]}})));
    eventually(async || (told(&bench, &[], [10, 0, 0, 7]).await["k8s.deployment.name"] == "back").then_some(())).await;
    bench.alone.stop().await.unwrap();
}

#[tokio::test]
async fn associations_are_tried_in_order_and_need_all_their_sources() {
    let world = World::start().await;
    world.api.set(&pod("web-0", "10.0.0.7", json!({})).to_string());
    world.api.set(&pod("host-0", "10.0.0.1", json!({"spec": {"hostNetwork": true}})).to_string());
    let mut bench = start(
        r#"extract {
            metadata = ["k8s.pod.name"]
        }
        pod_association {
            source {
                from = "resource_attribute"
                name = "k8s.namespace.name"
            }
            source {
                from = "resource_attribute"
                name = "container.id"
            }
        }
        pod_association {
            source {
                from = "resource_attribute"
                name = "k8s.pod.uid"
            }
        }
        pod_association {
            source {
                from = "connection"
            }
        }"#,
    );
    known(&bench).await;
    let name = async |attributes: &[(&str, &str)], peer| told(&bench, attributes, peer).await["k8s.pod.name"].clone();
    assert_eq!(name(&[("k8s.pod.uid", "u-host-0")], [10, 0, 0, 7]).await, "host-0");
    assert_eq!(
        name(&[("k8s.pod.uid", "other")], [10, 0, 0, 7]).await,
        Json::Null,
        "the first whose sources are there counts"
    );
    assert_eq!(name(&[("k8s.namespace.name", "shop")], [10, 0, 0, 7]).await, "web-0");
    assert_eq!(name(&[], [10, 0, 0, 1]).await, Json::Null, "pods in the host's network share an address");
    bench.alone.stop().await.unwrap();
}

#[tokio::test]
async fn pods_that_go_are_remembered_for_a_while_and_addresses_change_hands() {
    let world = World::start().await;
    world.api.set(&pod("web-0", "10.0.0.7", json!({})).to_string());
    world.api.set(&pod("jaeger-agent-x", "10.0.0.9", json!({})).to_string());
    world.api.set(
        &pod(
            "quiet",
            "10.0.0.10",
            json!({"metadata": {"annotations": {"opentelemetry.io/k8s-processor/ignore": "True "}}}),
        )
        .to_string(),
    );
    let mut bench = start("pod_delete_grace_period = \"300ms\"\nextract {\n metadata = [\"k8s.pod.name\"]\n}");
    known(&bench).await;
    let name = async |peer| told(&bench, &[], peer).await["k8s.pod.name"].clone();
    assert_eq!((name([10, 0, 0, 9]).await, name([10, 0, 0, 10]).await), (Json::Null, Json::Null), "excluded");
    world.api.delete("/api/v1/pods", "shop", "web-0");
    let younger = json!({"status": {"startTime": "2026-05-01T13:00:00Z"}});
    world.api.set(&pod("web-1", "10.0.0.7", younger).to_string());
    eventually(async || (name([10, 0, 0, 7]).await == "web-1").then_some(())).await;
    // A late word on the old pod does not take the address back.
    world.api.set(&pod("web-2", "10.0.0.8", json!({})).to_string());
    world.api.set(&pod("old", "10.0.0.7", json!({})).to_string());
    eventually(async || (name([10, 0, 0, 8]).await == "web-2").then_some(())).await;
    eventually(async || bench.alone.metric("otelcol_otelsvc_k8s_pod_added_total", &[]).filter(|added| *added >= 6.0))
        .await;
    assert_eq!(name([10, 0, 0, 7]).await, "web-1");
    world.api.delete("/api/v1/pods", "shop", "web-2");
    eventually(async || (name([10, 0, 0, 8]).await == Json::Null).then_some(())).await;
    assert_eq!(name([10, 0, 0, 7]).await, "web-1", "only what has gone is forgotten");
    bench.alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_down_is_told_and_nothing_known_is_lost() {
    let world = World::start().await;
    world.api.set(&pod("web-0", "10.0.0.7", json!({})).to_string());
    world.api.refuse("/pods", 503);
    let mut bench = start("extract {\n metadata = [\"k8s.pod.name\"]\n}");
    let failing = async || {
        let (state, message) = bench.alone.health()?;
        (state == HealthState::Unhealthy && message.contains("cannot watch pods")).then_some(())
    };
    eventually(failing).await;
    // Data goes on as it is.
    assert_eq!(told(&bench, &[("a", "b")], [10, 0, 0, 7]).await, json!({"a": "b"}));
    world.api.refuse("/pods", 0);
    let name = async |peer| told(&bench, &[], peer).await["k8s.pod.name"].clone();
    eventually(async || (name([10, 0, 0, 7]).await == "web-0").then_some(())).await;
    // Connections break, the server has forgotten what happened: everything is listed again.
    world.api.forget();
    world.api.hang_up();
    world.api.set(&pod("web-1", "10.0.0.8", json!({})).to_string());
    eventually(async || (name([10, 0, 0, 8]).await == "web-1").then_some(())).await;
    assert_eq!(name([10, 0, 0, 7]).await, "web-0");
    eventually(async || (bench.alone.health()?.0 == HealthState::Healthy).then_some(())).await;
    bench.alone.stop().await.unwrap();
}

#[tokio::test]
async fn senders_wait_for_pods_when_told_so() {
    let world = World::start().await;
    world.api.set(&pod("web-0", "10.0.0.7", json!({})).to_string());
    world.api.refuse("/pods", 503);
    let more = "wait_for_metadata = true\nextract {\n metadata = [\"k8s.pod.name\"]\n}";
    let mut bench = start(&format!("wait_for_metadata_timeout = \"50ms\"\n{more}"));
    let payload = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]});
    let refused = bench.send(&payload).await.unwrap_err();
    assert!(refused.retryable && refused.reason.contains("not known yet"), "{}", refused.reason);
    bench.alone.stop().await.unwrap();
    let mut bench = start(&format!("wait_for_metadata_timeout = \"1h\"\n{more}"));
    let sent = async {
        // It fails once at least before it works.
        eventually(async || bench.alone.health().filter(|(state, _)| *state == HealthState::Unhealthy)).await;
        world.api.refuse("/pods", 0);
    };
    let (told, ()) = tokio::join!(told(&bench, &[], [10, 0, 0, 7]), sent);
    assert_eq!(told, json!({"k8s.pod.name": "web-0"}));
    bench.alone.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_filters_and_passthrough_asks_nobody() {
    let world = World::start().await;
    let mut bench = start(
        "filter {\n node = \"node-a\"\n namespace = \"shop\"\n label {\n  key = \"tier\"\n  value = \"\"\n  op = \"exists\"\n }\n field {\n  key = \"status.phase\"\n  value = \"Failed\"\n  op = \"not-equals\"\n }\n}",
    );
    known(&bench).await;
    let request = world.api.requests().into_iter().find(|request| request.contains("/pods")).unwrap();
    assert!(request.starts_with("/api/v1/namespaces/shop/pods?"), "{request}");
    assert!(request.contains("labelSelector=tier&"), "{request}");
    assert!(request.ends_with("fieldSelector=status.phase%21%3DFailed%2Cspec.nodeName%3Dnode-a"), "{request}");
    bench.alone.stop().await.unwrap();
    let world = World::start().await;
    let mut bench = start("passthrough = true");
    assert_eq!(told(&bench, &[("a", "b")], [10, 0, 0, 7]).await, json!({"a": "b", "k8s.pod.ip": "10.0.0.7"}));
    assert_eq!(told(&bench, &[("k8s.pod.ip", "10.9.9.9")], [10, 0, 0, 7]).await, json!({"k8s.pod.ip": "10.9.9.9"}));
    bench.alone.stop().await.unwrap();
    assert!(world.api.requests().is_empty());
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    for (more, word) in [
        ("auth_type = \"magic\"", "magic"),
        ("auth_type = \"tls\"", "not supported yet"),
        ("watch_sync_period = \"-1s\"", "watch_sync_period"),
        ("extract {\n metadata = [\"k8s.moon\"]\n}", "k8s.moon"),
        ("extract {\n label {\n  key = \"a\"\n  key_regex = \"b\"\n }\n}", "key_regex"),
        ("extract {\n label {\n  key_regex = \"(\"\n }\n}", "missing closing"),
        ("extract {\n annotation {\n  key = \"a\"\n  from = \"moon\"\n }\n}", "moon"),
        ("filter {\n label {\n  key = \"a\"\n  value = \"b\"\n  op = \"like\"\n }\n}", "like"),
        ("filter {\n field {\n  key = \"a\"\n  value = \"b\"\n  op = \"exists\"\n }\n}", "exists"),
        ("pod_association {\n source {\n  from = \"moon\"\n }\n}", "moon"),
        ("exclude {\n pod {\n  name = \"(\"\n }\n}", "missing closing"),
    ] {
        let error = Bench::<Component>::start(&format!("{more}\noutput {{ }}\n")).err().unwrap_or_default();
        assert!(error.contains(word), "{more}: {error}");
    }
}
