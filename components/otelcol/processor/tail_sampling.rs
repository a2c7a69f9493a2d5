//! `otelcol.processor.tail_sampling`: keeps or drops whole traces, once all their spans should be there.

mod arguments;
mod counters;
mod policy;
mod store;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sdk_component::{Context, Problem, Stop};
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{Data, Message as _, Span};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

pub use arguments::Arguments;
use counters::Counters;
use policy::{Policy, Trace, Vote};
use store::{Arrival, Held, Store, Taken};

use crate::processing::{Processing, Processor, Site};

/// How often traces whose time has come are decided.
const TICK: Duration = Duration::from_secs(1);

/// The arguments, and the traces that wait for a decision.
pub struct TailSampling {
    /// `None` once all is decided at the end.
    state: Mutex<Option<State>>,
    /// A trace has gone.
    room: Notify,
    block_on_overflow: bool,
    drop_pending: bool,
    sample_on_first_match: bool,
    counters: Counters,
}

struct State {
    store: Store,
    /// Those that drop come first.
    policies: Vec<(String, Policy)>,
}

/// `otelcol.processor.tail_sampling`.
pub type Component = Processing<TailSampling>;

// === impl TailSampling ===

impl Processor for TailSampling {
    const NAME: &'static str = "otelcol.processor.tail_sampling";
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Traces];
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let mut names = HashSet::new();
        let mut policies = Vec::new();
        for given in &arguments.policy {
            let name = &given.shared.name;
            let wrong = |message: String| Problem::at("policy", message);
            if name.is_empty() {
                return Err(wrong("policy name cannot be empty".to_owned()));
            }
            if !names.insert(name) {
                return Err(wrong(format!("duplicate policy name {name:?}")));
            }
            let policy = Policy::new(given)
                .map_err(|error| wrong(format!("failed to create policy evaluator for {name:?}: {error}")))?;
            // As the Collector tells them apart.
            policies.push((format!("{}.{name}", context.id()), policy));
        }
        policies.sort_by_key(|(_, policy)| !policy.drops());
        Ok(TailSampling {
            state: Mutex::new(Some(State { store: Store::new(arguments), policies })),
            room: Notify::new(),
            block_on_overflow: arguments.block_on_overflow,
            drop_pending: arguments.drop_pending_traces_on_shutdown,
            sample_on_first_match: arguments.sample_on_first_match,
            counters: Counters::new(context.metrics()),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        let (mut payload, mut items) = (Vec::new(), 0);
        for arrival in batch.payload.iter().flat_map(split) {
            let spans = arrival.spans;
            if let Some(late) = self.take(arrival).await? {
                payload.push(late);
                items += spans;
            }
        }
        batch.payload = payload;
        batch.items = u32::try_from(items).unwrap_or(u32::MAX);
        Ok(batch)
    }

    async fn run(&self, site: &Site, stop: Stop) {
        let mut ticks = tokio::time::interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let due = self.state().as_mut().map(|state| state.store.due()).unwrap_or_default();
                    self.decide_all(due, site).await;
                }
                () = stop.stopped() => break,
            }
        }
        if !self.drop_pending {
            let left = self.state().as_mut().map(|state| state.store.all()).unwrap_or_default();
            self.decide_all(left, site).await;
        }
    }

    fn close(&self) -> u64 {
        let Some(mut state) = self.state().take() else { return 0 };
        self.room.notify_waiters();
        self.counters.on_memory.set_u64(0);
        state.store.all().iter().map(|held| held.spans).sum()
    }
}

impl TailSampling {
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts spans to their trace; gives them back to be sent on if that was kept already.
    async fn take(&self, mut arrival: Arrival) -> Result<Option<Bytes>, Refused> {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            {
                let mut state = self.state();
                let Some(State { store, .. }) = &mut *state else {
                    return Err(Refused::retryable("the processor is stopping or gets new arguments"));
                };
                match store.take(arrival, self.block_on_overflow, &self.counters) {
                    Taken::Held | Taken::Dropped => return Ok(None),
                    Taken::Late(payload) => return Ok(Some(payload)),
                    Taken::Full(back) => arrival = back,
                }
                // Before the lock is released, so that no notification is missed.
                room.as_mut().enable();
            }
            room.await;
        }
    }

    async fn decide_all(&self, due: Vec<Held>, site: &Site) {
        let begin = Instant::now();
        let mut kept = Vec::new();
        for held in due {
            let mut state = self.state();
            let Some(state) = state.as_mut() else { return };
            kept.extend(self.decide(state, held));
            self.counters.on_memory.set_u64(state.store.len() as u64);
        }
        self.room.notify_waiters();
        self.counters.timer.observe(begin.elapsed().as_millis() as f64);
        site.insist(kept).await;
    }

    /// Lets the policies vote; what is kept is returned.
    fn decide(&self, state: &mut State, held: Held) -> Option<OtlpBatch> {
        let Held { id, payload, spans, .. } = &held;
        let mut trace = Trace {
            id: *id,
            parts: payload.iter().map(Data::<Span>::decode).collect(),
            spans: *spans,
            bytes: payload.iter().map(|bytes| bytes.len() as u64).sum(),
        };
        let mut sampled = false;
        let mut dropped = false;
        for (name, policy) in &mut state.policies {
            let begin = Instant::now();
            let vote = match policy.ask(&mut trace) {
                Ok(vote) => vote,
                Err(error) => {
                    tracing::debug!(policy = name, error, "a sampling policy failed");
                    self.counters.errors.inc();
                    continue;
                }
            };
            self.counters.asked(name, vote, begin.elapsed());
            dropped |= vote == Vote::Dropped;
            sampled |= vote == Vote::Sampled;
            if dropped || sampled && self.sample_on_first_match {
                break;
            }
        }
        let vote = match (dropped, sampled) {
            (true, _) => Vote::Dropped,
            (false, true) => Vote::Sampled,
            (false, false) => Vote::NotSampled,
        };
        self.counters.decided(vote);
        self.counters.removal_age.observe(held.arrived.elapsed().as_secs() as f64);
        state.store.remember(*id, vote == Vote::Sampled);
        let items = u32::try_from(*spans).unwrap_or(u32::MAX);
        let Held { payload, .. } = held;
        (vote == Vote::Sampled).then_some(OtlpBatch { signal: OtlpSignal::Traces, payload, items, origin: None })
    }
}

/// The spans of a payload by their trace, each trace with groups of its own. What holds one trace only is not copied; of
/// others the bytes are, so that a trace does not hold on to its neighbours.
fn split(payload: &Bytes) -> Vec<Arrival> {
    let whole = Data::<Span>::decode(payload);
    let mut traces: Vec<([u8; 16], Data<Span>)> = Vec::new();
    let ids: HashSet<[u8; 16]> = whole.items().map(|(_, _, span)| id_of(span)).collect();
    if let (1, Some(id)) = (ids.len(), ids.iter().next()) {
        let root = whole.items().any(|(_, _, span)| is_root(span));
        return vec![Arrival { id: *id, payload: payload.clone(), spans: whole.count() as u64, root }];
    }
    let mut places = std::collections::HashMap::new();
    for group in whole.resources {
        // Where the trace's copy of this resource and of its scope is.
        let mut resources: HashSet<[u8; 16]> = HashSet::new();
        let mut bare = group;
        for scope in std::mem::take(&mut bare.scopes) {
            let mut scopes: HashSet<[u8; 16]> = HashSet::new();
            let mut bare_scope = scope;
            for span in std::mem::take(&mut bare_scope.items) {
                let id = id_of(&span);
                let at = *places.entry(id).or_insert_with(|| {
                    traces.push((id, Data::default()));
                    traces.len() - 1
                });
                let data = &mut traces[at].1;
                if resources.insert(id) {
                    data.resources.push(bare.clone());
                }
                let Some(resource) = data.resources.last_mut() else { continue };
                if scopes.insert(id) {
                    resource.scopes.push(bare_scope.clone());
                }
                if let Some(scope) = resource.scopes.last_mut() {
                    scope.items.push(span);
                }
            }
        }
    }
    let arrival = |(id, data): ([u8; 16], Data<Span>)| Arrival {
        id,
        spans: data.count() as u64,
        root: data.items().any(|(_, _, span)| is_root(span)),
        payload: data.encode().into(),
    };
    traces.into_iter().map(arrival).collect()
}

/// Ids of another length are no ids; those spans share one that is all zeros, as for the Collector.
fn id_of(span: &Span) -> [u8; 16] {
    span.trace_id[..].try_into().unwrap_or_default()
}

fn is_root(span: &Span) -> bool {
    span.parent_span_id.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests;
