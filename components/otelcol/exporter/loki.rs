//! `otelcol.exporter.loki`: hands log records of OTLP on as lines of Loki.
//!
//! Records of one label set are handed on together, in order.

mod labels;
mod line;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base_metrics::Counter;
use hashbrown::HashMap;
use language_eval::{Block, Exports};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_labels::Labels;
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{AnyValue, Attribute, Message, resources};
use sdk_signals::{
    BoxFuture, Consumer, Delivery, FanOut, LogBatch, LogEntry, LogGroup, LogsReceiver, OtelConsumer, OtlpBatch,
    OtlpSignal, Receiver, Refused,
};
use tracing::error;

use labels::{Chosen, Resource};
use line::Record;

/// Label sets remembered at most. Beyond, all are forgotten and made again.
const MOST_STREAMS: usize = 10_000;

/// Hands log records on as lines.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// Where the lines go.
    #[attr]
    pub forward_to: Vec<LogsReceiver>,
}

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct LokiExports {
    /// Takes logs.
    pub input: OtelConsumer,
}

/// The component.
pub struct Loki {
    context: Context,
    converter: Arc<Converter>,
}

/// The consumer behind the exported input.
struct Converter {
    context: Context,
    forward: Mutex<Arc<FanOut<LogBatch>>>,
    streams: Mutex<Streams>,
    total: Counter,
    failed: Counter,
    processed: Counter,
    ended: AtomicBool,
}

/// Label sets by what was chosen for them.
#[derive(Default)]
struct Streams(HashMap<Box<[u8]>, Labels>);

/// The lines of one payload.
#[derive(Default)]
struct Converted {
    batch: LogBatch,
    groups: HashMap<Labels, usize>,
    failed: u64,
    /// Why the first of the failed ones did.
    why: Option<String>,
}

// === impl Loki ===

impl Component for Loki {
    const NAME: &'static str = "otelcol.exporter.loki";
    type Arguments = Arguments;
    type Exports = LokiExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let counter =
            |name: &str, help: &str| context.metrics().counter(&format!("otelcol_exporter_loki_entries_{name}"), help);
        let converter = Arc::new(Converter {
            context: context.clone(),
            forward: Mutex::new(Arc::new(arguments.fan_out(context))),
            streams: Mutex::default(),
            total: counter("total", "Total number of log entries passed through the converter"),
            failed: counter("failed", "Total number of log entries failed to convert"),
            processed: counter("processed", "Total number of log entries successfully converted"),
            ended: AtomicBool::new(false),
        });
        context.publish(&LokiExports { input: OtelConsumer(Receiver::new(context.id(), converter.clone())) });
        Ok(Loki { context: context.clone(), converter })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let (converter, forward) = (self.converter.clone(), Arc::new(arguments.fan_out(&self.context)));
        Ok(Update::then(move || *converter.forward() = forward))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.converter.ended.store(false, Ordering::Relaxed);
        self.context.healthy("started");
        stop.stopped().await;
        self.converter.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Arguments {
    fn fan_out(self, context: &Context) -> FanOut<LogBatch> {
        FanOut::new(self.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics())
    }
}

// === impl Converter ===

impl Consumer<OtlpBatch> for Converter {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if batch.signal != OtlpSignal::Logs {
                return Err(Refused::permanent("telemetry type is not supported"));
            }
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(self.context.local_id()));
            }
            let mut converted = Converted::default();
            {
                let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
                batch.payload.iter().for_each(|payload| converted.add(payload, &mut streams));
            }
            let (lines, forward) = (converted.batch.len() as u64, self.forward().clone());
            let delivery = if lines == 0 { Delivery::dropped() } else { forward.consume(converted.batch).await? };
            self.total.add(lines + converted.failed);
            self.processed.add(lines);
            self.failed.add(converted.failed);
            if let Some(why) = converted.why {
                let _in_component = self.context.span().enter();
                error!(records = converted.failed, err = why, "failed to convert log to loki entry");
            }
            Ok(delivery)
        })
    }
}

impl Converter {
    fn forward(&self) -> MutexGuard<'_, Arc<FanOut<LogBatch>>> {
        // The list is replaced whole, so a panic elsewhere leaves it good.
        self.forward.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Converted ===

impl Converted {
    fn add(&mut self, payload: &[u8], streams: &mut Streams) {
        for group in resources(payload) {
            let resource = Resource::new(group.attributes().collect());
            for scope_group in group.scopes() {
                let scope = scope_group.scope();
                for record in scope_group.records() {
                    match entry(&record, &resource, &scope, streams) {
                        Ok((labels, entry)) => self.push(labels, entry),
                        Err(why) => {
                            self.failed += 1;
                            self.why.get_or_insert(why);
                        }
                    }
                }
            }
        }
    }

    fn push(&mut self, labels: Labels, entry: LogEntry) {
        let groups = &mut self.batch.groups;
        let group = *self.groups.entry_ref(&labels).or_insert_with(|| {
            groups.push(LogGroup { labels: labels.clone(), entries: Vec::new() });
            groups.len() - 1
        });
        groups[group].entries.push(entry);
    }
}

/// A record as a line of a stream.
fn entry(
    record: &Message<'_>,
    resource: &Resource<'_>,
    scope: &Message<'_>,
    streams: &mut Streams,
) -> Result<(Labels, LogEntry), String> {
    let (mut time, mut observed, mut severity) = (0, 0, 0);
    let (mut severity_text, mut body, mut flags) = (&[][..], AnyValue::default(), 0);
    let (mut trace_id, mut span_id) = (&[][..], &[][..]);
    for field in record.fields() {
        match field.number {
            1 => time = field.value.number() as i64,
            2 => severity = field.value.number() as i32,
            3 => severity_text = field.value.bytes(),
            5 => body = AnyValue(field.value.bytes()),
            8 => flags = field.value.number(),
            9 => trace_id = field.value.bytes(),
            10 => span_id = field.value.bytes(),
            11 => observed = field.value.number() as i64,
            _ => {}
        }
    }
    let mut attributes: Vec<Attribute<'_>> = record.attributes(6).collect();
    attributes.extend(labels::level(severity, &attributes));
    let chosen = Chosen::by_hints(severity, &attributes, resource);
    let format = labels::format(&attributes, &resource.attributes);
    attributes.retain(|pair| !chosen.takes(pair.key));
    let line = match format.as_str() {
        "raw" => text::of(body),
        "json" | "logfmt" => {
            let left = resource.attributes.iter().filter(|pair| !chosen.takes(pair.key)).cloned().collect();
            let record =
                Record { body, trace_id, span_id, severity: severity_text, flags, attributes, resource: left, scope };
            if format == "json" { line::json(&record) } else { line::logfmt(&record)? }
        }
        _ => return Err(format!("invalid format {format}. Expected one of: json, logfmt, raw")),
    };
    let timestamp = [time, observed].into_iter().find(|time| *time != 0).unwrap_or_else(base_sys::clock::now_ns);
    Ok((streams.labels(&chosen)?, LogEntry::new(timestamp, line)))
}

// === impl Streams ===

impl Streams {
    fn labels(&mut self, chosen: &Chosen<'_>) -> Result<Labels, String> {
        let mut key = Vec::new();
        chosen.write_key(&mut key);
        if let Some(labels) = self.0.get(&*key) {
            return Ok(labels.clone());
        }
        let labels = chosen.labels()?;
        if self.0.len() >= MOST_STREAMS {
            self.0.clear();
        }
        self.0.insert(key.into(), labels.clone());
        Ok(labels)
    }
}

#[cfg(test)]
mod tests;
