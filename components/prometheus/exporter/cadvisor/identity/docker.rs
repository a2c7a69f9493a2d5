//! What Docker tells of a container, and where it keeps what the container writes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sdk_docker::{Details, Engine, Info};

use super::{Identity, Keeper, Silence, Who};
use crate::cadvisor::filesystems::ImageStore;

/// Docker, under whatever storage driver it was started with.
const DRIVERS: [&str; 6] = ["devicemapper", "btrfs", "aufs", "overlay", "overlay2", "zfs"];

/// A Docker engine.
pub(in crate::cadvisor) struct Docker {
    engine: Engine,
    /// Of the engine itself; asked for once.
    info: Option<Info>,
    /// Beginnings of names of variables to show.
    environment: Vec<String>,
    host: PathBuf,
}

impl Docker {
    pub fn new(engine: Engine, environment: Vec<String>, host: PathBuf) -> Docker {
        Docker { engine, info: None, environment, host }
    }

    fn identity(&self, id: &str, details: &Details) -> Identity {
        let mut labels = details.config.labels.clone();
        if details.restart_count > 0 {
            labels.insert("restartcount".to_owned(), details.restart_count.to_string());
        }
        let mut environment = BTreeMap::new();
        for (name, value) in details.config.env.iter().filter_map(|variable| variable.split_once('=')) {
            if self.environment.iter().any(|prefix| name.starts_with(prefix.as_str())) {
                environment.insert(name.to_lowercase(), value.to_owned());
            }
        }
        let process = Some(details.state.pid).filter(|process| *process > 0);
        let health = details.state.health.as_ref();
        Identity {
            name: details.name.trim_start_matches('/').to_owned(),
            image: details.config.image.clone(),
            labels,
            environment,
            created: details.created.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
            network: process.filter(|_| !details.network_mode().starts_with("container:")),
            first_process: process,
            is_healthy: health.is_some_and(|health| health.status == "healthy"),
            folders: self.folders(id).unwrap_or_default(),
            has_health: health.is_some(),
        }
    }

    /// What the engine wrote for a container: its own layer, and its logs.
    fn folders(&self, id: &str) -> Option<Vec<PathBuf>> {
        let info = self.info.as_ref()?;
        let root = self.host.join(info.root.trim_start_matches('/'));
        let driver = info.storage_driver.as_str();
        let layer = || {
            let file = root.join(format!("image/{driver}/layerdb/mounts/{id}/mount-id"));
            base_sys::fs::read_text_bounded(&file, 4096).ok().map(|id| id.trim().to_owned())
        };
        let files = match driver {
            "aufs" => root.join("aufs/diff").join(layer()?),
            "overlay2" => root.join("overlay2").join(layer()?).join("diff"),
            "overlay" => root.join("overlay").join(layer()?).join("upper"),
            // It does not say which folder is whose.
            "vfs" => root.clone(),
            _ => return None,
        };
        Some(vec![files, root.join("containers").join(id)])
    }
}

impl Keeper for Docker {
    async fn reach(&mut self) -> Result<(), Silence> {
        if self.info.is_none() {
            self.info = Some(self.engine.info().await?);
        }
        Ok(())
    }

    async fn who(&self, _: &str, id: &str) -> Result<Who, Silence> {
        Ok(match self.engine.details(id).await? {
            Some(details) if !details.state.running => Who::Unsettled,
            Some(details) => Who::Known(self.identity(id, &details)),
            None => Who::Stranger,
        })
    }

    fn images(&self) -> Option<ImageStore> {
        let root = self.host.join(self.info.as_ref()?.root.trim_start_matches('/'));
        Some(ImageStore { root, below: DRIVERS.map(str::to_owned).into() })
    }
}

impl From<sdk_docker::Error> for Silence {
    fn from(error: sdk_docker::Error) -> Silence {
        Silence { is_slow: matches!(error, sdk_docker::Error::TimedOut { .. }), why: error.to_string() }
    }
}
