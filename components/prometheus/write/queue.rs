//! `prometheus.write.queue`: the experimental sibling of `prometheus.remote_write`, which Alloy had until 1.17. It is the same
//! sender behind other arguments.

mod arguments;
mod metrics;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use language_eval::Exports;
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};
use sdk_signals::MetricsReceiver;

use arguments::QueueArguments;

use crate::remote_write::Writer;

/// What others may refer to.
#[derive(Exports)]
pub struct QueueExports {
    /// Takes the samples to send.
    receiver: MetricsReceiver,
}

/// The component.
pub struct Queue(Writer);

impl Component for Queue {
    const NAME: &'static str = "prometheus.write.queue";
    const STABILITY: Stability = Stability::Experimental;

    type Arguments = QueueArguments;
    type Exports = QueueExports;

    fn build(context: &Context, arguments: QueueArguments) -> Result<Queue, Problem> {
        let (writer, receiver) = Writer::new(context, Arc::new(move || arguments.plan()))?;
        context.publish(&QueueExports { receiver });
        Ok(Queue(writer))
    }

    fn update(&self, arguments: QueueArguments) -> Result<Update, Problem> {
        self.0.update(Arc::new(move || arguments.plan()))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.0.run(stop).await
    }
}
