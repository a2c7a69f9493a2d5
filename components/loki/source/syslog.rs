//! `loki.source.syslog`: takes syslog messages over TCP and UDP.

mod arguments;
mod framing;
mod intake;
mod listener;
mod raw;

use std::sync::{Arc, Mutex, PoisonError};

use base_metrics::Counter;
use language_eval::{BodyNode, Object, ToValue, Value};
use sdk_component::{Component, Context, Description, Problem, Stop, Stopped, Update};
use sdk_labels::Labels;
use sdk_net::server::ServerTls;
use sdk_relabel::NameRule;
use sdk_signals::FanOut;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use arguments::ListenerArguments;
pub use arguments::SyslogArguments;
use intake::{Forwarding, Shared};
use listener::{Listener, State};

/// The component.
pub struct Syslog {
    context: Context,
    entries: Counter,
    parsing_errors: Counter,
    empty_messages: Counter,
    wanted: watch::Sender<Arc<Forwarding>>,
    listeners: watch::Sender<Arc<[Wanted]>>,
    running: Arc<Mutex<Vec<Shown>>>,
}

/// A listener of the configuration, checked.
#[derive(Clone)]
struct Wanted {
    arguments: Arc<ListenerArguments>,
    tls: Option<Arc<ServerTls>>,
}

/// A listener as others see it.
#[derive(Clone)]
struct Shown {
    arguments: Arc<ListenerArguments>,
    state: Arc<Mutex<State>>,
}

struct Running {
    shown: Shown,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<Option<()>>,
}

// === impl Syslog ===

impl Component for Syslog {
    const NAME: &'static str = "loki.source.syslog";

    type Arguments = SyslogArguments;
    type Exports = ();

    fn build(context: &Context, arguments: SyslogArguments) -> Result<Syslog, Problem> {
        arguments.check_stability(context)?;
        let metrics = context.metrics();
        let (listeners, forwarding) = check(context, arguments)?;
        Ok(Syslog {
            context: context.clone(),
            entries: metrics.counter(
                "loki_source_syslog_entries_total",
                "Total number of successful entries sent to the syslog target",
            ),
            parsing_errors: metrics.counter(
                "loki_source_syslog_parsing_errors_total",
                "Total number of parsing errors while receiving syslog messages",
            ),
            empty_messages: metrics.counter(
                "loki_source_syslog_empty_messages_total",
                "Total number of empty messages received from syslog",
            ),
            wanted: watch::Sender::new(Arc::new(forwarding)),
            listeners: watch::Sender::new(listeners),
            running: Arc::default(),
        })
    }

    fn update(&self, arguments: SyslogArguments) -> Result<Update, Problem> {
        arguments.check_stability(&self.context)?;
        let (listeners, forwarding) = check(&self.context, arguments)?;
        let (wanted, sender) = (self.wanted.clone(), self.listeners.clone());
        Ok(Update::then(move || {
            wanted.send_replace(Arc::new(forwarding));
            sender.send_replace(listeners);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut wanted = self.listeners.subscribe();
        let mut running: Vec<Running> = Vec::new();
        let mut ending: Vec<tokio::task::JoinHandle<Option<()>>> = Vec::new();
        loop {
            let now = wanted.borrow_and_update().clone();
            self.reconcile(&now, &mut running, &mut ending, &stop);
            tokio::select! {
                () = stop.stopped() => break,
                _ = wanted.changed() => {}
            }
        }
        for task in running.into_iter().map(|listener| listener.task).chain(ending) {
            let _ = task.await;
        }
        Ok(())
    }

    fn describe(&self) -> Description {
        let shown = self.shown().into_iter().map(|listener| {
            let state = listener.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let address =
                state.address.map_or_else(|| listener.arguments.address.clone(), |address| address.to_string());
            let labels = Labels::from_pairs(&listener.arguments.labels).to_string();
            let fields = [
                ("ready", state.address.is_some().to_value()),
                ("listen_address", address.to_value()),
                ("labels", labels.to_value()),
            ];
            Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Object>())
        });
        let value = Value::Array(shown.collect::<Vec<_>>().into());
        Description { debug_info: vec![BodyNode::Attribute { name: "listeners_info".to_owned(), value }] }
    }
}

impl Syslog {
    /// Ends listeners that are not wanted any more, starts new ones, leaves the rest alone.
    fn reconcile(
        &self,
        wanted: &[Wanted],
        running: &mut Vec<Running>,
        ending: &mut Vec<tokio::task::JoinHandle<Option<()>>>,
        stop: &Stop,
    ) {
        ending.retain(|task| !task.is_finished());
        let mut old = std::mem::take(running);
        let mut new = Vec::new();
        for listener in wanted {
            match old.iter().position(|known| known.shown.arguments == listener.arguments) {
                Some(known) => running.push(old.swap_remove(known)),
                None => new.push(listener.clone()),
            }
        }
        for listener in old {
            listener.cancel.cancel();
            ending.push(listener.task);
        }
        let mut starting = Vec::new();
        for Wanted { arguments, tls } in new {
            let (end, cancel) = stop.child();
            let state: Arc<Mutex<State>> = Arc::default();
            let shown = Shown { arguments: arguments.clone(), state: state.clone() };
            starting.push((shown, Listener { arguments, tls, state }, end, cancel));
        }
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) =
            running.iter().map(|listener| &listener.shown).chain(starting.iter().map(|new| &new.0)).cloned().collect();
        for (shown, listener, end, cancel) in starting {
            let (context, all) = (self.context.clone(), self.running.clone());
            let changed = move || tell_health(&context, &all);
            // The task ends by `end`, after its last messages: it is not cut off with the component's.
            let (outer, _keep) = Stop::new(CancellationToken::new(), stop.grace()).child();
            let task = self.context.spawn(&outer, listener.run(self.context.clone(), self.shared(), changed, end));
            running.push(Running { shown, cancel, task });
        }
        tell_health(&self.context, &self.running);
    }

    fn shared(&self) -> Shared {
        Shared {
            entries: self.entries.clone(),
            parsing_errors: self.parsing_errors.clone(),
            empty_messages: self.empty_messages.clone(),
            wanted: self.wanted.subscribe(),
            tap: self.context.tap(),
        }
    }

    fn shown(&self) -> Vec<Shown> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn tell_health(context: &Context, listeners: &Mutex<Vec<Shown>>) {
    let listeners = listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let states = listeners.iter().map(|listener| listener.state.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let states: Vec<State> = states.collect();
    let faults: Vec<&str> = states.iter().filter_map(|state| state.fault.as_deref()).collect();
    if !faults.is_empty() {
        context.unhealthy(faults.join("; "));
    } else if states.iter().all(|state| state.address.is_some()) {
        let addresses: Vec<String> = states.iter().filter_map(|state| state.address).map(|at| at.to_string()).collect();
        context.healthy(format!("listening on {}", addresses.join(", ")));
    }
}

fn check(context: &Context, arguments: SyslogArguments) -> Result<(Arc<[Wanted]>, Forwarding), Problem> {
    let listeners = arguments.listener.into_iter().map(|listener| {
        let tls = listener
            .tls()
            .map(ServerTls::new)
            .transpose()
            .map_err(|error| Problem { field: Some("listener".to_owned()), ..Problem::environment(error.0) })?;
        Ok(Wanted { arguments: Arc::new(listener), tls: tls.map(Arc::new) })
    });
    let listeners = listeners.collect::<Result<Vec<_>, Problem>>()?;
    let rules = arguments.relabel_rules.filter(|rules| !rules.is_empty());
    let forwarding = Forwarding {
        forward_to: FanOut::new(arguments.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
        rules: rules.map(|rules| rules.with_names(NameRule::Legacy)),
    };
    Ok((listeners.into(), forwarding))
}

#[cfg(test)]
mod tests;
