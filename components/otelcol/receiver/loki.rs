//! `otelcol.receiver.loki`: hands lines of Loki on as log records of OTLP.
//!
//! A line is the body of a record, its labels and structured metadata are the attributes, and a hint names the labels, so
//! that `otelcol.exporter.loki` makes the same line of it again.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use language_eval::{Block, Exports};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_labels::Labels;
use sdk_otel::output::{Output, Outputs};
use sdk_protocols_otlp::wire::{put_bytes, put_message, put_tag};
use sdk_signals::{
    BoxFuture, Consumer, Delivery, LogBatch, LogEntry, LogsReceiver, OtlpBatch, OtlpSignal, Receiver, Refused,
};

/// Hands lines on as log records.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// Where the records go.
    #[block(required)]
    pub output: Output,
}

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct LokiExports {
    /// Takes lines.
    pub receiver: LogsReceiver,
}

/// The component.
pub struct Loki {
    context: Context,
    converter: Arc<Converter>,
}

/// The consumer behind the exported receiver.
struct Converter {
    component: String,
    outputs: Outputs,
    ended: AtomicBool,
}

// === impl Loki ===

impl Component for Loki {
    const NAME: &'static str = "otelcol.receiver.loki";
    type Arguments = Arguments;
    type Exports = LokiExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let outputs = Outputs::new(context, &arguments.output);
        let component = context.local_id().to_owned();
        let converter = Arc::new(Converter { component, outputs, ended: AtomicBool::new(false) });
        context.publish(&LokiExports { receiver: LogsReceiver(Receiver::new(context.id(), converter.clone())) });
        Ok(Loki { context: context.clone(), converter })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let outputs = self.converter.outputs.clone();
        Ok(Update::then(move || outputs.replace(&arguments.output)))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.converter.ended.store(false, Ordering::Relaxed);
        self.context.healthy("started");
        stop.stopped().await;
        self.converter.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

// === impl Converter ===

impl Consumer<LogBatch> for Converter {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(&self.component));
            }
            if batch.is_empty() || !self.outputs.take(OtlpSignal::Logs) {
                return Ok(Delivery::dropped());
            }
            let (items, payload) = (batch.len() as u32, payload(&batch, base_sys::clock::now_ns()));
            let logs = OtlpBatch { signal: OtlpSignal::Logs, payload: vec![payload.into()], items, origin: None };
            self.outputs.consume(logs).await
        })
    }
}

/// The records of all lines, of one resource and scope that nothing is known of.
fn payload(batch: &LogBatch, observed: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * batch.line_bytes());
    put_message(&mut out, 1, |out| {
        put_message(out, 2, |out| {
            for group in &batch.groups {
                let attributes = attributes(&group.labels);
                for entry in &group.entries {
                    put_message(out, 2, |out| put_record(out, entry, observed, &attributes));
                }
            }
        });
    });
    out
}

fn put_record(out: &mut Vec<u8>, entry: &LogEntry, observed: i64, attributes: &[(&str, Cow<'_, str>)]) {
    for (number, time) in [(1, entry.timestamp), (11, observed)] {
        put_tag(out, number, 1);
        out.extend(time.to_le_bytes());
    }
    put_message(out, 5, |out| put_bytes(out, 1, String::from_utf8_lossy(&entry.line).as_bytes()));
    let metadata = entry.metadata.pairs();
    for (key, value) in attributes {
        // Structured metadata of the same name is the more precise.
        let own = metadata.iter().rfind(|(name, _)| name == key.as_bytes());
        put_attribute(out, key.as_bytes(), own.map_or(value.as_bytes(), |(_, value)| value));
    }
    for (i, (key, value)) in metadata.iter().enumerate() {
        let again = metadata[i + 1..].iter().any(|(name, _)| name == key);
        if !again && !attributes.iter().any(|(name, _)| name.as_bytes() == key) {
            put_attribute(out, key, value);
        }
    }
}

fn put_attribute(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    put_message(out, 6, |out| {
        put_bytes(out, 1, String::from_utf8_lossy(key).as_bytes());
        put_message(out, 2, |out| put_bytes(out, 1, String::from_utf8_lossy(value).as_bytes()));
    });
}

/// What the labels say: the file, the hint, the labels themselves.
fn attributes(labels: &Labels) -> Vec<(&str, Cow<'_, str>)> {
    let mut attributes = Vec::new();
    let mut set = |key, value: Cow<'static, str>| attributes.push((key, value));
    if let Some(path) = labels.get("filename") {
        set("log.file.path", Cow::Owned(path.to_owned()));
        set("log.file.name", Cow::Owned(base_name(path).to_owned()));
    }
    let names: Vec<&str> = labels.iter().map(|(name, _)| name).collect();
    if !names.is_empty() {
        set("loki.attribute.labels", Cow::Owned(names.join(",")));
    }
    let mut attributes: Vec<(&str, Cow<'_, str>)> = attributes;
    for (name, value) in labels.iter() {
        match attributes.iter_mut().find(|(key, _)| *key == name) {
            Some((_, known)) => *known = Cow::Borrowed(value),
            None => attributes.push((name, Cow::Borrowed(value))),
        }
    }
    attributes
}

/// The last part of a path with slashes.
fn base_name(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

#[cfg(test)]
mod tests;
