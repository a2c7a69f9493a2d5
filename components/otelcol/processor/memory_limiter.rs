//! `otelcol.processor.memory_limiter`: refuses data while the process uses too much memory, so that it is not killed.

use std::sync::atomic::{AtomicBool, Ordering};

use base_metrics::Counter;
use base_stdx::{ByteSize, GoDuration};
use base_sys::memory;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Context, Problem, Stop};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};
use tokio::time::MissedTickBehavior;

use crate::processing::{Processing, Processor, Site};

/// Refuses data while the process uses too much memory.
///
/// Every `check_interval` the memory that only this process uses is read from the kernel. From `limit - spike_limit` on all
/// data is refused, in a way that makes its sender try again later, and the allocator is asked to give back what is free;
/// once less is used, data is taken again. Put it first behind the receivers.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// How often the memory is measured.
    #[attr]
    pub check_interval: GoDuration,
    /// Memory that should never be used.
    #[attr(default = ByteSize(0))]
    pub limit: ByteSize,
    /// By how much the use may grow between two measurements: data is refused when less than this is left. A fifth of
    /// `limit`, unless given.
    #[attr(default = ByteSize(0))]
    pub spike_limit: ByteSize,
    /// The limit as a percentage of what the control group, or the machine, has. Not beside `limit`.
    #[attr(optional)]
    pub limit_percentage: u32,
    /// The spike limit as a percentage of the same. Goes with `limit_percentage`.
    #[attr(optional)]
    pub spike_limit_percentage: u32,
    /// Where to send what is taken.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// The limits in force, and whether they are reached.
pub struct MemoryLimiter {
    check_interval: std::time::Duration,
    /// In bytes: from here on data is refused.
    soft_limit: u64,
    refuses: AtomicBool,
    accepted: [Counter; 3],
    refused: [Counter; 3],
}

/// `otelcol.processor.memory_limiter`.
pub type Component = Processing<MemoryLimiter>;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.check_interval.0 <= 0 {
            return Err(Invalid::field("check_interval", "check_interval must be greater than zero"));
        }
        if self.limit.0 > 0 && self.limit_percentage > 0 {
            let message = "either limit or limit_percentage must be set, but not both";
            return Err(Invalid::field("limit_percentage", message));
        }
        if self.limit.0 > 0 {
            return match self.spike_limit.0 {
                spike if spike >= self.limit.0 => {
                    Err(Invalid::field("spike_limit", "spike_limit must be less than limit"))
                }
                _ => Ok(()),
            };
        }
        let percentage = |value: u32| (1..=100).contains(&value);
        match self.limit_percentage {
            0 => Err(Invalid::block("either limit or limit_percentage must be set to greater than zero")),
            limit if percentage(limit) && percentage(self.spike_limit_percentage) => Ok(()),
            _ => {
                let message =
                    "limit_percentage and spike_limit_percentage must be greater than 0 and and less or equal than 100";
                Err(Invalid::field("limit_percentage", message))
            }
        }
    }
}

// === impl MemoryLimiter ===

impl Processor for MemoryLimiter {
    const NAME: &'static str = "otelcol.processor.memory_limiter";
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let (limit, spike) = if arguments.limit.0 > 0 {
            (arguments.limit.0.unsigned_abs(), u64::try_from(arguments.spike_limit.0).unwrap_or(0))
        } else {
            let total = memory::total().map_err(|error| {
                let message = format!("cannot find out how much memory there is, use limit instead: {error}");
                Problem::at("limit_percentage", message)
            })?;
            let share = |percentage: u32| total / 100 * u64::from(percentage);
            (share(arguments.limit_percentage), share(arguments.spike_limit_percentage))
        };
        let spike = if spike == 0 { limit / 5 } else { spike };
        let processor = format!("memory_limiter/{}", context.id());
        let counters = |what: &str, help: &str| {
            [OtlpSignal::Traces, OtlpSignal::Metrics, OtlpSignal::Logs].map(|signal| {
                let items = signal.items();
                let name = format!("otelcol_processor_memory_limiter_{what}_{items}_total");
                let help = format!("Number of {} {help}", items.replace('_', " "));
                context.metrics().counter_vec(&name, &help, &["processor"]).with(&[&processor])
            })
        };
        let limiter = MemoryLimiter {
            check_interval: arguments.check_interval.to_std().unwrap_or_default(),
            // A spike above the limit leaves nothing, as percentages may say; then all is refused from the limit on.
            soft_limit: limit.checked_sub(spike).unwrap_or(limit),
            refuses: AtomicBool::new(false),
            accepted: counters("accepted", "successfully pushed into the next component in the pipeline."),
            refused: counters("refused", "that were rejected by the next component in the pipeline."),
        };
        // So that the first batch is not taken in ignorance.
        limiter.check();
        Ok(limiter)
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        let signal = batch.signal as usize;
        if self.refuses.load(Ordering::Relaxed) {
            self.refused[signal].add(batch.items.into());
            return Err(Refused::retryable("data refused due to high memory usage"));
        }
        self.accepted[signal].add(batch.items.into());
        Ok(batch)
    }

    async fn run(&self, _: &Site, stop: Stop) {
        let mut ticks = tokio::time::interval(self.check_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.check(),
                () = stop.stopped() => return,
            }
        }
    }
}

impl MemoryLimiter {
    fn check(&self) {
        let mut used = match memory::used() {
            Ok(used) => used,
            Err(error) => {
                tracing::warn!(%error, "cannot measure the memory in use; data is taken as before");
                return;
            }
        };
        if used >= self.soft_limit {
            memory::give_back();
            used = memory::used().unwrap_or(used);
        }
        let refuses = used >= self.soft_limit;
        let soft_limit = self.soft_limit;
        match (self.refuses.swap(refuses, Ordering::Relaxed), refuses) {
            (false, true) => tracing::warn!(used, soft_limit, "memory usage is above the soft limit; refusing data"),
            (true, false) => tracing::info!(used, soft_limit, "memory usage is back within limits; taking data again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
