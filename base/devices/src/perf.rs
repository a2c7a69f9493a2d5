//! What the kernel and the processor count of all that runs on a CPU: `perf_event_open(2)`.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::FromRawFd as _;

/// A counter that counts from when it was opened.
#[derive(Debug)]
pub struct Counter(File);

/// What is counted, by the kernel's numbers for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// `PERF_TYPE_*`
    pub kind: u32,
    /// Which of this type.
    pub config: u64,
}

/// The first length that `perf_event_attr` had: all that is said here stands in it.
const ATTRIBUTES: usize = 64;
const CONFIG_AT: usize = 8;

/// `PERF_FLAG_FD_CLOEXEC`: programs that we start do not get the descriptor.
const FD_CLOEXEC: libc::c_ulong = 8;

impl Counter {
    /// Begins to count on a CPU.
    ///
    /// # Errors
    /// This processor or kernel does not count such events, or we may not ask.
    #[allow(unsafe_code)] // a system call that no crate wraps
    pub fn open(event: Event, cpu: u32) -> io::Result<Counter> {
        let mut attributes = [0u64; ATTRIBUTES / 8];
        let words = [event.kind.to_ne_bytes(), (ATTRIBUTES as u32).to_ne_bytes()].concat();
        attributes[0] = u64::from_ne_bytes(std::array::from_fn(|at| words[at]));
        attributes[CONFIG_AT / 8] = event.config;
        // SAFETY: the attributes are as long as they say and live through the call, which keeps nothing of them; all other
        // arguments are numbers: every process (-1) on this CPU, in no group (-1).
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                attributes.as_ptr(),
                -1 as libc::pid_t,
                libc::c_int::try_from(cpu).unwrap_or(libc::c_int::MAX),
                -1 as libc::c_int,
                FD_CLOEXEC,
            )
        };
        let file = libc::c_int::try_from(outcome).unwrap_or(-1);
        if file < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        Ok(Counter(unsafe { File::from_raw_fd(file) }))
    }

    /// What it has counted so far.
    ///
    /// # Errors
    /// The CPU has been taken away.
    pub fn read(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        (&self.0).read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `PERF_TYPE_SOFTWARE`, `PERF_COUNT_SW_CONTEXT_SWITCHES`
    const SWITCHES: Event = Event { kind: 1, config: 3 };

    #[test]
    fn events_of_the_kernel_are_counted_if_we_may_ask() {
        let counter = match Counter::open(SWITCHES, 0) {
            Ok(counter) => counter,
            Err(error) => return eprintln!("skipped: {error}"),
        };
        let before = counter.read().expect("it counts");
        assert!(counter.read().expect("it counts") >= before);
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        assert!(Counter::open(Event { kind: 1, config: 1 << 40 }, 0).is_err());
        assert!(Counter::open(SWITCHES, u32::MAX).is_err());
    }
}
