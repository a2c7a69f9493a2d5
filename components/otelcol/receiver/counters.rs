//! What receivers count, under the Collector's names.

use std::sync::Arc;

use base_metrics::{Counter, Scope};
use sdk_signals::OtlpSignal;

/// Clones are the same counters.
#[derive(Clone)]
pub(crate) struct Counters(Arc<[Transport]>);

/// What came over one transport.
pub(crate) struct Transport {
    accepted: Family,
    refused: Family,
    failed: Family,
    malformed: Counter,
}

/// One counter for each signal that the receiver takes.
type Family = Vec<(OtlpSignal, Counter)>;

// === impl Counters ===

impl Counters {
    /// The counters of a receiver that takes these signals over these transports.
    pub(crate) fn new(metrics: &Scope, receiver: &str, signals: &[OtlpSignal], transports: &[&str]) -> Counters {
        let of = |transport: &&str| {
            let family = |what: &str, help: &str| {
                let counter = |signal: &OtlpSignal| {
                    let name = format!("otelcol_receiver_{what}_{}_total", signal.items());
                    (*signal, metrics.counter_vec(&name, help, &["receiver", "transport"]).with(&[receiver, transport]))
                };
                signals.iter().map(counter).collect::<Family>()
            };
            Transport {
                accepted: family("accepted", "Number of items successfully pushed into the pipeline."),
                refused: family("refused", "Number of items that could not be pushed into the pipeline."),
                failed: family(
                    "failed",
                    "Number of items that failed to be processed by the receiver due to internal errors.",
                ),
                malformed: metrics
                    .counter_vec(
                        "ferroalloy_otelcol_receiver_malformed_requests_total",
                        "Number of requests that are not what their protocol says.",
                        &["receiver", "transport"],
                    )
                    .with(&[receiver, transport]),
            }
        };
        Counters(transports.iter().map(of).collect())
    }

    /// Of one transport, by its place in the list that they were made with.
    pub(crate) fn of(&self, transport: usize) -> &Transport {
        &self.0[transport]
    }
}

// === impl Transport ===

impl Transport {
    pub(crate) fn accepted(&self, signal: OtlpSignal, items: usize) {
        add(&self.accepted, signal, items);
    }

    pub(crate) fn refused(&self, signal: OtlpSignal, items: usize) {
        add(&self.refused, signal, items);
    }

    pub(crate) fn failed(&self, signal: OtlpSignal, items: usize) {
        add(&self.failed, signal, items);
    }

    /// What a request holds that cannot be read nobody knows: it is counted as one.
    pub(crate) fn malformed(&self) {
        self.malformed.inc();
    }
}

fn add(family: &Family, signal: OtlpSignal, items: usize) {
    if let Some((_, counter)) = family.iter().find(|(other, _)| *other == signal) {
        counter.add(items as u64);
    }
}
