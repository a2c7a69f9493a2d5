//! Exports that change.

use crate::fakes::*;

const DIAMOND: &str = r#"
test.pass "top"    { input = 1 }
test.pass "left"   { input = test.pass.top.output + 10 }
test.pass "right"  { input = test.pass.top.output + 20 }
test.pass "bottom" { input = test.pass.left.output + test.pass.right.output }
"#;

#[tokio::test(start_paused = true)]
async fn a_node_with_two_changed_dependencies_is_evaluated_once_after_both() {
    let _running = Running::new(DIAMOND).await;
    journal();
    publish("test.pass.top", 2i64);
    settle().await;
    assert_eq!(journal(), ["update test.pass.left 12", "update test.pass.right 22", "update test.pass.bottom 34"]);
}

#[tokio::test(start_paused = true)]
async fn bursts_coalesce_and_equal_exports_are_no_change() {
    let running = Running::new(DIAMOND).await;
    journal();
    for value in 2..100i64 {
        publish("test.pass.top", value);
    }
    publish("test.pass.top", 1i64);
    settle().await;
    assert_eq!(journal(), [""; 0], "at last it is what it was");
    for value in 2..100i64 {
        publish("test.pass.top", value);
    }
    settle().await;
    assert_eq!(journal().len(), 3);
    assert_eq!(running.exports("test.pass.bottom"), r#"[Attribute { name: "output", value: 228 }]"#);
}

#[tokio::test(start_paused = true)]
async fn a_failed_evaluation_leaves_the_old_arguments_and_shows() {
    let running = Running::new(DIAMOND).await;
    journal();
    publish("test.pass.top", "text");
    settle().await;
    assert_eq!(journal(), [""; 0]);
    assert!(running.health("test.pass.left").starts_with("unhealthy component evaluation failed: config.alloy:3:"));
    assert_eq!(running.health("test.pass.bottom"), "healthy started component");
    publish("test.pass.top", 3i64);
    settle().await;
    assert_eq!(journal().len(), 3);
    assert!(running.health("test.pass.left").starts_with("healthy"));
}

#[tokio::test(start_paused = true)]
async fn evaluations_are_counted_under_alloys_names() {
    let running = Running::new(DIAMOND).await;
    let root = [("controller_path", "/"), ("controller_id", "")];
    let count = |name: &str| running.metrics.value(name, &root).unwrap_or_default();
    assert_eq!(count("alloy_component_evaluation_seconds_count"), 5.0, "four components and the service");
    publish("test.pass.top", 2i64);
    settle().await;
    assert_eq!(count("alloy_component_evaluation_seconds_count"), 8.0);
    assert_eq!(count("alloy_component_dependencies_wait_seconds_count"), 3.0);
    assert_eq!(count("alloy_component_evaluation_queue_size"), 0.0);
    assert_eq!(
        running.metrics.value("alloy_component_controller_running_components", &[("health_type", "healthy")]),
        Some(4.0)
    );
}
