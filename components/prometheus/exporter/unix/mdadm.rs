//! `/proc/mdstat`: disks bundled by software RAID, and how far they are with their repair.

use std::path::Path;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Mdadm {
    source: Source,
}

#[derive(Debug, PartialEq)]
struct Array<'a> {
    device: &'a str,
    state: &'a str,
    disks_required: f64,
    disks_active: f64,
    disks_failed: f64,
    disks_spare: f64,
    blocks: f64,
    blocks_synced: f64,
}

/// The state as the family shows it, and as it is found.
const STATES: [(&str, &str); 5] = [
    ("active", "active"),
    ("check", "checking"),
    ("inactive", "inactive"),
    ("recovering", "recovering"),
    ("resync", "resyncing"),
];

impl Mdadm {
    pub fn new(paths: &Paths) -> Mdadm {
        Mdadm { source: Source::records(paths.procfs.join("mdstat")) }
    }
}

impl Collector for Mdadm {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let path = self.source.path();
        let text = text.map_err(|error| Failure::absent_or(path, &error))?;
        let arrays = arrays(text, path)?;
        let mut family = page.family("node_md_state", "Indicates the state of md-device.", Kind::Gauge);
        for array in &arrays {
            for (state, found) in STATES {
                let is = f64::from(u8::from(array.state == found));
                family.sample(&[("device", array.device), ("state", state)], is);
            }
        }
        let mut family = page.family("node_md_disks", "Number of active/failed/spare disks of device.", Kind::Gauge);
        for array in &arrays {
            for (state, count) in
                [("active", array.disks_active), ("failed", array.disks_failed), ("spare", array.disks_spare)]
            {
                family.sample(&[("device", array.device), ("state", state)], count);
            }
        }
        let values: [(&str, &str, fn(&Array<'_>) -> f64); 3] = [
            ("node_md_disks_required", "Total number of disks of device.", |array| array.disks_required),
            ("node_md_blocks", "Total number of blocks on device.", |array| array.blocks),
            ("node_md_blocks_synced", "Number of blocks synced on device.", |array| array.blocks_synced),
        ];
        for (name, help, value) in values {
            let mut family = page.family(name, help, Kind::Gauge);
            for array in &arrays {
                family.sample(&[("device", array.device)], value(array));
            }
        }
        Ok(())
    }
}

/// An array is a line that begins with its name, and the indented ones after it.
fn arrays<'a>(text: &'a str, path: &Path) -> Result<Vec<Array<'a>>, Failure> {
    let mut arrays = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let skipped = line.trim().is_empty()
            || line.starts_with(' ')
            || line.starts_with("unused")
            || line.starts_with("Personalities");
        if skipped {
            continue;
        }
        // `md3 : active raid6 sda1[8] sdh1[7](S) sdg1[6](F)`
        let mut fields = line.split_ascii_whitespace();
        let (Some(device), Some(_), Some(state)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(Failure::malformed(path, line));
        };
        let mut details = Vec::new();
        while let Some(detail) = lines.next_if(|line| line.starts_with(' ')) {
            details.push(detail);
        }
        // `      5853468288 blocks super 1.2 level 6, 64k chunk, algorithm 2 [8/7] [UUUUUUU_]`
        let status = details.first().ok_or_else(|| Failure::malformed(path, line))?;
        let blocks = status.split_ascii_whitespace().next().ok_or_else(|| Failure::malformed(path, status))?;
        let blocks = number(blocks, path)?;
        let (disks_required, disks_active) = if line.contains("raid0") || line.contains("linear") {
            // These have no spare ones: all that are listed are needed.
            let listed = line.matches('[').count() as f64;
            (listed, listed)
        } else if line.contains("inactive") {
            (0.0, 0.0)
        } else {
            disks(status).ok_or_else(|| Failure::malformed(path, status))?
        };
        let (state, blocks_synced) = match details.iter().find_map(|detail| repair(detail)) {
            Some((state, synced)) => (state, synced),
            None => (state, blocks),
        };
        arrays.push(Array {
            device,
            state,
            disks_required,
            disks_active,
            disks_failed: line.matches("(F)").count() as f64,
            disks_spare: line.matches("(S)").count() as f64,
            blocks,
            blocks_synced,
        });
    }
    Ok(arrays)
}

/// `[8/7]`: eight required, seven active.
fn disks(status: &str) -> Option<(f64, f64)> {
    status.split('[').skip(1).find_map(|part| {
        let (required, active) = part.split_once(']')?.0.split_once('/')?;
        Some((required.parse().ok()?, active.parse().ok()?))
    })
}

/// `      [=>....]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec`, or `resync=DELAYED`.
fn repair(detail: &str) -> Option<(&'static str, f64)> {
    let words = [("recovery", "recovering"), ("reshape", "reshaping"), ("check", "checking"), ("resync", "resyncing")];
    let (_, state) = words.into_iter().find(|(word, _)| detail.contains(word))?;
    let synced = detail.split_once('(').and_then(|(_, rest)| rest.split_once('/')?.0.parse().ok());
    Some((state, synced.unwrap_or(0.0)))
}
