//! How well the kernel's clock is kept right, as `adjtimex(2)` tells.

use base_metrics::FamilyWriter;
use base_sys::adjtimex::ClockDiscipline;

use super::collector::{Collector, Failure, Scratch};

pub(crate) struct Timex;

/// The kernel gives frequencies in parts per million, shifted left by 16 bits.
const PPM_SCALED: f64 = 1_000_000.0 * 65536.0;

impl Collector for Timex {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let clock = ClockDiscipline::read().map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::NoData,
            _ => Failure::Failed(format!("adjtimex: {error}")),
        })?;
        write(&clock, page);
        Ok(())
    }
}

fn write(clock: &ClockDiscipline, page: &mut FamilyWriter<'_>) {
    // Offsets are in nanoseconds or microseconds, depending on who keeps the clock.
    let offset_unit = if clock.in_nanoseconds { 1e9 } else { 1e6 };
    let ratio = |scaled: i64| scaled as f64 / PPM_SCALED;
    for (name, help, value) in [
        (
            "sync_status",
            "Is clock synchronized to a reliable server (1 = yes, 0 = no).",
            f64::from(u8::from(clock.synchronized)),
        ),
        (
            "offset_seconds",
            "Time offset in between local system and reference clock.",
            clock.offset as f64 / offset_unit,
        ),
        ("frequency_adjustment_ratio", "Local clock frequency adjustment.", 1.0 + ratio(clock.frequency)),
        ("maxerror_seconds", "Maximum error in seconds.", clock.max_error_us as f64 / 1e6),
        ("estimated_error_seconds", "Estimated error in seconds.", clock.estimated_error_us as f64 / 1e6),
        ("status", "Value of the status array bits.", f64::from(clock.status)),
        ("loop_time_constant", "Phase-locked loop time constant.", clock.time_constant as f64),
        ("tick_seconds", "Seconds between clock ticks.", clock.tick_us as f64 / 1e6),
        ("pps_frequency_hertz", "Pulse per second frequency.", ratio(clock.pps_frequency)),
        ("pps_jitter_seconds", "Pulse per second jitter.", clock.pps_jitter as f64 / offset_unit),
        ("pps_shift_seconds", "Pulse per second interval duration.", f64::from(clock.pps_shift)),
        (
            "pps_stability_hertz",
            "Pulse per second stability, average of recent frequency changes.",
            ratio(clock.pps_stability),
        ),
        ("tai_offset_seconds", "International Atomic Time (TAI) offset.", f64::from(clock.tai_offset)),
    ] {
        page.gauge(&format!("node_timex_{name}"), help, value);
    }
    for (name, help, count) in [
        ("pps_jitter_total", "Pulse per second count of jitter limit exceeded events.", clock.pps_jitter_exceeded),
        ("pps_calibration_total", "Pulse per second count of calibration intervals.", clock.pps_calibrations),
        ("pps_error_total", "Pulse per second count of calibration errors.", clock.pps_errors),
        (
            "pps_stability_exceeded_total",
            "Pulse per second count of stability limit exceeded events.",
            clock.pps_stability_exceeded,
        ),
    ] {
        page.counter(&format!("node_timex_{name}"), help, count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_units_become_seconds_and_ratios() {
        let clock = ClockDiscipline {
            synchronized: true,
            in_nanoseconds: true,
            offset: -1500,
            frequency: 65536,
            max_error_us: 500_000,
            tick_us: 10_000,
            tai_offset: 37,
            pps_errors: 3,
            ..ClockDiscipline::default()
        };
        let (mut page, mut text) = (base_metrics::Page::new(), String::new());
        write(&clock, &mut page.writer());
        page.encode(&mut text, &base_metrics::Losses::default());
        for line in [
            "node_timex_sync_status 1",
            "node_timex_offset_seconds -1.5e-06",
            "node_timex_frequency_adjustment_ratio 1.000001",
            "node_timex_maxerror_seconds 0.5",
            "node_timex_tick_seconds 0.01",
            "node_timex_tai_offset_seconds 37",
            "node_timex_pps_error_total 3",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}
