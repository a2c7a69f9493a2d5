//! A component gets another name while something waits for its backend.

use std::time::Instant;

use crate::process::{PATIENCE, Running, Started, run};

const LEFT: &str = "ferroalloy_queue_left_behind_items{component_id=\"loki.write.one\",component_path=\"/\"} 3";

fn start(folder: &std::path::Path, write: &str) -> Running {
    // Nobody listens on port 1.
    let config = format!(
        r#"
        loki.source.file "app" {{
            targets    = [{{ "__path__" = "app.log" }}]
            forward_to = [loki.write.{write}.receiver]
        }}
        loki.write "{write}" {{
            endpoint {{
                url = "http://127.0.0.1:1/loki/api/v1/push"
            }}
        }}
        "#
    );
    std::fs::write(folder.join("config.alloy"), config).unwrap();
    match run(folder, &[], "config.alloy") {
        Started::Running(running) => *running,
        Started::Refused(code, log) => panic!("{code:?}: {}", log.join("\n")),
    }
}

fn wait_for(running: &mut Running, line: &str) {
    let until = Instant::now() + PATIENCE;
    while !running.http("GET", "/metrics", &[]).2.lines().any(|found| found.starts_with(line)) {
        assert!(Instant::now() < until, "no {line}:\n{}", running.read_log().join("\n"));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn what_waits_for_a_component_under_its_old_name_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.log"), "1\n2\n3\n").unwrap();
    let mut running = start(folder.path(), "one");
    let labels = r#"component_id="loki.source.file.app",component_path="/",path="app.log""#;
    wait_for(&mut running, &format!("loki_source_file_read_lines_total{{{labels}}} 3"));
    assert_eq!(running.stop("TERM"), Some(0));

    let mut running = start(folder.path(), "two");
    wait_for(&mut running, LEFT);
    let told = |line: &&String| line.contains("not in the configuration any more") && line.contains("loki.write.one");
    assert_eq!(running.read_log().iter().filter(told).count(), 1);
    assert_eq!(running.stop("TERM"), Some(0));

    let mut running = start(folder.path(), "one");
    wait_for(&mut running, &LEFT.replace(" 3", " 0"));
    assert_eq!(running.stop("TERM"), Some(0));
}
