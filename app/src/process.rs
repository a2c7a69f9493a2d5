//! What one process has beside its configuration: its log, its HTTP server, its metrics, and the list of all components.

use std::sync::Arc;

use base_metrics::Registry;
use runtime::{PathSources, Sources, Texts};
use sdk_component::{BoxFuture, MemoryHttp, ServiceDefinition};
use services_http::{BindError, Http, Mount};
use services_logging::{Log, Logging};

use crate::fetch::{Git, Web};
use crate::options::{LoadOptions, RunOptions};

/// The parts that the runtime is given.
pub struct Process {
    log: Log,
    http: Arc<Http>,
    metrics: Registry,
    listen: String,
}

/// The configuration that a path names, checked for what no configuration may be.
pub struct ConfigFiles(PathSources);

// === impl Process ===

impl Process {
    /// Takes the port, so that one in use is said at once.
    pub fn new(options: &RunOptions, log: Log) -> Result<Process, BindError> {
        let address = options.listen.clone();
        let page = move |host| {
            services_web::handler(host, services_web::Options { node_name: String::new(), address: address.clone() })
        };
        let mounts = vec![Mount { prefix: with_slashes(&options.ui_prefix), handler: Box::new(page) }];
        let http = Http::bind(
            services_http::Options {
                listen_address: options.listen.clone(),
                memory_address: options.memory.clone(),
                support_bundle: options.support_bundle,
            },
            mounts,
        )?;
        let listen = http.local_address().to_string();
        Ok(Process { log, http: Arc::new(http), metrics: Registry::new(), listen })
    }

    /// For `validate`: nothing of it will run.
    pub fn idle() -> Process {
        let http = Http::without_port(services_http::Options::default());
        let listen = http.local_address().to_string();
        let log = Log::writing_to(Box::new(std::io::sink()));
        Process { log, http: Arc::new(http), metrics: Registry::new(), listen }
    }

    /// All of it, as the runtime takes it.
    pub fn into_options(self, load: &LoadOptions) -> runtime::Options {
        let own = self.metrics.scope(&[]);
        base_metrics::process::register(&own);
        let memory_http: Arc<dyn MemoryHttp> = self.http.clone();
        runtime::Options {
            components: components::all().copied().collect(),
            services: vec![
                ServiceDefinition::of(self.http),
                ServiceDefinition::of(Arc::new(Logging::new(self.log, &own))),
            ],
            storage_path: load.storage.clone(),
            minimum_stability: load.stability,
            community: load.community_components,
            shutdown_deadline: load.shutdown_deadline,
            listen_address: self.listen,
            memory_http,
            metrics: self.metrics,
            version: format!("v{}", env!("CARGO_PKG_VERSION")),
            http: Some(Arc::new(Web)),
            git: Some(Arc::new(Git)),
        }
    }
}

// === impl ConfigFiles ===

impl ConfigFiles {
    /// Of the path that the user gave.
    pub fn new(path: &str) -> ConfigFiles {
        ConfigFiles(PathSources::new(path))
    }
}

impl Sources for ConfigFiles {
    fn read(&self) -> Result<Texts, String> {
        let texts = self.0.read()?;
        for file in &texts.files {
            language_syntax::check_encoding(file.bytes()).map_err(|error| error.to_string())?;
        }
        Ok(texts)
    }
}

/// `/alloy` as `/alloy/`.
fn with_slashes(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => "/".to_owned(),
        prefix => format!("/{prefix}/"),
    }
}

/// What the runtime's traits want boxed.
pub type Fetched<T> = BoxFuture<'static, Result<T, String>>;
