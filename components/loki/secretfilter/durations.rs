//! How long lines took, as a summary: the sum of all, and what the last ones say of the middle and of the worst.

use std::time::Duration;

use base_metrics::{FamilyWriter, Kind};

/// The quantiles are those of so many lines.
const LAST: usize = 1024;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// A summary.
#[derive(Default)]
pub struct Durations {
    last: Vec<f64>,
    next: usize,
    sum: f64,
    count: u64,
}

// === impl Durations ===

impl Durations {
    /// These came in addition.
    pub fn add(&mut self, durations: &[Duration]) {
        for seconds in durations.iter().map(Duration::as_secs_f64) {
            self.sum += seconds;
            self.count += 1;
            match self.last.get_mut(self.next) {
                Some(place) => *place = seconds,
                None => self.last.push(seconds),
            }
            self.next = (self.next + 1) % LAST;
        }
    }

    /// The family, for `/metrics`.
    pub fn write(&self, page: &mut FamilyWriter<'_>) {
        let mut sorted = self.last.clone();
        sorted.sort_by(f64::total_cmp);
        let quantile = |part: f64| {
            let place = (part * sorted.len() as f64) as usize;
            (part, sorted.get(place).or(sorted.last()).copied().unwrap_or(f64::NAN))
        };
        let help = "Summary of the time taken to process and redact logs in seconds.";
        page.family("loki_secretfilter_processing_duration_seconds", help, Kind::Summary).summary(
            &[],
            &QUANTILES.map(quantile),
            self.sum,
            self.count,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut durations = Durations::default();
        durations.add(&vec![Duration::from_secs(1); 3000]);
        assert_eq!((durations.last.len(), durations.count, durations.sum), (LAST, 3000, 3000.0));
    }
}
