//! What an extension is here, as the Collector calls it: arguments that become something to hand to others, and nothing
//! that runs.

use std::marker::PhantomData;
use std::sync::Arc;

use language_eval::{Block, Exports};
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};

/// The arguments of an extension.
pub trait Extension: Block + Send + 'static {
    /// The component's name.
    const NAME: &'static str;
    /// How settled it is.
    const STABILITY: Stability = Stability::GenerallyAvailable;
    /// What others are handed.
    type Exports: Exports + Send + 'static;

    /// Makes it. An error refuses the arguments.
    fn exports(&self, context: &Context) -> Result<Self::Exports, Problem>;
}

/// The component around the arguments.
pub struct Extending<E> {
    context: Context,
    extension: PhantomData<fn(E)>,
}

// === impl Extending ===

impl<E: Extension> Component for Extending<E> {
    const NAME: &'static str = E::NAME;
    const STABILITY: Stability = E::STABILITY;
    type Arguments = E;
    type Exports = E::Exports;

    fn build(context: &Context, arguments: E) -> Result<Self, Problem> {
        context.publish(&arguments.exports(context)?);
        Ok(Extending { context: context.clone(), extension: PhantomData })
    }

    fn update(&self, arguments: E) -> Result<Update, Problem> {
        Ok(Update::exporting(&arguments.exports(&self.context)?, || ()))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.context.healthy("started");
        stop.stopped().await;
        Ok(())
    }
}
