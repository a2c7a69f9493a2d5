//! `prometheus.exporter.self`: the metrics of this very process, all components' included.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use language_eval::Arguments;
use sdk_component::{Component, Context, HttpHandler, Problem, Stop, Stopped, Update};

use crate::targets::{ExporterExports, targets};

/// Shows the metrics of Ferroalloy itself: what `/metrics` of its HTTP server shows.
#[derive(Arguments, Clone, Debug, PartialEq)]
pub struct Arguments {}

/// The component.
pub struct SelfExporter {
    context: Context,
}

impl Component for SelfExporter {
    const NAME: &'static str = "prometheus.exporter.self";

    type Arguments = Arguments;
    type Exports = ExporterExports;

    fn build(context: &Context, Arguments {}: Arguments) -> Result<SelfExporter, Problem> {
        context.publish(&targets(context, Self::NAME, "integrations/self"));
        Ok(SelfExporter { context: context.clone() })
    }

    fn update(&self, Arguments {}: Arguments) -> Result<Update, Problem> {
        Ok(Update::then(|| ()))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }

    /// Hands the request on to the server's own page, whatever the path: there is only one.
    fn http(&self) -> Option<HttpHandler> {
        let memory_http = self.context.memory_http().clone();
        Some(Arc::new(move |request| {
            let memory_http = memory_http.clone();
            Box::pin(async move {
                let mut inner = Request::new(Bytes::new());
                *inner.method_mut() = Method::GET;
                *inner.uri_mut() = http::Uri::from_static("/metrics");
                *inner.headers_mut() = request.headers().clone();
                memory_http.call(inner).await
            })
        }))
    }
}
