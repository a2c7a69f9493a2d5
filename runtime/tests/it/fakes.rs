//! Components that write down what is done with them, and a runtime of them.
//!
//! Each test runs on one thread, so what a component does is found in the thread's own journal.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base_metrics::Registry;
use language_eval::{Arguments, Exports, Invalid, Validate, Value};
use runtime::{LoadError, Options, Runtime, Sources, Texts};
use sdk_component::host::Host;
use sdk_component::{
    BoxFuture, Component, Context, Definition, MemoryHttp, Problem, Service, ServiceDefinition, Stability, Stop,
    Stopped, Update,
};

thread_local! {
    static JOURNAL: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static CONTEXTS: RefCell<BTreeMap<String, Context>> = const { RefCell::new(BTreeMap::new()) };
    static TRAPS: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

fn note(event: impl Into<String>) {
    JOURNAL.with_borrow_mut(|journal| journal.push(event.into()));
}

/// What has happened since the last look.
pub fn journal() -> Vec<String> {
    JOURNAL.take()
}

/// Sets or removes a trap: `run panics a`, `build fails a`, `stop hangs a`.
pub fn trap(name: &str, set: bool) {
    TRAPS.with_borrow_mut(|traps| if set { traps.insert(name.to_owned()) } else { traps.remove(name) });
}

fn trapped(name: &str) -> bool {
    TRAPS.with_borrow(|traps| traps.contains(name))
}

/// The context of a component by its global id.
pub fn context(id: &str) -> Context {
    CONTEXTS.with_borrow(|contexts| contexts.get(id).expect("the component was built").clone())
}

/// Publishes an output in the name of a component.
pub fn publish(id: &str, output: impl Into<Value>) {
    context(id).publish(&PassExports { output: output.into() });
}

/// Lets everything that waits go on.
pub async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

// === Pass ===

/// Exports its input.
pub struct Pass {
    id: String,
    context: Context,
}

/// What it is given.
#[derive(Arguments)]
#[block(validate)]
pub struct PassArguments {
    /// Comes out again.
    #[attr]
    pub input: Value,
    /// Does not come out.
    #[attr(optional)]
    pub other: String,
    /// A list.
    #[attr(optional)]
    pub list: Vec<String>,
}

impl Validate for PassArguments {
    fn validate(&self) -> Result<(), Invalid> {
        match self.other.as_str() {
            "invalid" => Err(Invalid::field("other", "other is invalid")),
            _ => Ok(()),
        }
    }
}

/// What comes out.
#[derive(Exports)]
pub struct PassExports {
    /// The input.
    pub output: Value,
}

impl Component for Pass {
    const NAME: &'static str = "test.pass";
    type Arguments = PassArguments;
    type Exports = PassExports;

    fn build(context: &Context, arguments: PassArguments) -> Result<Pass, Problem> {
        let id = context.id().to_owned();
        CONTEXTS.with_borrow_mut(|contexts| contexts.insert(id.clone(), context.clone()));
        if trapped(&format!("build fails {id}")) || arguments.other == "fail" {
            return Err(Problem::at("other", "other cannot be had"));
        }
        if arguments.other == "environment" {
            return Err(Problem::environment("there is no such file"));
        }
        if arguments.other == "panic" {
            panic!("the builder has an accident");
        }
        note(format!("build {id} {:?}", arguments.input));
        context.publish(&PassExports { output: arguments.input });
        Ok(Pass { id, context: context.clone() })
    }

    fn update(&self, arguments: PassArguments) -> Result<Update, Problem> {
        if arguments.other == "fail" {
            return Err(Problem::at("other", "other cannot be had"));
        }
        let (id, panics) = (self.id.clone(), arguments.other == "commit panics");
        let text = format!("update {id} {:?}", arguments.input);
        Ok(Update::exporting(&PassExports { output: arguments.input }, move || {
            assert!(!panics, "an accident with new arguments");
            note(text);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        note(format!("run {}", self.id));
        if trapped(&format!("run panics {}", self.id)) {
            panic!("an accident");
        }
        if trapped(&format!("run fails {}", self.id)) {
            return Err(Stopped("nothing works".to_owned()));
        }
        drop(self.context.spawn(&stop, std::future::pending::<()>()));
        stop.stopped().await;
        if trapped(&format!("stop hangs {}", self.id)) {
            std::future::pending::<()>().await;
        }
        note(format!("stop {}", self.id));
        Ok(())
    }
}

/// Not settled.
pub struct Early;

impl Component for Early {
    const NAME: &'static str = "test.early";
    const STABILITY: Stability = Stability::Experimental;
    type Arguments = NoArguments;
    type Exports = ();

    fn build(_: &Context, _: NoArguments) -> Result<Early, Problem> {
        Ok(Early)
    }

    fn update(&self, _: NoArguments) -> Result<Update, Problem> {
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

/// Nothing.
#[derive(Arguments)]
pub struct NoArguments {}

/// From the community.
pub struct Community;

impl Component for Community {
    const NAME: &'static str = "test.community";
    const COMMUNITY: bool = true;
    type Arguments = NoArguments;
    type Exports = ();

    fn build(_: &Context, _: NoArguments) -> Result<Community, Problem> {
        Ok(Community)
    }

    fn update(&self, _: NoArguments) -> Result<Update, Problem> {
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

// === Logging ===

/// A service.
struct Logging;

/// Of the service.
#[derive(Arguments)]
struct LoggingArguments {
    /// A word.
    #[attr(default = "info".to_owned())]
    level: String,
}

impl Service for Logging {
    const NAME: &'static str = "logging";
    type Arguments = LoggingArguments;

    fn update(&self, arguments: LoggingArguments) -> Result<Update, Problem> {
        Ok(Update::then(move || note(format!("logging {}", arguments.level))))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

// === the runtime ===

struct NoHttp;

impl MemoryHttp for NoHttp {
    fn address(&self) -> &str {
        "alloy.internal:12345"
    }

    fn call(&self, _: http::Request<bytes::Bytes>) -> BoxFuture<'_, http::Response<bytes::Bytes>> {
        unreachable!("no fake calls it")
    }
}

pub fn options() -> Options {
    Options {
        components: vec![Definition::of::<Pass>(), Definition::of::<Early>(), Definition::of::<Community>()],
        not_yet: &["test.vault", "prometheus.exporter.fake"],
        services: vec![ServiceDefinition::of(Arc::new(Logging))],
        storage_path: PathBuf::from("storage"),
        minimum_stability: Stability::GenerallyAvailable,
        community: false,
        shutdown_deadline: Duration::from_secs(60),
        listen_address: "127.0.0.1:12345".to_owned(),
        memory_http: Arc::new(NoHttp),
        metrics: Registry::new(),
        version: "v0.0.0".to_owned(),
        git: None,
    }
}

/// Allows `foreach`.
pub fn experimental() -> Options {
    Options { minimum_stability: Stability::Experimental, ..options() }
}

/// A text that a test can change.
#[derive(Clone)]
pub struct Text(Arc<Mutex<String>>);

impl Sources for Text {
    fn read(&self) -> Result<Texts, String> {
        Ok(Texts::of("config.alloy", &self.0.lock().expect("no test panics with it")))
    }

    fn name(&self) -> String {
        "config.alloy".to_owned()
    }
}

/// A runtime on a text, loaded.
pub struct Running {
    pub runtime: Runtime,
    pub host: Arc<dyn Host>,
    pub metrics: Registry,
    text: Text,
}

impl Running {
    pub async fn new(text: &str) -> Running {
        Running::with(options(), text).await
    }

    pub async fn with(options: Options, text: &str) -> Running {
        let running = Running::unloaded(options, text);
        if let Err(error) = running.runtime.load().await {
            panic!("{}", shown(&error));
        }
        settle().await;
        running
    }

    pub fn unloaded(options: Options, text: &str) -> Running {
        let (text, metrics) = (Text(Arc::new(Mutex::new(text.to_owned()))), options.metrics.clone());
        let runtime = Runtime::start(options, Arc::new(text.clone()));
        Running { host: runtime.host(), runtime, metrics, text }
    }

    /// Loads another text; the diagnostics if it is refused.
    pub async fn reload(&self, text: &str) -> Result<(), String> {
        *self.text.0.lock().expect("no test panics with it") = text.to_owned();
        let outcome = self.runtime.load().await.map(|_| ()).map_err(|error| shown(&error));
        settle().await;
        outcome
    }

    /// `state message` of a component.
    pub fn health(&self, id: &str) -> String {
        let health = self.host.component(id).expect("it is there").health;
        format!("{} {}", health.state.as_str(), health.message)
    }

    /// What a component exports, as a configuration would write it.
    pub fn exports(&self, id: &str) -> String {
        format!("{:?}", self.host.component(id).expect("it is there").exports)
    }
}

/// One line per diagnostic.
pub fn shown(error: &LoadError) -> String {
    match error {
        LoadError::Unreadable(error) => error.clone(),
        LoadError::Unparsable(found) | LoadError::Refused(found) => {
            let lines = found.0.iter().map(|found| match found.hints.is_empty() {
                true => found.to_string(),
                false => format!("{found} ({})", found.hints.join("; ")),
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

/// What is wrong with a text.
pub async fn refused(text: &str) -> String {
    refused_with(options(), text).await
}

pub async fn refused_with(options: Options, text: &str) -> String {
    let error = Running::unloaded(options, text).runtime.load().await.expect_err("it is refused");
    assert!(journal().iter().all(|event| !event.starts_with("run ")), "nothing was started");
    shown(&error)
}
