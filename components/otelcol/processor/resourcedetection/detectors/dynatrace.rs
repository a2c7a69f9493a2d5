//! Dynatrace, by the file that its agent writes for others.

use super::{Found, Missing, World};

const FILE: &str = "/var/lib/dynatrace/enrichment/dt_host_metadata.properties";

/// What is taken from it.
const PROPERTIES: [&str; 3] = ["dt.entity.host", "host.name", "dt.smartscape.host"];

pub(super) fn detect(world: &World) -> Result<Found, Missing> {
    if !world.has(FILE) {
        return Ok(Found::new());
    }
    let text = world.file(FILE).map_err(Missing::Failed)?;
    let mut found = Found::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            tracing::warn!(line, "a line of {FILE} is no key=value; it is left out");
            continue;
        };
        if PROPERTIES.contains(&key) && !value.is_empty() {
            // The last one of a key counts.
            found.retain(|(other, _)| other != key);
            found.push((key.to_owned(), value.trim().into()));
        }
    }
    Ok(found)
}
