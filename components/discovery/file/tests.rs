use language_eval::{Scope, Value};
use sdk_component::HealthState;
use sdk_testing::component::Alone;

use super::*;

fn addresses(alone: &Alone<File>) -> Vec<String> {
    let Some(Value::Array(targets)) = alone.export("targets") else { panic!("targets are a list") };
    let address = |value: &Value| match value {
        Value::Target(target) => target.get("__address__").unwrap_or_default().to_owned(),
        other => panic!("a target, not {other:?}"),
    };
    targets.iter().map(address).collect()
}

async fn wait(alone: &Alone<File>, expected: &[&str], state: HealthState) {
    for _ in 0..3000 {
        if addresses(alone) == expected && alone.health().is_some_and(|(now, _)| now == state) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}, not {expected:?}; {:?}", addresses(alone), alone.health());
}

#[tokio::test]
async fn files_that_change_are_read_and_broken_ones_keep_what_they_had() {
    use HealthState::{Healthy, Unhealthy};
    let folder = tempfile::tempdir().expect("a temporary folder");
    // What replaces a file is never seen half.
    let write = |name: &str, text: &str| {
        let new = folder.path().join("new.tmp");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, folder.path().join(name)).expect("a file");
    };
    write("a.json", r#"[{"targets": ["a:1"]}]"#);
    write("b.yml", "- targets: [b:1, b:2]\n");
    write("c.txt", "no list");
    let config = format!(
        "files = [\"{0}/*.json\", \"{0}/?.yml\", \"{0}/a.json\"]\nrefresh_interval = \"1h\"",
        folder.path().display()
    );
    let mut alone = Alone::<File>::start(&config, &Scope::new()).expect("it starts");
    wait(&alone, &["a:1", "b:1", "b:2"], Healthy).await;
    write("a.json", r#"[{"targets": ["a:2"]}"#);
    wait(&alone, &["a:1", "b:1", "b:2"], Unhealthy).await;
    assert!(alone.metric("prometheus_sd_file_read_errors_total", &[]).unwrap_or_default() >= 1.0);
    write("a.json", r#"[{"targets": ["a:2"]}]"#);
    wait(&alone, &["a:2", "b:1", "b:2"], Healthy).await;
    std::fs::remove_file(folder.path().join("b.yml")).expect("it is there");
    wait(&alone, &["a:2"], Healthy).await;
    assert!(!alone.metrics().contains("b.yml"), "{}", alone.metrics());
    assert!(alone.metrics().contains("prometheus_sd_file_mtime_seconds{"), "{}", alone.metrics());
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_folder_that_comes_later_is_found_by_the_clock() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = format!("files = [\"{}/later/*.yml\"]\nrefresh_interval = \"50ms\"", folder.path().display());
    let mut alone = Alone::<File>::start(&config, &Scope::new()).expect("it starts");
    wait(&alone, &[], HealthState::Healthy).await;
    std::fs::create_dir(folder.path().join("later")).expect("a folder");
    std::fs::write(folder.path().join("later/x.yml"), "- targets: [x:1]\n").expect("a file");
    wait(&alone, &["x:1"], HealthState::Healthy).await;
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_is_no_list_by_its_name_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("x.txt"), "[]").expect("a file");
    let config = format!("files = [\"{}/x.txt\"]", folder.path().display());
    let mut alone = Alone::<File>::start(&config, &Scope::new()).expect("it starts");
    wait(&alone, &[], HealthState::Unhealthy).await;
    let (_, message) = alone.health().expect("just seen");
    assert!(message.ends_with("x.txt: its name must end in .json, .yml or .yaml"), "{message}");
    alone.stop().await.expect("it stops");
}

#[test]
fn what_cannot_work_is_refused() {
    let refused = |config: &str| Alone::<File>::build(config, &Scope::new()).err().unwrap_or_default();
    assert!(refused("files = [\"a.json\"]\nrefresh_interval = \"0s\"").contains("refresh_interval"));
    assert!(refused("files = [\"[.json\"]").contains("cannot read pattern"));
    assert!(refused("").contains("files"));
}

#[test]
fn braces_and_stars_are_gos() {
    assert_eq!(go_pattern("/a/**/{b,c}*.json"), "/a/*/\\{b,c\\}*.json");
    assert_eq!(go_pattern("/a/\\{b\\**.json"), "/a/\\{b\\**.json");
}
