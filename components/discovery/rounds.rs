//! What discoveries that ask every `refresh_interval` have in common: the rounds, their metrics, and what is told of them.

use std::sync::Arc;
use std::time::Duration;

use base_metrics::{Histogram, Kind};
use base_stdx::GoDuration;
use language_eval::{Exports, Target};
use sdk_component::metrics::Counter;
use sdk_component::{Context, Problem, Stop, Tap, Update};
use tokio::sync::watch;
use tokio::time::Instant;

/// What others may refer to.
#[derive(Exports)]
pub struct DiscoveryExports {
    /// The targets found.
    targets: Vec<Target>,
}

/// Whom a discovery asks.
pub(crate) trait Ask: Send + Sync + 'static {
    /// What one round leaves for the next, also when the arguments change in between.
    type Memory: Default + Send;

    /// From the beginning of one round to that of the next.
    fn interval(&self) -> Duration;

    /// One round. An error means that nothing was learnt, so that what was found last stays.
    fn ask(&self, memory: &mut Self::Memory) -> impl Future<Output = Result<Found, String>> + Send;
}

/// What a round has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// All targets.
    pub targets: Vec<Target>,
    /// What could not be asked; its targets are those found last.
    pub problem: Option<String>,
}

/// A discovery that asks in rounds.
pub(crate) struct Rounds<A> {
    told: Told,
    metrics: RoundMetrics,
    wanted: watch::Sender<Arc<A>>,
}

/// Exports targets and says how it went.
pub(crate) struct Told {
    context: Context,
    tap: Tap,
}

/// Every kind of discovery that Prometheus has counts its rounds so.
struct RoundMetrics {
    failures: Counter,
    duration: Histogram,
}

/// Asked for in `refresh_interval`.
pub(crate) fn interval(interval: GoDuration) -> Result<Duration, Problem> {
    let interval = interval.to_std().filter(|interval| !interval.is_zero());
    interval.ok_or_else(|| Problem::at("refresh_interval", "refresh_interval must be greater than 0"))
}

// === impl Rounds ===

impl<A: Ask> Rounds<A> {
    /// Exports no targets at first. `mechanism` is Prometheus's name for this kind of discovery.
    pub(crate) fn new(context: &Context, mechanism: &str, wanted: A) -> Rounds<A> {
        let (told, metrics) = (Told::new(context), RoundMetrics::new(context, mechanism));
        Rounds { told, metrics, wanted: watch::Sender::new(Arc::new(wanted)) }
    }

    pub(crate) fn update(&self, wanted: A) -> Update {
        let sender = self.wanted.clone();
        Update::then(move || {
            sender.send_replace(Arc::new(wanted));
        })
    }

    pub(crate) async fn run(&self, stop: Stop) {
        let mut wanted = self.wanted.subscribe();
        // Failures are said once, also when the arguments change in between.
        let (mut memory, mut failing) = (A::Memory::default(), false);
        loop {
            let now = wanted.borrow_and_update().clone();
            tokio::select! {
                () = self.follow(&*now, &mut memory, &mut failing) => {}
                _ = wanted.changed() => {}
                () = stop.stopped() => return,
            }
        }
    }

    async fn follow(&self, wanted: &A, memory: &mut A::Memory, failing: &mut bool) {
        loop {
            let began = Instant::now();
            let answer = wanted.ask(memory).await;
            self.metrics.duration.observe(began.elapsed().as_secs_f64());
            if answer.is_err() {
                self.metrics.failures.inc();
            }
            self.told.tell(answer, failing);
            tokio::time::sleep_until(began + wanted.interval()).await;
        }
    }
}

// === impl Told ===

impl Told {
    /// Exports no targets at first.
    pub(crate) fn new(context: &Context) -> Told {
        context.publish(&DiscoveryExports { targets: Vec::new() });
        Told { context: context.clone(), tap: context.tap() }
    }

    /// Exports what was found. `failing` is whether it was so the last time: a failure that lasts is logged once.
    pub(crate) fn tell(&self, answer: Result<Found, String>, failing: &mut bool) {
        let problem = match answer {
            Ok(Found { targets, problem }) => {
                if problem.is_none() {
                    self.context.healthy(format!("{} targets found", targets.len()));
                }
                crate::look::at_targets(&self.tap, &targets);
                self.context.publish(&DiscoveryExports { targets });
                problem
            }
            Err(error) => Some(error),
        };
        let failed_before = std::mem::replace(failing, problem.is_some());
        if let Some(error) = problem {
            if !failed_before {
                tracing::error!(error, "cannot refresh targets; those found last stay, and it is tried again");
            }
            self.context.unhealthy(error);
        } else if failed_before {
            tracing::info!("targets are refreshed again");
        }
    }
}

// === impl RoundMetrics ===

impl RoundMetrics {
    fn new(context: &Context, mechanism: &str) -> RoundMetrics {
        let metrics = context.metrics();
        let failures = metrics.counter_vec(
            "prometheus_sd_refresh_failures_total",
            "Number of refresh failures for the given SD mechanism.",
            &["config", "mechanism"],
        );
        let duration = metrics.histogram_vec(
            "prometheus_sd_refresh_duration_histogram_seconds",
            "The duration of a refresh for the given SD mechanism.",
            &[0.01, 0.1, 1.0, 10.0],
            &["mechanism"],
        );
        let (failures, duration) = (failures.with(&["", mechanism]), duration.with(&[mechanism]));
        let (summed, mechanism) = (duration.clone(), mechanism.to_owned());
        metrics.collect(Box::new(move |page| {
            let help = "The duration of a refresh in seconds for the given SD mechanism.";
            let labels = [("config", ""), ("mechanism", &mechanism[..])];
            page.family("prometheus_sd_refresh_duration_seconds", help, Kind::Summary).summary(
                &labels,
                &[],
                summed.sum(),
                summed.count(),
            );
        }));
        RoundMetrics { failures, duration }
    }
}
