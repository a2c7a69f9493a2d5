//! File descriptors: how many this process may have open, and what to do when there are no more.

use std::fs::File;
use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What to set so that a process may have more of them.
pub const CURE: &str =
    "raise the limit: LimitNOFILE= in the unit of systemd, ulimits: nofile: in Compose, ulimit -n in a shell";

/// One that is kept so that there is one left when all others are used.
#[derive(Debug, Default)]
pub struct Reserve(Option<File>);

/// Takes all that the administrator allows, as Go's runtime does at the start of each program. The lower limit that a shell or
/// a unit begins with is there for programs that use `select(2)`, which cannot count beyond 1024.
///
/// # Errors
/// The kernel refuses.
pub fn raise_limit() -> io::Result<()> {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if now < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    }
    Ok(())
}

/// How many may be open.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(now, _)| now)
}

/// Whether something failed as there are no more of them, of the process or of the machine.
pub fn are_used_up(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

// === impl Reserve ===

impl Reserve {
    /// Keeps one if none is kept and there is one to be had.
    pub fn keep(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Gives it back to the system; false if there was none.
    pub fn give_back(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_allowed_is_taken() {
        raise_limit().unwrap();
        let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(now, most);
        assert_eq!(limit(), Some(most));
    }

    #[test]
    fn a_reserve_is_given_back_once() {
        let mut reserve = Reserve::default();
        assert!(!reserve.give_back());
        reserve.keep();
        assert!(reserve.give_back());
        assert!(!reserve.give_back());
    }
}
