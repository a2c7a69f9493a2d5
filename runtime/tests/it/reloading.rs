//! A reload is a transaction.

use crate::fakes::*;

const BEFORE: &str = r#"
test.pass "a" { input = 1 }
test.pass "b" { input = test.pass.a.output + 10 }
test.pass "c" { input = "same" }
"#;

#[tokio::test(start_paused = true)]
async fn a_refused_reload_is_reported_whole_and_with_its_hints() {
    let running = Running::new(BEFORE).await;
    let text = "test.pess \"a\" { }\ntest.pass \"b\" {\n  inptu = 1\n}\n";
    running.reload(text).await.unwrap_err();
    assert_eq!(
        running.host.last_load().unwrap().error.as_deref(),
        Some(
            "config.alloy:1:1: cannot find the definition of component name \"test.pess\" (did you mean \"test.pass\"?)\n\
             config.alloy:3:3: unrecognized attribute name \"inptu\" (did you mean \"input\"?)\n\
             config.alloy:2:1: missing required attribute \"input\""
        )
    );
    let wrong: String = (0..50).map(|i| format!("test.pess \"a{i}\" {{ }}\n")).collect();
    running.reload(&wrong).await.unwrap_err();
    let error = running.host.last_load().unwrap().error.unwrap();
    assert_eq!(error.lines().count(), 21);
    assert!(error.ends_with("and 30 errors more; validate prints them all"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_reload_leaves_everything_as_it_was() {
    let running = Running::new(BEFORE).await;
    journal();
    for (text, told) in [
        (r#"test.pass "a" { input = 2 "#, "config.alloy:1:27: expected }, got EOF"),
        (r#"test.pass "a" { input = nothing }"#, "does not exist or is out of scope"),
        ("test.pass \"a\" { input = 2 }\ntest.pass \"z\" {\n  input = 1\n  other = \"fail\"\n}", "other cannot be had"),
        (
            "test.pass \"a\" { input = 2 }\ntest.pass \"b\" {\n  input = test.pass.a.output + 10\n  other = \"fail\"\n}",
            "other cannot be had",
        ),
        ("test.pass \"a\" { input = \"x\" }\ntest.pass \"b\" {\n  input = test.pass.a.output + 10\n}", "should be"),
    ] {
        let error = running.reload(text).await.unwrap_err();
        assert!(error.contains(told), "{text}: {error}");
        let built: Vec<String> =
            journal().into_iter().filter(|event| !event.starts_with("build test.pass.z")).collect();
        assert_eq!(built, [""; 0], "{text}");
        assert_eq!(running.metrics.value("alloy_config_last_load_successful", &[]), Some(0.0));
        assert!(running.host.last_load().unwrap().error.is_some());
        assert!(running.host.component("test.pass.z").is_none());
    }
    // The old graph lives on with its old text.
    publish("test.pass.a", 5i64);
    settle().await;
    assert_eq!(journal(), ["update test.pass.b 15"]);
    assert_eq!(running.metrics.value("alloy_config_load_failures_total", &[]), Some(5.0));
    running.reload(BEFORE).await.unwrap();
    assert_eq!(running.metrics.value("alloy_config_last_load_successful", &[]), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn only_what_has_changed_is_touched() {
    let running = Running::new(BEFORE).await;
    journal();
    running.reload(BEFORE).await.unwrap();
    assert_eq!(journal(), [""; 0], "nothing has changed");
    running.reload(&BEFORE.replace("input = 1 ", "input = 2 ")).await.unwrap();
    assert_eq!(journal(), ["update test.pass.a 2", "update test.pass.b 12"], "each once, with the new value");
}

#[tokio::test(start_paused = true)]
async fn removed_components_stop_dependants_first_and_added_ones_start() {
    let running = Running::new(BEFORE).await;
    journal();
    running.reload("test.pass \"c\" { input = \"same\" }\ntest.pass \"d\" { input = 4 }").await.unwrap();
    assert_eq!(journal(), ["build test.pass.d 4", "stop test.pass.b", "stop test.pass.a", "run test.pass.d"]);
    assert!(running.host.component("test.pass.a").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_stop_does_not_hold_up_what_goes_on() {
    let running = Running::new(BEFORE).await;
    journal();
    trap("stop hangs test.pass.c", true);
    let reload = running.reload("test.pass \"a\" { input = 1 }\ntest.pass \"b\" { input = test.pass.a.output + 10 }");
    let meanwhile = async {
        settle().await;
        publish("test.pass.a", 7i64);
        settle().await;
        assert_eq!(journal(), ["update test.pass.b 17"]);
    };
    let (reloaded, ()) = tokio::join!(reload, meanwhile);
    reloaded.unwrap();
    trap("stop hangs test.pass.c", false);
}

#[tokio::test(start_paused = true)]
async fn a_component_that_only_moved_is_the_same() {
    let running = Running::new("test.pass \"a\" { input = 1 }\ntest.pass \"b\" { input = 2 }").await;
    journal();
    running.reload("// moved\n\ntest.pass \"b\" { input = 2 }\ntest.pass \"a\" { input = 1 }").await.unwrap();
    assert_eq!(journal(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn stopping_goes_from_dependants_to_dependencies() {
    let running = Running::new(BEFORE).await;
    journal();
    running.runtime.stop().await;
    let stopped = journal();
    let at = |id: &str| stopped.iter().position(|event| event == &format!("stop test.pass.{id}")).unwrap();
    assert!(at("b") < at("a"), "{stopped:?}");
    assert_eq!(stopped.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_stop_is_cut_off_at_the_deadline() {
    let running = Running::new(BEFORE).await;
    trap("stop hangs test.pass.b", true);
    let started = tokio::time::Instant::now();
    running.runtime.stop().await;
    assert!(started.elapsed().as_secs() >= 60 && started.elapsed().as_secs() < 70, "{:?}", started.elapsed());
    trap("stop hangs test.pass.b", false);
}
