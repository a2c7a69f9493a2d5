//! Components that fail while they run.

use std::time::Duration;

use crate::fakes::*;

#[tokio::test(start_paused = true)]
async fn a_component_that_panics_is_built_again_with_back_off_and_the_others_live() {
    trap("run panics test.pass.a", true);
    let running = Running::new("test.pass \"a\" { input = 1 }\ntest.pass \"b\" { input = 2 }").await;
    assert_eq!(running.health("test.pass.a"), "unhealthy component panicked and is restarted: an accident");
    assert_eq!(running.health("test.pass.b"), "healthy started component");
    journal();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    settle().await;
    assert_eq!(journal(), ["build test.pass.a 1", "run test.pass.a"]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    settle().await;
    assert_eq!(journal(), [""; 0], "the second pause is longer");
    trap("run panics test.pass.a", false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    settle().await;
    assert_eq!(journal(), ["build test.pass.a 1", "run test.pass.a"]);
    assert!(running.health("test.pass.a").starts_with("healthy"), "{}", running.health("test.pass.a"));
}

#[tokio::test(start_paused = true)]
async fn a_component_that_fails_is_exited_and_run_again() {
    trap("run fails test.pass.a", true);
    let running = Running::new("test.pass \"a\" { input = 1 }").await;
    assert_eq!(running.health("test.pass.a"), "exited component shut down with error: nothing works");
    trap("run fails test.pass.a", false);
    journal();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    settle().await;
    assert_eq!(journal(), ["run test.pass.a"], "the same instance");
    assert_eq!(running.health("test.pass.a"), "healthy started component");
}

#[tokio::test(start_paused = true)]
async fn what_a_component_says_of_itself_counts() {
    let running = Running::new("test.pass \"a\" { input = 1 }").await;
    context("test.pass.a").unhealthy("the backend is down");
    assert_eq!(running.health("test.pass.a"), "unhealthy the backend is down");
    context("test.pass.a").healthy("fine");
    assert_eq!(running.health("test.pass.a"), "healthy fine");
}

#[tokio::test(start_paused = true)]
async fn a_module_is_as_healthy_as_what_is_in_it() {
    let running = Running::new("declare \"m\" {\n  test.pass \"p\" { input = 1 }\n}\nm \"x\" { }").await;
    assert_eq!(running.health("m.x"), "healthy started custom component");
    context("m.x/test.pass.p").unhealthy("no luck");
    assert_eq!(running.health("m.x"), "unhealthy m.x/test.pass.p is unhealthy: no luck");
}

#[tokio::test(start_paused = true)]
async fn a_component_that_panics_over_new_arguments_is_built_again_and_reloads_go_on() {
    let running = Running::new("test.pass \"a\" { input = 1 }\ntest.pass \"b\" { input = 1 }").await;
    let text = "test.pass \"a\" { input = 2\n other = \"commit panics\" }\ntest.pass \"b\" { input = 2 }";
    running.reload(text).await.expect("it loads");
    settle().await;
    assert_eq!(running.health("test.pass.a"), "unhealthy component panicked and is restarted");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    settle().await;
    assert!(running.health("test.pass.a").starts_with("healthy"), "{}", running.health("test.pass.a"));
    journal();
    running.reload("test.pass \"a\" { input = 3 }\ntest.pass \"b\" { input = 3 }").await.expect("it loads");
    assert_eq!(journal(), ["update test.pass.a 3", "update test.pass.b 3"]);
}
