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
