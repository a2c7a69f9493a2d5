//! The capsule that `otelcol.auth.*` export, and what stands behind it.

use std::any::Any;
use std::sync::Arc;

use http::HeaderMap;
use language_eval::{CapsuleObject, Exports, capsule};
use sdk_signals::{BoxFuture, Origin};

/// Adds what a server wants to see to outgoing requests.
pub trait ClientAuth: Send + Sync {
    /// Changes the headers of a request that is about to be sent. Asked for each request, as credentials may change, and may
    /// have to be fetched. `origin` is what [`ClientAuth::remember`] wanted to keep.
    ///
    /// # Errors
    /// Why there are no credentials now; the request is tried again later.
    fn authenticate<'a>(
        &'a self,
        origin: Option<&'a Origin>,
        headers: &'a mut HeaderMap,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// The server does not know who we are by these headers. Whether others can be had at once: the request is then sent
    /// once more.
    fn rejected(&self, headers: &HeaderMap) -> bool {
        let _ = headers;
        false
    }

    /// Whether what it adds is a secret, which must not go over a connection without TLS. Over HTTP it goes all the same, as
    /// the Collector's does.
    fn needs_tls(&self) -> bool {
        true
    }

    /// What is wanted of the request that brought the data, which waits with the data.
    fn remember(&self, origin: &Origin) -> Option<Origin> {
        let _ = origin;
        None
    }
}

/// Decides who may send to a receiver.
pub trait ServerAuth: Send + Sync {
    /// What is known of the sender from now on (`username`, …).
    ///
    /// # Errors
    /// Why the sender is turned away.
    fn authenticate(&self, headers: &HeaderMap) -> Result<Vec<(String, String)>, String>;
}

/// What an `auth` argument takes: the handler of an `otelcol.auth.*` component.
#[derive(Clone)]
pub struct AuthHandler {
    component: Arc<str>,
    client: Option<Arc<dyn ClientAuth>>,
    server: Option<Arc<dyn ServerAuth>>,
}

/// What `otelcol.auth.*` components export.
#[derive(Clone, Debug, Exports)]
pub struct AuthExports {
    /// To be named by the `auth` argument of receivers and exporters.
    pub handler: AuthHandler,
}

// === impl AuthHandler ===

impl AuthHandler {
    /// The handler of a component, by its global id. A side that is `None` is refused where it is used.
    pub fn new(
        component: impl Into<Arc<str>>,
        client: Option<Arc<dyn ClientAuth>>,
        server: Option<Arc<dyn ServerAuth>>,
    ) -> Self {
        AuthHandler { component: component.into(), client, server }
    }

    /// The global id of the component.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    /// For an exporter.
    ///
    /// # Errors
    /// The component is for receivers only.
    pub fn client(&self) -> Result<Arc<dyn ClientAuth>, String> {
        self.client.clone().ok_or_else(|| format!("{} does not support client authentication", self.component))
    }

    /// For a receiver.
    ///
    /// # Errors
    /// The component is for exporters only.
    pub fn server(&self) -> Result<Arc<dyn ServerAuth>, String> {
        self.server.clone().ok_or_else(|| format!("{} does not support server authentication", self.component))
    }
}

impl std::fmt::Debug for AuthHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuthHandler({})", self.component)
    }
}

impl PartialEq for AuthHandler {
    fn eq(&self, other: &AuthHandler) -> bool {
        fn same<T: ?Sized>(a: &Option<Arc<T>>, b: &Option<Arc<T>>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            }
        }
        self.component == other.component && same(&self.client, &other.client) && same(&self.server, &other.server)
    }
}

impl CapsuleObject for AuthHandler {
    fn type_name(&self) -> &'static str {
        "auth.Handler"
    }

    fn equals(&self, other: &dyn CapsuleObject) -> Option<bool> {
        Some(other.as_any().downcast_ref::<AuthHandler>() == Some(self))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

capsule!(AuthHandler, "auth.Handler");
