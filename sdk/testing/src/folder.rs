//! State directories in tests.

use std::path::Path;

use tempfile::TempDir;

/// What a kill would leave of a state directory at this moment.
///
/// # Panics
/// If it cannot be read, or a copy cannot be written.
pub fn image(of: &Path) -> TempDir {
    let image = tempfile::tempdir().expect("a folder");
    let mut folders = vec![of.to_owned()];
    while let Some(folder) = folders.pop() {
        let copy = image.path().join(folder.strip_prefix(of).expect("it is within"));
        std::fs::create_dir_all(&copy).expect("a folder");
        for entry in std::fs::read_dir(&folder).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                std::fs::copy(&path, copy.join(path.file_name().expect("a name"))).expect("it is copied");
            }
        }
    }
    image
}
