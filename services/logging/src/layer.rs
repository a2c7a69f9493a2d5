//! From `tracing` events to lines.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base_sys::clock;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::forward::{Forward, is_forwarding};
use crate::line::{Fields, Record, Value};
use crate::service::{Format, Level};

/// So many lines wait for the `logging` block; of more, the oldest are given up.
const MAX_WAITING: usize = 10_000;

/// What a recording may hold, in bytes.
const MAX_RECORDING: usize = 8 << 20;

/// Crates whose events are ours. Of what others say, only warnings and errors are of interest to a user.
const OURS: [&str; 7] = ["base_", "components", "ferroalloy", "language_", "runtime", "sdk_", "services_"];

/// The log of this process. Clones are the same one.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    /// As in [`Level`]; read for every event.
    level: AtomicU8,
    output: Mutex<Output>,
}

struct Output {
    /// None until the `logging` block has been read.
    format: Option<Format>,
    waiting: VecDeque<Record>,
    writer: Box<dyn Write + Send>,
    forward: Option<Forward>,
    /// Those who keep lines for a while, by number.
    recordings: BTreeMap<u64, String>,
    next_recording: u64,
}

/// Ends with whoever wanted the lines.
struct Recording {
    log: Log,
    number: u64,
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.log.output().recordings.remove(&self.number);
    }
}

/// Fields of a span, for the events inside it.
struct SpanFields(Fields);

/// Takes the fields of an event or a span.
struct Collect<'f> {
    fields: &'f mut Fields,
    message: Option<&'f mut String>,
}

// === impl Log ===

impl Log {
    /// Makes every event of this process a line on stderr. Once per process.
    pub fn install() -> Result<Log, tracing::subscriber::SetGlobalDefaultError> {
        let log = Log::writing_to(Box::new(io::stderr()));
        tracing::subscriber::set_global_default(log.subscriber())?;
        Ok(log)
    }

    /// A log with a writer of its own, for tests.
    pub fn writing_to(writer: Box<dyn Write + Send>) -> Log {
        let output = Output {
            format: None,
            waiting: VecDeque::new(),
            writer,
            forward: None,
            recordings: BTreeMap::new(),
            next_recording: 0,
        };
        Log(Arc::new(Shared { level: AtomicU8::new(Level::Debug as u8), output: Mutex::new(output) }))
    }

    /// What events have to be sent to.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::registry().with(self.clone())
    }

    /// From now on so; what has waited is written.
    pub fn configure(&self, level: Level, format: Format) {
        self.0.level.store(level as u8, Ordering::Relaxed);
        {
            let mut output = self.output();
            output.format = Some(format);
            for record in std::mem::take(&mut output.waiting) {
                if record.level >= level {
                    output.write(&record, format);
                }
            }
        }
        // Outside the lock: this asks us about every place that logs.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Keeps lines from now on, up to [`MAX_RECORDING`] bytes; what it returns ends that and tells them.
    pub fn record(&self) -> Box<dyn FnOnce() -> String + Send> {
        let recording = {
            let mut output = self.output();
            output.next_recording += 1;
            let number = output.next_recording;
            output.recordings.insert(number, String::new());
            Recording { log: self.clone(), number }
        };
        Box::new(move || recording.log.output().recordings.remove(&recording.number).unwrap_or_default())
    }

    /// Sends lines also there.
    pub(crate) fn set_forward(&self, forward: Option<Forward>) {
        self.output().forward = forward;
    }

    fn level(&self) -> Level {
        Level::from_u8(self.0.level.load(Ordering::Relaxed))
    }

    fn output(&self) -> std::sync::MutexGuard<'_, Output> {
        self.0.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let ours = OURS.iter().any(|prefix| metadata.target().starts_with(prefix));
        if metadata.is_span() {
            // A span says what an event is about, at whatever level the event is.
            return ours && *metadata.level() <= tracing::Level::INFO;
        }
        let level = Level::of(metadata.level());
        level.is_some_and(|level| level >= self.level() && (ours || level >= Level::Warn))
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.level() {
            Level::Debug => LevelFilter::DEBUG,
            // Because of the spans.
            _ => LevelFilter::INFO,
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Collect { fields: &mut fields, message: None });
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &SpanRecord<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut::<SpanFields>() {
            values.record(&mut Collect { fields, message: None });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(level) = Level::of(event.metadata().level()) else { return };
        let mut record = Record { at: clock::now_ns(), level, message: String::new(), fields: Fields::new() };
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(SpanFields(fields)) = span.extensions().get::<SpanFields>() {
                record.fields.extend(fields.iter().cloned());
            }
        }
        event.record(&mut Collect { fields: &mut record.fields, message: Some(&mut record.message) });
        self.output().take(record);
    }
}

// === impl Output ===

impl Output {
    fn take(&mut self, record: Record) {
        let Some(format) = self.format else {
            if self.waiting.len() == MAX_WAITING {
                self.waiting.pop_front();
            }
            return self.waiting.push_back(record);
        };
        self.write(&record, format);
    }

    fn write(&mut self, record: &Record, format: Format) {
        let line = record.line(format);
        // If stderr is gone, there is nobody to tell.
        let _ = self.writer.write_all(line.as_bytes());
        for recording in self.recordings.values_mut().filter(|recording| recording.len() < MAX_RECORDING) {
            recording.push_str(&line);
        }
        if let Some(forward) = self.forward.as_ref().filter(|_| !is_forwarding()) {
            forward.send(record.at, line);
        }
    }
}

// === impl Collect ===

impl Collect<'_> {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), &mut self.message, value) {
            ("message", Some(message), Value::Text(text)) => **message = text,
            // As Alloy's users search for it.
            ("error", _, value) => self.fields.push(("err", value)),
            (name, _, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Collect<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, Value::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::Uint(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::Text(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::Text(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests;
