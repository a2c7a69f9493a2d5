//! Exporters that make something else of OTLP survive what makes no sense.

use language_eval::{Scope, ToValue as _};
use sdk_signals::OtlpSignal::{Logs, Metrics, Traces};
use sdk_signals::{LogsReceiver, MetricsReceiver};
use sdk_testing::component::Alone;
use sdk_testing::hostile::survived_by;

use crate::testing::Bench;

#[tokio::test]
async fn series_are_made_of_metrics() {
    for arguments in
        ["", "resource_to_telemetry_conversion = true\nadd_metric_suffixes = false\ninclude_scope_info = true"]
    {
        let config = format!("forward_to = [next]\n{arguments}\n");
        let next = |receiver| MetricsReceiver(receiver).to_value();
        let bench = Bench::<crate::prometheus::Prometheus, _>::start(&config, next).unwrap();
        survived_by(&bench.alone, &[Metrics]).await;
        assert!(!bench.next.batches().is_empty());
    }
}

#[tokio::test]
async fn lines_are_made_of_records() {
    let next = |receiver| LogsReceiver(receiver).to_value();
    let bench = Bench::<crate::loki::Loki, _>::start("forward_to = [next]", next).unwrap();
    survived_by(&bench.alone, &[Logs]).await;
    assert!(!bench.next.batches().is_empty());
}

#[tokio::test]
async fn text_is_made_of_everything() {
    for verbosity in ["basic", "normal", "detailed"] {
        let config = format!("verbosity = \"{verbosity}\"\nsampling_initial = 1000\n");
        let alone = Alone::<crate::debug::Debug>::start(&config, &Scope::new()).unwrap();
        survived_by(&alone, &[Traces, Metrics, Logs]).await;
    }
}
