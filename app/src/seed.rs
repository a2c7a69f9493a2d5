//! `alloy_seed.json` in the storage directory: who we are, from one start to the next.
//!
//! Nothing is reported to anybody; the file stays for those who find a collector again by its UID.

use std::path::Path;

use base_stdx::{Rfc3339, Uuid};
use base_sys::chance::Chance;
use base_sys::clock;
use base_sys::fs::{self, Sync};

const FILE: &str = "alloy_seed.json";

/// Longer ones are none.
const MAX_BYTES: usize = 64 << 10;

/// Makes the file if there is none; a failure is said, and changes nothing else.
pub fn keep(storage: &Path, version: &str) {
    let path = storage.join(FILE);
    if fs::read_text_bounded(&path, MAX_BYTES).is_ok_and(|text| text.contains("\"UID\"")) {
        return;
    }
    let (uid, now) = (Uuid::new(4, Chance::new().bytes()), Rfc3339(clock::now_ns()));
    let text = format!("{{\"UID\":\"{uid}\",\"created_at\":\"{now}\",\"version\":\"{version}\"}}");
    if let Err(error) = fs::write_atomic(&path, text.as_bytes(), Sync::Kernel) {
        tracing::warn!(path = %path.display(), %error, "cannot write the seed file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        keep(folder.path(), "v1");
        let read = || std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        let first = read();
        let json: serde_json::Value = serde_json::from_str(&first).unwrap();
        let uid = json["UID"].as_str().unwrap();
        assert_eq!((uid.len(), &uid[14..15], &json["version"]), (36, "4", &"v1".into()));
        keep(folder.path(), "v2");
        assert_eq!(read(), first);
    }
}
