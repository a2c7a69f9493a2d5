//! The one call between two components.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::delivery::Delivery;

/// A boxed future: one allocation per batch and hop.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What takes batches of one kind.
pub trait Consumer<B>: Send + Sync {
    /// Resolves when the batch is **taken**, in the order of calls; a full receiver makes the caller wait, and that is
    /// the only back-pressure there is. The [`Delivery`] resolves when the data is somebody else's responsibility.
    fn consume(&self, batch: B) -> BoxFuture<'_, Result<Delivery, Refused>>;
}

/// Why a batch was not taken. Nothing of it was kept: the caller still owns the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// In words.
    pub reason: String,
    /// Trying the same batch again can help.
    pub retryable: bool,
    /// Not before this has passed.
    pub retry_after: Option<Duration>,
    /// What the remote end said, as a code of gRPC, when the batch went straight there.
    pub code: Option<u8>,
}

/// A consumer as it travels through a configuration: what `forward_to` lists.
pub struct Receiver<B> {
    /// Global id of the component behind it; the graph is drawn from these.
    component: Arc<str>,
    consumer: Arc<dyn Consumer<B>>,
}

// === impl Refused ===

impl Refused {
    /// Full, stopping, or over a limit: try again.
    pub fn retryable(reason: impl Into<String>) -> Refused {
        Refused { reason: reason.into(), retryable: true, retry_after: None, code: None }
    }

    /// It will never be taken.
    pub fn permanent(reason: impl Into<String>) -> Refused {
        Refused { reason: reason.into(), retryable: false, retry_after: None, code: None }
    }

    /// The component is stopping or was removed.
    pub fn stopped(component: &str) -> Refused {
        Refused::retryable(format!("{component} is not running"))
    }
}

// === impl Receiver ===

impl<B> Receiver<B> {
    /// The receiver of a component, by its global id.
    pub fn new(component: impl Into<Arc<str>>, consumer: Arc<dyn Consumer<B>>) -> Receiver<B> {
        Receiver { component: component.into(), consumer }
    }

    /// Global id of the component that receives.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// See [`Consumer::consume`].
    pub fn consume(&self, batch: B) -> BoxFuture<'_, Result<Delivery, Refused>> {
        self.consumer.consume(batch)
    }
}

/// Two are equal that lead to the same consumer.
impl<B> PartialEq for Receiver<B> {
    fn eq(&self, other: &Receiver<B>) -> bool {
        Arc::ptr_eq(&self.consumer, &other.consumer)
    }
}

impl<B> Clone for Receiver<B> {
    fn clone(&self) -> Receiver<B> {
        Receiver { component: self.component.clone(), consumer: self.consumer.clone() }
    }
}

impl<B> fmt::Debug for Receiver<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({})", self.component)
    }
}
