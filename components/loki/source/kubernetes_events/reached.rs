//! How far the events of a namespace were told.
//!
//! Alloy remembers the time of the last event; but events do not come in the order of their times, and those that come
//! late would be lost. Versions are given in the order in which the server learned of things. Should it be set back (a
//! backup of etcd), new events still have new times.

use sdk_kubernetes::objects::Event;

use crate::source::positions::Positions;

/// Events up to here were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The highest version.
    version: u64,
    /// The latest time, in nanoseconds since 1970.
    newest: i64,
    /// The time of the last one.
    pub last: i64,
}

// === impl Reached ===

impl Reached {
    /// Of the last run, ours or Alloy's.
    pub fn saved(positions: &Positions, namespace: &str) -> Option<Reached> {
        let alloys: Option<i64> = positions.get(&key(namespace), "").and_then(|micros| micros.parse().ok());
        let last = alloys.map(|micros| micros.saturating_mul(1000));
        let precise = positions.get(&precise_key(namespace), "{}").and_then(|text| {
            let (version, newest) = text.split_once('+')?;
            Some((version.parse::<u64>().ok()?, newest.parse::<i64>().ok()?))
        });
        match (precise, last) {
            // Alloy has run in between and read on.
            (Some((_, newest)), Some(last)) if last > newest => Some(Reached { version: 0, newest: last, last }),
            (Some((version, newest)), last) => Some(Reached { version, newest, last: last.unwrap_or(newest) }),
            (None, Some(last)) => Some(Reached { version: 0, newest: last, last }),
            (None, None) => None,
        }
    }

    pub fn save(&self, positions: &mut Positions, namespace: &str) {
        positions.set(&key(namespace), "", (self.last / 1000).to_string());
        positions.set(&precise_key(namespace), "{}", format!("{}+{}", self.version, self.newest));
    }

    /// Whether an event was not told yet.
    pub fn is_new(&self, event: &Event, time: Option<i64>) -> bool {
        let newer = self.version > 0 && version(&event.resource_version) > self.version;
        newer || time.map_or(self.version == 0, |time| time / 1000 > self.newest / 1000)
    }

    /// Now it was.
    pub fn pass(&mut self, event: &Event, time: Option<i64>) {
        self.version = self.version.max(version(&event.resource_version));
        if let Some(time) = time {
            self.newest = self.newest.max(time);
            self.last = time;
        }
    }
}

/// Versions are numbers in every Kubernetes there is.
pub fn version(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

fn key(namespace: &str) -> String {
    if namespace.is_empty() { "cursor-events".to_owned() } else { format!("cursor-events-{namespace}") }
}

fn precise_key(namespace: &str) -> String {
    format!("cursor-precise-events-{namespace}")
}
