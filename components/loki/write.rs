//! `loki.write`: sends log entries to Loki, or whatever speaks its push API.

mod arguments;
mod arrivals;
mod health;
mod lane;
mod metrics;
mod pipeline;
mod refusal;
mod sender;
mod taken;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use language_eval::Exports;
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};
use sdk_net::{address, why_no_address};
use sdk_signals::{BoxFuture, Consumer, Delivery, LogBatch, LogsReceiver, Receiver, Refused};
use tokio::sync::watch;

use arguments::QueueConfig;
pub use arguments::WriteArguments;
use metrics::Metrics;
use pipeline::Pipeline;

/// What others may refer to.
#[derive(Exports)]
pub struct WriteExports {
    /// Takes log entries, to be sent.
    receiver: LogsReceiver,
}

/// The component.
pub struct Write {
    context: Context,
    metrics: Metrics,
    inlet: Arc<Inlet>,
    arguments: watch::Sender<Arc<WriteArguments>>,
}

/// The receiver's other side: the same for as long as the component lives, whatever its arguments become.
struct Inlet {
    component: String,
    state: watch::Sender<State>,
}

#[derive(Clone)]
enum State {
    /// No endpoint is open yet, or they are being changed: callers wait.
    Opening,
    Open(Arc<Pipeline>),
    Stopped,
}

/// How soon endpoints that could not be opened (a queue directory that cannot be written) are tried again.
const RETRY: Duration = Duration::from_secs(5);

impl Component for Write {
    const NAME: &'static str = "loki.write";

    type Arguments = WriteArguments;
    type Exports = WriteExports;

    fn build(context: &Context, arguments: WriteArguments) -> Result<Write, Problem> {
        check(context, &arguments)?;
        let inlet =
            Arc::new(Inlet { component: context.local_id().to_owned(), state: watch::Sender::new(State::Opening) });
        context.publish(&WriteExports { receiver: LogsReceiver(Receiver::new(context.id(), inlet.clone())) });
        Ok(Write {
            context: context.clone(),
            metrics: Metrics::new(context.metrics()),
            inlet,
            arguments: watch::Sender::new(Arc::new(arguments)),
        })
    }

    fn doubts(arguments: &WriteArguments) -> Vec<Problem> {
        let endpoints = arguments.endpoint.iter().enumerate();
        endpoints.flat_map(|(index, endpoint)| endpoint.doubts(&format!("endpoint[{index}]."))).collect()
    }

    fn update(&self, arguments: WriteArguments) -> Result<Update, Problem> {
        check(&self.context, &arguments)?;
        let sender = self.arguments.clone();
        Ok(Update::then(move || {
            sender.send_replace(Arc::new(arguments));
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut arguments = self.arguments.subscribe();
        loop {
            let now = arguments.borrow_and_update().clone();
            let pipeline = match Pipeline::open(&self.context, &self.metrics, &now).await {
                Ok(pipeline) => Arc::new(pipeline),
                Err(error) => {
                    tracing::error!(error, "cannot open the queues; what arrives waits at its source");
                    self.context.unhealthy(error);
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => continue,
                        _ = arguments.changed() => continue,
                        () = stop.stopped() => break,
                    }
                }
            };
            if let Some(endpoint) = now.endpoint.iter().find(|endpoint| address(&endpoint.url).is_none()) {
                // Alloy starts as well, and says nothing.
                let why = why_no_address(&endpoint.url);
                tracing::error!(why, "entries for this endpoint wait in its queue");
                self.context.unhealthy(why);
            }
            let mut announced = std::pin::pin!(stop.announced());
            let mut hurried = false;
            let mut left = std::pin::pin!(pipeline.take_what_was_left());
            let mut opened = false;
            let stopping = loop {
                tokio::select! {
                    () = stop.stopped() => break true,
                    () = &mut left, if !opened => {
                        opened = true;
                        self.inlet.state.send_replace(State::Open(pipeline.clone()));
                    }
                    changed = arguments.changed() => break changed.is_err(),
                    () = &mut announced, if !hurried => {
                        hurried = true;
                        pipeline.hurry();
                    }
                }
            };
            self.inlet.state.send_replace(if stopping { State::Stopped } else { State::Opening });
            pipeline.close(stop.grace()).await;
            if stopping {
                break;
            }
        }
        self.inlet.state.send_replace(State::Stopped);
        Ok(())
    }
}

/// What the arguments alone do not tell.
fn check(context: &Context, arguments: &WriteArguments) -> Result<(), Problem> {
    if arguments.endpoint.is_empty() {
        let message = "building component: failed to create cliens: at least one endpoint config must be provided";
        return Err(Problem::new(message)
            .with_hint("say where to send: endpoint { url = \"http://HOST:3100/loki/api/v1/push\" }"));
    }
    let mut names: Vec<String> = Vec::new();
    for (index, endpoint) in arguments.endpoint.iter().enumerate() {
        if endpoint.queue_config != QueueConfig::default() {
            context.require(Stability::Experimental, "queue_config")?;
        }
        let place = format!("endpoint[{index}]");
        let name = endpoint.identity();
        if names.contains(&name) {
            return Err(Problem::at(
                place,
                format!("duplicate endpoint configs are not allowed, found duplicate for name: {}", endpoint.name),
            )
            .with_hint("give each endpoint a name of its own"));
        }
        names.push(name);
        endpoint.client.check_certificates(&format!("{place}."))?;
        endpoint.client().map_err(|error| Problem::at(place, error.to_string()))?;
    }
    Ok(())
}

// === impl Inlet ===

impl Consumer<LogBatch> for Inlet {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            let mut state = self.state.subscribe();
            loop {
                let now = state.borrow_and_update().clone();
                match now {
                    State::Open(pipeline) => return pipeline.consume(batch).await,
                    State::Stopped => return Err(Refused::stopped(&self.component)),
                    State::Opening => state.changed().await.map_err(|_| Refused::stopped(&self.component))?,
                }
            }
        })
    }
}

/// A lock that nothing panics under.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
