//! Connections that cannot be taken.

use std::io;
use std::time::Duration;

use base_sys::descriptors;
use base_sys::seldom::Seldom;

/// Says that connections cannot be taken, once a minute: mostly there are no more file descriptors, and then it happens to
/// each of them, for hours.
#[derive(Debug, Default)]
pub struct NotAccepted {
    told: Seldom,
}

/// How long after an error the next connection is tried: at once would only burn the processor.
const PAUSE: Duration = Duration::from_millis(100);

// === impl NotAccepted ===

impl NotAccepted {
    /// Says it, if it was not said lately, and waits a moment.
    pub async fn wait(&mut self, address: &str, error: &io::Error) {
        self.say(address, error);
        tokio::time::sleep(PAUSE).await;
    }

    /// Whether it was said now.
    pub(super) fn say(&mut self, address: &str, error: &io::Error) -> bool {
        if !self.told.one() {
            return false;
        }
        if descriptors::are_used_up(error) {
            let (limit, cure) = (descriptors::limit(), descriptors::CURE);
            tracing::warn!(address, %error, limit, cure, "connections wait: no file descriptor is left for them");
        } else {
            tracing::warn!(address, %error, "cannot accept a connection");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_said_once_a_minute() {
        let error = io::Error::from_raw_os_error(24);
        let mut not_accepted = NotAccepted::default();
        assert!(not_accepted.say("[::]:80", &error));
        not_accepted.wait("[::]:80", &error).await;
        assert!(!not_accepted.say("[::]:80", &error));
        tokio::time::advance(Seldom::AGAIN).await;
        assert!(not_accepted.say("[::]:80", &error));
    }
}
