//! The backends as they come and go: an exporter for each, and what waits for one that went.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use base_sys::task;
use futures_util::future::join_all;
use sdk_component::{Context, Stop};
use sdk_otel::exporter::{Exporter, SendError, Sending, Transport, parts_directory};
use sdk_protocols_otlp::response::PartialSuccess;
use sdk_queue::Body;
use sdk_signals::{Consumer as _, Delivery, Origin, OtlpBatch, OtlpSignal, Refused};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::KIND;
use super::arguments::{Arguments, RoutingKey};
use super::metrics::Metrics;
use super::resolver::Following;
use super::ring::Ring;
use super::routing::parts;
use crate::otlp::Grpc;

/// How long a batch waits for the first answer of the resolver.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// A part that a backend refuses, when others have taken theirs, is offered again this often, and this long.
const OFFER_EVERY: Duration = Duration::from_millis(500);
const OFFER_FOR: Duration = Duration::from_secs(15);

/// All of them. What they send goes through [`Routed`].
pub(super) struct Backends {
    context: Context,
    arguments: watch::Receiver<Arc<Arguments>>,
    /// Those in use; `None` until they are known.
    current: watch::Sender<Option<Arc<Current>>>,
    /// Those that went, until they are empty.
    retired: RwLock<BTreeMap<String, Backend>>,
    /// Nothing is taken any more.
    stopping: AtomicBool,
    metrics: Metrics,
    weak: Weak<Backends>,
}

/// The backends in use.
pub(super) struct Current {
    ring: Ring,
    backends: BTreeMap<String, Backend>,
}

#[derive(Clone)]
struct Backend {
    exporter: Exporter,
    /// What parts of other requests are sent through, when those had to leave their backend.
    grpc: Arc<RwLock<Arc<Grpc>>>,
    /// Ends it.
    token: CancellationToken,
}

/// Sends what waited for a backend: to it, or, when it is gone, to those that are left.
pub(super) struct Routed {
    endpoint: String,
    own: Arc<Grpc>,
    others: Weak<Backends>,
}

// === impl Backends ===

impl Backends {
    pub(super) fn new(context: &Context, arguments: watch::Receiver<Arc<Arguments>>) -> Arc<Backends> {
        Arc::new_cyclic(|weak| Backends {
            context: context.clone(),
            arguments,
            current: watch::Sender::new(None),
            retired: RwLock::default(),
            stopping: AtomicBool::new(false),
            metrics: Metrics::new(context.metrics()),
            weak: weak.clone(),
        })
    }

    /// From now on all of them send as the arguments say now.
    pub(super) fn settings_changed(&self) {
        let arguments = self.arguments.borrow().clone();
        let current = self.current.borrow().clone();
        let retired = self.retired.read().unwrap_or_else(PoisonError::into_inner).clone();
        let backends = current.iter().flat_map(|current| current.backends.clone()).chain(retired);
        for (endpoint, backend) in backends {
            match arguments.protocol.otlp.grpc(&endpoint) {
                Ok(grpc) => {
                    *backend.grpc.write().unwrap_or_else(PoisonError::into_inner) = grpc.clone();
                    backend.exporter.replace(arguments.protocol.otlp.settings(self.routed(&endpoint, grpc)));
                }
                Err(problem) => tracing::error!(endpoint, error = %problem.message, "keeps its old settings"),
            }
        }
    }

    /// Hands a batch to the queues of its backends. What one of them refuses is refused as a whole, as long as nobody has
    /// taken a part.
    pub(super) async fn take(&self, key: RoutingKey, batch: &OtlpBatch) -> Result<Delivery, Refused> {
        let mut deliveries = Vec::new();
        let mut open = vec![batch.clone()];
        let mut deadline = None;
        let mut never = None;
        loop {
            let current = self.known().await?;
            let mut left = Vec::new();
            let mut refusal = None;
            for batch in open {
                let Some(parts) = parts(key, &current.ring, &batch) else {
                    return Err(Refused::retryable("no backend is known"));
                };
                // Side by side: a backend that is slow makes no other wait.
                let handing = parts.into_iter().map(|(endpoint, part)| {
                    let current = &current;
                    async move { (self.hand(current, &endpoint, part.clone()).await, part) }
                });
                for (taken, part) in join_all(handing).await {
                    match taken {
                        Ok(delivery) => deliveries.push(delivery),
                        Err(refused) if refused.retryable => {
                            left.push(part);
                            refusal = Some(refused);
                        }
                        // Its exporter has counted it.
                        Err(refused) => never = Some(refused),
                    }
                }
            }
            let Some(refused) = refusal else {
                return match never {
                    Some(refused) if deliveries.is_empty() => Err(refused),
                    Some(_) => Ok(Delivery::all(deliveries.into_iter().chain([Delivery::dropped()]))),
                    None => Ok(Delivery::all(deliveries)),
                };
            };
            // Where the ring has changed meanwhile, somebody else takes it.
            if !self.is_current(&current) && !self.stopping.load(Ordering::Acquire) {
                open = left;
                continue;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + OFFER_FOR);
            let over = Instant::now() >= deadline || self.stopping.load(Ordering::Acquire);
            if deliveries.is_empty() || over {
                return Err(refused);
            }
            open = left;
            tokio::time::sleep(OFFER_EVERY).await;
        }
    }

    async fn hand(&self, current: &Current, endpoint: &str, part: OtlpBatch) -> Result<Delivery, Refused> {
        let Some(backend) = current.backends.get(endpoint) else {
            return Err(Refused::retryable(format!("there is no exporter for {endpoint}")));
        };
        let started = Instant::now();
        let taken = backend.exporter.consume(part).await;
        self.metrics.handed(endpoint, taken.is_ok(), started.elapsed());
        taken
    }

    /// The backends in use, waiting for the first answer of the resolver.
    async fn known(&self) -> Result<Arc<Current>, Refused> {
        let mut current = self.current.subscribe();
        let known = tokio::time::timeout(FIRST_ANSWER, current.wait_for(Option::is_some)).await;
        let known = known.ok().and_then(Result::ok).and_then(|current| current.clone());
        known.ok_or_else(|| Refused::retryable("the backends are not known yet"))
    }

    fn is_current(&self, current: &Arc<Current>) -> bool {
        self.current.borrow().as_ref().is_some_and(|now| Arc::ptr_eq(now, current))
    }

    /// Follows the resolver until the component stops.
    pub(super) async fn run(
        self: &Arc<Self>,
        context: &Context,
        mut arguments: watch::Receiver<Arc<Arguments>>,
        stop: &Stop,
    ) {
        let tasks = task::Scope::new();
        let mut failing = false;
        let mut following = Following::new(arguments.borrow_and_update().resolver.clone());
        loop {
            let resolved = tokio::select! {
                resolved = following.next() => resolved,
                Ok(()) = arguments.changed() => {
                    let resolver = arguments.borrow_and_update().resolver.clone();
                    if *following.resolver() != resolver {
                        following = Following::new(resolver);
                    }
                    continue;
                }
                () = stop.stopped() => break,
            };
            let resolver = following.resolver();
            self.metrics.resolved(resolver.name(), resolved.is_ok());
            match resolved {
                Ok(found) => {
                    let recovered = std::mem::take(&mut failing);
                    if recovered {
                        tracing::info!("the backends are resolved again");
                    }
                    let count = found.len();
                    let known = self.current.borrow().as_ref().is_some_and(|now| now.ring.endpoints() == found);
                    if !known {
                        self.change(found, &tasks, stop);
                        self.metrics.changed(resolver.name(), count);
                    }
                    // What the exporters say of themselves stands until then.
                    if !known || recovered {
                        context.healthy(format!("sends to {count} backends"));
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(error, "keeping the backends found last");
                    }
                    context.unhealthy(error);
                }
            }
        }
        self.stopping.store(true, Ordering::Release);
        // Each exporter writes down what it cannot send, in its own share of the time.
        tasks.close(stop.grace()).await;
    }

    /// From now on to these. Who is not among them any more is emptied over those who are.
    fn change(self: &Arc<Self>, found: Vec<String>, tasks: &task::Scope, stop: &Stop) {
        let before = self.current.borrow().clone();
        let mut old = before.as_ref().map(|before| before.backends.clone()).unwrap_or_default();
        let mut backends = BTreeMap::new();
        for endpoint in &found {
            let returned = || self.retired.write().unwrap_or_else(PoisonError::into_inner).remove(endpoint);
            let backend = old.remove(endpoint).or_else(returned).or_else(|| self.start(endpoint, tasks, stop));
            if let Some(backend) = backend {
                backends.insert(endpoint.clone(), backend);
            }
        }
        // An endpoint that cannot be sent to takes no part.
        let usable: Vec<String> = backends.keys().cloned().collect();
        let first = before.is_none();
        self.current.send_replace(Some(Arc::new(Current { ring: Ring::of(&usable), backends })));
        for (endpoint, backend) in old {
            self.retire(endpoint, backend, tasks);
        }
        if first {
            for endpoint in left_behind(&self.directory()) {
                if !usable.contains(&endpoint)
                    && let Some(backend) = self.start(&endpoint, tasks, stop)
                {
                    self.retire(endpoint, backend, tasks);
                }
            }
        }
    }

    fn start(self: &Arc<Self>, endpoint: &str, tasks: &task::Scope, stop: &Stop) -> Option<Backend> {
        let otlp = self.arguments.borrow().protocol.otlp.clone();
        let grpc = match otlp.grpc(endpoint) {
            Ok(grpc) => grpc,
            Err(problem) => {
                tracing::error!(endpoint, error = %problem.message, "cannot send to a backend");
                return None;
            }
        };
        let settings = otlp.settings(self.routed(endpoint, grpc.clone()));
        let exporter = Exporter::part(&self.context, KIND, endpoint, file_name(endpoint), settings);
        let (end, token) = stop.child();
        let running = exporter.clone();
        tasks.spawn("backend", async move { running.run(end).await }.instrument(self.context.span().clone()));
        Some(Backend { exporter, grpc: Arc::new(RwLock::new(grpc)), token })
    }

    fn routed(&self, endpoint: &str, own: Arc<Grpc>) -> Routed {
        Routed { endpoint: endpoint.to_owned(), own, others: self.weak.clone() }
    }

    fn retire(self: &Arc<Self>, endpoint: String, backend: Backend, tasks: &task::Scope) {
        tracing::info!(endpoint, "a backend is gone; what waits for it is sent to others");
        self.retired.write().unwrap_or_else(PoisonError::into_inner).insert(endpoint.clone(), backend.clone());
        let all = self.clone();
        let stopping = tasks.stopped();
        let emptying = async move {
            tokio::select! {
                () = backend.exporter.emptied() => {}
                () = stopping => return,
            }
            let still = {
                let mut retired = all.retired.write().unwrap_or_else(PoisonError::into_inner);
                // It may have come back meanwhile.
                retired.get(&endpoint).is_some_and(|now| now.token == backend.token)
                    && retired.remove(&endpoint).is_some()
            };
            if still {
                backend.token.cancel();
            }
        };
        tasks.spawn("retired backend", emptying.instrument(self.context.span().clone()));
    }

    fn directory(&self) -> PathBuf {
        parts_directory(&self.context, self.arguments.borrow().protocol.otlp.queue.storage.as_ref())
    }
}

/// Endpoints for which an earlier run wrote something down.
fn left_behind(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| endpoint_of(entry.file_name().to_str()?)).collect()
}

/// An endpoint as the name of a directory: what is no letter, digit, dot or hyphen is written as hexadecimal.
fn file_name(endpoint: &str) -> String {
    endpoint.bytes().fold(String::new(), |mut name, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("_{byte:02x}")),
        }
        name
    })
}

fn endpoint_of(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'_' {
            let digits = std::str::from_utf8(behind.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

// === impl Routed ===

impl Routed {
    /// The backends that are left, if this one is not among them.
    fn others(&self) -> Option<(RoutingKey, Arc<Current>)> {
        let others = self.others.upgrade()?;
        let current = others.current.borrow().clone()?;
        let gone = !current.backends.contains_key(&self.endpoint) && !current.backends.is_empty();
        gone.then(|| (others.arguments.borrow().routing_key, current))
    }

    /// Sends the parts of a request to those who have its keys now.
    async fn elsewhere(
        &self,
        key: RoutingKey,
        current: &Current,
        batch: OtlpBatch,
    ) -> Result<Option<PartialSuccess>, SendError> {
        let origin = batch.origin.clone();
        let nobody = || SendError::retryable("no backend is known");
        let parts = parts(key, &current.ring, &batch).ok_or_else(nobody)?;
        let mut worst = None;
        for (endpoint, part) in parts {
            let backend = current.backends.get(&endpoint).ok_or_else(nobody)?;
            let grpc = backend.grpc.read().unwrap_or_else(PoisonError::into_inner).clone();
            let sent = grpc.send(part.signal, part.payload.into(), origin.as_deref()).await;
            if let Err(error) = sent
                && worst.as_ref().is_none_or(|worst: &SendError| error.retryable && !worst.retryable)
            {
                worst = Some(error);
            }
        }
        worst.map_or(Ok(None), Err)
    }
}

impl Transport for Routed {
    fn send<'a>(&'a self, signal: OtlpSignal, payload: Body, origin: Option<&'a Origin>) -> Sending<'a> {
        let Some((key, current)) = self.others() else { return self.own.send(signal, payload, origin) };
        Box::pin(async move { self.elsewhere(key, &current, batch_of(signal, &payload, origin)).await })
    }

    fn remember(&self, origin: &Origin) -> Option<Origin> {
        self.own.remember(origin)
    }
}

/// What came out of a queue, as it went in.
pub(super) fn batch_of(signal: OtlpSignal, payload: &Body, origin: Option<&Origin>) -> OtlpBatch {
    let payload = payload.joined();
    let items = sdk_protocols_otlp::check(signal, &payload).unwrap_or(0);
    let origin = origin.cloned().map(Arc::new);
    OtlpBatch { signal, payload: vec![payload], items: u32::try_from(items).unwrap_or(u32::MAX), origin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_tells_its_endpoint() {
        for endpoint in ["localhost:4317", "[::1]:4317", "a_b.example-c:1", "ä/..\\:1"] {
            let name = file_name(endpoint);
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{name}");
            assert_eq!(endpoint_of(&name).as_deref(), Some(endpoint));
        }
        assert_eq!(endpoint_of("_zz"), None);
    }
}
