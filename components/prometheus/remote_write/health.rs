//! What the endpoints' troubles make of the component's health.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sdk_component::Context;

/// Collects the endpoints that fail. Each is said once in the log; then the metrics count.
pub(crate) struct Health {
    context: Context,
    failing: Mutex<BTreeMap<String, String>>,
}

impl Health {
    pub(crate) fn new(context: Context) -> Health {
        Health { context, failing: Mutex::default() }
    }

    pub(crate) fn is_failing(&self, endpoint: &str) -> bool {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).contains_key(endpoint)
    }

    pub(crate) fn failing(&self, endpoint: &str, url: &str, reason: &str) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.insert(endpoint.to_owned(), reason.to_owned()).is_none() {
            tracing::warn!(remote_name = endpoint, url, err = reason, "failed to send batch, retrying");
        }
        self.tell(&failing);
    }

    pub(crate) fn well(&self, endpoint: &str) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.remove(endpoint).is_some() {
            tracing::info!(remote_name = endpoint, "the endpoint takes requests again");
            self.tell(&failing);
        }
    }

    fn tell(&self, failing: &BTreeMap<String, String>) {
        if failing.is_empty() {
            return self.context.healthy("all endpoints take requests");
        }
        let all: Vec<String> = failing.iter().map(|(name, reason)| format!("endpoint {name}: {reason}")).collect();
        self.context.unhealthy(all.join("; "));
    }
}
