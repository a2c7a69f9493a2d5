//! `livedebugging`: whether the UI may look at data that passes by.

use std::sync::Arc;

use language_eval::Block;
use sdk_component::host::Host;
use sdk_component::{Problem, Service, Stop, Stopped, Update};

/// Whether data that passes by can be looked at.
#[derive(Block)]
pub struct Arguments {
    /// It may be looked at.
    #[attr(default = false)]
    pub enabled: bool,
}

pub struct LiveDebugging;

impl Service for LiveDebugging {
    const NAME: &'static str = "livedebugging";
    type Arguments = Arguments;

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        Ok(Update::then(move || {
            if arguments.enabled {
                tracing::warn!(
                    service = "livedebugging",
                    "live debugging is not available yet; the block has no effect"
                );
            }
        }))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}
