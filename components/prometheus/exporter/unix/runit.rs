//! Services that runit supervises.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Scratch};

pub(crate) struct Runit {
    services: PathBuf,
}

/// What a service's `status` holds: the moment of its last change in TAI64N, its process, whether it is wanted up, and
/// its state.
struct Status {
    /// Seconds since 1970.
    changed: f64,
    wanted: f64,
    state: f64,
}

const STATUS_BYTES: usize = 20;

/// 1970 in TAI64, with the ten leap seconds of then.
const EPOCH: u64 = (1 << 62) + 10;

impl Runit {
    pub fn new(services: PathBuf) -> Runit {
        Runit { services }
    }
}

impl Collector for Runit {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let entries = std::fs::read_dir(&self.services).map_err(|error| Failure::reading(&self.services, &error))?;
        let mut names: Vec<String> = Vec::new();
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink()) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        for name in names {
            let folder = self.services.join(&name).join("supervise");
            // One that is not supervised has no status.
            let Some(status) = std::fs::read(folder.join("status")).ok().and_then(|bytes| Status::parse(&bytes)) else {
                continue;
            };
            let normally_up = !folder.join("down").exists();
            for (family, help, value) in [
                ("node_service_state", "State of runit service.", status.state),
                ("node_service_desired_state", "Desired state of runit service.", status.wanted),
                ("node_service_normal_state", "Normal state of runit service.", f64::from(u8::from(normally_up))),
                (
                    "node_service_state_last_change_timestamp_seconds",
                    "Unix timestamp of the last runit service state change.",
                    status.changed,
                ),
            ] {
                page.family(family, help, Kind::Gauge).sample(&[("service", &name), ("supervisor", "runit")], value);
            }
        }
        Ok(())
    }
}

impl Status {
    fn parse(bytes: &[u8]) -> Option<Status> {
        let bytes: &[u8; STATUS_BYTES] = bytes.get(..STATUS_BYTES)?.try_into().ok()?;
        let tai = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        Some(Status {
            changed: tai.wrapping_sub(EPOCH).cast_signed() as f64,
            wanted: f64::from(u8::from(bytes[17] == b'u')),
            state: f64::from(bytes[19]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let mut bytes = [0; STATUS_BYTES];
        bytes[..8].copy_from_slice(&(EPOCH + 1_700_000_000).to_be_bytes());
        (bytes[17], bytes[19]) = (b'u', 1);
        let status = Status::parse(&bytes).unwrap();
        assert_eq!((status.changed, status.wanted, status.state), (1.7e9, 1.0, 1.0));
        assert!(Status::parse(&bytes[..19]).is_none());
    }
}
