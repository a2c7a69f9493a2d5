//! Samples that pass, for those who look at a component.

use sdk_component::Tap;
use sdk_histogram::Counts;
use sdk_labels::Labels;
use sdk_signals::SampleBatch;

const SIGNAL: &str = "prometheus_metric";

/// All that is in a batch.
pub(crate) fn at_batch(tap: &Tap, batch: &SampleBatch) {
    let Some(look) = tap.look() else { return };
    look.count(SIGNAL, (batch.len() + batch.histograms.len() + batch.exemplars.len() + batch.metadata.len()) as u64);
    if !look.wants_text() {
        return;
    }
    for (series, time, value) in batch.rows() {
        look.show(|| format!("sample: ts={time}, labels={}, value={}", series.labels(), number(value)));
    }
    for histogram in &batch.histograms {
        look.show(|| {
            let (value, labels) = (&histogram.value, histogram.series.labels());
            let (count, kind) = match &value.counts {
                Counts::Integer(counts) => (counts.count.to_string(), "histogram"),
                Counts::Float(counts) => (number(counts.count), "float histogram"),
            };
            let (time, sum, schema) = (histogram.timestamp, number(value.sum), value.schema);
            format!("{kind}: ts={time}, labels={labels}, count={count}, sum={sum}, schema={schema}")
        });
    }
    for exemplar in &batch.exemplars {
        look.show(|| {
            format!(
                "exemplar: ts={}, labels={}, exemplar_labels={}, value={}",
                exemplar.timestamp,
                exemplar.series.labels(),
                exemplar.labels,
                number(exemplar.value)
            )
        });
    }
    for metadata in &*batch.metadata {
        look.show(|| {
            let (labels, about) = (metadata.series.labels(), &metadata.about);
            let (kind, unit, help) = (&about.kind, &about.unit, &about.help);
            format!("metadata: labels={labels}, type={kind:?}, unit={unit:?}, help={help:?}")
        });
    }
}

/// Labels before the rules and after them; what is dropped is left without any.
pub(crate) fn at_relabelling(
    tap: &Tap,
    before: &SampleBatch,
    after: &SampleBatch,
    relabelled: impl Fn(&Labels) -> Option<Labels>,
) {
    let Some(look) = tap.look() else { return };
    look.count(SIGNAL, after.len() as u64);
    if !look.wants_text() {
        return;
    }
    for series in &*before.series {
        look.show(|| {
            let (before, after) = (series.labels(), relabelled(series.labels()));
            format!("{before} => {}", after.unwrap_or_else(Labels::empty))
        });
    }
}

/// As Go's %f.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value:.6}")
}
