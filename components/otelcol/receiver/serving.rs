//! What receivers with servers keep between updates, and running them.

use std::sync::{Arc, Mutex, PoisonError};

use sdk_component::{Context, Problem, Stop, Update};
use sdk_otel::output::{Output, Outputs};
use sdk_signals::OtlpSignal;
use tokio::sync::watch;

use crate::counters::Counters;
use crate::listener::{self, Health, Serve};

/// What a server is made with, besides its arguments.
pub(crate) struct Site {
    pub(crate) context: Context,
    pub(crate) outputs: Outputs,
    pub(crate) counters: Counters,
}

/// The servers of a receiver.
pub(crate) trait Servers: Sized + Send + Sync + 'static {
    type Arguments: Send + 'static;

    /// The first part of the label of its metrics (`otlp/<component id>`).
    const KIND: &'static str;
    /// What it may hand on.
    const SIGNALS: &'static [OtlpSignal];
    /// The ways in, as the metrics name them.
    const TRANSPORTS: &'static [&'static str];

    fn output(arguments: &Self::Arguments) -> &Output;

    /// Those that the arguments ask for. `running` is what runs, with its arguments, unless other signals are wanted now: what is the
    /// same there goes on.
    fn make(
        site: &Site,
        arguments: &Self::Arguments,
        running: Option<(&Self::Arguments, &Self)>,
    ) -> Result<Self, Problem>;
}

/// A receiver with servers.
pub(crate) struct Serving<S: Servers> {
    site: Site,
    /// The servers to run; a changed one is started anew.
    servers: watch::Sender<Arc<S>>,
    /// The arguments in use, to see what an update changes.
    current: Arc<Mutex<S::Arguments>>,
}

/// One of the servers: as it was, with the same arguments, or made now.
pub(crate) fn kept<A: PartialEq, T>(
    running: Option<(A, &Option<Arc<T>>)>,
    arguments: A,
    make: impl FnOnce() -> Result<Option<T>, Problem>,
) -> Result<Option<Arc<T>>, Problem> {
    match running {
        Some((current, server)) if current == arguments => Ok(server.clone()),
        _ => Ok(make()?.map(Arc::new)),
    }
}

// === impl Serving ===

impl<S: Servers> Serving<S> {
    pub(crate) fn build(context: &Context, arguments: S::Arguments) -> Result<Serving<S>, Problem> {
        let name = format!("{}/{}", S::KIND, context.id());
        let site = Site {
            context: context.clone(),
            outputs: Outputs::new(context, S::output(&arguments)),
            counters: Counters::new(context.metrics(), &name, S::SIGNALS, S::TRANSPORTS),
        };
        let servers = S::make(&site, &arguments, None)?;
        Ok(Serving { site, servers: watch::Sender::new(Arc::new(servers)), current: Arc::new(Mutex::new(arguments)) })
    }

    pub(crate) fn update(&self, arguments: S::Arguments) -> Result<Update, Problem> {
        let running = self.servers.borrow().clone();
        let servers = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let (before, now) = (S::output(&current), S::output(&arguments));
            let mut signals = S::SIGNALS.iter();
            let same = signals.all(|signal| before.of(*signal).is_empty() == now.of(*signal).is_empty());
            let running = Some((&*current, &*running)).filter(|_| same);
            S::make(&self.site, &arguments, running)?
        };
        let (outputs, sender, current) = (self.site.outputs.clone(), self.servers.clone(), self.current.clone());
        Ok(Update::then(move || {
            outputs.replace(S::output(&arguments));
            sender.send_replace(Arc::new(servers));
            *current.lock().unwrap_or_else(PoisonError::into_inner) = arguments;
        }))
    }

    pub(crate) fn healths(&self) -> listener::Healths {
        listener::Healths::new(&self.site.context)
    }

    /// Runs one of the servers until the component stops.
    pub(crate) async fn run<T: Serve>(&self, pick: impl Fn(&S) -> Option<Arc<T>>, health: Health, stop: &Stop) {
        listener::run(&self.site.context, self.servers.subscribe(), pick, health, stop).await;
    }
}
