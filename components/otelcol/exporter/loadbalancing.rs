//! `otelcol.exporter.loadbalancing`: sends what belongs together to one of several backends, always the same one.
//!
//! A ring tells the backend of a key, as the Collector's does. Each backend has an exporter with a queue of its own. When a
//! backend goes, its queue is emptied over those that are left.

mod arguments;
mod backends;
mod metrics;
mod resolver;
mod ring;
mod routing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use language_eval::Exports;
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};
use sdk_otel::retry::Backoff;
use sdk_signals::{BoxFuture, Consumer, Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused};
use tokio::sync::watch;

pub use arguments::{Arguments, AwsCloudMap, Dns, Kubernetes, Otlp, Protocol, Resolver, RoutingKey, Static};
use backends::Backends;

/// The name of its kind in the labels of metrics.
const KIND: &str = "load_balancing";

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct LoadBalancingExports {
    /// Takes what `routing_key` makes sense for.
    pub input: OtelConsumer,
}

/// The component.
pub struct LoadBalancing {
    context: Context,
    /// The arguments in use.
    arguments: watch::Sender<Arc<Arguments>>,
    backends: Arc<Backends>,
}

/// The consumer behind `input`.
struct Input {
    context: Context,
    arguments: watch::Receiver<Arc<Arguments>>,
    backends: Arc<Backends>,
    /// Signals of which it was said that they are not taken.
    said: Mutex<Vec<OtlpSignal>>,
}

// === impl LoadBalancing ===

impl Component for LoadBalancing {
    const NAME: &'static str = "otelcol.exporter.loadbalancing";
    type Arguments = Arguments;
    type Exports = LoadBalancingExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        // Files of TLS and credentials are looked at now, not when the first backend is found.
        arguments.protocol.otlp.grpc("localhost:4317")?;
        let arguments = watch::Sender::new(Arc::new(arguments));
        let backends = Backends::new(context, arguments.subscribe());
        let input = Input {
            context: context.clone(),
            arguments: arguments.subscribe(),
            backends: backends.clone(),
            said: Mutex::default(),
        };
        context.publish(&LoadBalancingExports { input: OtelConsumer(Receiver::new(context.id(), Arc::new(input))) });
        Ok(LoadBalancing { context: context.clone(), arguments, backends })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        arguments.protocol.otlp.grpc("localhost:4317")?;
        let (sender, backends) = (self.arguments.clone(), self.backends.clone());
        Ok(Update::then(move || {
            sender.send_replace(Arc::new(arguments));
            backends.settings_changed();
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.backends.run(&self.context, self.arguments.subscribe(), &stop).await;
        Ok(())
    }
}

// === impl Input ===

impl Input {
    async fn take(&self, batch: OtlpBatch) -> Result<Delivery, Refused> {
        let arguments = self.arguments.borrow().clone();
        let experimental = self.context.minimum_stability() == Stability::Experimental;
        if !arguments.routing_key.routes(batch.signal, experimental) {
            self.say(batch.signal, experimental);
            return Err(Refused::permanent("telemetry type is not supported"));
        }
        if batch.items == 0 {
            return Ok(Delivery::delivered());
        }
        let mut backoff = Backoff::new(&arguments.retry_on_failure);
        loop {
            let refused = match self.backends.take(arguments.routing_key, &batch).await {
                Ok(delivery) => return Ok(delivery),
                Err(refused) => refused,
            };
            let again = if refused.retryable { backoff.next(refused.retry_after) } else { None };
            let Some(delay) = again else { return Err(refused) };
            tokio::time::sleep(delay).await;
        }
    }

    fn say(&self, signal: OtlpSignal, experimental: bool) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.contains(&signal) {
            return;
        }
        said.push(signal);
        let cure = if signal == OtlpSignal::Metrics && !experimental {
            "metrics need --stability.level=experimental and another routing_key than traceID"
        } else {
            "use another routing_key, or send this signal elsewhere"
        };
        tracing::error!(signal = signal.name(), cure, "this routing_key does not route this signal: refused");
    }
}

impl Consumer<OtlpBatch> for Input {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            let longest = self.arguments.borrow().timeout.to_std().filter(|longest| *longest > Duration::ZERO);
            let taking = self.take(batch);
            match longest {
                None => taking.await,
                Some(longest) => tokio::time::timeout(longest, taking)
                    .await
                    .unwrap_or_else(|_| Err(Refused::retryable("the backends did not take it in time"))),
            }
        })
    }
}

#[cfg(test)]
mod tests;
