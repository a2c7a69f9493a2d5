//! How a component is (spec §3.7).

use std::time::SystemTime;

/// One statement about health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The state.
    pub state: HealthState,
    /// Why, in words.
    pub message: String,
    /// Since when.
    pub updated: SystemTime,
}

/// Worst first: the health of a node is the least healthy of what is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum HealthState {
    Exited,
    Unhealthy,
    Unknown,
    Healthy,
}

// === impl Health ===

impl Health {
    /// The worse of two; of equally bad ones the newer.
    pub fn worse(self, other: Health) -> Health {
        match self.state.cmp(&other.state) {
            std::cmp::Ordering::Less => self,
            std::cmp::Ordering::Greater => other,
            std::cmp::Ordering::Equal => {
                if other.updated > self.updated {
                    other
                } else {
                    self
                }
            }
        }
    }
}

// === impl HealthState ===

impl HealthState {
    /// As the web API and `health_type` print it.
    pub fn as_str(self) -> &'static str {
        match self {
            HealthState::Exited => "exited",
            HealthState::Unhealthy => "unhealthy",
            HealthState::Unknown => "unknown",
            HealthState::Healthy => "healthy",
        }
    }
}
