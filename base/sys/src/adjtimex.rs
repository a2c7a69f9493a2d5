//! How well the kernel's clock is kept right: `adjtimex(2)`, read only.

use std::io;

/// What the kernel knows of its clock. Units are the kernel's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockDiscipline {
    /// Somebody keeps the clock right.
    pub synchronized: bool,
    /// Whether `offset` and `pps_jitter` are in nanoseconds, else in microseconds.
    pub in_nanoseconds: bool,
    /// The clock's distance from the reference.
    pub offset: i64,
    /// Correction of the clock's speed, in parts per million, shifted left by 16 bits.
    pub frequency: i64,
    /// Microseconds.
    pub max_error_us: i64,
    /// Microseconds.
    pub estimated_error_us: i64,
    /// `STA_*` bits.
    pub status: i32,
    /// Of the phase-locked loop.
    pub time_constant: i64,
    /// Microseconds between clock ticks.
    pub tick_us: i64,
    /// As `frequency`, of the pulse per second.
    pub pps_frequency: i64,
    /// Distance of pulses from where they should be.
    pub pps_jitter: i64,
    /// Seconds between calibrations, as a power of two.
    pub pps_shift: i32,
    /// As `frequency`: how steady the pulse is.
    pub pps_stability: i64,
    /// Counts.
    pub pps_jitter_exceeded: i64,
    /// Counts.
    pub pps_calibrations: i64,
    /// Counts.
    pub pps_errors: i64,
    /// Counts.
    pub pps_stability_exceeded: i64,
    /// Seconds between UTC and atomic time.
    pub tai_offset: i32,
}

/// `TIME_ERROR`: the clock is not synchronized.
const TIME_ERROR: i32 = 5;

impl ClockDiscipline {
    /// Asks the kernel; changes nothing.
    #[allow(unsafe_code)] // a system call that no crate wraps
    #[allow(clippy::unnecessary_cast)] // the fields' widths differ between architectures
    pub fn read() -> io::Result<ClockDiscipline> {
        // SAFETY: timex is a struct of integers, for which all zeros are valid; zero in `modes` asks for nothing to be set.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a timex of ours that outlives the call, which writes to it and keeps nothing.
        let state = unsafe { libc::adjtimex(&mut timex) };
        if state < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(ClockDiscipline {
            synchronized: state != TIME_ERROR,
            in_nanoseconds: timex.status & libc::STA_NANO != 0,
            offset: timex.offset as i64,
            frequency: timex.freq as i64,
            max_error_us: timex.maxerror as i64,
            estimated_error_us: timex.esterror as i64,
            status: timex.status,
            time_constant: timex.constant as i64,
            tick_us: timex.tick as i64,
            pps_frequency: timex.ppsfreq as i64,
            pps_jitter: timex.jitter as i64,
            pps_shift: timex.shift,
            pps_stability: timex.stabil as i64,
            pps_jitter_exceeded: timex.jitcnt as i64,
            pps_calibrations: timex.calcnt as i64,
            pps_errors: timex.errcnt as i64,
            pps_stability_exceeded: timex.stbcnt as i64,
            tai_offset: timex.tai,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_and_its_ticks_are_hundredths_or_thousandths_of_seconds() {
        match ClockDiscipline::read() {
            Ok(clock) => assert!((900..=11_000).contains(&clock.tick_us), "{clock:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }
}
