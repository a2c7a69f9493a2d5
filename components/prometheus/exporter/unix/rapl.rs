//! How much energy packages, cores and memory have used. Newer kernels tell it to root only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, read_number};
use super::listing::attribute;

pub(crate) struct Rapl {
    root: PathBuf,
}

impl Rapl {
    pub fn new(paths: &Paths) -> Rapl {
        Rapl { root: paths.sysfs.join("class/powercap") }
    }
}

impl Collector for Rapl {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let no_data_or = |path: &PathBuf, error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::NoData,
            _ => Failure::absent_or(path, error),
        };
        let entries = std::fs::read_dir(&self.root).map_err(|error| no_data_or(&self.root, &error))?;
        let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        folders.sort();
        let mut used: BTreeMap<String, u64> = BTreeMap::new();
        for folder in folders {
            let Some(name) = attribute(&folder, "name") else { continue };
            let (index, name) = match name.rsplit_once('-').and_then(|(name, index)| Some((index.parse().ok()?, name)))
            {
                Some((index, name)) => (index, name.to_owned()),
                None => (used.get(&name).copied().unwrap_or(0), name),
            };
            used.insert(name.clone(), index + 1);
            let path = folder.join("energy_uj");
            let joules = read_number(&path).map_err(|error| no_data_or(&path, &error))? / 1_000_000.0;
            let letters = |letter: char| if letter.is_ascii_alphanumeric() || letter == ':' { letter } else { '_' };
            let family = format!("node_rapl_{}_joules_total", name.chars().map(letters).collect::<String>());
            page.family(&family, &format!("Current RAPL {name} value in joules"), Kind::Counter)
                .sample(&[("index", &index.to_string()), ("path", &folder.display().to_string())], joules);
        }
        Ok(())
    }
}
