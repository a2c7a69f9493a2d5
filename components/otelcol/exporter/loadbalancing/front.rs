//! The queue in front of the backends' queues: `sending_queue`.

use std::sync::Arc;
use std::time::Duration;

use sdk_otel::exporter::{SendError, Sending, Settings, Transport};
use sdk_queue::Body;
use sdk_signals::{Origin, OtlpSignal, Outcome, Refused};

use super::arguments::{Arguments, RoutingKey};
use super::backends::{Backends, batch_of};
use crate::otlp::Grpc;

/// Hands requests to the backends' exporters.
struct Front {
    backends: Arc<Backends>,
    routing_key: RoutingKey,
    /// Within which the backends' queues must have taken a request.
    timeout: Option<Duration>,
    /// What the queue has on the disk stays there until the backends have it.
    durable: bool,
    /// Knows what the backends will want of the sender.
    like: Arc<Grpc>,
}

/// How the queue sends; `like` is the way to any backend.
pub(super) fn settings(arguments: &Arguments, backends: &Arc<Backends>, like: Arc<Grpc>) -> Settings {
    let front = Front {
        backends: backends.clone(),
        routing_key: arguments.routing_key,
        timeout: arguments.timeout.to_std().filter(|timeout| !timeout.is_zero()),
        durable: arguments.sending_queue.storage.is_some(),
        like,
    };
    let (queue, retry) = (arguments.sending_queue.clone(), arguments.retry_on_failure.clone());
    Settings { transport: Box::new(front), queue, retry }
}

impl Front {
    async fn hand_on(&self, signal: OtlpSignal, payload: Body, origin: Option<&Origin>) -> Result<(), SendError> {
        let batch = batch_of(signal, &payload, origin);
        let taking = self.backends.take(self.routing_key, &batch);
        // What they have taken is not offered again because they are slow to deliver it.
        let delivery = match self.timeout {
            None => taking.await?,
            Some(timeout) => tokio::time::timeout(timeout, taking)
                .await
                .unwrap_or_else(|_| Err(Refused::retryable("the backends did not take it in time")))?,
        };
        if !self.durable {
            delivery.detach();
            return Ok(());
        }
        match delivery.await {
            // What was dropped, its exporter has counted.
            Outcome::Delivered | Outcome::Dropped => Ok(()),
            Outcome::Abandoned => Err(SendError::retryable("the exporter of a backend ended")),
        }
    }
}

impl Transport for Front {
    fn send<'a>(&'a self, signal: OtlpSignal, payload: Body, origin: Option<&'a Origin>) -> Sending<'a> {
        Box::pin(async move {
            self.hand_on(signal, payload, origin).await?;
            Ok(None)
        })
    }

    fn remember(&self, origin: &Origin) -> Option<Origin> {
        self.like.remember(origin)
    }
}
