//! What the Collector was recorded to do, and what it promises beside.

use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("probabilistic_sampler").await;
}

/// Trace states of the spans that are kept, by name.
async fn kept(arguments: &str, spans: &[(&str, &str, &str)]) -> Vec<(String, String)> {
    let bench = Bench::<Component>::start(&format!("{arguments}\noutput {{\n traces = [next]\n}}\n")).unwrap();
    let spans: Vec<Json> = spans
        .iter()
        .map(|(name, id, state)| json!({ "name": name, "traceId": id, "traceState": state, "spanId": "00000000000000aa" }))
        .collect();
    bench.send(&json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })).await.unwrap().detach();
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let spans = |batch: &Json| batch["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    bench.out().iter().flat_map(spans).map(|span| (text(&span["name"]), text(&span["traceState"]))).collect()
}

const HIGH: &str = "000000000000000000f0000000000000";
const LOW: &str = "00000000000000000010000000000000";

#[tokio::test]
async fn equalizing_never_raises_the_share_and_proportional_multiplies() {
    let arriving = [("high", HIGH, "ot=th:c"), ("low", LOW, "ot=th:0"), ("own", LOW, "ot=rv:ffffffffffffff,a=1")];
    let state = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(
        kept("sampling_percentage = 50\nmode = \"equalizing\"", &arriving).await,
        [state("high", "ot=th:c"), state("own", "ot=rv:ffffffffffffff;th:8,a=1")]
    );
    assert_eq!(
        kept("sampling_percentage = 50\nmode = \"proportional\"", &arriving).await,
        [state("high", "ot=th:e"), state("own", "ot=rv:ffffffffffffff;th:8,a=1")]
    );
}

#[tokio::test]
async fn what_contradicts_itself_is_dropped_unless_failing_open() {
    // The threshold says that it was dropped; there is no id; the state cannot be read.
    let arriving = [("lie", LOW, "ot=th:8"), ("none", "", ""), ("broken", HIGH, "Not A State")];
    assert_eq!(kept("sampling_percentage = 100\nmode = \"equalizing\"", &arriving).await, []);
    let open = kept("sampling_percentage = 100\nmode = \"equalizing\"\nfail_closed = false", &arriving).await;
    let states: Vec<&str> = open.iter().map(|(_, state)| &state[..]).collect();
    assert_eq!(states, ["ot=th:0", "ot=th:0", "Not A State"]);
}

#[tokio::test]
async fn what_is_dropped_is_counted_and_counts_as_delivered() {
    let bench = Bench::<Component>::start("sampling_percentage = 0\noutput {\n logs = [next]\n}\n").unwrap();
    let logs = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "traceId": HIGH }, {}] }] }] });
    assert_eq!(bench.send(&logs).await.unwrap().await, sdk_signals::Outcome::Delivered);
    assert!(bench.out().is_empty());
    let name = "otelcol_processor_probabilistic_sampler_count_logs_sampled_total";
    let counted = bench.alone.metric(name, &[("policy", "sampling_priority"), ("sampled", "false")]);
    assert_eq!(counted, Some(2.0));
}

#[tokio::test]
async fn a_log_record_may_ask_for_another_share() {
    let config = "sampling_percentage = 0\nsampling_priority = \"p\"\noutput {\n logs = [next]\n}\n";
    let bench = Bench::<Component>::start(config).unwrap();
    let record = |priority: Json| json!({ "traceId": HIGH, "attributes": [{ "key": "p", "value": priority }] });
    let records = [
        record(json!({ "intValue": "100" })),
        record(json!({ "intValue": "0" })),
        record(json!({ "stringValue": "100" })),
    ];
    bench.send(&json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": records }] }] })).await.unwrap().detach();
    let out = bench.out();
    let kept = out[0]["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
}

#[test]
fn shares_that_make_no_sense_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    for (arguments, word) in [
        ("sampling_percentage = -1", "sampling rate is negative: -1.000000%"),
        ("sampling_precision = 0", "invalid sampling precision: 0"),
        ("sampling_precision = 15", "should be <= 14: 15"),
        ("attribute_source = \"x\"", "invalid attribute source: x. Expected: traceID or record"),
    ] {
        let error = Bench::<Component>::start(&format!("{arguments}\noutput {{ }}\n")).err().unwrap_or_default();
        assert!(error.contains(word), "{arguments}: {error}");
    }
}
