//! Every connector survives what makes no sense.

use std::time::Duration;

use sdk_component::Component;
use sdk_signals::OtlpSignal::Traces;
use sdk_testing::hostile::survived_by;

use crate::testing::Bench;

/// How many payloads left in two minutes.
async fn check<C: Component>(config: &str, output: &str) -> usize {
    let bench = Bench::<C>::start(&format!("{config}\noutput {{\n {output} = [next]\n}}\n"))
        .unwrap_or_else(|error| panic!("{}: {error}", C::NAME));
    survived_by(&bench.alone, &[Traces]).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    // What leaves is valid: who looks at it reads it.
    bench.out().len()
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_survived() {
    for histogram in ["explicit { }", "exponential { }"] {
        let config = format!(
            "metrics_flush_interval = \"1s\"\ndimension {{\n name = \"odd\"\n}}\ndimension {{\n name = \"deep\"\n}}\nhistogram {{\n {histogram}\n}}"
        );
        assert!(check::<crate::spanmetrics::Component>(&config, "metrics").await > 0, "{histogram}");
    }
    // No two of these spans make an edge.
    check::<crate::servicegraph::Component>(
        "metrics_flush_interval = \"1s\"\ndimensions = [\"odd\", \"deep\"]",
        "metrics",
    )
    .await;
    let config = "host_identifiers = [\"service.name\"]\nmetrics_flush_interval = \"1s\"";
    assert!(check::<crate::host_info::Component>(config, "metrics").await > 0);
    let config = "spans = true\nroots = true\nevents = true\nspan_attributes = [\"odd\", \"deep\"]";
    assert!(check::<crate::spanlogs::SpanLogs>(config, "logs").await > 0);
}
