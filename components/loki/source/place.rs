//! Where in a log whose lines have times, as container engines and Kubernetes keep them.
//!
//! Several lines may have the same time, and whoever is asked for the lines from a time on gives those of that time, or of
//! its whole second, again: so a place is a time and how many lines of it are done.

use std::fmt;
use std::str::FromStr;

/// Where in a log: after so many lines of this nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    nanos: i64,
    /// Lines with exactly this time that are done.
    done: u32,
}

/// Lines that were done before, at the place where reading began.
#[derive(Debug)]
pub struct Skip {
    from: Option<Place>,
    seen: u32,
}

// === impl Place ===

impl Place {
    /// At the beginning of a second.
    pub fn at_second(seconds: i64) -> Place {
        Place::at(seconds.saturating_mul(1_000_000_000))
    }

    /// Before everything that has this time.
    pub fn at(nanos: i64) -> Place {
        Place { nanos, done: 0 }
    }

    /// The second that it is in.
    pub fn seconds(&self) -> i64 {
        self.nanos.div_euclid(1_000_000_000)
    }

    /// Nanoseconds since 1970.
    pub fn nanos(&self) -> i64 {
        self.nanos
    }

    /// After one more line, which has this time.
    pub fn after(place: Option<Place>, time: i64) -> Place {
        let place = place.unwrap_or(Place { nanos: i64::MIN, done: 0 });
        match time.cmp(&place.nanos) {
            std::cmp::Ordering::Greater => Place { nanos: time, done: 1 },
            std::cmp::Ordering::Equal => Place { done: place.done.saturating_add(1), ..place },
            // The two outputs may overtake each other by a little; the later time stands.
            std::cmp::Ordering::Less => place,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.nanos, self.done)
    }
}

impl FromStr for Place {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Place, Self::Err> {
        let (nanos, done) = text.split_once('+').unwrap_or((text, "0"));
        Ok(Place { nanos: nanos.parse()?, done: done.parse()? })
    }
}

// === impl Skip ===

impl Skip {
    /// Reading begins where a place is, or a little before it.
    pub fn to(from: Option<Place>) -> Skip {
        Skip { from, seen: 0 }
    }

    /// Whether a line was done before we began here.
    pub fn is_done(&mut self, nanos: i64) -> bool {
        let Some(from) = self.from else { return false };
        match nanos.cmp(&from.nanos) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal if self.seen < from.done => {
                self.seen += 1;
                true
            }
            std::cmp::Ordering::Equal => false,
            // Everything of the old moment is behind us.
            std::cmp::Ordering::Greater => {
                self.from = None;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_same_moment_are_told_apart_by_their_number() {
        let times = [5, 7, 7, 7, 9];
        let place = times[..3].iter().fold(None, |place, time| Some(Place::after(place, *time)));
        assert_eq!(place.map(|place| place.to_string()).as_deref(), Some("7+2"));
        let mut skip = Skip::to(place);
        let left: Vec<i64> = times.into_iter().filter(|time| !skip.is_done(*time)).collect();
        assert_eq!(left, [7, 9]);
    }

    #[test]
    fn a_time_that_goes_back_does_not_move_the_place_back() {
        let place = Place::after(Some(Place::at(9)), 8);
        assert_eq!(place, Place::at(9));
        assert_eq!("9+0".parse(), Ok(place));
    }
}
