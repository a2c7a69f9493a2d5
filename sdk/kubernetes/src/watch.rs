//! A kind of object, followed for ever: listed, then watched, whatever happens on the way.
//!
//! A watch ends by itself after some minutes and goes on from the version it has come to, which bookmarks keep young. Where
//! that version is too old for the server (410), everything is listed again. A watch that has not ended when it should
//! have is dead: something between us and the server has dropped the connection without a word.

use std::time::Duration;

use base_sys::chance::Chance;
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout_at};
use url::form_urlencoded::Serializer;

use crate::api::{ApiError, Cluster, Status, collection, object, version};
use crate::lines::Lines;
use crate::objects::Object;

/// etcd takes no object above some megabytes.
const MAX_EVENT: usize = 32 << 20;

/// Which objects of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Empty for all.
    pub namespace: String,
    /// As `kubectl --selector` takes it; empty for all.
    pub label: String,
    /// As `kubectl --field-selector` takes it; empty for all.
    pub field: String,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<T> {
    /// These are all objects there are: at the beginning, and whenever changes may have been missed.
    All(Vec<T>),
    /// This one is new or different.
    Set(T),
    /// This one is gone.
    Gone(T),
    /// The API cannot be asked, for this reason. It is tried again.
    Failing(String),
    /// It can be asked again.
    Working,
}

/// How patient a watch is.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a watch lasts. Balancers drop connections that are quiet for four minutes.
    pub watch: Duration,
    /// How much later than that it may end.
    pub slack: Duration,
    /// The wait after a first failure; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

struct Watching<T> {
    cluster: Cluster,
    scope: Scope,
    timing: Timing,
    /// Where the next watch begins; none: everything must be listed.
    version: Option<String>,
    open: Option<Open>,
    failures: u32,
    not_before: Option<Instant>,
    kind: std::marker::PhantomData<fn() -> T>,
}

struct Open {
    lines: Lines,
    began: Instant,
    deadline: Instant,
    told: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Follows all objects of a kind in this scope, without an end.
pub fn watch<T: Object>(cluster: Cluster, scope: Scope, timing: Timing) -> impl Stream<Item = Change<T>> + Send {
    let watching = Watching {
        cluster,
        scope,
        timing,
        version: None,
        open: None,
        failures: 0,
        not_before: None,
        kind: std::marker::PhantomData,
    };
    stream::unfold(watching, |mut watching| async move {
        let change = watching.next().await;
        Some((change, watching))
    })
}

// === impl Change ===

impl<T> Change<T> {
    /// It tells all there is.
    pub fn is_list(&self) -> bool {
        matches!(self, Change::All(_))
    }
}

// === impl Scope ===

impl Scope {
    /// Everything in a namespace, or everywhere.
    pub fn namespace(namespace: &str) -> Scope {
        Scope { namespace: namespace.to_owned(), ..Scope::default() }
    }

    /// Path and query of a request for these objects.
    pub(crate) fn path<T: Object>(&self, pairs: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(pairs);
        if !self.label.is_empty() {
            query.append_pair("labelSelector", &self.label);
        }
        if !self.field.is_empty() {
            query.append_pair("fieldSelector", &self.field);
        }
        format!("{}?{}", collection::<T>(&self.namespace), query.finish())
    }
}

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Timing {
            watch: Duration::from_secs(190),
            slack: Duration::from_secs(15),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
        }
    }
}

// === impl Watching ===

impl<T: Object> Watching<T> {
    async fn next(&mut self) -> Change<T> {
        loop {
            if let Some(time) = self.not_before.take() {
                sleep_until(time).await;
            }
            let step = match (&mut self.open, &self.version) {
                (Some(_), _) => self.read().await,
                (None, Some(_)) => self.begin().await,
                (None, None) => self.list().await,
            };
            match step {
                Ok(Some(change)) => return change,
                Ok(None) => {}
                Err(error) => return self.failed(&error),
            }
        }
    }

    /// Everything there is, and the version from which to watch.
    async fn list(&mut self) -> Result<Option<Change<T>>, ApiError> {
        let (mut items, mut from) = (Vec::new(), String::new());
        loop {
            let page = match self.cluster.page::<T>(&self.scope, &from).await {
                Ok(page) => page,
                // The list has become too old while it was read.
                Err(error) if error.code() == Some(410) && !from.is_empty() => {
                    (items, from) = (Vec::new(), String::new());
                    self.rest(self.timing.first_wait);
                    sleep_until(self.not_before.take().unwrap_or_else(Instant::now)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            items.extend(page.items);
            if page.next.is_empty() {
                self.version = Some(page.version);
                return Ok(Some(Change::All(items)));
            }
            from = page.next;
        }
    }

    async fn begin(&mut self) -> Result<Option<Change<T>>, ApiError> {
        let Some(version) = &self.version else { return Ok(None) };
        // Watches that began together do not end together.
        let limit = jittered(self.timing.watch);
        match self.cluster.watch::<T>(&self.scope, version, limit).await {
            Ok(streaming) => {
                let began = Instant::now();
                let deadline = began + limit + self.timing.slack;
                self.open = Some(Open { lines: Lines::new(streaming, MAX_EVENT), began, deadline, told: false });
                let recovered = std::mem::take(&mut self.failures) > 0;
                Ok(recovered.then_some(Change::Working))
            }
            Err(error) if error.code() == Some(410) => {
                self.version = None;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&mut self) -> Result<Option<Change<T>>, ApiError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        let line = match timeout_at(open.deadline, open.lines.next()).await {
            Ok(Ok(Some(line))) => line,
            // It has ended in its time or broken in between, or it is dead: the next one goes on from here.
            ended => {
                if let Ok(Err(error)) = &ended {
                    tracing::debug!(kind = T::PLURAL, %error, "a watch broke; the next one goes on where it was");
                }
                // A server that ends watches at once must not make a busy loop of us.
                let brief = !open.told && open.began.elapsed() < self.timing.first_wait;
                self.open = None;
                self.rest(if brief { self.timing.first_wait } else { Duration::from_millis(10) });
                return Ok(None);
            }
        };
        open.told = true;
        let event: Event = match serde_json::from_slice(&line) {
            Ok(event) => event,
            Err(error) => {
                self.open = None;
                return Err(ApiError::Malformed(error.to_string()));
            }
        };
        let text = event.object.get().as_bytes();
        if event.r#type == "ERROR" {
            self.open = None;
            let status = serde_json::from_slice::<Status>(text);
            let (code, message) = status.map(|status| (status.code, status.message)).unwrap_or_default();
            if code == 410 {
                self.version = None;
                return Ok(None);
            }
            return Err(ApiError::Refused { code, message, retry_after: None });
        }
        match version(text) {
            Ok(version) if !version.is_empty() => self.version = Some(version),
            _ => {}
        }
        let change = match event.r#type {
            "ADDED" | "MODIFIED" => object(text).map(Change::Set),
            "DELETED" => object(text).map(Change::Gone),
            _ => return Ok(None),
        };
        match change {
            Ok(change) => Ok(Some(change)),
            Err(error) => {
                tracing::warn!(kind = T::PLURAL, error, "an object cannot be understood; it is left out");
                Ok(None)
            }
        }
    }

    /// The next request waits, each time longer.
    fn failed(&mut self, error: &ApiError) -> Change<T> {
        let wait = self.timing.first_wait.saturating_mul(1 << self.failures.min(16)).min(self.timing.longest_wait);
        self.failures += 1;
        self.rest(wait.max(error.retry_after().unwrap_or_default()));
        Change::Failing(error.to_string())
    }

    fn rest(&mut self, wait: Duration) {
        self.not_before = Some(Instant::now() + jittered(wait));
    }
}

/// Up to a fifth less, so that clients which failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.8 + Chance::new().part() / 5.0)
}
