//! What the Collector was recorded to do, and what it promises beside.

use std::time::Duration;

use sdk_signals::{Outcome, Refused};
use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, eventually, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("tail_sampling").await;
}

const ALWAYS: &str = "policy {\n name = \"p\"\n type = \"always_sample\"\n}\n";
const ERRORS: &str =
    "policy {\n name = \"p\"\n type = \"status_code\"\n status_code {\n status_codes = [\"ERROR\"]\n }\n}\n";

fn start(arguments: &str) -> Bench<Component> {
    Bench::start(&format!("decision_wait = \"2s\"\n{arguments}output {{\n traces = [next]\n}}\n")).unwrap()
}

fn spans(spans: &[(&str, u8)]) -> Json {
    let span = |(name, trace): &(&str, u8)| json!({ "name": name, "traceId": format!("{trace:032x}"), "spanId": "00000000000000aa" });
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans.iter().map(span).collect::<Vec<_>>() }] }] })
}

fn failed(name: &str, trace: u8) -> Json {
    let mut payload = spans(&[(name, trace)]);
    payload["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["status"] = json!({ "code": 2 });
    payload
}

/// Names of the spans of each batch.
fn names(bench: &Bench<Component>) -> Vec<Vec<String>> {
    let names = |batch: &Json| {
        let groups = batch["resourceSpans"].as_array().unwrap().iter();
        let scopes = groups.flat_map(|group| group["scopeSpans"].as_array().unwrap());
        let spans = scopes.flat_map(|scope| scope["spans"].as_array().unwrap());
        spans.map(|span| span["name"].as_str().unwrap().to_owned()).collect()
    };
    bench.out().iter().map(names).collect()
}

fn counter(bench: &Bench<Component>, name: &str, labels: &[(&str, &str)]) -> f64 {
    bench.alone.metric(&format!("otelcol_processor_tail_sampling_{name}"), labels).unwrap_or(0.0)
}

fn dropped(bench: &Bench<Component>) -> f64 {
    let labels = [("processor", "tail_sampling/otelcol.processor.tail_sampling.test"), ("otel_signal", "traces")];
    bench.alone.metric("ferroalloy_otelcol_processor_dropped_items_total", &labels).unwrap_or(0.0)
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn spans_of_several_requests_leave_together_and_count_as_delivered_when_they_are_held() {
    let bench = start(ALWAYS);
    assert_eq!(bench.send(&spans(&[("a", 1), ("other", 2)])).await.unwrap().await, Outcome::Delivered);
    pass(1).await;
    bench.send(&spans(&[("b", 1)])).await.unwrap().detach();
    assert!(bench.out().is_empty());
    pass(3).await;
    let mut all = names(&bench);
    all.sort();
    assert_eq!(all, [vec!["a", "b"], vec!["other"]]);
    assert_eq!(counter(&bench, "new_trace_id_received_total", &[]), 2.0);
    assert_eq!(
        counter(&bench, "global_count_traces_sampled_total", &[("sampled", "true"), ("decision", "sampled")]),
        2.0
    );
}

#[tokio::test(start_paused = true)]
async fn late_spans_follow_their_trace_without_a_cache_too() {
    let bench = start(ERRORS);
    bench.send(&failed("bad", 1)).await.unwrap().detach();
    bench.send(&spans(&[("good", 2)])).await.unwrap().detach();
    pass(4).await;
    bench.send(&spans(&[("late bad", 1), ("late good", 2)])).await.unwrap().detach();
    assert_eq!(names(&bench), [["bad"], ["late bad"]]);
}

#[tokio::test(start_paused = true)]
async fn the_root_brings_the_decision_forward() {
    let wait = |rest: &str| format!("decision_wait = \"60s\"\n{rest}{ALWAYS}output {{\n traces = [next]\n}}\n");
    let bench = Bench::<Component>::start(&wait("decision_wait_after_root_received = \"1s\"\n")).unwrap();
    let mut child = spans(&[("child", 1)]);
    child["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["parentSpanId"] = json!("00000000000000bb");
    bench.send(&child).await.unwrap().detach();
    pass(10).await;
    assert!(bench.out().is_empty());
    bench.send(&spans(&[("root", 1)])).await.unwrap().detach();
    pass(3).await;
    assert_eq!(names(&bench), [["child", "root"]]);
}

#[tokio::test(start_paused = true)]
async fn beyond_its_number_the_oldest_trace_goes_and_is_counted() {
    let bench = start(&format!("num_traces = 2\n{ALWAYS}"));
    for trace in 1..=3 {
        bench.send(&spans(&[("s", trace)])).await.unwrap().detach();
    }
    pass(4).await;
    assert_eq!(names(&bench).len(), 2);
    assert_eq!(counter(&bench, "sampling_trace_dropped_too_early_total", &[]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_room_when_told_to() {
    let bench = start(&format!("num_traces = 1\nblock_on_overflow = true\n{ALWAYS}"));
    bench.send(&spans(&[("first", 1)])).await.unwrap().detach();
    // Taken only when the first is decided.
    bench.send(&spans(&[("second", 2)])).await.unwrap().detach();
    assert_eq!(names(&bench), [["first"]]);
    pass(4).await;
    assert_eq!(names(&bench), [["first"], ["second"]]);
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_grows_too_large_is_dropped_whole() {
    let bench = start(&format!("maximum_trace_size_bytes = 100\n{ALWAYS}"));
    for name in ["short", &"long".repeat(30), "later"] {
        bench.send(&spans(&[(name, 1)])).await.unwrap().detach();
    }
    pass(4).await;
    assert!(bench.out().is_empty());
    assert_eq!(counter(&bench, "traces_dropped_too_large_total", &[]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_and_an_update_decide_what_waits() {
    let mut bench = start(ALWAYS);
    bench.send(&spans(&[("before", 1)])).await.unwrap().detach();
    bench
        .alone
        .update(&format!("decision_wait = \"50s\"\n{ALWAYS}output {{\n traces = [next]\n}}\n"), &bench.scope)
        .unwrap();
    bench.next.wait_for(1).await;
    eventually(async || bench.send(&spans(&[("after", 2)])).await.ok()).await.detach();
    assert_eq!(names(&bench), [["before"]]);
    bench.alone.stop().await.unwrap();
    assert_eq!(names(&bench), [["before"], ["after"]]);
    let refused = bench.send(&spans(&[("too late", 3)])).await.unwrap_err();
    assert!(refused.retryable, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_at_the_end_on_purpose_is_counted() {
    let mut bench = start(&format!("drop_pending_traces_on_shutdown = true\n{ALWAYS}"));
    bench.send(&spans(&[("a", 1), ("b", 1)])).await.unwrap().detach();
    bench.alone.stop().await.unwrap();
    assert!(bench.out().is_empty());
    assert_eq!(dropped(&bench), 2.0);
}

#[tokio::test(start_paused = true)]
async fn what_the_next_component_refuses_is_offered_again_and_new_spans_are_refused_meanwhile() {
    let mut bench = start(ALWAYS);
    bench.next.refuse(Some(Refused::retryable("full")));
    bench.send(&spans(&[("kept", 1)])).await.unwrap().detach();
    let refused = eventually(async || bench.send(&spans(&[("new", 2)])).await.err()).await;
    assert!(refused.retryable, "{refused}");
    bench.next.refuse(None);
    bench.next.wait_for(1).await;
    assert_eq!(names(&bench)[0], ["kept"]);

    // One that never takes anything cannot hold up the stop; what is lost is counted.
    bench.next.refuse(Some(Refused::retryable("full")));
    eventually(async || bench.send(&spans(&[("lost", 9)])).await.ok()).await.detach();
    bench.alone.stop().await.unwrap();
    assert!(dropped(&bench) >= 1.0);
}

#[tokio::test(start_paused = true)]
async fn rates_and_shares_limit_what_is_kept() {
    for (policy, kept) in [
        ("type = \"rate_limiting\"\nrate_limiting {\n spans_per_second = 1\n burst_capacity = 3\n}", 3),
        ("type = \"bytes_limiting\"\nbytes_limiting {\n bytes_per_second = 1\n}", 0),
        (
            "type = \"composite\"\ncomposite {\n max_total_spans_per_second = 4\n policy_order = [\"s\"]\n\
             composite_sub_policy {\n name = \"s\"\n type = \"always_sample\"\n }\n\
             rate_allocation {\n policy = \"s\"\n percent = 50\n }\n}",
            2,
        ),
        (
            "type = \"composite\"\ncomposite {\n max_total_spans_per_second = 4\n policy_order = [\"s\"]\n\
             composite_sub_policy {\n name = \"s\"\n type = \"always_sample\"\n }\n}",
            0,
        ),
        ("type = \"not\"\nnot {\n not_sub_policy {\n name = \"s\"\n type = \"always_sample\"\n }\n}", 0),
    ] {
        let bench = start(&format!("policy {{\n name = \"p\"\n{policy}\n}}\n"));
        for trace in 1..=8 {
            bench.send(&spans(&[("s", trace)])).await.unwrap().detach();
        }
        pass(4).await;
        assert_eq!(names(&bench).len(), kept, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn conditions_on_spans_and_events_decide_and_a_failing_policy_does_not_vote() {
    let condition = |inside: &str| {
        format!(
            "policy {{\n name = \"p\"\n type = \"ottl_condition\"\n ottl_condition {{\n error_mode = \"propagate\"\n {inside}\n }}\n}}\n"
        )
    };
    let mut payload = spans(&[("plain", 1), ("eventful", 2)]);
    payload["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["events"] = json!([{ "name": "boom" }]);
    for (inside, kept) in [
        ("span = [`name == \"plain\"`]", 1),
        ("spanevent = [`name == \"boom\"`]", 1),
        ("span = [`name == \"no\"`, `name == \"eventful\"`]", 1),
        ("span = [`Substring(name, 50, 1) == \"a\"`]", 0),
        ("", 2),
    ] {
        let bench = start(&condition(inside));
        bench.send(&payload).await.unwrap().detach();
        pass(4).await;
        assert_eq!(names(&bench).len(), kept, "{inside}");
        let errors = counter(&bench, "sampling_policy_evaluation_error_total", &[]);
        assert_eq!(errors, if inside.contains("Substring") { 2.0 } else { 0.0 }, "{inside}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    let policy = |inside: &str| format!("policy {{\n name = \"p\"\n {inside}\n}}\n");
    for (arguments, word) in [
        (
            "decision_wait = \"0s\"\npolicy {\n name = \"p\"\n type = \"always_sample\"\n}\n".to_owned(),
            "decision_wait must be",
        ),
        (format!("num_traces = 0\n{ALWAYS}"), "num_traces must be"),
        (
            policy("type = \"status_code\"\n status_code {\n status_codes = [\"BAD\"]\n }"),
            "unknown status code \"BAD\"",
        ),
        (
            policy("type = \"ottl_condition\"\n ottl_condition {\n error_mode = \"ignore\"\n span = [\"name ==\"]\n }"),
            "failed to create policy evaluator",
        ),
        (policy("type = \"ottl_condition\"\n ottl_condition {\n error_mode = \"loud\"\n }"), "unknown error mode loud"),
        (policy("type = \"status_code\""), "expected at least one status code"),
        (
            policy(
                "type = \"numeric_attribute\"\n numeric_attribute {\n key = \"k\"\n min_value = 0\n max_value = 0\n }",
            ),
            "must not be 0",
        ),
        (
            policy(
                "type = \"string_attribute\"\n string_attribute {\n key = \"k\"\n values = [\"(\"]\n enabled_regex_matching = true\n }",
            ),
            "invalid regex `(`",
        ),
    ] {
        let error = Bench::<Component>::start(&format!("{arguments}output {{ }}\n")).err().unwrap_or_default();
        assert!(error.contains(word), "{arguments}: {error}");
    }
}
