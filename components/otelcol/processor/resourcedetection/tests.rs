//! What the Collector was recorded to do, and what detectors find in small stand-ins of their clouds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sdk_protocols_otlp::model::AnyValue;
use sdk_testing::component::{decode, scope};
use sdk_testing::oracle::cases;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::world::World;
use super::{Arguments, Component, detectors};
use crate::environment::{test, variable};
use crate::testing::{Bench, eventually, recorded, spans};

#[tokio::test]
async fn as_recorded() {
    let Some(rows) = cases::<Json>("pipelines/otelcol/resourcedetection.jsonl") else { return };
    // All rows have the same environment.
    let environment = rows.iter().find_map(|row| row["environment"].as_object()).unwrap();
    test::set(environment.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
    recorded::<Component>("resourcedetection").await;
}

/// A metadata service: answers to paths, `PUT` included; anything else is not found. A header may be required.
async fn service(answers: &[(&str, &str)], required: Option<&str>) -> String {
    let answers: BTreeMap<String, String> =
        answers.iter().map(|(path, body)| ((*path).into(), (*body).into())).collect();
    let (answers, required) = (Arc::new(answers), required.map(str::to_owned));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).to_lowercase();
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let allowed = request.starts_with("put") || required.as_ref().is_none_or(|header| request.contains(header));
            let answer = answers.iter().find(|(known, _)| known.to_lowercase() == path).filter(|_| allowed);
            let (status, body) = answer.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body));
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    };
    base_sys::task::spawn("metadata service", serve);
    format!("http://{address}")
}

fn arguments(text: &str) -> Arguments {
    decode(&format!("{text}\noutput {{ }}\n"), &scope([])).unwrap()
}

/// What one detector finds.
async fn found(name: &str, config: &str, world: &World) -> Result<Json, String> {
    let found = detectors::detect(name, &arguments(config), world).await?;
    let json = |value: AnyValue| match value {
        AnyValue::Int(value) => json!(value),
        AnyValue::Array(list) => list.iter().map(|value| value.to_text().into_owned()).collect(),
        value => json!(value.to_text()),
    };
    Ok(found.into_iter().map(|(key, value)| (key, json(value))).collect::<serde_json::Map<_, _>>().into())
}

fn world(base: &str, root: &Path) -> World {
    World::new(variable, root, [base, base, base], Duration::from_secs(30)).unwrap()
}

#[tokio::test]
async fn ec2_is_known_by_its_document_and_tags() {
    let document = r#"{"region": "eu-west-1", "accountId": "1", "availabilityZone": "eu-west-1a", "instanceId": "i-1",
        "imageId": "ami-1", "instanceType": "m5.large", "version": "2017-09-30"}"#;
    let answers = [
        ("/latest/api/token", "secret"),
        ("/latest/meta-data/instance-id", "i-1"),
        ("/latest/dynamic/instance-identity/document", document),
        ("/latest/meta-data/hostname", "ip-1.internal"),
        ("/latest/meta-data/tags/instance", "team\nother"),
        ("/latest/meta-data/tags/instance/team", "blue"),
    ];
    let base = service(&answers, Some("x-aws-ec2-metadata-token: secret")).await;
    let config = "ec2 {\n tags = [\"^team$\"]\n tags_from_imds = true\n resource_attributes {\n host.type {\n enabled = false\n }\n }\n}";
    assert_eq!(
        found("ec2", config, &world(&base, Path::new("/nonexistent"))).await.unwrap(),
        json!({
            "cloud.provider": "aws", "cloud.platform": "aws_ec2", "cloud.region": "eu-west-1", "cloud.account.id": "1",
            "cloud.availability_zone": "eu-west-1a", "host.id": "i-1", "host.image.id": "ami-1",
            "host.name": "ip-1.internal", "ec2.tag.team": "blue",
        })
    );
}

#[tokio::test]
async fn where_nobody_answers_nothing_is_found_unless_that_is_a_failure() {
    let base = service(&[], None).await;
    let world = world(&base, Path::new("/nonexistent"));
    for name in [
        "ec2",
        "gcp",
        "azure",
        "digitalocean",
        "hetzner",
        "scaleway",
        "upcloud",
        "vultr",
        "heroku",
        "lambda",
        "elasticbeanstalk",
        "kubernetes_node",
    ] {
        assert_eq!(found(name, "", &world).await, Ok(json!({})), "{name}");
        let strict = found(name, "fail_on_missing_metadata = true", &world).await;
        assert!(strict.as_ref().is_err_and(|error| error.starts_with(name)), "{name}: {strict:?}");
    }
    assert!(found("vultr", "vultr {\n fail_on_missing_metadata = true\n}", &world).await.is_err());
}

#[tokio::test]
async fn azure_and_its_clusters() {
    let compute = r#"{"location": "westeurope", "name": "vm", "vmId": "id", "vmSize": "D2", "subscriptionId": "sub",
        "resourceGroupName": "MC_group_cluster_westeurope", "zone": "2", "osProfile": {"computerName": "host"},
        "tagsList": [{"name": "team", "value": "blue"}, {"name": "x", "value": "y"}]}"#;
    let path = "/metadata/instance/compute?api-version=2020-09-01&format=json";
    let base = service(&[(path, compute)], Some("metadata: true")).await;
    let world = world(&base, Path::new("/nonexistent"));
    assert_eq!(
        found("azure", "azure {\n tags = [\"team\"]\n}", &world).await.unwrap(),
        json!({
            "cloud.provider": "azure", "cloud.platform": "azure.vm", "host.name": "host", "cloud.region": "westeurope",
            "host.id": "id", "cloud.account.id": "sub", "azure.vm.name": "vm", "azure.vm.size": "D2",
            "azure.resourcegroup.name": "MC_group_cluster_westeurope", "azure.tag.team": "blue",
        })
    );
    assert_eq!(found("aks", "", &world).await, Ok(json!({})));
    test::set([("KUBERNETES_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned())]);
    let config = "aks {\n resource_attributes {\n k8s.cluster.name {\n enabled = true\n }\n }\n}";
    assert_eq!(
        found("aks", config, &world).await.unwrap(),
        json!({ "cloud.provider": "azure", "cloud.platform": "azure.aks", "k8s.cluster.name": "cluster" })
    );
}

#[tokio::test]
async fn gcp_machines_clusters_and_services() {
    let base = "/computeMetadata/v1/";
    let answers = [
        ("project/project-id", "proj"),
        ("instance/zone", "projects/1/zones/us-central1-a"),
        ("instance/region", "projects/1/regions/us-central1"),
        ("instance/machine-type", "projects/1/machineTypes/n1"),
        ("instance/id", "77"),
        ("instance/name", "vm"),
        ("instance/attributes/created-by", "projects/1/zones/us-central1-a/instanceGroupManagers/mig"),
        ("instance/attributes/cluster-name", "cluster"),
        ("instance/attributes/cluster-location", "us-central1"),
    ];
    let answers: Vec<(String, &str)> = answers.iter().map(|(path, body)| (format!("{base}{path}"), *body)).collect();
    let answers: Vec<(&str, &str)> = answers.iter().map(|(path, body)| (&path[..], *body)).collect();
    let world = world(&service(&answers, Some("metadata-flavor: google")).await, Path::new("/nonexistent"));
    assert_eq!(
        found("gcp", "", &world).await.unwrap(),
        json!({
            "cloud.provider": "gcp", "cloud.account.id": "proj", "cloud.platform": "gcp_compute_engine",
            "cloud.region": "us-central1", "cloud.availability_zone": "us-central1-a",
            "host.type": "projects/1/machineTypes/n1", "host.id": "77", "host.name": "vm",
            "gcp.gce.instance.group_manager.name": "mig", "gcp.gce.instance.group_manager.zone": "us-central1-a",
        })
    );
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    test::set([set("KUBERNETES_SERVICE_HOST", "10.0.0.1")]);
    assert_eq!(
        found("gcp", "", &world).await.unwrap(),
        json!({
            "cloud.provider": "gcp", "cloud.account.id": "proj", "cloud.platform": "gcp_kubernetes_engine",
            "cloud.region": "us-central1", "k8s.cluster.name": "cluster", "host.id": "77",
        })
    );
    test::set([set("K_CONFIGURATION", "c"), set("K_SERVICE", "s"), set("K_REVISION", "r")]);
    let service = found("gcp", "", &world).await.unwrap();
    assert_eq!(service["cloud.platform"], "gcp_cloud_run");
    assert_eq!((&service["faas.name"], &service["faas.version"]), (&json!("s"), &json!("r")));
}

#[tokio::test]
async fn small_clouds_are_known_by_one_document() {
    let document =
        r#"{"droplet_id": 5, "hostname": "h", "region": "fra1", "cloud_name": "upcloud", "instance_id": "u"}"#;
    let vultr = r#"{"hostname": "h", "instanceid": "old", "instance-v2-id": "new", "region": {"regioncode": "EWR"}}"#;
    let scaleway = r#"{"id": "s", "name": "h", "commercial_type": "DEV1", "organization": "o",
        "location": {"zone_id": "fr-par-1"}, "image": {"id": "i", "name": "n"}}"#;
    let answers = [
        ("/metadata/v1.json", document),
        ("/v1.json", vultr),
        ("/conf?format=json", scaleway),
        ("/hetzner/v1/metadata/hostname", "h"),
        ("/hetzner/v1/metadata/instance-id", "9"),
        ("/hetzner/v1/metadata/region", "eu-central"),
        ("/hetzner/v1/metadata/availability-zone", "fsn1-dc14"),
    ];
    let world = world(&service(&answers, None).await, Path::new("/nonexistent"));
    for (name, expected) in [
        (
            "digitalocean",
            json!({ "cloud.provider": "digitalocean", "host.id": "5", "host.name": "h", "cloud.region": "fra1" }),
        ),
        ("upcloud", json!({ "cloud.provider": "upcloud", "host.id": "u", "host.name": "h", "cloud.region": "fra1" })),
        ("vultr", json!({ "cloud.provider": "vultr", "host.id": "new", "host.name": "h", "cloud.region": "ewr" })),
        (
            "hetzner",
            json!({
                "cloud.provider": "hetzner", "host.id": "9", "host.name": "h", "cloud.region": "eu-central",
                "cloud.availability_zone": "fsn1-dc14",
            }),
        ),
        (
            "scaleway",
            json!({
                "cloud.account.id": "o", "cloud.provider": "scaleway_cloud", "cloud.platform": "scaleway_cloud_compute",
                "cloud.region": "fr-par", "cloud.availability_zone": "fr-par-1", "host.id": "s", "host.image.id": "i",
                "host.image.name": "n", "host.name": "h", "host.type": "DEV1",
            }),
        ),
    ] {
        assert_eq!(found(name, "", &world).await, Ok(expected), "{name}");
    }
}

#[tokio::test]
async fn what_is_no_document_is_a_failure() {
    let base = service(&[("/v1.json", "<html>")], None).await;
    let error = found("vultr", "", &world(&base, Path::new("/nonexistent"))).await.unwrap_err();
    assert!(error.contains("answers no metadata"), "{error}");
}

#[tokio::test]
async fn variables_and_files_tell_where_we_are() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("var/elasticbeanstalk/xray");
    std::fs::create_dir_all(&folder).unwrap();
    let environment = r#"{"deployment_id": 23, "version_label": "v", "environment_name": "prod"}"#;
    std::fs::write(folder.join("environment.conf"), environment).unwrap();
    let world = world("http://127.0.0.1:1", root.path());
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    test::set([
        set("OTEL_RESOURCE_ATTRIBUTES", " a = b%2Cc , a=2,d=e+f,"),
        set("HEROKU_DYNO_ID", "dyno"),
        set("HEROKU_APP_NAME", "app"),
        set("AWS_LAMBDA_FUNCTION_NAME", "f"),
        set("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
    ]);
    for (name, expected) in [
        ("env", json!({ "a": "2", "d": "e f" })),
        ("heroku", json!({ "service.instance.id": "dyno", "service.name": "app" })),
        (
            "lambda",
            json!({
                "cloud.provider": "aws", "cloud.platform": "aws_lambda", "faas.name": "f", "faas.instance": "stream",
                "aws.log.stream.names": ["stream"],
            }),
        ),
        (
            "elasticbeanstalk",
            json!({
                "cloud.provider": "aws", "cloud.platform": "aws_elastic_beanstalk", "service.instance.id": "23",
                "deployment.environment": "prod", "service.version": "v",
            }),
        ),
    ] {
        assert_eq!(found(name, "", &world).await, Ok(expected), "{name}");
    }
    test::set([set("OTEL_RESOURCE_ATTRIBUTES", "a")]);
    assert!(found("env", "", &world).await.unwrap_err().contains("invalid resource format: \"a\""));
}

#[tokio::test]
async fn the_system_tells_what_it_is_asked() {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n"),
        ("etc/machine-id", "abc\n"),
        ("proc/sys/kernel/osrelease", "6.1\n"),
        ("proc/cpuinfo", "vendor_id\t: GenuineIntel\nmodel\t\t: 85\ncache size\t: 512 KB\n\nvendor_id\t: other\n"),
    ] {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let on = [
        "host.id",
        "os.name",
        "os.version",
        "os.description",
        "host.cpu.vendor.id",
        "host.cpu.model.id",
        "host.cpu.cache.l2.size",
        "host.arch",
        "host.interface",
    ];
    let on: String = on.iter().map(|name| format!("{name} {{\n enabled = true\n }}\n")).collect();
    let config = format!("system {{\n hostname_sources = [\"os\"]\n resource_attributes {{\n {on} }}\n}}");
    let found = found("system", &config, &world("http://127.0.0.1:1", root.path())).await.unwrap();
    for (name, expected) in [
        ("host.id", json!("abc")),
        ("os.type", json!("linux")),
        ("os.name", json!("debian")),
        ("os.version", json!("12")),
        ("os.description", json!("Debian 12 (Linux 6.1)")),
        ("host.cpu.vendor.id", json!("GenuineIntel")),
        ("host.cpu.model.id", json!("85")),
        ("host.cpu.cache.l2.size", json!(512)),
    ] {
        assert_eq!(found[name], expected, "{name}");
    }
    assert!(found["host.name"].as_str().is_some_and(|name| !name.is_empty()));
    assert!(found["host.interface"].as_array().unwrap().contains(&json!("lo")), "{}", found["host.interface"]);
}

#[tokio::test]
async fn data_is_refused_while_a_detector_fails_and_taken_once_it_does_not() {
    test::set([("OTEL_RESOURCE_ATTRIBUTES".to_owned(), "broken".to_owned())]);
    let bench = Bench::<Component>::start("output {\n traces = [next]\n}\n").unwrap();
    let refused = bench.send(&spans(1)).await.unwrap_err();
    assert!(refused.retryable && refused.reason.contains("invalid resource format"), "{refused}");
    test::set([("OTEL_RESOURCE_ATTRIBUTES".to_owned(), "a=b".to_owned())]);
    eventually(async || bench.send(&spans(1)).await.ok()).await.detach();
    let attribute = &bench.out()[0]["resourceSpans"][0]["resource"]["attributes"][0];
    assert_eq!(attribute, &json!({ "key": "a", "value": { "stringValue": "b" } }));
}

#[test]
fn detectors_that_are_not_there_are_refused_by_name() {
    for (config, word) in [
        ("detectors = [\"consul\"]", "the detector \"consul\" is not supported yet"),
        ("detectors = [\"bogus\"]", "invalid detector: bogus"),
        ("detectors = []", "at least one detector"),
        ("detectors = [\"ec2\"]\nec2 {\n tags = [\"a\"]\n}", "from the metadata of the instance only"),
        (
            "detectors = [\"kubernetes_node\"]\nkubernetes_node {\n auth_type = \"tls\"\n}",
            "auth_type \"tls\" is not supported",
        ),
        ("detectors = [\"system\"]\nsystem {\n hostname_sources = [\"x\"]\n}", "invalid value: \"x\""),
    ] {
        let error = decode::<Arguments>(&format!("{config}\noutput {{ }}\n"), &scope([])).unwrap_err();
        assert!(error.contains(word), "{config}: {error}");
    }
}
