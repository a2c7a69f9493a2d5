//! `otelcol.exporter.debug`: shows what arrives.

mod normal;
mod sample;

use std::io::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use language_eval::{Block, Exports, Invalid, Validate, Word};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::describe;
use sdk_protocols_otlp::walk;
use sdk_signals::{BoxFuture, Consumer, Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused};

use sample::Sampler;

/// Writes what arrives to the log or the console.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Arguments {
    /// How much: counts, a line for each record, or everything.
    #[attr(default = Verbosity::Basic)]
    pub verbosity: Verbosity,
    /// So many messages of a kind are shown each second.
    #[attr(default = 2)]
    pub sampling_initial: i64,
    /// Of those beyond, every so manyth; 0 is none.
    #[attr(default = 1)]
    pub sampling_thereafter: i64,
    /// Writes to the log; otherwise to `output_paths`.
    #[attr(default = true)]
    pub use_internal_logger: bool,
    /// Files, `stdout` or `stderr`. Without any: `stdout`.
    #[attr(optional)]
    pub output_paths: Vec<String>,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// Logs cut longer texts off; a payload may be longer, and is then shown in several lines.
const MAX_LINE: usize = 60 << 10;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
#[word(ignore_case)]
pub enum Verbosity {
    /// Counts.
    Basic,
    /// And a line for each record.
    Normal,
    /// Everything.
    Detailed,
}

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct DebugExports {
    /// Takes metrics, logs and traces.
    pub input: OtelConsumer,
}

/// The component.
pub struct Debug {
    context: Context,
    input: Arc<Input>,
}

struct Input {
    context: Context,
    work: RwLock<Arc<Work>>,
}

struct Work {
    arguments: Arguments,
    sampler: Sampler,
    paths: Vec<Path>,
}

enum Path {
    Stdout,
    Stderr,
    File(std::fs::File),
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        for (field, value) in
            [("sampling_initial", self.sampling_initial), ("sampling_thereafter", self.sampling_thereafter)]
        {
            if value < 0 {
                return Err(Invalid::field(field, "must not be negative"));
            }
        }
        if self.use_internal_logger && !self.output_paths.is_empty() {
            let message = "output_paths requires use_internal_logger to be false";
            return Err(Invalid::field("output_paths", message));
        }
        Ok(())
    }
}

// === impl Debug ===

impl Component for Debug {
    const NAME: &'static str = "otelcol.exporter.debug";
    type Arguments = Arguments;
    type Exports = DebugExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let input = Arc::new(Input { context: context.clone(), work: RwLock::new(Arc::new(Work::new(arguments)?)) });
        let consumer = OtelConsumer(Receiver::new(context.id(), input.clone()));
        context.publish(&DebugExports { input: consumer });
        Ok(Debug { context: context.clone(), input })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let (input, work) = (self.input.clone(), Arc::new(Work::new(arguments)?));
        Ok(Update::then(move || *input.work.write().unwrap_or_else(PoisonError::into_inner) = work))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.context.healthy("started");
        stop.stopped().await;
        Ok(())
    }
}

// === impl Work ===

impl Work {
    fn new(arguments: Arguments) -> Result<Work, Problem> {
        let open = |path: &str| match path {
            "stdout" => Ok(Path::Stdout),
            "stderr" => Ok(Path::Stderr),
            path => {
                // Nothing is written before the first batch; opening for appending changes no file that is there.
                let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
                file.map(Path::File).map_err(|error| Problem {
                    field: Some("output_paths".into()),
                    ..Problem::environment(format!("cannot open {path}: {error}"))
                })
            }
        };
        let mut paths = Vec::new();
        if !arguments.use_internal_logger {
            paths = arguments.output_paths.iter().map(|path| open(path)).collect::<Result<_, _>>()?;
            if paths.is_empty() {
                paths.push(Path::Stdout);
            }
        }
        Ok(Work { sampler: Sampler::new(arguments.sampling_initial, arguments.sampling_thereafter), arguments, paths })
    }

    fn show(&self, batch: OtlpBatch) {
        if !self.sampler.shows(batch.signal) {
            return;
        }
        let (signal, items) = (batch.signal, batch.items);
        let payload = batch.into_bytes();
        let resources = walk::resources(&payload).count();
        match signal {
            OtlpSignal::Traces if self.paths.is_empty() => {
                tracing::info!(resource_spans = resources, spans = items, "Traces");
            }
            OtlpSignal::Traces => {
                self.write("Traces", &format!("{{\"resource spans\": {resources}, \"spans\": {items}}}"))
            }
            OtlpSignal::Metrics => {
                let scopes = walk::resources(&payload).flat_map(|resource| resource.scopes());
                let metrics = scopes.map(|scope| scope.records().count()).sum::<usize>();
                if self.paths.is_empty() {
                    tracing::info!(resource_metrics = resources, metrics, data_points = items, "Metrics");
                } else {
                    let counts = format!(
                        "{{\"resource metrics\": {resources}, \"metrics\": {metrics}, \"data points\": {items}}}"
                    );
                    self.write("Metrics", &counts);
                }
            }
            OtlpSignal::Logs if self.paths.is_empty() => {
                tracing::info!(resource_logs = resources, log_records = items, "Logs");
            }
            OtlpSignal::Logs => {
                self.write("Logs", &format!("{{\"resource logs\": {resources}, \"log records\": {items}}}"))
            }
        }
        let text = match self.arguments.verbosity {
            Verbosity::Basic => return,
            Verbosity::Normal => normal::text(signal, &payload),
            Verbosity::Detailed => describe::text(signal, &payload),
        };
        if self.paths.is_empty() {
            for part in parts(&text) {
                tracing::info!("{part}");
            }
        } else {
            self.write(&text, "");
        }
    }

    /// A line as the Collector's own console shows it: time, level, message, counts.
    fn write(&self, message: &str, counts: &str) {
        let now = describe::timestamp(base_sys::clock::now_ns().max(0) as u64);
        let line = format!("{now}\tINFO\t{message}{}{counts}\n", if counts.is_empty() { "" } else { "\t" });
        for path in &self.paths {
            let written = match path {
                Path::Stdout => std::io::stdout().write_all(line.as_bytes()),
                Path::Stderr => std::io::stderr().write_all(line.as_bytes()),
                Path::File(file) => (&mut &*file).write_all(line.as_bytes()),
            };
            if let Err(error) = written {
                tracing::warn!(%error, "cannot write to an output path");
            }
        }
    }
}

/// A text in parts that a log line may hold, cut at line ends where there are any.
fn parts(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = text.floor_char_boundary(MAX_LINE);
        let end = if end == text.len() { end } else { text[..end].rfind('\n').map_or(end, |at| at + 1) };
        let (part, rest) = text.split_at(end);
        text = rest;
        Some(part)
    })
}

// === impl Input ===

impl Consumer<OtlpBatch> for Input {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            let work = self.work.read().unwrap_or_else(PoisonError::into_inner).clone();
            self.context.span().in_scope(|| work.show(batch));
            Ok(Delivery::delivered())
        })
    }
}

#[cfg(test)]
mod tests;
