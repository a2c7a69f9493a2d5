//! `livedebugging`: whether the web API may show the data that passes by.

use std::sync::Arc;

use language_eval::Block;
use sdk_component::host::Host;
use sdk_component::{Problem, Service, ServiceDefinition, Stop, Stopped, Update};
use tokio::sync::watch;

/// Whether data that passes by can be looked at.
#[derive(Block)]
pub struct Arguments {
    /// It may be looked at, by `/api/v0/web/debug/…`.
    #[attr(default = false)]
    pub enabled: bool,
}

/// What the block says; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct LiveDebugging(Arc<watch::Sender<bool>>);

/// The service that the block configures.
struct Switch(LiveDebugging);

impl LiveDebugging {
    /// The service that sets it.
    pub fn service(&self) -> ServiceDefinition {
        ServiceDefinition::of(Arc::new(Switch(self.clone())))
    }

    pub(crate) fn set(&self, enabled: bool) {
        self.0.send_replace(enabled);
    }

    /// Whether the block allows to look.
    pub(crate) fn is_enabled(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it does not any more.
    pub(crate) async fn disabled(&self) {
        // The sender is held by `self`, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(|enabled| !enabled).await;
    }
}

impl Service for Switch {
    const NAME: &'static str = "livedebugging";
    type Arguments = Arguments;

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let switch = self.0.clone();
        Ok(Update::then(move || {
            switch.set(arguments.enabled);
        }))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}
