//! `otelcol.exporter.loadbalancing`: sends what belongs together to one of several backends, always the same one.
//!
//! A ring tells the backend of a key, as the Collector's does. Each backend has an exporter with a queue of its own. When a
//! backend goes, its queue is emptied over those that are left. In front of them all there may be one queue more.

mod arguments;
mod backends;
mod cloud_map;
mod front;
mod metrics;
mod resolver;
mod ring;
mod routing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use language_eval::Exports;
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};
use sdk_otel::exporter::Exporter;
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
    /// The queue in front of them, without use while there is none.
    front: Exporter,
}

/// The consumer behind `input`.
struct Input {
    context: Context,
    arguments: watch::Receiver<Arc<Arguments>>,
    backends: Arc<Backends>,
    front: Exporter,
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
        let like = arguments.protocol.otlp.grpc("localhost:4317")?;
        let arguments = watch::Sender::new(Arc::new(arguments));
        let backends = Backends::new(context, arguments.subscribe());
        let front = Exporter::in_front(context, KIND, front::settings(&arguments.borrow(), &backends, like));
        let input = Input {
            context: context.clone(),
            arguments: arguments.subscribe(),
            backends: backends.clone(),
            front: front.clone(),
            said: Mutex::default(),
        };
        context.publish(&LoadBalancingExports { input: OtelConsumer(Receiver::new(context.id(), Arc::new(input))) });
        Ok(LoadBalancing { context: context.clone(), arguments, backends, front })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let like = arguments.protocol.otlp.grpc("localhost:4317")?;
        let settings = front::settings(&arguments, &self.backends, like);
        let (sender, backends, front) = (self.arguments.clone(), self.backends.clone(), self.front.clone());
        Ok(Update::then(move || {
            sender.send_replace(Arc::new(arguments));
            backends.settings_changed();
            front.replace(settings);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        // At a stop the queue in front hands on what it has while the backends still take it, and writes down the rest.
        tokio::join!(self.backends.run(&self.context, self.arguments.subscribe(), &stop), self.front.run(stop.clone()));
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
        if arguments.sending_queue.enabled {
            return self.front.consume(batch).await;
        }
        let longest = arguments.timeout.to_std().filter(|longest| *longest > Duration::ZERO);
        let handing = self.hand_on(&arguments, batch);
        match longest {
            None => handing.await,
            Some(longest) => tokio::time::timeout(longest, handing)
                .await
                .unwrap_or_else(|_| Err(Refused::retryable("the backends did not take it in time"))),
        }
    }

    /// Offers a batch until the backends take it, or it is given up.
    async fn hand_on(&self, arguments: &Arguments, batch: OtlpBatch) -> Result<Delivery, Refused> {
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
        Box::pin(self.take(batch))
    }
}

#[cfg(test)]
mod tests;
