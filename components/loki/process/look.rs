//! Lines before and after the stages, for those who look at the component.

use sdk_component::Tap;
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry};

/// Lines as they come. They are not counted: those that leave are.
pub(super) fn at_incoming(tap: &Tap, batch: &LogBatch) {
    show(tap, "[IN]", batch);
}

/// Lines that leave.
pub(super) fn at_outgoing(tap: &Tap, batch: &LogBatch) {
    if let Some(look) = tap.look()
        && !batch.is_empty()
    {
        look.count("loki_log", batch.len() as u64);
    }
    show(tap, "[OUT]", batch);
}

fn show(tap: &Tap, direction: &str, batch: &LogBatch) {
    let Some(look) = tap.look().filter(|look| look.wants_text()) else { return };
    for group in &batch.groups {
        for entry in &group.entries {
            look.show(|| text(direction, &group.labels, entry));
        }
    }
}

fn text(direction: &str, labels: &Labels, entry: &LogEntry) -> String {
    let line = String::from_utf8_lossy(&entry.line);
    let time = jiff::Timestamp::from_nanosecond(i128::from(entry.timestamp)).unwrap_or_default();
    let string = |bytes: &[u8]| serde_json::Value::from(String::from_utf8_lossy(bytes)).to_string();
    let metadata: Vec<String> =
        entry.metadata.pairs().iter().map(|(name, value)| format!("{}:{}", string(name), string(value))).collect();
    let metadata = metadata.join(",");
    format!("{direction}: timestamp: {time}, entry: {line}, labels: {labels}, structured_metadata: {{{metadata}}}")
}
