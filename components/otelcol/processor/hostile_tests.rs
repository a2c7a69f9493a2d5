//! Processors that batch, choose, or keep metrics survive what makes no sense.

use std::time::Duration;

use sdk_component::Component;
use sdk_signals::OtlpSignal::{self, Logs, Metrics, Traces};
use sdk_testing::hostile::survived_by;

use crate::testing::Bench;

const ALL: &[OtlpSignal] = &[Traces, Metrics, Logs];

async fn check<C: Component>(config: &str, signals: &[OtlpSignal]) {
    let next = |signal: &str| format!("{signal} = [next]\n");
    let output: String = signals.iter().map(|signal| next(&format!("{signal:?}").to_lowercase())).collect();
    let bench = Bench::<C>::start(&format!("{config}\noutput {{\n{output}}}\n"))
        .unwrap_or_else(|error| panic!("{}: {error}", C::NAME));
    survived_by(&bench.alone, signals).await;
    // What is held back for a while.
    tokio::time::sleep(Duration::from_secs(120)).await;
    // What leaves is valid; `out` checks it.
    assert!(!bench.out().is_empty(), "{}", C::NAME);
}

#[tokio::test(start_paused = true)]
async fn batches_and_samples() {
    check::<crate::batch::Batch>("send_batch_size = 3\nsend_batch_max_size = 3", ALL).await;
    check::<crate::probabilistic_sampler::Component>("sampling_percentage = 100", &[Traces, Logs]).await;
    let policies = "policy {\n name = \"slow\"\n type = \"latency\"\n latency {\n threshold_ms = 1\n }\n}\n\
        policy {\n name = \"odd\"\n type = \"numeric_attribute\"\n numeric_attribute {\n key = \"odd\"\n min_value = -1\n max_value = 1\n }\n}\n\
        policy {\n name = \"all\"\n type = \"always_sample\"\n}";
    check::<crate::tail_sampling::Component>(&format!("decision_wait = \"1s\"\n{policies}"), &[Traces]).await;
}

#[tokio::test(start_paused = true)]
async fn metrics_over_time() {
    check::<crate::cumulativetodelta::Component>("", &[Metrics]).await;
    check::<crate::deltatocumulative::Component>("", &[Metrics]).await;
    check::<crate::interval::Component>("interval = \"1s\"", &[Metrics]).await;
}
