//! `otelcol.receiver.filelog`: reads log files as they grow, and makes log records of their lines with operators.
//!
//! A file is known by its first bytes, whatever its name: it may be renamed, and is read on where it was. The task owns the
//! files and the operators; each step (read a piece, run the operators, encode) is done off the reactor, and what comes out
//! is handed on before the next one. Positions move only past what was delivered and is held by no operator.

mod arguments;
mod feed;
mod files;
mod finding;
mod known;
mod lines;
mod reader;

use std::sync::Arc;

use language_eval::{BodyNode, ToValue as _, Value};
use sdk_component::{Component, Context, Description, Problem, Stability, Stop, Stopped, Update};
use sdk_otel::output::Outputs;
use tokio::sync::watch;

pub use arguments::Arguments;
use feed::{Feed, Shared};
use files::Setup;

/// The component.
pub struct Filelog {
    context: Context,
    outputs: Outputs,
    setup: watch::Sender<Arc<Setup>>,
    shared: Arc<Shared>,
}

impl Component for Filelog {
    const NAME: &'static str = "otelcol.receiver.filelog";
    const STABILITY: Stability = Stability::PublicPreview;

    type Arguments = Arguments;
    type Exports = ();

    fn build(context: &Context, arguments: Arguments) -> Result<Filelog, Problem> {
        let setup = Setup::new(context, &arguments)?;
        Ok(Filelog {
            context: context.clone(),
            outputs: Outputs::new(context, &arguments.output),
            setup: watch::Sender::new(Arc::new(setup)),
            shared: Arc::new(Shared::new(context)),
        })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let setup = Arc::new(Setup::new(&self.context, &arguments)?);
        let (outputs, sender) = (self.outputs.clone(), self.setup.clone());
        Ok(Update::then(move || {
            outputs.replace(&arguments.output);
            sender.send_replace(setup);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let feed = Feed::open(&self.context, self.outputs.clone(), self.setup.subscribe(), self.shared.clone()).await?;
        self.context.healthy("started");
        feed.run(&stop).await;
        Ok(())
    }

    fn describe(&self) -> Description {
        let attribute = |name: &str, value: Value| BodyNode::Attribute { name: name.to_owned(), value };
        let file = |(path, offset): (String, u64)| BodyNode::Block {
            name: "file".to_owned(),
            label: None,
            body: vec![attribute("path", path.to_value()), attribute("offset", (offset as i64).to_value())],
        };
        Description { debug_info: self.shared.files().into_iter().map(file).collect() }
    }
}

#[cfg(test)]
mod tests;
