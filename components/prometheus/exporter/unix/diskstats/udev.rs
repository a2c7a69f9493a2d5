//! What udev wrote down about a device, in `/run/udev/data/b<major>:<minor>`.

use std::collections::BTreeMap;
use std::path::Path;

/// The `E:` lines of a device.
#[derive(Debug, Default)]
pub(super) struct Properties(BTreeMap<String, String>);

impl Properties {
    /// No properties when there is no such file: containers often do not see it.
    pub fn read(path: &Path) -> Properties {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let properties = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
        Properties(properties.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The value, empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The first of these that has a value.
    pub fn first_of(&self, names: &[&str]) -> &str {
        names.iter().map(|name| self.get(name)).find(|value| !value.is_empty()).unwrap_or("")
    }
}
