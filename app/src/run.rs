//! `ferroalloy run`.

use std::sync::Arc;

use runtime::{LoadError, Runtime};
use sdk_component::Stability;
use services_logging::Log;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::cli::Invocation;
use crate::options::RunOptions;
use crate::process::{ConfigFiles, Process};
use crate::report::Failure;

/// Flags that only the experimental level allows.
const EXPERIMENTAL: [&str; 3] =
    ["server.http.enable-graphql", "server.http.enable-graphql-playground", "feature.prometheus.direct-fanout.enabled"];

/// The formats that Alloy can convert a configuration from.
const CONVERTIBLE: [&str; 4] = ["otelcol", "prometheus", "promtail", "static"];

/// What the process is told from outside.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// Runs a configuration until the process is told to stop.
pub fn run(invocation: &Invocation) -> Result<(), Failure> {
    check_flags(invocation)?;
    let options = RunOptions::of(invocation);
    let log = Log::install()?;
    info!("Alloy is starting");
    let reactor = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    reactor.block_on(serve(&options, log))
}

async fn serve(options: &RunOptions, log: Log) -> Result<(), Failure> {
    let storage = &options.load.storage;
    base_sys::fs::create_dir_private(storage)
        .map_err(|error| Failure::io("cannot use the storage path: mkdir", &storage.display().to_string(), &error))?;
    let mut signals = Signals::listen()?;
    let process = Process::new(options, log)?;
    let runtime = Runtime::start(process.into_options(&options.load), Arc::new(ConfigFiles::new(&options.path)));
    let loaded = tokio::select! {
        loaded = runtime.load() => loaded,
        () = signals.stop() => return stop(&runtime, &mut signals).await,
    };
    match loaded {
        Ok(_) => info!("{{^_^}} Alloy is running"),
        Err(error) => {
            runtime.stop().await;
            return Err(match error {
                LoadError::Unreadable(error) => {
                    let path = base_stdx::quote::quote(options.path.as_bytes());
                    Failure::new(format!("reading config path {path}: {error}"))
                }
                LoadError::Refused(diagnostics) => {
                    Failure::diagnostics(&diagnostics, "could not perform the initial load successfully")
                }
            });
        }
    }
    loop {
        tokio::select! {
            _ = signals.hangup.recv() => match runtime.load().await {
                Ok(_) => info!("config reloaded"),
                Err(error) => error!(%error, "failed to reload config"),
            },
            () = signals.stop() => return stop(&runtime, &mut signals).await,
        }
    }
}

/// Everything stops in order; whoever asks a second time does not want to wait.
async fn stop(runtime: &Runtime, signals: &mut Signals) -> Result<(), Failure> {
    info!("stopping; what was taken is delivered or kept for the next start");
    tokio::select! {
        () = runtime.stop() => Ok(()),
        () = signals.stop() => {
            warn!("told to stop a second time; ending at once");
            Err(Failure::new("told to stop a second time before everything was delivered"))
        }
    }
}

/// Refuses flags that cannot be met, in the order in which Alloy looks at them.
pub fn check_flags(invocation: &Invocation) -> Result<(), Failure> {
    if invocation.stability("stability.level") != Stability::Experimental {
        if let Some(flag) = EXPERIMENTAL.into_iter().find(|flag| invocation.has(flag) && invocation.is_set(flag)) {
            return Err(Failure::new(format!(
                "'--{flag}' can only be used at experimental stability level. Use --stability.level=experimental to enable."
            )));
        }
    }
    let format = invocation.text("config.format");
    if format != "alloy" && !CONVERTIBLE.contains(&format) {
        let path = base_stdx::quote::quote(invocation.arguments[0].as_bytes());
        let format = base_stdx::quote::quote(format.as_bytes());
        return Err(Failure::new(format!(
            "reading config path {path}: (Critical) unrecognized kind {format} given to the config converter"
        )));
    }
    invocation.check_support().map_err(|refused| Failure::new(refused.message))
}

// === impl Signals ===

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Resolves when the process is told to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
