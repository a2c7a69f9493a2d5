//! Folders of sysfs whose entries are numbered devices: `cpu0`, `thermal_zone1`, `hwmon2`.

use std::io;
use std::path::{Path, PathBuf};

use super::collector::Failure;

/// The folders named `prefix` and a number, by number.
pub(crate) fn numbered(folder: &Path, prefix: &str) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// As [`numbered`]; a folder that is not there, or not for us, is no data.
pub(crate) fn numbered_if_any(folder: &Path, prefix: &str) -> Result<Vec<(u32, PathBuf)>, Failure> {
    numbered(folder, prefix).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::NoData,
        _ => Failure::absent_or(folder, &error),
    })
}

/// An attribute's text without the line's end, if it can be read.
pub(crate) fn attribute(folder: &Path, name: &str) -> Option<String> {
    let bytes = std::fs::read(folder.join(name)).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// An attribute that is a number, if it can be read.
pub(crate) fn number(folder: &Path, name: &str) -> Option<f64> {
    attribute(folder, name)?.parse().ok()
}

/// The entries of a folder, by name. A folder that is not there is no data.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let found = std::fs::read_dir(folder).map_err(|error| Failure::absent_or(folder, &error))?;
    let mut found: Vec<(String, PathBuf)> =
        found.flatten().map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect();
    found.sort();
    Ok(found)
}

/// A file with one number, in the base that its beginning says; nothing if there is no such file or the device does not
/// count this.
pub(crate) fn unsigned_if_any(path: &Path) -> Result<Option<u64>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if is_not_counted(&error) => return Ok(None),
        Err(error) => return Err(Failure::reading(path, &error)),
    };
    let text = text.trim();
    // InfiniBand adapters without a unit that counts say so.
    if text.contains("N/A (no PMA)") {
        return Ok(None);
    }
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map(Some).map_err(|_| Failure::malformed(path, text))
}

fn is_not_counted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
        || matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL))
}
