//! Configuration blocks of Alloy that need no service of their own here, or whose capability does not exist yet: they
//! decode, and say what has no effect.

use std::sync::Arc;

use language_eval::{Arguments, Value};
use sdk_component::host::Host;
use sdk_component::{Problem, Service, Stop, Stopped, Update};

/// `livedebugging`
pub struct LiveDebugging;

/// Whether components show what passes through them.
#[derive(Arguments)]
pub struct LiveDebuggingArguments {
    /// On or off.
    #[attr(optional)]
    enabled: bool,
}

impl Service for LiveDebugging {
    const NAME: &'static str = "livedebugging";
    type Arguments = LiveDebuggingArguments;

    fn update(&self, arguments: LiveDebuggingArguments) -> Result<Update, Problem> {
        Ok(Update::then(move || {
            if arguments.enabled {
                tracing::warn!(service = "livedebugging", "live debugging is not part of Ferroalloy yet: no streams");
            }
        }))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

/// `labelstore`
pub struct LabelStore;

/// It has none.
#[derive(Arguments)]
pub struct LabelStoreArguments {}

impl Service for LabelStore {
    const NAME: &'static str = "labelstore";
    type Arguments = LabelStoreArguments;

    fn update(&self, _: LabelStoreArguments) -> Result<Update, Problem> {
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

/// `tracing`
pub struct Tracing;

/// Which spans of our own go where.
#[derive(Arguments)]
pub struct TracingArguments {
    /// Of the traces that begin here, how many are kept.
    #[attr(default = 0.1)]
    #[allow(dead_code)] // until there are spans to sample
    sampling_fraction: f64,
    /// Who gets the spans.
    #[attr(optional)]
    write_to: Vec<Value>,
    /// Tell peers the trace.
    #[attr(optional)]
    #[allow(dead_code)] // until there are spans to tell of
    send_traceparent: bool,
    /// Who decides instead of `sampling_fraction`.
    #[block]
    sampler: Option<Sampler>,
}

/// Who decides.
#[derive(language_eval::Block)]
pub struct Sampler {
    /// A Jaeger server.
    #[block]
    #[allow(dead_code)] // until there are spans to sample
    jaeger_remote: Option<JaegerRemote>,
}

/// A Jaeger server.
#[derive(language_eval::Block)]
pub struct JaegerRemote {
    /// Where it is.
    #[attr(default = "http://127.0.0.1:5778/sampling".to_owned())]
    #[allow(dead_code)] // until there are spans to sample
    url: String,
    /// How many kinds of work it is asked about.
    #[attr(default = 256)]
    #[allow(dead_code)] // until there are spans to sample
    max_operations: i64,
    /// How often it is asked.
    #[attr(default = base_stdx::GoDuration(60_000_000_000))]
    #[allow(dead_code)] // until there are spans to sample
    refresh_interval: base_stdx::GoDuration,
}

impl Service for Tracing {
    const NAME: &'static str = "tracing";
    type Arguments = TracingArguments;

    fn update(&self, arguments: TracingArguments) -> Result<Update, Problem> {
        if let Some(wrong) = arguments.write_to.iter().find(|value| !matches!(value, Value::Capsule(_))) {
            let message = format!("expected capsule(\"otelcol.Consumer\"), got {}", wrong.kind());
            return Err(Problem::at("write_to", message));
        }
        Ok(Update::then(move || {
            if !arguments.write_to.is_empty() || arguments.sampler.is_some() {
                tracing::warn!(service = "tracing", "Ferroalloy does not trace itself yet: write_to receives nothing");
            }
        }))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}
