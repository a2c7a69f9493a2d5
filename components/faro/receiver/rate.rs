//! How many requests are taken: buckets of tokens.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base_metrics::{CounterVec, Gauge, Scope};
use tokio::time::Instant;

use super::arguments::{RateLimitingBlock, Strategy};

/// Applications with a bucket of their own: requests name them. Those that come after share one.
const MAX_APPS: usize = 1000;
/// Bytes of the names of an application and of its environment that has a bucket of its own.
const MAX_NAME: usize = 1024;
/// The name of those that share, in metrics.
const OTHER: (&str, &str) = ("other", "other");
/// A bucket that nobody asks for so long is given up.
const IDLE: Duration = Duration::from_secs(600);

/// Who may send, now.
pub(super) enum RateLimit {
    Off,
    Global(Mutex<Bucket>),
    PerApp(Box<Apps>),
}

pub(super) struct Bucket {
    tokens: f64,
    burst: f64,
    rate: f64,
    filled: Instant,
}

/// A bucket for each application and environment.
pub(super) struct Apps {
    buckets: Mutex<HashMap<(String, String), Bucket>>,
    burst: f64,
    rate: f64,
    active: Gauge,
    decisions: CounterVec,
}

// === impl RateLimit ===

impl RateLimit {
    pub fn new(arguments: &RateLimitingBlock, scope: &Scope) -> RateLimit {
        let (rate, burst) = (arguments.rate, arguments.burst_size.trunc());
        match arguments.strategy {
            _ if !arguments.enabled => RateLimit::Off,
            Strategy::Global => RateLimit::Global(Mutex::new(Bucket::new(rate * rate * arguments.burst_size, rate, burst))),
            Strategy::PerApp => RateLimit::PerApp(Box::new(Apps {
                buckets: Mutex::default(),
                burst,
                rate,
                active: scope.gauge(
                    "faro_receiver_rate_limiter_active_app",
                    "Number of active applications with rate limiters. Inactive limiters are cleaned up every 10 minutes.",
                ),
                decisions: scope.counter_vec(
                    "faro_receiver_rate_limiter_requests_total",
                    "Total number of requests processed by the rate limiter per app/environment.",
                    &["app", "env", "allowed"],
                ),
            })),
        }
    }

    /// Whether a request may come, before anything of it is read.
    pub fn allows_request(&self) -> bool {
        match self {
            RateLimit::Global(bucket) => bucket.lock().unwrap_or_else(PoisonError::into_inner).take(),
            _ => true,
        }
    }

    /// Whether a payload of this application may come.
    pub fn allows_app(&self, app: &str, environment: &str) -> bool {
        match self {
            RateLimit::PerApp(apps) => apps.take(app, environment),
            _ => true,
        }
    }
}

// === impl Apps ===

impl Apps {
    fn take(&self, app: &str, environment: &str) -> bool {
        let (allowed, name) = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            let mut name = if app.len() + environment.len() > MAX_NAME { OTHER } else { (app, environment) };
            let owned = |name: (&str, &str)| (name.0.to_owned(), name.1.to_owned());
            let mut key = owned(name);
            if !buckets.contains_key(&key) {
                buckets.retain(|_, bucket| bucket.filled.elapsed() <= IDLE);
                if buckets.len() >= MAX_APPS {
                    name = OTHER;
                    key = owned(name);
                }
            }
            let bucket = buckets.entry(key).or_insert_with(|| Bucket::new(self.burst, self.rate, self.burst));
            let allowed = bucket.take();
            self.active.set(buckets.len() as f64);
            (allowed, name)
        };
        self.decisions.with(&[name.0, name.1, if allowed { "true" } else { "false" }]).inc();
        allowed
    }
}

// === impl Bucket ===

impl Bucket {
    fn new(tokens: f64, rate: f64, burst: f64) -> Bucket {
        Bucket { tokens: tokens.min(burst), burst, rate, filled: Instant::now() }
    }

    fn take(&mut self) -> bool {
        let now = Instant::now();
        self.tokens = (self.tokens + (now - self.filled).as_secs_f64() * self.rate.max(0.0)).min(self.burst);
        self.filled = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(strategy: Strategy, rate: f64, burst_size: f64) -> RateLimit {
        let arguments = RateLimitingBlock { enabled: true, strategy, rate, burst_size };
        RateLimit::new(&arguments, &Scope::detached())
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_is_full_and_fills_again() {
        let limit = limit(Strategy::Global, 2.0, 3.9);
        let taken = |times: usize| (0..times).filter(|_| limit.allows_request()).count();
        assert_eq!(taken(10), 3);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(taken(10), 2);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(taken(10), 3);
        assert!(limit.allows_app("a", "b"), "no bucket of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn applications_do_not_take_from_each_other() {
        let limit = limit(Strategy::PerApp, 1.0, 1.0);
        assert!(limit.allows_request());
        assert!(limit.allows_app("a", "p") && !limit.allows_app("a", "p"));
        assert!(limit.allows_app("a", "q") && limit.allows_app("", ""));
        let long = |letter: &str| limit.allows_app(&letter.repeat(MAX_NAME + 1), "");
        assert!(long("a") && !long("b"), "names too long to keep share a bucket");
        for app in 0..2 * MAX_APPS {
            limit.allows_app(&app.to_string(), "p");
        }
        let RateLimit::PerApp(apps) = &limit else { unreachable!() };
        assert_eq!(apps.buckets.lock().unwrap().len(), MAX_APPS);
        tokio::time::advance(IDLE * 2).await;
        assert!(limit.allows_app("new", "p"));
        assert_eq!(apps.buckets.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_comes_of_a_rate_of_nothing() {
        assert!(!limit(Strategy::Global, 0.0, 10.0).allows_request(), "as in Alloy");
        assert!(!limit(Strategy::Global, 50.0, 0.0).allows_request());
        assert!(!limit(Strategy::Global, -1.0, -1.0).allows_request());
    }
}
