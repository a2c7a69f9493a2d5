//! `otelcol.storage.file`: a directory for queues that survive a restart.

use std::path::{Path, PathBuf};

use base_stdx::duration::GoDuration;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Context, Problem, Stability};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::storage::{StorageExports, StorageHandler};

use crate::extension::{Extending, Extension};

/// A directory for queues that survive a restart, a crash and a power cut.
///
/// An exporter whose `sending_queue` names it in `storage` has each request on the disk before the pipeline is told that
/// it was taken. What was not sent is sent after the next start; what was under way at a crash is sent again. The files
/// are of our own form: segments, each request with a checksum, given back as they empty. So `timeout`, `fsync` and
/// `compaction` are accepted and have nothing to do: there is no lock to wait for, every request is synced, in groups, and
/// nothing to compact.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Arguments {
    /// Where. Empty is a directory below `--storage.path`.
    #[attr(optional)]
    pub directory: String,
    /// Accepted; there is no lock to wait for.
    #[attr(default = GoDuration::from_secs(1))]
    pub timeout: GoDuration,
    /// Accepted; files are given back as they empty.
    #[block(optional)]
    pub compaction: Compaction,
    /// Accepted; every request is synced.
    #[attr(optional)]
    pub fsync: bool,
    /// Makes the directory when it is missing.
    #[attr(default = true)]
    pub create_directory: bool,
    /// The rights of a directory that is made, in octal.
    #[attr(default = "0750".to_owned())]
    pub directory_permissions: String,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// Accepted: files are given back as they empty.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct Compaction {
    /// Accepted.
    #[attr(default = false)]
    pub on_start: bool,
    /// Accepted.
    #[attr(default = false)]
    pub on_rebound: bool,
    /// Accepted.
    #[attr(default = String::new())]
    pub directory: String,
    /// Accepted.
    #[attr(default = 100)]
    pub rebound_needed_threshold_mib: i64,
    /// Accepted.
    #[attr(default = 10)]
    pub rebound_trigger_threshold_mib: i64,
    /// Accepted.
    #[attr(default = 65_536)]
    pub max_transaction_size: i64,
    /// Accepted.
    #[attr(default = GoDuration::from_secs(5))]
    pub check_interval: GoDuration,
    /// Accepted.
    #[attr(default = false)]
    pub cleanup_on_start: bool,
}

/// The component.
pub type File = Extending<Arguments>;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.create_directory && self.permissions().is_none() {
            let message = format!("{:?} are no permissions in octal", self.directory_permissions);
            return Err(Invalid::field("directory_permissions", message).with_hint("such as \"0750\""));
        }
        Ok(())
    }
}

impl Arguments {
    fn permissions(&self) -> Option<u32> {
        u32::from_str_radix(&self.directory_permissions, 8).ok().filter(|mode| *mode <= 0o7777)
    }
}

fn create(directory: &Path, mode: u32) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    #[cfg(not(unix))]
    let _ = mode;
    builder.recursive(true).create(directory)
}

impl Extension for Arguments {
    const NAME: &'static str = "otelcol.storage.file";
    const STABILITY: Stability = Stability::PublicPreview;
    type Exports = StorageExports;

    /// The directory, made if it has to be.
    fn exports(&self, context: &Context) -> Result<StorageExports, Problem> {
        let directory = match self.directory.as_str() {
            "" => context.data_path().to_owned(),
            directory => PathBuf::from(directory),
        };
        let failed = |verb: &str, error: std::io::Error| {
            Problem::at("directory", format!("cannot {verb} {}: {error}", directory.display()))
        };
        match std::fs::metadata(&directory) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(Problem::at("directory", format!("{} is no directory", directory.display()))),
            Err(_) if self.create_directory => {
                create(&directory, self.permissions().unwrap_or(0o750)).map_err(|error| failed("create", error))?;
            }
            Err(error) => return Err(failed("use", error)),
        }
        Ok(StorageExports { handler: StorageHandler::new(context.id(), &directory) })
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{FromValue as _, Scope};
    use sdk_testing::component::Alone;

    use super::*;

    #[tokio::test]
    async fn the_directory_is_made_with_its_rights_and_exported() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/b");
        let config = format!("directory = {directory:?}\ndirectory_permissions = \"0700\"");
        let mut alone = Alone::<File>::start(&config, &Scope::new()).unwrap();
        let handler = StorageHandler::from_value(&alone.export("handler").unwrap()).unwrap();
        assert_eq!(
            handler.place("m/otelcol.exporter.otlp.a", "traces"),
            directory.join("m~otelcol.exporter.otlp.a_traces")
        );
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        alone.stop().await.unwrap();
    }

    #[test]
    fn what_cannot_be_the_directory_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = |config: String| Alone::<File>::build(&config, &Scope::new()).err().unwrap();
        assert!(refused(format!("directory = {file:?}")).contains("is no directory"));
        assert!(
            refused(format!("directory = {:?}\ncreate_directory = false", folder.path().join("x")))
                .contains("cannot use")
        );
        assert!(refused("directory_permissions = \"rwx\"".to_owned()).contains("octal"));
    }
}
