//! What the endpoints' troubles make of the component's health.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sdk_component::Context;
use tokio::time::Instant;

use crate::outages::{Told, shown};

/// Collects the endpoints that fail. Each is said once in the log; then the metrics count.
pub(crate) struct Health {
    context: Context,
    failing: Mutex<BTreeMap<String, Outage>>,
    told: Told,
}

struct Outage {
    reason: String,
    since: Instant,
    is_told: bool,
}

// === impl Health ===

impl Health {
    pub(crate) fn new(context: Context) -> Health {
        Health { context, failing: Mutex::default(), told: Told::new() }
    }

    pub(crate) fn is_failing(&self, endpoint: &str) -> bool {
        self.lock().contains_key(endpoint)
    }

    /// Before anything was sent it is known that nothing can be.
    pub(crate) fn cannot(&self, endpoint: &str, url: &str, reason: &str) {
        tracing::error!(remote_name = endpoint, url, err = reason, "samples cannot be sent; they wait in the queue");
        self.note(endpoint, reason, true);
    }

    pub(crate) fn failing(&self, endpoint: &str, url: &str, reason: &str) {
        let is_new = !self.is_failing(endpoint);
        let is_told = is_new && self.told.one();
        if is_told {
            tracing::warn!(remote_name = endpoint, url, err = reason, "failed to send batch, retrying");
        }
        self.note(endpoint, reason, is_told);
    }

    /// It answers, and takes nothing. The log has a line for each request that is lost to it.
    pub(crate) fn refuses(&self, endpoint: &str, reason: &str) {
        self.note(endpoint, &format!("what is sent is refused and dropped: {reason}"), true);
    }

    pub(crate) fn well(&self, endpoint: &str) {
        if let Some(outages) = self.told.rest() {
            tracing::info!(outages, "endpoints failed for a moment, and more often than was told");
        }
        let mut failing = self.lock();
        if let Some(outage) = failing.remove(endpoint) {
            if outage.is_told {
                let failed_for = shown(outage.since.elapsed());
                tracing::info!(remote_name = endpoint, failed_for, "the endpoint takes requests again");
            }
            self.tell(&failing);
        }
    }

    /// It is not wanted any more.
    pub(crate) fn forget(&self, endpoint: &str) {
        let mut failing = self.lock();
        if failing.remove(endpoint).is_some() {
            self.tell(&failing);
        }
    }

    fn note(&self, endpoint: &str, reason: &str, is_told: bool) {
        let mut failing = self.lock();
        let new = || Outage { reason: String::new(), since: Instant::now(), is_told };
        let outage = failing.entry(endpoint.to_owned()).or_insert_with(new);
        reason.clone_into(&mut outage.reason);
        self.tell(&failing);
    }

    fn tell(&self, failing: &BTreeMap<String, Outage>) {
        if failing.is_empty() {
            return self.context.healthy("all endpoints take requests");
        }
        let all = failing.iter().map(|(name, Outage { reason, .. })| format!("endpoint {name}: {reason}"));
        self.context.unhealthy(all.collect::<Vec<_>>().join("; "));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Outage>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
