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

use super::world::{Places, World};
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
            let length = request.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
            let _ = stream.read_exact(&mut body).await;
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
    let [link_local, scaleway, google, tencent, alibaba] = [base; 5].map(str::to_owned);
    let places = Places { link_local, scaleway, google, tencent, alibaba, kubernetes: Some(base.to_owned()) };
    World::new(variable, root, places, Duration::from_secs(30)).unwrap()
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
        "ecs",
        "eks",
        "akamai",
        "consul",
        "openshift",
        "kubeadm",
        "nova",
        "tencent_cvm",
        "alibaba_ecs",
    ] {
        let config = format!(
            "consul {{\n address = \"{base}\"\n}}\nopenshift {{\n address = \"{base}\"\n token = \"t\"\n tls {{\n insecure = true\n }}\n}}\n"
        );
        assert_eq!(found(name, &config, &world).await, Ok(json!({})), "{name}");
        let strict = found(name, &format!("{config}fail_on_missing_metadata = true"), &world).await;
        assert!(strict.as_ref().is_err_and(|error| error.starts_with(name)), "{name}: {strict:?}");
    }
    // These two never fail so, as in the Collector.
    for name in ["oraclecloud", "dynatrace"] {
        assert_eq!(found(name, "fail_on_missing_metadata = true", &world).await, Ok(json!({})), "{name}");
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

fn variables(pairs: &[(&str, &str)]) {
    test::set(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
}

#[tokio::test]
async fn a_task_of_ecs_is_known_by_its_metadata() {
    let task = r#"{"Cluster": "c", "TaskARN": "arn:aws:ecs:us-west-2:111:task/c/abc", "Family": "f", "Revision": "5",
        "AvailabilityZone": "us-west-2d", "LaunchType": "FARGATE", "Containers": [
        {"DockerId": "own", "Type": "NORMAL", "KnownStatus": "RUNNING", "LogDriver": "awslogs",
         "LogOptions": {"awslogs-group": "own", "awslogs-region": "r", "awslogs-stream": "own"}},
        {"DockerId": "app", "Type": "NORMAL", "KnownStatus": "RUNNING", "LogDriver": "awslogs",
         "LogOptions": {"awslogs-group": "g", "awslogs-region": "r", "awslogs-stream": "s"}},
        {"DockerId": "done", "Type": "NORMAL", "KnownStatus": "STOPPED", "LogDriver": "awslogs",
         "LogOptions": {"awslogs-group": "g2", "awslogs-region": "r", "awslogs-stream": "s2"}},
        {"DockerId": "other", "Type": "NORMAL", "KnownStatus": "RUNNING", "LogDriver": "json-file"}]}"#;
    let base = service(&[("/v4/task", task), ("/v4", r#"{"DockerId": "own"}"#)], None).await;
    let world = world(&base, Path::new("/nonexistent"));
    variables(&[("ECS_CONTAINER_METADATA_URI_V4", &format!("{base}/v4")), ("ECS_CONTAINER_METADATA_URI", "http://x")]);
    let mut expected = json!({
        "cloud.provider": "aws", "cloud.platform": "aws_ecs", "cloud.region": "us-west-2", "cloud.account.id": "111",
        "cloud.availability_zone": "us-west-2d", "aws.ecs.cluster.arn": "arn:aws:ecs:us-west-2:111:cluster/c",
        "aws.ecs.launchtype": "fargate", "aws.ecs.task.arn": "arn:aws:ecs:us-west-2:111:task/c/abc",
        "aws.ecs.task.family": "f", "aws.ecs.task.id": "abc", "aws.ecs.task.revision": "5",
        "aws.log.group.names": ["g"], "aws.log.group.arns": ["arn:aws:logs:r:111:log-group:g"],
        "aws.log.stream.names": ["s"], "aws.log.stream.arns": ["arn:aws:logs:r:111:log-group:g:log-stream:s"],
    });
    assert_eq!(found("ecs", "", &world).await, Ok(expected.clone()));

    // Version 3 tells less, and its own container may be out of reach.
    let task = r#"{"Cluster": "arn:of:cluster", "TaskARN": "arn:aws:ecs:us-west-2:111:task/abc", "Family": "f", "Revision": "5"}"#;
    let base = service(&[("/v3/task", task)], None).await;
    variables(&[("ECS_CONTAINER_METADATA_URI", &format!("{base}/v3"))]);
    let fields = expected.as_object_mut().unwrap();
    fields.retain(|name, _| {
        !name.starts_with("aws.log") && name != "aws.ecs.launchtype" && name != "cloud.availability_zone"
    });
    fields["aws.ecs.cluster.arn"] = json!("arn:of:cluster");
    fields["aws.ecs.task.arn"] = json!("arn:aws:ecs:us-west-2:111:task/abc");
    assert_eq!(found("ecs", "", &world).await, Ok(expected));

    // Whoever says where the metadata is must have it.
    let base = service(&[], None).await;
    variables(&[("ECS_CONTAINER_METADATA_URI", &base)]);
    assert!(found("ecs", "", &world).await.is_err());
}

#[tokio::test]
async fn eks_is_known_by_its_tokens_its_issuer_or_its_version() {
    const IN_A_CLUSTER: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    let issuer =
        ("/.well-known/openid-configuration", r#"{"issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/1"}"#);
    let other = ("/.well-known/openid-configuration", r#"{"issuer": "https://kubernetes.default.svc"}"#);
    let version = |text| ("/version", text);
    let known = json!({ "cloud.provider": "aws", "cloud.platform": "aws_eks" });
    for (environment, answers, expected) in [
        (vec![("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/eks.amazonaws.com/token")], vec![], true),
        (vec![("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/var/run/secrets/eks-pod-identity/token")], vec![], true),
        (vec![], vec![issuer], true),
        (vec![], vec![other, version(r#"{"gitVersion": "v1.33.1-eks-113cf36"}"#)], true),
        (vec![], vec![version(r#"{"gitVersion": "v1.33.1-eks-113cf36"}"#)], true),
        (vec![], vec![other, version(r#"{"gitVersion": "v1.33.1-gke.1"}"#)], false),
    ] {
        let base = service(&answers, None).await;
        variables(&[&environment[..], &[IN_A_CLUSTER]].concat());
        let found = found("eks", "", &world(&base, Path::new("/nonexistent"))).await;
        assert_eq!(found, Ok(if expected { known.clone() } else { json!({}) }), "{environment:?} {answers:?}");
    }

    let answers = [
        issuer,
        ("/latest/api/token", "secret"),
        ("/latest/meta-data/instance-id", "i-1"),
        ("/latest/dynamic/instance-identity/document", r#"{"accountId": "111"}"#),
    ];
    let base = service(&answers, None).await;
    variables(&[IN_A_CLUSTER]);
    let config = "eks {\n resource_attributes {\n cloud.account.id {\n enabled = true\n }\n }\n}";
    let expected = json!({ "cloud.provider": "aws", "cloud.platform": "aws_eks", "cloud.account.id": "111" });
    assert_eq!(found("eks", config, &world(&base, Path::new("/nonexistent"))).await, Ok(expected));
}

#[tokio::test]
async fn the_name_of_a_cluster_of_eks_is_a_tag_of_its_instance() {
    let described = "<DescribeInstancesResponse><reservationSet><item><ownerId>222</ownerId><instancesSet><item><tagSet>\
        <item><key>Name</key><value>x</value></item><item><key>eks:cluster-name</key><value>shop</value></item>\
        </tagSet></item></instancesSet></item></reservationSet></DescribeInstancesResponse>";
    let metadata = [
        ("/latest/api/token", "secret"),
        ("/latest/meta-data/instance-id", "i-1"),
        (
            "/latest/dynamic/instance-identity/document",
            r#"{"accountId": "111", "region": "eu-west-1", "instanceId": "i-1"}"#,
        ),
    ];
    let node = ("/api/v1/nodes/n-1", r#"{"spec": {"providerID": "aws:///eu-west-1a/i-1"}}"#);
    let config = "eks {\n resource_attributes {\n cloud.account.id {\n enabled = true\n }\n k8s.cluster.name {\n enabled = true\n }\n }\n}";
    let signed = Some("/eu-west-1/ec2/aws4_request");
    let (ec2, nobody) = (service(&[("/", described)], signed).await, service(&[], None).await);
    for (answers, ec2, expected) in [
        (&metadata[..], &ec2, json!({ "cloud.account.id": "111", "k8s.cluster.name": "shop" })),
        // The account is known without EC2.
        (&metadata[..], &nobody, json!({ "cloud.account.id": "111" })),
        (&[node][..], &ec2, json!({ "cloud.account.id": "222", "k8s.cluster.name": "shop" })),
        (&[node][..], &nobody, json!({})),
        (&[][..], &ec2, json!({})),
    ] {
        let base = service(answers, None).await;
        variables(&[
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/eks.amazonaws.com/token"),
            ("AWS_ACCESS_KEY_ID", "KEY"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL_EC2", ec2),
            ("K8S_NODE_NAME", "n-1"),
        ]);
        let mut expected = expected;
        expected["cloud.provider"] = json!("aws");
        expected["cloud.platform"] = json!("aws_eks");
        assert_eq!(found("eks", config, &world(&base, Path::new("/nonexistent"))).await, Ok(expected), "{answers:?}");
    }
}

#[tokio::test]
async fn services_that_want_a_token_get_it() {
    let document = r#"{"id": 7, "label": "h", "region": "us-ord", "type": "g6", "account_euuid": "e"}"#;
    let base =
        service(&[("/v1/token", r#"["secret"]"#), ("/v1/instance", document)], Some("metadata-token: secret")).await;
    let expected =
        json!({ "cloud.provider": "akamai_cloud", "cloud.region": "us-ord", "host.id": "7", "host.name": "h" });
    assert_eq!(found("akamai", "", &world(&base, Path::new("/nonexistent"))).await, Ok(expected));

    let answers = [
        ("/latest/api/token", "secret"),
        ("/latest/meta-data/owner-account-id", "1"),
        ("/latest/meta-data/region-id", "cn-hangzhou"),
        ("/latest/meta-data/zone-id", "cn-hangzhou-i"),
        ("/latest/meta-data/instance-id", "i-1"),
        ("/latest/meta-data/hostname", "h"),
        ("/latest/meta-data/image-id", "image"),
        ("/latest/meta-data/instance/instance-type", "ecs.g7"),
    ];
    let base = service(&answers, Some("x-aliyun-ecs-metadata-token: secret")).await;
    let expected = json!({
        "cloud.provider": "alibaba_cloud", "cloud.platform": "alibaba_cloud_ecs", "cloud.account.id": "1",
        "cloud.region": "cn-hangzhou", "cloud.availability_zone": "cn-hangzhou-i", "host.id": "i-1", "host.name": "h",
        "host.image.id": "image", "host.type": "ecs.g7",
    });
    assert_eq!(found("alibaba_ecs", "", &world(&base, Path::new("/nonexistent"))).await, Ok(expected));
}

#[tokio::test]
async fn tencent_oracle_and_openstack() {
    let oracle = r#"{"id": "ocid1", "displayName": "h", "shape": "VM.Standard", "canonicalRegionName": "us-ashburn-1",
        "availabilityDomain": "AD-1", "metadata": {"oke-cluster-display-name": "c", "realm": "oc1"}}"#;
    let nova = r#"{"uuid": "u", "hostname": "h.novalocal", "name": "h", "availability_zone": "nova", "project_id": "p",
        "meta": {"team": "blue", "other": "x"}}"#;
    let answers = [
        ("/latest/meta-data/app-id", "1"),
        ("/latest/meta-data/placement/region", "ap-guangzhou"),
        ("/latest/meta-data/placement/zone", "ap-guangzhou-3"),
        ("/latest/meta-data/instance-id", "ins-1"),
        ("/latest/meta-data/instance-name", "h"),
        ("/latest/meta-data/instance/image-id", "img-1"),
        ("/latest/meta-data/instance/instance-type", "S5"),
        ("/opc/v2/instance/", oracle),
        ("/openstack/latest/meta_data.json", nova),
    ];
    let base = service(&answers, None).await;
    let world = world(&base, Path::new("/nonexistent"));
    for (name, config, expected) in [
        (
            "tencent_cvm",
            "",
            json!({
                "cloud.provider": "tencent_cloud", "cloud.platform": "tencent_cloud_cvm", "cloud.account.id": "1",
                "cloud.region": "ap-guangzhou", "cloud.availability_zone": "ap-guangzhou-3", "host.id": "ins-1",
                "host.name": "h", "host.image.id": "img-1", "host.type": "S5",
            }),
        ),
        (
            "oraclecloud",
            "",
            json!({
                "cloud.provider": "oracle_cloud", "cloud.platform": "oracle_cloud_oke", "cloud.region": "us-ashburn-1",
                "cloud.availability_zone": "AD-1", "host.id": "ocid1", "host.name": "h", "host.type": "VM.Standard",
                "k8s.cluster.name": "c", "oracle_cloud.realm": "oc1",
            }),
        ),
        (
            "nova",
            "nova {\n labels = [\"^te\"]\n}",
            json!({
                "cloud.provider": "openstack", "cloud.platform": "openstack_nova", "cloud.availability_zone": "nova",
                "host.id": "u", "host.name": "h.novalocal", "openstack.nova.meta.team": "blue",
            }),
        ),
    ] {
        assert_eq!(found(name, config, &world).await, Ok(expected), "{name}");
    }
    let base = service(&[("/openstack/latest/meta_data.json", r#"{"uuid": "u"}"#)], None).await;
    let world = self::world(&base, Path::new("/nonexistent"));
    assert_eq!(found("nova", "", &world).await, Err("nova: the metadata has no hostname".to_owned()));
}

#[tokio::test]
async fn consul_is_asked_with_its_own_variables() {
    let agent =
        r#"{"Config": {"NodeName": "n", "Datacenter": "dc1", "NodeID": "id"}, "Meta": {"team": "blue", "os": "x"}}"#;
    let expected = json!({ "host.name": "n", "cloud.region": "dc1", "host.id": "id", "team": "blue" });
    let base = service(&[("/v1/agent/self?dc=d&ns=n", agent)], Some("x-consul-token: secret")).await;
    let world = world(&base, Path::new("/nonexistent"));
    variables(&[
        ("CONSUL_HTTP_ADDR", base.trim_start_matches("http://")),
        ("CONSUL_HTTP_TOKEN", "secret"),
        ("CONSUL_NAMESPACE", "n"),
    ]);
    let config = "consul {\n datacenter = \"d\"\n meta = [\"team\"]\n}";
    assert_eq!(found("consul", config, &world).await, Ok(expected.clone()));
    variables(&[("CONSUL_HTTP_TOKEN", "another")]);
    let config = format!(
        "consul {{\n address = \"{base}\"\n datacenter = \"d\"\n namespace = \"n\"\n token = \"secret\"\n meta = [\"team\"]\n}}"
    );
    assert_eq!(found("consul", &config, &world).await, Ok(expected));
}

#[tokio::test]
async fn clusters_are_known_by_their_api() {
    let status = |kind: &str| {
        format!(
            r#"{{"status": {{"infrastructureName": "c-1", "platformStatus": {{"type": "{kind}",
                "aws": {{"region": "US-East-1"}}, "azure": {{"cloudName": "AzurePublicCloud"}}, "gcp": {{"region": "r"}},
                "ibmcloud": {{"location": "us-south"}}, "openstack": {{"cloudName": "os"}}}}}}}}"#
        )
    };
    for (kind, more) in [
        ("AWS", json!({ "cloud.provider": "aws", "cloud.platform": "aws_openshift", "cloud.region": "us-east-1" })),
        (
            "Azure",
            json!({
                "cloud.provider": "azure", "cloud.platform": "azure.openshift", "cloud.region": "azurepubliccloud",
            }),
        ),
        ("GCP", json!({ "cloud.provider": "gcp", "cloud.platform": "gcp_openshift", "cloud.region": "r" })),
        (
            "IBMCloud",
            json!({
                "cloud.provider": "ibm_cloud", "cloud.platform": "ibm_cloud_openshift", "cloud.region": "us-south",
            }),
        ),
        ("OpenStack", json!({ "cloud.region": "os" })),
        ("BareMetal", json!({})),
    ] {
        let path = "/apis/config.openshift.io/v1/infrastructures/cluster/status";
        let base = service(&[(path, &status(kind))], Some("authorization: bearer t")).await;
        let config = format!("openshift {{\n address = \"{base}\"\n token = \"t\"\n tls {{\n insecure = true\n }}\n}}");
        let mut expected = more;
        expected["k8s.cluster.name"] = json!("c-1");
        assert_eq!(found("openshift", &config, &world(&base, Path::new("/nonexistent"))).await, Ok(expected), "{kind}");
    }

    let map = r#"{"data": {"ClusterConfiguration": "apiVersion: kubeadm.k8s.io/v1beta4\nclusterName: \"c\"\nnetworking:\n  podSubnet: x\n"}}"#;
    let namespace = r#"{"metadata": {"name": "kube-system", "uid": "u"}}"#;
    let answers = [
        ("/api/v1/namespaces/kube-system/configmaps/kubeadm-config", map),
        ("/api/v1/namespaces/kube-system", namespace),
    ];
    let base = service(&answers, None).await;
    let expected = json!({ "k8s.cluster.name": "c", "k8s.cluster.uid": "u" });
    assert_eq!(found("kubeadm", "", &world(&base, Path::new("/nonexistent"))).await, Ok(expected));
}

#[tokio::test]
async fn dynatrace_leaves_a_file_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let enrichment = folder.path().join("var/lib/dynatrace/enrichment");
    std::fs::create_dir_all(&enrichment).unwrap();
    let text = "dt.entity.host=HOST-1\nhost.name= h=1 \ndt.other=x\ndt.smartscape.host=\nno pair\n";
    std::fs::write(enrichment.join("dt_host_metadata.properties"), text).unwrap();
    let base = service(&[], None).await;
    let expected = json!({ "dt.entity.host": "HOST-1", "host.name": "h=1" });
    assert_eq!(found("dynatrace", "", &world(&base, folder.path())).await, Ok(expected));
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    for (config, word) in [
        ("detectors = [\"bogus\"]", "invalid detector: bogus"),
        ("detectors = []", "at least one detector"),
        ("detectors = [\"ec2\"]\nec2 {\n tags = [\"a\"]\n}", "from the metadata of the instance only"),
        (
            "detectors = [\"kubernetes_node\"]\nkubernetes_node {\n auth_type = \"tls\"\n}",
            "auth_type \"tls\" is not supported",
        ),
        ("detectors = [\"kubeadm\"]\nkubeadm {\n context = \"x\"\n}", "context is not supported"),
        ("detectors = [\"openshift\"]\nopenshift {\n tls {\n max_version = \"1.2\"\n }\n}", "are supported only"),
        ("detectors = [\"system\"]\nsystem {\n hostname_sources = [\"x\"]\n}", "invalid value: \"x\""),
    ] {
        let error = decode::<Arguments>(&format!("{config}\noutput {{ }}\n"), &scope([])).unwrap_err();
        assert!(error.contains(word), "{config}: {error}");
    }
}
