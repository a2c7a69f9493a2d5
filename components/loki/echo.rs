//! `loki.echo`: prints log entries in the collector's own log.

use std::sync::Arc;

use base_gotime::Layout;
use jiff::tz::TimeZone;
use language_eval::{Arguments, Exports};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_signals::{BoxFuture, Consumer, Delivery, LogBatch, LogsReceiver, Receiver, Refused};

/// Prints every log entry in the collector's own log, at level info. For trying things out.
#[derive(Arguments)]
pub struct EchoArguments {}

/// What others may refer to.
#[derive(Exports)]
pub struct EchoExports {
    /// Takes log entries, to be printed.
    receiver: LogsReceiver,
}

/// The component.
pub struct Echo;

struct Printer {
    context: Context,
    /// How times are written, as Alloy writes them.
    layout: Layout,
}

impl Component for Echo {
    const NAME: &'static str = "loki.echo";

    type Arguments = EchoArguments;
    type Exports = EchoExports;

    fn build(context: &Context, _: EchoArguments) -> Result<Echo, Problem> {
        let printer =
            Arc::new(Printer { context: context.clone(), layout: Layout::new("2006-01-02T15:04:05.000Z07:00") });
        context.publish(&EchoExports { receiver: LogsReceiver(Receiver::new(context.id(), printer)) });
        Ok(Echo)
    }

    fn update(&self, _: EchoArguments) -> Result<Update, Problem> {
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

// === impl Printer ===

impl Consumer<LogBatch> for Printer {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        let _entered = self.context.span().enter();
        for group in &batch.groups {
            for entry in &group.entries {
                let line = String::from_utf8_lossy(&entry.line);
                let metadata = entry.metadata.pairs().iter().map(|(name, value)| {
                    (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned().into())
                });
                let metadata = serde_json::Value::Object(metadata.collect());
                tracing::info!(
                    entry = &*line,
                    entry_timestamp = self.layout.format(entry.timestamp, &TimeZone::UTC),
                    labels = %group.labels,
                    structured_metadata = %metadata,
                    "received log entry"
                );
            }
        }
        Box::pin(async { Ok(Delivery::delivered()) })
    }
}
