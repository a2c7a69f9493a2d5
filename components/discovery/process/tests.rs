use language_eval::{Scope, Value};
use sdk_testing::component::Alone;

use super::*;

fn targets(alone: &Alone<Process>) -> Vec<Target> {
    let Some(Value::Array(targets)) = alone.export("targets") else { panic!("targets are a list") };
    let target = |value: &Value| match value {
        Value::Target(target) => target.clone(),
        other => panic!("a target, not {other:?}"),
    };
    targets.iter().map(target).collect()
}

async fn wait(alone: &Alone<Process>, found: impl Fn(&[Target]) -> bool) {
    for _ in 0..3000 {
        if found(&targets(alone)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not found among {:?}", targets(alone));
}

#[tokio::test]
async fn this_process_is_found_and_joined() {
    let own = std::process::id().to_string();
    let config = "refresh_interval = \"1h\"\ndiscover_config {\n\tuid = true\n}\n";
    let mut alone = Alone::<Process>::start(config, &Scope::new()).expect("it starts");
    let is_own = |target: &Target| {
        target.get("__process_pid__") == Some(&own)
            && target.get("__meta_process_exe").is_some_and(|exe| !exe.is_empty())
    };
    wait(&alone, |targets| targets.iter().any(is_own)).await;
    let joined = format!("join = [{{\"__container_id__\" = \"none\", \"pod\" = \"p\"}}]\n{config}");
    alone.update(&joined, &Scope::new()).expect("good arguments");
    wait(&alone, |targets| targets.last().is_some_and(|last| last.get("pod") == Some("p"))).await;
    assert!(targets(&alone).iter().any(is_own));
    alone.stop().await.expect("it stops");
}

#[test]
fn what_cannot_work_is_refused() {
    let refused = Alone::<Process>::build("refresh_interval = \"-1s\"", &Scope::new()).err().unwrap_or_default();
    assert!(refused.contains("refresh_interval must be greater than 0"), "{refused}");
}
