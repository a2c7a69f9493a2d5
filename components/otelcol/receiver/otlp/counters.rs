//! What the receiver counts, under the Collector's names.

use std::sync::Arc;

use base_metrics::{Counter, Scope};
use sdk_signals::OtlpSignal;

/// Clones are the same counters.
#[derive(Clone)]
pub(super) struct Counters(Arc<[Transport; 2]>);

/// What came over one of the two.
pub(super) struct Transport {
    accepted: [Counter; 3],
    refused: [Counter; 3],
    failed: [Counter; 3],
}

// === impl Counters ===

impl Counters {
    pub(super) fn new(metrics: &Scope, receiver: &str) -> Counters {
        let of = |transport: &str| {
            let family = |what: &str, help: &str| {
                [OtlpSignal::Traces, OtlpSignal::Metrics, OtlpSignal::Logs].map(|signal| {
                    let name = format!("otelcol_receiver_{what}_{}_total", signal.items());
                    metrics.counter_vec(&name, help, &["receiver", "transport"]).with(&[receiver, transport])
                })
            };
            Transport {
                accepted: family("accepted", "Number of items successfully pushed into the pipeline."),
                refused: family("refused", "Number of items that could not be pushed into the pipeline."),
                failed: family(
                    "failed",
                    "Number of items that failed to be processed by the receiver due to internal errors.",
                ),
            }
        };
        Counters(Arc::new([of("grpc"), of("http")]))
    }

    pub(super) fn grpc(&self) -> &Transport {
        &self.0[0]
    }

    pub(super) fn http(&self) -> &Transport {
        &self.0[1]
    }
}

// === impl Transport ===

impl Transport {
    pub(super) fn accepted(&self, signal: OtlpSignal, items: usize) {
        self.accepted[signal as usize].add(items as u64);
    }

    pub(super) fn refused(&self, signal: OtlpSignal, items: usize) {
        self.refused[signal as usize].add(items as u64);
    }

    pub(super) fn failed(&self, signal: OtlpSignal, items: usize) {
        self.failed[signal as usize].add(items as u64);
    }
}
