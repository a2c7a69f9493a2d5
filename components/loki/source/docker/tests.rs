use std::sync::Mutex;

use language_eval::{Scope, ToValue, Value};
use sdk_signals::LogsReceiver;
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

use super::*;

/// An engine with one container, whose log is what `log` says when it is asked for.
struct FakeEngine {
    folder: tempfile::TempDir,
    log: Arc<Mutex<Vec<u8>>>,
    /// The `since` of each request for the log.
    asked: Arc<Mutex<Vec<String>>>,
}

fn frame(output: u8, text: &str) -> Vec<u8> {
    [&[output, 0, 0, 0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

impl FakeEngine {
    fn start() -> FakeEngine {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket");
        let (log, asked) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (text, since) = (log.clone(), asked.clone());
        drop(base_sys::task::spawn("fake engine", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while stream.read_line(&mut request).await.is_ok_and(|length| length > 2) {}
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let body = if path.contains("/logs") {
                    since
                        .lock()
                        .expect("no holder panics")
                        .push(path.rsplit('=').next().unwrap_or_default().to_owned());
                    text.lock().expect("no holder panics").clone()
                } else {
                    br#"{"State": {"Running": true, "FinishedAt": "0001-01-01T00:00:00Z"}, "Config": {"Tty": false}}"#
                        .to_vec()
                };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body).await;
            }
        }));
        FakeEngine { folder, log, asked }
    }

    fn prints(&self, output: u8, text: &str) {
        self.log.lock().expect("no holder panics").extend(frame(output, text));
    }

    fn config(&self) -> String {
        format!(
            "host = \"unix://{}\"\n\
             targets = [{{__meta_docker_container_id = \"c1\", __meta_docker_container_name = \"/web\", app = \"shop\"}}]\n\
             labels = {{source = \"docker\"}}\n\
             forward_to = [out]\n",
            self.folder.path().join("docker.sock").display()
        )
    }
}

fn forwarding(receiver: sdk_signals::Receiver<LogBatch>) -> Scope {
    scope([("out", LogsReceiver(receiver).to_value())])
}

fn lines(batches: Vec<LogBatch>) -> Vec<String> {
    let groups = batches.into_iter().flat_map(|batch| batch.groups);
    groups
        .flat_map(|group| {
            let labels = group.labels.to_string();
            group.entries.into_iter().map(move |entry| format!("{labels} {}", String::from_utf8_lossy(&entry.line)))
        })
        .collect()
}

#[tokio::test]
async fn lines_of_both_outputs_arrive_and_a_new_stream_goes_on_where_the_last_one_ended() {
    let engine = FakeEngine::start();
    engine.prints(1, "2025-10-09T08:53:20.000000001Z one\n");
    engine.prints(2, "2025-10-09T08:53:20.000000001Z two\r\n");
    engine.prints(1, "2025-10-09T08:53:20.5Z \n");
    let (collector, receiver) = Collector::new();
    let mut docker = Alone::<Docker>::start(&engine.config(), &forwarding(receiver)).expect("it starts");
    let batches = collector.wait_for(1).await;
    let expected = [r#"{app="shop", source="docker"} one"#, r#"{app="shop", source="docker"} two"#];
    assert_eq!(lines(batches), expected);
    collector.take();

    // The fake stream has an end; the follower asks again from the last line on, which the engine repeats.
    engine.prints(1, "2025-10-09T08:53:20.5Z three\n");
    let batches = collector.wait_for(1).await;
    assert_eq!(lines(batches), [r#"{app="shop", source="docker"} three"#]);
    let asked = engine.asked.lock().expect("no holder panics").clone();
    assert_eq!(asked[..2], ["0", "1760000000.500000000"]);
    docker.stop().await.expect("it stops");
}

#[test]
fn the_host_and_its_scheme_are_checked_at_load() {
    let build = |host: &str| {
        let config = format!("host = {host:?}\ntargets = []\nforward_to = []\n");
        Alone::<Docker>::build(&config, &Scope::new()).err().unwrap_or_default()
    };
    assert_eq!(build("unix:///var/run/docker.sock"), "");
    assert!(build("/var/run/docker.sock").contains("expected unix:///path"), "{}", build("/var/run/docker.sock"));
    assert!(build("npipe:////./pipe/docker").contains("\"npipe\" is not supported"));
}

#[test]
fn rules_see_the_targets_internal_labels_and_the_stream() {
    let rules = r#"
        rule {
            source_labels = ["__meta_docker_container_name"]
            regex         = "/(.*)"
            target_label  = "container"
        }
        rule {
            source_labels = ["__meta_docker_container_log_stream"]
            target_label  = "stream"
        }
    "#;
    #[derive(language_eval::Arguments)]
    struct OnlyRules {
        #[block]
        rule: Vec<sdk_relabel::Rule>,
    }
    let rules: OnlyRules = sdk_testing::component::decode(rules, &Scope::new()).expect("good rules");
    let rules = Rules::new(rules.rule, NameRule::Legacy);
    let target: Target =
        [("__meta_docker_container_id", "c1"), ("__meta_docker_container_name", "/web")].into_iter().collect();
    let streams = Streams::new(&target, &BTreeMap::new(), Some(rules));
    let stderr = streams.labels(sdk_docker::frames::Output::Stderr).map(ToString::to_string);
    assert_eq!(stderr.as_deref(), Some(r#"{container="web", stream="stderr"}"#));
    let expected = r#"{__meta_docker_container_id="c1", __meta_docker_container_name="/web"}"#;
    assert_eq!(streams.position_labels, expected);
}

#[test]
fn positions_of_alloy_are_taken_over_and_ours_are_readable_by_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut positions = Positions::open(&folder.path().join("positions.yml")).expect("none yet");
    positions.set("cursor-c1", "{a=\"b\"}", "1760000000");
    assert_eq!(saved(&positions, "c1", "{a=\"b\"}"), Some(Place::at_second(1_760_000_000)));
    positions.set("cursor-precise-c1", "{}", "1760000000500000000+2");
    let precise = saved(&positions, "c1", "{a=\"b\"}").expect("a place");
    assert_eq!(precise.to_string(), "1760000000500000000+2");
    // Alloy has run in between and read on.
    positions.set("cursor-c1", "{a=\"b\"}", "1760000099");
    assert_eq!(saved(&positions, "c1", "{a=\"b\"}"), Some(Place::at_second(1_760_000_099)));
}

#[test]
fn arguments_are_alloys() {
    let schema = <DockerArguments as language_eval::Block>::schema();
    let differences = sdk_testing::schema::compare_schema(&schema, "loki.source.docker").unwrap_or_default();
    assert_eq!(differences, Vec::<String>::new());
    let _ = Value::Null;
}
