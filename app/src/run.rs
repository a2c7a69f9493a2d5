//! `ferroalloy run`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base_metrics::{Registry, Scope};
use runtime::{LoadError, Options, PathSources, Runtime};
use sdk_component::{ServiceDefinition, Stability};
use services_http::{Http, Mount, Support};
use services_logging::Log;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Invocation;
use crate::draw::draw;
use crate::left_behind;
use crate::report::Failure;
use crate::setup;

/// Flags that only the experimental level allows.
const EXPERIMENTAL: [&str; 3] =
    ["server.http.enable-graphql", "server.http.enable-graphql-playground", "feature.prometheus.direct-fanout.enabled"];

/// The formats that Alloy can convert a configuration from.
const CONVERTIBLE: [&str; 4] = ["otelcol", "prometheus", "promtail", "static"];

/// Runs a configuration until the process is told to stop.
pub fn run(invocation: &Invocation) -> Result<(), Failure> {
    check_flags(invocation)?;
    let log = Log::install()?;
    let reactor = tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build()?;
    let outcome = reactor.block_on(serve(invocation, log));
    // What still blocks a thread, such as a read from a dead disk, is not waited for.
    reactor.shutdown_timeout(LAST_MOMENT);
    outcome
}

/// Threads that run components: one for every two processors, or `GOMAXPROCS`, as Alloy's users set it.
///
/// A collector mostly sleeps. At the rates of one machine a second thread takes a fifth more CPU time for the same data,
/// all of it for waking and being woken.
fn workers() -> usize {
    let wanted = std::env::var("GOMAXPROCS").ok().and_then(|count| count.parse().ok()).filter(|count| *count > 0);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    wanted.unwrap_or(processors.div_ceil(2))
}

/// How long blocked threads may take when everything else has ended.
const LAST_MOMENT: Duration = Duration::from_millis(100);

async fn serve(invocation: &Invocation, log: Log) -> Result<(), Failure> {
    // Before anything else, so that no signal ends the process half-way.
    let mut signals = Signals::listen()?;
    tracing::info!("Alloy is starting");
    if let Err(error) = base_sys::descriptors::raise_limit() {
        tracing::warn!(%error, "cannot raise the limit of open files to what is allowed");
    }
    let storage = PathBuf::from(invocation.text("storage.path"));
    create_storage(&storage)?;
    let metrics = Registry::new();
    let process = metrics.scope(&[]);
    base_metrics::process::register(&process);
    build_info(&process);
    process.collect(Box::new(|page| {
        let help = "Total number of global ids.";
        page.gauge("alloy_labelstore_global_ids_count", help, sdk_series::active() as f64);
    }));
    let live_debugging = services_web::LiveDebugging::default();
    crate::seed::keep(&storage, &setup::version());
    let http = Arc::new(bind(invocation, live_debugging.clone(), &log).await?);
    let services = vec![
        ServiceDefinition::of(Arc::new(services_logging::Logging::new(log, &process))),
        ServiceDefinition::of(http.clone()),
    ];
    let kept = storage.clone();
    let options = Options {
        storage_path: storage,
        shutdown_deadline: invocation.duration("feature.component-shutdown-deadline").to_std().unwrap_or_default(),
        listen_address: http.local_address().to_string(),
        ..setup::options(invocation, metrics.clone(), services, http, &live_debugging)
    };
    let path = &invocation.arguments[0];
    let running = Runtime::start(options, Arc::new(PathSources::new(path)));
    let loaded = tokio::select! {
        loaded = running.load() => loaded,
        () = signals.stop() => return end(&running, &mut signals).await,
    };
    match loaded {
        // The runtime has logged what there is to warn of.
        Ok(_) => {}
        Err(LoadError::Unreadable(error)) => {
            let path = base_stdx::quote::quote(path.as_bytes());
            return Err(Failure::new(format!("reading config path {path}: {error}")));
        }
        Err(LoadError::Unparsable(found) | LoadError::Refused(found)) => {
            draw(&found);
            return Err(Failure::new("could not perform the initial load successfully"));
        }
    }
    tracing::info!("{{^_^}} Alloy is running");
    drop(base_sys::task::spawn("after the start", forget_start()));
    drop(base_sys::task::spawn("left behind", left_behind::watch(kept, running.host(), metrics)));
    loop {
        tokio::select! {
            _ = signals.hang_up.recv() => {}
            _ = signals.interrupt.recv() => break,
            _ = signals.terminate.recv() => break,
        }
        tokio::select! {
            outcome = running.host().reload() => match outcome {
                Ok(()) => tracing::info!("config reloaded"),
                Err(error) => tracing::error!(err = error, "failed to reload config"),
            },
            () = signals.stop() => break,
        }
    }
    end(&running, &mut signals).await
}

/// A first round of everything is over by then: what runs on is known.
const SETTLED: Duration = Duration::from_secs(15);

/// Gives back what only the start needed of the program's pages and the allocator's.
async fn forget_start() {
    tokio::time::sleep(SETTLED).await;
    let forgotten = base_sys::task::blocking("after the start", || {
        base_sys::memory::give_back();
        base_sys::resident::forget_program()
    });
    if let Some(Err(error)) = forgotten.await.returned() {
        tracing::debug!(%error, "what only the start needed stays in memory");
    }
}

/// Signals that come so soon after the first are the same wish: `timeout` and shells send theirs to the whole group as well.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Stops in order; a second Ctrl-C or SIGTERM ends the process at once.
async fn end(running: &Runtime, signals: &mut Signals) -> Result<(), Failure> {
    let second = async {
        let first = tokio::time::Instant::now();
        loop {
            signals.stop().await;
            if first.elapsed() > SAME_WISH {
                return;
            }
        }
    };
    tokio::select! {
        () = running.stop() => Ok(()),
        () = second => Err(Failure::new("stopped at the second signal, without waiting for components")),
    }
}

fn create_storage(path: &Path) -> Result<(), Failure> {
    base_sys::fs::create_dir_private(path).map_err(|error| {
        let error = match error.kind() {
            ErrorKind::AlreadyExists => ErrorKind::NotADirectory.into(),
            _ => error,
        };
        let failure = Failure::io("mkdir", &path.display().to_string(), &error);
        failure.before("Another folder for what is to be kept is chosen with --storage.path.\n")
    })
}

async fn bind(
    invocation: &Invocation,
    live_debugging: services_web::LiveDebugging,
    log: &Log,
) -> Result<Http, Failure> {
    let options = services_http::Options {
        listen_address: invocation.text("server.http.listen-addr").to_owned(),
        memory_address: invocation.text("server.http.memory-addr").to_owned(),
        support: (!invocation.is_set("server.http.disable-support-bundle")).then(|| {
            let log = log.clone();
            Support { flags: invocation.in_force(), record_log: Arc::new(move || log.record()) }
        }),
    };
    let prefix = invocation.text("server.http.ui-path-prefix");
    let prefix = match prefix.trim_matches('/') {
        "" => "/".to_owned(),
        inner => format!("/{inner}/"),
    };
    let web = services_web::Options {
        node_name: invocation.text("cluster.node-name").to_owned(),
        address: options.listen_address.clone(),
        live_debugging,
    };
    let mount = Mount { prefix, handler: Box::new(move |host| services_web::handler(host, web.clone())) };
    Http::bind(options, vec![mount]).await.map_err(|error| Failure::new(error.to_string()))
}

/// Dashboards count versions by it.
fn build_info(scope: &Scope) {
    let labels = ["branch", "goarch", "goos", "goversion", "revision", "tags", "version"];
    let family = scope.gauge_vec("alloy_build_info", "A metric with a constant '1' value labeled by version.", &labels);
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let revision = option_env!("FERROALLOY_REVISION").unwrap_or("unknown");
    family.with(&["", architecture, std::env::consts::OS, "", revision, "", &setup::version()]).set(1.0);
}

/// What the outside may tell the process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// SIGINT or SIGTERM.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Refuses flags that cannot be met, in the order in which Alloy looks at them.
fn check_flags(invocation: &Invocation) -> Result<(), Failure> {
    if invocation.stability("stability.level") != Stability::Experimental
        && let Some(flag) = EXPERIMENTAL.into_iter().find(|flag| invocation.is_set(flag))
    {
        return Err(Failure::new(format!(
            "'--{flag}' can only be used at experimental stability level. Use --stability.level=experimental to enable."
        )));
    }
    check_format(invocation)?;
    invocation.check_support().map_err(|refused| Failure::new(refused.message))
}

/// Refuses a format that nobody knows.
pub fn check_format(invocation: &Invocation) -> Result<(), Failure> {
    let format = invocation.text("config.format");
    if format != "alloy" && !CONVERTIBLE.contains(&format) {
        let path = base_stdx::quote::quote(invocation.arguments[0].as_bytes());
        let format = base_stdx::quote::quote(format.as_bytes());
        return Err(Failure::new(format!(
            "reading config path {path}: (Critical) unrecognized kind {format} given to the config converter"
        )));
    }
    Ok(())
}
