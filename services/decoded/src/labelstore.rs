//! `labelstore { }`: Alloy's table of series. Ours (`sdk/series`) has nothing to set either.

use std::sync::Arc;

use language_eval::Block;
use sdk_component::host::Host;
use sdk_component::{Problem, Service, Stop, Stopped, Update};

/// Nothing to set.
#[derive(Block)]
pub struct Arguments {}

pub struct LabelStore;

impl Service for LabelStore {
    const NAME: &'static str = "labelstore";
    type Arguments = Arguments;

    fn update(&self, _: Arguments) -> Result<Update, Problem> {
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}
