//! The trait that a component implements.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use language_eval::{Block, BodyNode, Object};
use tokio::sync::mpsc;

use crate::context::{Context, Stop};
use crate::problem::Problem;
use crate::stability::Stability;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Answers requests to `/api/v0/component/{id}/…`; the path is what stands behind the id.
pub type HttpHandler = Arc<dyn Fn(http::Request<Bytes>) -> BoxFuture<'static, http::Response<Bytes>> + Send + Sync>;

/// A body that goes on: in the extensions of a response, it is sent after the response's bytes, chunk by chunk, until its
/// sender is dropped or the client leaves (the channel is closed then).
#[derive(Clone)]
pub struct BodyStream(Arc<Mutex<Option<mpsc::Receiver<Bytes>>>>);

/// A component: one type per component name.
pub trait Component: Send + Sync + Sized + 'static {
    /// `loki.source.docker`; the file's path says the same.
    const NAME: &'static str;

    /// How settled it is; the oracle and the spec say.
    const STABILITY: Stability = Stability::GenerallyAvailable;

    /// Needs `--feature.community-components.enabled`.
    const COMMUNITY: bool = false;

    /// What its block holds. The doc comment of the type is the component's page.
    type Arguments: Block + Send + 'static;

    /// What others may refer to; `()` for none.
    type Exports: language_eval::Exports + Send + 'static;

    /// Makes one, without any effect visible outside: no port bound, no file changed, no connection made. Publishes the
    /// first exports by [`Context::publish`] if there are any to publish yet.
    fn build(context: &Context, arguments: Self::Arguments) -> Result<Self, Problem>;

    /// What lets it start, as in Alloy, and keeps it from its work all the same: an empty URL, a file with a password that
    /// is not there. Warnings of `validate` and of a load, for new arguments only.
    fn doubts(arguments: &Self::Arguments) -> Vec<Problem> {
        let _ = arguments;
        Vec::new()
    }

    /// Prepares new arguments: everything that can fail happens here, nothing that can be seen. What is returned is
    /// committed if the whole new graph is fine, and dropped otherwise.
    fn update(&self, arguments: Self::Arguments) -> Result<Update, Problem>;

    /// Works until stopped, then drains within `stop.grace()`. `Err` turns health red and has it restarted with
    /// back-off: ports that cannot be bound and peers that cannot be reached are better retried inside and shown by
    /// [`Context::unhealthy`].
    fn run(self: Arc<Self>, stop: Stop) -> impl Future<Output = Result<(), Stopped>> + Send;

    /// What the web API shows beside arguments and exports.
    fn describe(&self) -> Description {
        Description::default()
    }

    /// Serves `/api/v0/component/{id}/…`, as exporters do.
    fn http(&self) -> Option<HttpHandler> {
        None
    }
}

/// New arguments, checked and ready.
#[must_use]
pub struct Update {
    /// What the component will export once committed; `None` if that does not change.
    pub exports: Option<Object>,
    /// Makes them live; cannot fail.
    pub commit: Box<dyn FnOnce() + Send>,
}

/// Why a component ended by itself.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Stopped(pub String);

/// Debug information: body nodes as in the arguments.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Shown under "Debug info".
    pub debug_info: Vec<BodyNode>,
}

// === impl BodyStream ===

impl BodyStream {
    /// What this channel brings.
    pub fn new(chunks: mpsc::Receiver<Bytes>) -> BodyStream {
        BodyStream(Arc::new(Mutex::new(Some(chunks))))
    }

    /// For the server: the chunks, once.
    pub fn take(&self) -> Option<mpsc::Receiver<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

// === impl Update ===

impl Update {
    /// Live when `commit` has run.
    pub fn then(commit: impl FnOnce() + Send + 'static) -> Update {
        Update { exports: None, commit: Box::new(commit) }
    }

    /// With new exports: dependants are checked against them before anything is committed.
    pub fn exporting(exports: &impl language_eval::Exports, commit: impl FnOnce() + Send + 'static) -> Update {
        Update { exports: Some(exports.to_object()), commit: Box::new(commit) }
    }
}
