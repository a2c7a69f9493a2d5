//! What the endpoints' troubles make of the component's health.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use sdk_component::Context;
use tokio::time::Instant;

use super::lock;

/// Collects what fails, by endpoint and tenant: an endpoint that lets one tenant in, and another one not, is neither well nor ill
/// with each request.
pub struct Health {
    context: Context,
    failing: Mutex<BTreeMap<Sender, Outage>>,
}

/// Whose requests fail: the how manieth endpoint, and the tenant.
type Sender = (usize, String);

struct Outage {
    reason: String,
    since: Instant,
    tried: Instant,
}

/// Of a tenant that nothing was tried for in so long nothing is said any more: mostly there is nothing to send for it. Retries
/// are closer together.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// So many are remembered: tenants may be whatever stands in a line.
const MOST: usize = 1000;

/// So many are named.
const NAMED: usize = 10;

// === impl Health ===

impl Health {
    pub fn new(context: Context) -> Health {
        Health { context, failing: Mutex::default() }
    }

    /// Whether the last attempt failed, or was refused.
    pub fn is_failing(&self, endpoint: usize, tenant: &str) -> bool {
        let failing = lock(&self.failing);
        !failing.is_empty() && failing.contains_key(&(endpoint, tenant.to_owned()))
    }

    /// An attempt failed, or was refused. Whether that is news.
    pub fn fails(&self, endpoint: usize, tenant: &str, reason: String) -> bool {
        let now = Instant::now();
        let mut failing = lock(&self.failing);
        let sender = (endpoint, tenant.to_owned());
        let is_new = !failing.contains_key(&sender);
        let outage = failing.entry(sender).or_insert(Outage { reason: String::new(), since: now, tried: now });
        (outage.reason, outage.tried) = (reason, now);
        forget_old(&mut failing, now);
        self.tell(&failing);
        is_new
    }

    /// An attempt succeeded. How long it had failed, if it had.
    pub fn well(&self, endpoint: usize, tenant: &str) -> Option<Duration> {
        let mut failing = lock(&self.failing);
        if failing.is_empty() {
            return None;
        }
        let before = failing.len();
        let outage = failing.remove(&(endpoint, tenant.to_owned()));
        forget_old(&mut failing, Instant::now());
        if failing.len() != before {
            self.tell(&failing);
        }
        outage.map(|outage| outage.since.elapsed())
    }

    /// The endpoints are not wanted any more.
    pub fn end(&self) {
        let mut failing = lock(&self.failing);
        if !failing.is_empty() {
            failing.clear();
            self.tell(&failing);
        }
    }

    fn tell(&self, failing: &BTreeMap<Sender, Outage>) {
        if failing.is_empty() {
            return self.context.healthy("sending");
        }
        let mut reasons: Vec<&str> = failing.values().take(NAMED).map(|outage| outage.reason.as_str()).collect();
        let more = failing.len().saturating_sub(NAMED);
        let and_more = format!("and {more} more");
        if more > 0 {
            reasons.push(&and_more);
        }
        self.context.unhealthy(reasons.join("; "));
    }
}

fn forget_old(failing: &mut BTreeMap<Sender, Outage>, now: Instant) {
    failing.retain(|_, outage| now.duration_since(outage.tried) < FORGOTTEN);
    if failing.len() > MOST {
        let oldest = failing.iter().min_by_key(|(_, outage)| outage.tried).map(|(sender, _)| sender.clone());
        oldest.map(|oldest| failing.remove(&oldest));
    }
}

#[cfg(test)]
mod tests {
    use sdk_component::HealthState::{self, Healthy, Unhealthy};
    use sdk_testing::component::Alone;

    use super::*;
    use crate::write::Write;

    fn alone() -> (Alone<Write>, Health) {
        let alone = Alone::<Write>::build("endpoint { url = \"http://a/\" }", &language_eval::Scope::new()).unwrap();
        let health = Health::new(alone.context.clone());
        (alone, health)
    }

    fn state(alone: &Alone<Write>) -> Option<HealthState> {
        alone.health().map(|(state, _)| state)
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_outage_is_told_once_and_a_tenant_that_sends_nothing_is_forgotten() {
        let (alone, health) = alone();
        assert!(health.fails(0, "a", "away".to_owned()));
        assert!(!health.fails(0, "a", "away".to_owned()), "it is known");
        assert!(health.fails(1, "a", "away, too".to_owned()), "of another endpoint");
        assert_eq!(alone.health(), Some((Unhealthy, "away; away, too".to_owned())));
        tokio::time::advance(FORGOTTEN / 2).await;
        assert_eq!(health.well(0, "b"), None, "it never failed");
        assert_eq!(health.well(0, "a"), Some(FORGOTTEN / 2));
        assert_eq!(health.well(0, "a"), None);
        assert_eq!(state(&alone), Some(Unhealthy));
        tokio::time::advance(FORGOTTEN / 2).await;
        assert_eq!(health.well(0, "a"), None);
        assert_eq!(state(&alone), Some(Healthy));
    }

    #[tokio::test]
    async fn however_many_tenants_fail_few_are_named() {
        let (alone, health) = alone();
        for tenant in 0..2 * MOST {
            health.fails(0, &format!("{tenant:05}"), format!("tenant {tenant}"));
        }
        let (_, message) = alone.health().unwrap();
        assert_eq!(message.matches("tenant").count(), NAMED, "{message}");
        assert!(message.ends_with(&format!("; and {} more", MOST - NAMED)), "{message}");
        assert!(message.contains(&format!("tenant {MOST};")), "those that failed last stay: {message}");
    }
}
