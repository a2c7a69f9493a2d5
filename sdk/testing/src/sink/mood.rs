//! How a backend feels: well, or failing in one of the ways in which real backends do.

use std::sync::Mutex;
use std::time::Duration;

use super::lock;

/// What a backend does with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Takes it and says so.
    #[default]
    Well,
    /// Takes it, and says so this much later.
    Slow(Duration),
    /// Does not take it and answers with this status.
    Status(u16),
    /// The same, and tells after how many seconds to come back.
    Later(u16, u32),
    /// 400 for a request with a line whose number is a multiple of this, in the words that Loki has for one bad entry.
    /// Nothing of the request is taken.
    RefusesEach(u64),
    /// 400, for no reason that concerns single entries: nobody will ever take this request.
    RefusesAll,
    /// 415 for remote write 2, as a receiver answers that knows version 1 alone.
    RefusesVersion2,
    /// Closes the connection instead of an answer, and takes nothing.
    HangsUp,
    /// Never answers, and takes nothing.
    Silent,
}

/// The mood of a backend, which may change at any time.
#[derive(Default)]
pub struct Mood(Mutex<Answer>);

impl Mood {
    /// Answers every request so from now on; 0 is well again.
    pub fn answer(&self, status: u16) {
        self.set(if status == 0 { Answer::Well } else { Answer::Status(status) });
    }

    /// Behaves so from now on.
    pub fn set(&self, answer: Answer) {
        *lock(&self.0) = answer;
    }

    pub(super) fn now(&self) -> Answer {
        *lock(&self.0)
    }
}
