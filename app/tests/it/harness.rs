//! The runtime as the binary starts it, for tests inside this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sdk_component::{BoxFuture, Definition, MemoryHttp, Stability};

/// What listens in memory: every page is that of our own metrics.
struct OwnMetrics(base_metrics::Registry);

impl MemoryHttp for OwnMetrics {
    fn address(&self) -> &str {
        "ferroalloy.internal:12345"
    }

    fn call(&self, _: http::Request<Bytes>) -> BoxFuture<'_, http::Response<Bytes>> {
        Box::pin(async { http::Response::new(Bytes::from(self.0.text())) })
    }
}

/// Every component, and some more.
pub fn options(storage: &Path, more: &[Definition]) -> runtime::Options {
    let metrics = base_metrics::Registry::new();
    runtime::Options {
        components: components::all().copied().chain(more.iter().copied()).collect(),
        not_yet: components::NOT_YET,
        services: Vec::new(),
        storage_path: storage.to_owned(),
        minimum_stability: Stability::Experimental,
        community: true,
        shutdown_deadline: Duration::from_secs(10),
        listen_address: "127.0.0.1:12345".to_owned(),
        memory_http: Arc::new(OwnMetrics(metrics.clone())),
        metrics,
        version: "v0.0.0".to_owned(),
        git: None,
    }
}

/// As the terminal shows it, without colours.
pub fn drawn(diagnostics: &language_syntax::Diagnostics) -> String {
    language_syntax::render::render(diagnostics, language_syntax::render::Style { colors: false, hints: true })
}
