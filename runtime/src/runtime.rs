//! The runtime: one controller task that owns loading, propagation and stopping.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base_sys::clock;
use language_syntax::{Diagnostics, Severity};
use sdk_component::Stop;
use sdk_component::host::{Host, LoadReport};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::commit::{Transition, stop_module};
use crate::engine::Engine;
use crate::host::Hosted;
use crate::module::{Inputs, Module};
use crate::node::lock;
use crate::options::Options;
use crate::plan::{Place, Plan, PlannedNode};
use crate::propagate::propagate;
use crate::sources::{Sources, Texts};
use crate::stage::{Mode, Request, StagedModule, Stager};
use crate::supervise;

/// How many loads may wait; a signal and a request at once are two.
const WAITING_LOADS: usize = 16;

/// How long services may take to end.
const SERVICES: Duration = Duration::from_secs(5);

/// How many errors of a refused reload are logged and reported.
const MAX_TOLD: usize = 20;

/// A running configuration. Clones are the same one.
#[derive(Clone)]
pub struct Runtime(Arc<Shared>);

pub(crate) struct Shared {
    pub engine: Arc<Engine>,
    pub sources: Arc<dyn Sources>,
    commands: mpsc::Sender<Command>,
    pub ready: AtomicBool,
    pub last_load: Mutex<Option<LoadReport>>,
    /// What runs.
    pub loaded: Mutex<Option<Texts>>,
}

/// A configuration that did not load.
#[derive(Clone, Debug)]
pub enum LoadError {
    /// It could not be read.
    Unreadable(String),
    /// It is not the language.
    Unparsable(Diagnostics),
    /// It is wrong.
    Refused(Diagnostics),
}

enum Command {
    Load(oneshot::Sender<Result<Diagnostics, LoadError>>),
    Stop(oneshot::Sender<()>),
}

impl Runtime {
    /// Starts the controller and the services; nothing is loaded yet.
    pub fn start(options: Options, sources: Arc<dyn Sources>) -> Runtime {
        let engine = Arc::new(Engine::new(options));
        engine.measures.watch(&engine);
        let (commands, inbox) = mpsc::channel(WAITING_LOADS);
        let shared = Arc::new(Shared {
            engine: engine.clone(),
            sources,
            commands,
            ready: AtomicBool::new(false),
            last_load: Mutex::default(),
            loaded: Mutex::default(),
        });
        let host: Arc<dyn Host> = Arc::new(Hosted(shared.clone()));
        for service in &engine.options.services {
            let (name, instance, host) = (service.name, service.instance.clone(), host.clone());
            let stopped = engine.tasks.stopped();
            let token = CancellationToken::new();
            let stop = Stop::new(token.clone(), SERVICES);
            let task = engine.tasks.spawn(name, async move {
                let mut run = std::pin::pin!(instance.run(host, stop));
                let ended = tokio::select! {
                    ended = &mut run => ended,
                    () = stopped => {
                        token.cancel();
                        run.await
                    }
                };
                if let Err(error) = ended {
                    tracing::error!(service = name, %error, "service exited with error");
                }
            });
            drop(task); // the scope ends it
        }
        let controller = Controller { shared: shared.clone(), inbox, transitions: Arc::default() };
        drop(base_sys::task::spawn("controller", controller.run()));
        Runtime(shared)
    }

    /// Reads the configuration and makes it live; returns warnings. Nothing changes if it is refused.
    pub async fn load(&self) -> Result<Diagnostics, LoadError> {
        self.0.load().await
    }

    /// Stops everything, dependants first, within the deadline.
    pub async fn stop(&self) {
        let (reply, done) = oneshot::channel();
        if self.0.commands.send(Command::Stop(reply)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// What services and the web API see.
    pub fn host(&self) -> Arc<dyn Host> {
        Arc::new(Hosted(self.0.clone()))
    }
}

impl Shared {
    pub async fn load(&self) -> Result<Diagnostics, LoadError> {
        let (reply, done) = oneshot::channel();
        let stopped = || LoadError::Unreadable("ferroalloy is stopping".to_owned());
        self.commands.send(Command::Load(reply)).await.map_err(|_| stopped())?;
        done.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// Everything that is wrong with a configuration, by the same path that [`Runtime::load`] takes, up to the commit.
/// Problems of this machine alone are warnings.
pub async fn validate(options: Options, sources: &dyn Sources) -> Result<Diagnostics, LoadError> {
    let texts = sources.read().map_err(LoadError::Unreadable)?;
    let engine = Arc::new(Engine::new(options));
    match evaluate(&engine, &texts, None, Mode::Validate).await {
        Ok((_, diagnostics)) | Err(LoadError::Unparsable(diagnostics) | LoadError::Refused(diagnostics)) => {
            Ok(diagnostics)
        }
        Err(error) => Err(error),
    }
}

/// Parses, plans and evaluates. The module can be committed if no diagnostic is an error.
async fn evaluate(
    engine: &Arc<Engine>,
    texts: &Texts,
    old: Option<Arc<Module>>,
    mode: Mode,
) -> Result<(StagedModule, Diagnostics), LoadError> {
    let (mut files, mut found) = (Vec::new(), Diagnostics::default());
    for source in &texts.files {
        language_syntax::check_encoding(source.bytes()).map_err(|error| LoadError::Unreadable(error.to_string()))?;
        let (file, diagnostics) = language_syntax::parse(source.clone());
        found.extend(diagnostics);
        files.push(file);
    }
    if found.has_errors() {
        // What a tree with holes in it means is guesswork.
        return Err(LoadError::Unparsable(found));
    }
    let plan = Arc::new(Plan::of_files(&engine.catalogue, &files, Place::Root));
    let request = Request {
        id: "".into(),
        plan,
        parent: None,
        module_path: texts.module_path.as_str().into(),
        inputs: Inputs::default(),
        old,
    };
    let mut stager = Stager::new(engine, mode).loading();
    let staged = stager.module(request).await;
    found.extend(stager.diagnostics);
    if mode == Mode::Run && (found.has_errors() || staged.has_failed()) {
        return Err(LoadError::Refused(found));
    }
    engine.measures.evaluated(&stager.timings);
    Ok((staged, found))
}

struct Controller {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Command>,
    /// One transition at a time; the controller does not wait for them.
    transitions: Arc<tokio::sync::Mutex<()>>,
}

impl Controller {
    async fn run(mut self) {
        loop {
            let engine = self.shared.engine.clone();
            tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(Command::Load(reply)) => self.load(reply).await,
                    Some(Command::Stop(reply)) => {
                        self.stop().await;
                        let _ = reply.send(());
                        return;
                    }
                    None => return,
                },
                () = engine.marks.marked() => {
                    let mut transition = Transition::default();
                    propagate(&engine, &mut transition).await;
                    self.carry_out(transition, None).await;
                }
            }
        }
    }

    async fn load(&mut self, reply: oneshot::Sender<Result<Diagnostics, LoadError>>) {
        let engine = &self.shared.engine;
        engine.measures.evaluating(true);
        let started = tokio::time::Instant::now();
        tracing::info!(controller_path = "/", controller_id = "", "starting complete graph evaluation");
        let read = self.shared.sources.read();
        let texts = read.as_ref().ok().cloned();
        let outcome = match read {
            Err(error) => Err(LoadError::Unreadable(error)),
            Ok(texts) => evaluate(engine, &texts, engine.root(), Mode::Run).await,
        };
        engine.measures.evaluating(false);
        let duration = started.elapsed().as_nanos() as u64;
        tracing::info!(controller_path = "/", controller_id = "", duration, "finished complete graph evaluation");
        engine.measures.loaded(texts.as_ref(), outcome.is_ok());
        let told = outcome.as_ref().err().map(LoadError::told);
        // Before the first load there is somebody at the console, to whom the caller draws it.
        if self.shared.ready.load(Ordering::Acquire) {
            for line in told.iter().flatten() {
                tracing::error!("the new configuration is refused: {line}");
            }
        }
        *lock(&self.shared.last_load) = Some(LoadReport { at: clock::now(), error: told.map(|told| told.join("\n")) });
        match outcome {
            Ok((staged, warnings)) => {
                let mut transition = Transition::default();
                let root = staged.commit(engine, &mut transition);
                engine.index(&root);
                self.shared.ready.store(true, Ordering::Release);
                *lock(&self.shared.loaded) = texts;
                for warning in warnings.0.iter().filter(|found| found.severity == Severity::Warning) {
                    let hint = (!warning.hints.is_empty()).then(|| warning.hints.join("; "));
                    tracing::warn!(hint, "{warning}");
                }
                if !root.plan.nodes.iter().any(PlannedNode::runs) {
                    tracing::warn!(
                        config = self.shared.sources.name(),
                        "the configuration has no components: nothing is collected"
                    );
                }
                tracing::info!(controller_id = "", "scheduling loaded components and services");
                self.carry_out(transition, Some((reply, warnings))).await;
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    /// Starts and stops beside the controller, so that a slow stop does not hold up what goes on.
    async fn carry_out(
        &self,
        mut transition: Transition,
        reply: Option<(oneshot::Sender<Result<Diagnostics, LoadError>>, Diagnostics)>,
    ) {
        let engine = self.shared.engine.clone();
        if transition.stop.is_empty() && self.transitions.try_lock().is_ok() {
            for node in std::mem::take(&mut transition.start) {
                supervise::start(&engine, &node);
            }
        } else if !transition.stop.is_empty() || !transition.start.is_empty() {
            let turn = self.transitions.clone().lock_owned();
            let task = base_sys::task::spawn("transition", async move {
                let _turn = turn.await;
                supervise::carry_out(&engine, transition).await;
                if let Some((reply, warnings)) = reply {
                    let _ = reply.send(Ok(warnings));
                }
            });
            drop(task); // it ends by itself
            return;
        }
        if let Some((reply, warnings)) = reply {
            let _ = reply.send(Ok(warnings));
        }
    }

    async fn stop(&mut self) {
        let engine = &self.shared.engine;
        let _turn = self.transitions.lock().await;
        let deadline = engine.options.shutdown_deadline;
        let started = tokio::time::Instant::now();
        engine.stopping.cancel();
        let mut transition = Transition::default();
        if let Some(root) = engine.root() {
            stop_module(&root, &mut transition);
        }
        for group in transition.stop {
            let left = (!deadline.is_zero()).then(|| deadline.saturating_sub(started.elapsed()));
            futures_util::future::join_all(group.iter().map(|node| supervise::stop(node, left))).await;
        }
        engine.tasks.close(SERVICES).await;
    }
}

impl LoadError {
    /// Every error with its hints, a line each; of very many, the first.
    fn told(&self) -> Vec<String> {
        let (LoadError::Unparsable(found) | LoadError::Refused(found)) = self else { return vec![self.to_string()] };
        let errors: Vec<_> = found.0.iter().filter(|found| found.severity == Severity::Error).collect();
        let mut lines: Vec<String> = errors
            .iter()
            .take(MAX_TOLD)
            .map(|error| match error.hints.as_slice() {
                [] => error.to_string(),
                hints => format!("{error} ({})", hints.join("; ")),
            })
            .collect();
        if errors.len() > MAX_TOLD {
            lines.push(format!("and {} errors more; validate prints them all", errors.len() - MAX_TOLD));
        }
        lines
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::Unreadable(error) => f.write_str(error),
            LoadError::Unparsable(found) | LoadError::Refused(found) => write!(f, "{found}"),
        }
    }
}

impl std::error::Error for LoadError {}
