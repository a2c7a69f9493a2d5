//! `prometheus.remote_write`: sends metrics to endpoints that speak Prometheus' remote write protocol.

pub(crate) mod arguments;
mod discretion;
mod endpoint;
mod exemplars;
mod forms;
mod health;
mod identity;
mod journal;
mod meta;
mod metrics;
mod request;
#[cfg(test)]
mod rules;
mod seen;
mod sender;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use language_eval::Exports;
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};
use sdk_labels::Labels;
use sdk_protocols_remote_write::Version;
use sdk_signals::MetricsReceiver;

use arguments::RemoteWriteArguments;
pub(crate) use endpoint::Setup;
pub(crate) use metrics::{Event, Limits, Watch};
pub(crate) use writer::{Plan, Writer};

/// What others may refer to.
#[derive(Exports)]
pub struct RemoteWriteExports {
    /// Takes the samples to send.
    receiver: MetricsReceiver,
}

/// The component.
pub struct RemoteWrite {
    context: Context,
    writer: Writer,
}

impl Component for RemoteWrite {
    const NAME: &'static str = "prometheus.remote_write";

    type Arguments = RemoteWriteArguments;
    type Exports = RemoteWriteExports;

    fn build(context: &Context, arguments: RemoteWriteArguments) -> Result<RemoteWrite, Problem> {
        check_stability(context, &arguments)?;
        let (writer, receiver) = Writer::new(context, Arc::new(move || plan(&arguments)))?;
        context.publish(&RemoteWriteExports { receiver });
        Ok(RemoteWrite { context: context.clone(), writer })
    }

    fn doubts(arguments: &RemoteWriteArguments) -> Vec<Problem> {
        let endpoints = arguments.endpoint.iter().enumerate();
        endpoints.flat_map(|(index, endpoint)| endpoint.doubts(&format!("endpoint[{index}]."))).collect()
    }

    fn update(&self, arguments: RemoteWriteArguments) -> Result<Update, Problem> {
        check_stability(&self.context, &arguments)?;
        self.writer.update(Arc::new(move || plan(&arguments)))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.writer.run(stop).await
    }
}

/// Version 2 is not for everyone yet.
fn check_stability(context: &Context, arguments: &RemoteWriteArguments) -> Result<(), Problem> {
    let is_second = |endpoint: &arguments::Endpoint| endpoint.protobuf_message == Version::V2.message();
    match arguments.endpoint.iter().any(is_second) {
        true => context.require(Stability::Experimental, "protobuf_message"),
        false => Ok(()),
    }
}

/// What a block asks for, checked.
fn plan(arguments: &RemoteWriteArguments) -> Result<Plan, Problem> {
    let external_labels = Labels::from_pairs(&arguments.external_labels);
    let setups = arguments.endpoint.iter().map(|endpoint| Setup::new(endpoint, &external_labels, &arguments.wal));
    Plan::of(setups, &arguments.wal)
}
