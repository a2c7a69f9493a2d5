//! `ferroalloy validate`: the same path as `run`, up to the moment where something would start.

use std::io::Write as _;
use std::sync::Arc;

use base_metrics::Registry;
use bytes::Bytes;
use language_syntax::json::to_json;
use runtime::{LoadError, PathSources};
use sdk_component::host::Host;
use sdk_component::{BoxFuture, MemoryHttp, Problem, Service, ServiceDefinition, Stop, Stopped, Update};

use services_web::LiveDebugging;

use crate::cli::Invocation;
use crate::draw::draw;
use crate::report::Failure;
use crate::setup;

/// Says everything that is wrong with a configuration.
pub fn validate(invocation: &Invocation) -> Result<(), Failure> {
    crate::run::check_format(invocation)?;
    invocation.check_support().map_err(|refused| Failure::new(refused.message))?;
    let path = &invocation.arguments[0];
    let services = vec![
        ServiceDefinition::of(Arc::new(services_logging::Logging::new(
            services_logging::Log::writing_to(Box::new(std::io::sink())),
            &base_metrics::Scope::detached(),
        ))),
        ServiceDefinition::of(Arc::new(HttpBlock)),
    ];
    let options = setup::options(invocation, Registry::new(), services, Arc::new(Nowhere), &LiveDebugging::default());
    let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = reactor.block_on(runtime::validate(options, &PathSources::new(path)));
    let found = match found {
        Ok(found) => found,
        Err(LoadError::Unreadable(error)) => return Err(Failure::new(error)),
        Err(LoadError::Unparsable(found) | LoadError::Refused(found)) => found,
    };
    if invocation.is_set("json") {
        std::io::stdout().write_all(to_json(&found).as_bytes())?;
    } else {
        draw(&found);
    }
    if found.has_errors() { Err(Failure::new("validation failed")) } else { Ok(()) }
}

/// The `http` block without a server.
struct HttpBlock;

impl Service for HttpBlock {
    const NAME: &'static str = services_http::Http::NAME;
    type Arguments = services_http::Arguments;

    fn update(&self, arguments: services_http::Arguments) -> Result<Update, Problem> {
        services_http::Http::check(arguments)?;
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, _: Stop) -> Result<(), Stopped> {
        Ok(())
    }
}

/// There is no server to ask.
struct Nowhere;

impl MemoryHttp for Nowhere {
    fn address(&self) -> &str {
        "alloy.internal:12345"
    }

    fn call(&self, _: http::Request<Bytes>) -> BoxFuture<'_, http::Response<Bytes>> {
        Box::pin(async { http::Response::new(Bytes::new()) })
    }
}
