//! What the Collector was recorded to do, and what it promises beside.

use super::Component;
use crate::testing::{Bench, eventually, recorded, spans};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("memory_limiter").await;
}

#[tokio::test]
async fn above_the_soft_limit_data_is_refused_until_a_reload_raises_it() {
    let config = |limit| format!("check_interval = \"1ms\"\nlimit = \"{limit}\"\noutput {{\n traces = [next]\n}}\n");
    let bench = Bench::<Component>::start(&config("1B")).unwrap();
    let refused = eventually(async || bench.send(&spans(3)).await.err()).await;
    assert!(refused.retryable, "{refused}");
    let counter = |bench: &Bench<Component>, what| {
        bench.alone.metric(
            &format!("otelcol_processor_memory_limiter_{what}_spans_total"),
            &[("processor", "memory_limiter/otelcol.processor.memory_limiter.test")],
        )
    };
    assert_eq!(counter(&bench, "refused"), Some(3.0));
    let before = bench.next.batches().len();

    bench.alone.update(&config("1TiB"), &bench.scope).unwrap();
    let _taken = eventually(async || bench.send(&spans(2)).await.ok()).await;
    assert_eq!(bench.next.batches().len(), before + 1);
}

#[tokio::test]
async fn a_share_of_the_machines_memory_is_a_limit() {
    let config =
        "check_interval = \"1ms\"\nlimit_percentage = 100\nspike_limit_percentage = 1\noutput {\n traces = [next]\n}\n";
    let bench = Bench::<Component>::start(config).unwrap();
    bench.send(&spans(1)).await.unwrap().detach();
    assert_eq!(bench.next.batches().len(), 1);
}
