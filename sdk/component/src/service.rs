//! Services: what a process has once and a configuration may set by an unlabelled block at its root
//! (`logging`, `tracing`, `http`, `livedebugging`, …).

use std::sync::Arc;

use language_eval::block::BodySource;
use language_eval::{Block, BlockSchema};
use language_syntax::Diagnostics;

use crate::component::{BoxFuture, Stopped, Update};
use crate::context::Stop;
use crate::definition::{Decoded, decode};
use crate::host::Host;
use crate::problem::Problem;

/// A service. Its block is decoded like a component's; when the block is absent, an empty one is.
pub trait Service: Send + Sync + 'static {
    /// `logging`
    const NAME: &'static str;

    /// What its block holds; an empty body must decode.
    type Arguments: Block + Send + 'static;

    /// See [`crate::Component::update`]: called at the first load as well.
    fn update(&self, arguments: Self::Arguments) -> Result<Update, Problem>;

    /// Works until stopped. Started before the first load, so that health and readiness can be asked meanwhile.
    fn run(self: Arc<Self>, host: Arc<dyn Host>, stop: Stop) -> impl Future<Output = Result<(), Stopped>> + Send;
}

/// A service as the runtime sees it.
#[derive(Clone)]
pub struct ServiceDefinition {
    /// `logging`
    pub name: &'static str,
    /// What its block holds.
    pub arguments: fn() -> BlockSchema,
    /// Arguments from a body.
    pub decode: fn(BodySource<'_>) -> Result<Decoded, Diagnostics>,
    /// See [`crate::Definition::check`].
    pub check: fn(BodySource<'_>) -> Diagnostics,
    /// The service.
    pub instance: Arc<dyn ServiceInstance>,
}

/// A service whose type is forgotten.
pub trait ServiceInstance: Send + Sync {
    /// See [`Service::update`].
    fn update(&self, arguments: Decoded) -> Result<Update, Problem>;
    /// See [`Service::run`].
    fn run(self: Arc<Self>, host: Arc<dyn Host>, stop: Stop) -> BoxFuture<'static, Result<(), Stopped>>;
}

// === impl ServiceDefinition ===

impl ServiceDefinition {
    /// Of a service.
    pub fn of<S: Service>(service: Arc<S>) -> ServiceDefinition {
        ServiceDefinition {
            name: S::NAME,
            arguments: S::Arguments::schema,
            decode: decode::<S::Arguments>,
            check: |body| body.check::<S::Arguments>(),
            instance: service,
        }
    }
}

impl<S: Service> ServiceInstance for S {
    fn update(&self, arguments: Decoded) -> Result<Update, Problem> {
        Service::update(self, arguments.into_typed())
    }

    fn run(self: Arc<Self>, host: Arc<dyn Host>, stop: Stop) -> BoxFuture<'static, Result<(), Stopped>> {
        Box::pin(Service::run(self, host, stop))
    }
}
