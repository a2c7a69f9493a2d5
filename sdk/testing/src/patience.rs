//! Waiting in tests, also on a machine that has no time for them.

use std::panic::Location;
use std::time::Duration;

/// Until it is so; fails, and says who waited, when it is not within 30 s.
#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        assert!(waited.is_ok(), "{caller}: it did not come");
    }
}
