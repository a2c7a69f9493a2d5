//! The `retry_on_failure` block, and the delays it means.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use base_stdx::duration::GoDuration;
use language_eval::{Block, Invalid, Validate};
use tokio::time::Instant;

/// What happens to a request that failed in a way that may pass.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default, validate)]
pub struct RetryOnFailure {
    /// Whether it is tried again at all.
    #[attr(default = true)]
    pub enabled: bool,
    /// The first delay.
    #[attr(default = GoDuration::from_secs(5))]
    pub initial_interval: GoDuration,
    /// How far a delay may be off, as a part of it.
    #[attr(default = 0.5)]
    pub randomization_factor: f64,
    /// Each delay is this many times the last one.
    #[attr(default = 1.5)]
    pub multiplier: f64,
    /// The longest delay.
    #[attr(default = GoDuration::from_secs(30))]
    pub max_interval: GoDuration,
    /// After this long the request is dropped; 0 is never.
    #[attr(default = GoDuration::from_secs(300))]
    pub max_elapsed_time: GoDuration,
}

/// The delays of one request.
#[derive(Debug)]
pub struct Backoff<'a> {
    settings: &'a RetryOnFailure,
    started: Instant,
    interval: Duration,
}

// === impl RetryOnFailure ===

impl Validate for RetryOnFailure {
    fn validate(&self) -> Result<(), Invalid> {
        if self.multiplier <= 1.0 {
            return Err(Invalid::field("multiplier", "multiplier must be greater than 1.0"));
        }
        if self.randomization_factor < 0.0 {
            return Err(Invalid::field("randomization_factor", "randomization_factor must be greater or equal to 0"));
        }
        Ok(())
    }
}

// === impl Backoff ===

impl<'a> Backoff<'a> {
    /// For a request that is tried first now.
    #[must_use]
    pub fn new(settings: &'a RetryOnFailure) -> Self {
        let interval = settings.initial_interval.to_std().unwrap_or_default();
        Backoff { settings, started: Instant::now(), interval }
    }

    /// How long to wait before the next try, at least as long as the server asked for; `None` to give up.
    pub fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if !self.settings.enabled {
            return None;
        }
        let spread = self.settings.randomization_factor.min(1.0);
        let delay = self.interval.mul_f64(1.0 - spread + 2.0 * spread * random()).max(asked.unwrap_or_default());
        let longest = self.settings.max_interval.to_std().unwrap_or_default();
        self.interval = Duration::try_from_secs_f64(self.interval.as_secs_f64() * self.settings.multiplier)
            .unwrap_or(longest)
            .min(longest);
        let end = self.settings.max_elapsed_time.to_std().unwrap_or_default();
        (end.is_zero() || self.started.elapsed() + delay <= end).then_some(delay)
    }
}

/// From 0 to 1. Spreads retries; nothing depends on its quality.
fn random() -> f64 {
    let bits = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_grow_to_a_bound_and_end() {
        let settings = RetryOnFailure { randomization_factor: 0.0, multiplier: 2.0, ..RetryOnFailure::default() };
        let mut backoff = Backoff::new(&settings);
        let mut seen = Vec::new();
        while let Some(delay) = backoff.next(None) {
            seen.push(delay.as_secs());
            tokio::time::advance(delay).await;
        }
        assert_eq!(seen, [5, 10, 20, 30, 30, 30, 30, 30, 30, 30, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_may_ask_for_more() {
        let settings = RetryOnFailure::default();
        let asked = Duration::from_secs(70);
        assert_eq!(Backoff::new(&settings).next(Some(asked)), Some(asked));
        assert_eq!(Backoff::new(&settings).next(Some(Duration::from_secs(301))), None);
        let delay = Backoff::new(&settings).next(None).unwrap();
        assert!((2.5..=7.5).contains(&delay.as_secs_f64()), "{delay:?}");
    }

    #[test]
    fn disabled_is_no_retry() {
        let settings = RetryOnFailure { enabled: false, ..RetryOnFailure::default() };
        assert_eq!(Backoff::new(&settings).next(None), None);
    }
}
