//! `local.file`: the contents of a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base_stdx::GoDuration;
use base_sys::{clock, fs};
use language_eval::{Arguments, Exports, Invalid, OptionalSecret, Validate, Word};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use sdk_component::metrics::Gauge;
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use tokio::sync::{Notify, watch};

/// Exports the contents of a file, and exports them anew when the file changes.
#[derive(Arguments, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct FileArguments {
    /// The file.
    #[attr]
    filename: String,
    /// How changes are noticed: `fsnotify` (the operating system tells, and it is polled as well) or `poll`.
    #[attr(default = Detector::Fsnotify)]
    detector: Detector,
    /// How often to look.
    #[attr(default = GoDuration::from_secs(60))]
    poll_frequency: GoDuration,
    /// Whether the contents must not be shown.
    #[attr(optional)]
    is_secret: bool,
}

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Detector {
    /// The operating system tells.
    Fsnotify,
    /// By looking now and then.
    Poll,
}

/// What others may refer to.
#[derive(Exports)]
pub struct FileExports {
    /// The contents.
    content: OptionalSecret,
}

/// The component.
pub struct File {
    context: Context,
    arguments: watch::Sender<FileArguments>,
    last_accessed: Gauge,
}

/// A configuration value of this size is a mistake.
const MAX_BYTES: usize = 64 << 20;

/// Whoever writes a file writes more than once: wait for the rest.
const SETTLE: Duration = Duration::from_millis(30);

impl Validate for FileArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.poll_frequency.as_nanos() <= 0 {
            return Err(Invalid::field("poll_frequency", "poll_frequency must be greater than 0"));
        }
        Ok(())
    }
}

impl Component for File {
    const NAME: &'static str = "local.file";

    type Arguments = FileArguments;
    type Exports = FileExports;

    fn build(context: &Context, arguments: FileArguments) -> Result<File, Problem> {
        let last_accessed = context
            .metrics()
            .gauge("local_file_timestamp_last_accessed_unix_seconds", "The last successful access in unix seconds");
        context.publish(&read(&arguments)?);
        last_accessed.set(clock::now_ms() as f64 / 1000.0);
        Ok(File { context: context.clone(), arguments: watch::Sender::new(arguments), last_accessed })
    }

    fn update(&self, arguments: FileArguments) -> Result<Update, Problem> {
        let exports = read(&arguments)?;
        let sender = self.arguments.clone();
        Ok(Update::exporting(&exports, move || {
            sender.send_replace(arguments);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut changes = self.arguments.subscribe();
        loop {
            let arguments = changes.borrow_and_update().clone();
            let period = arguments.poll_frequency.to_std().unwrap_or_default();
            let told = Arc::new(Notify::new());
            let _watcher =
                (arguments.detector == Detector::Fsnotify).then(|| watcher(&arguments.filename, told.clone()));
            let mut changed = false;
            while !changed {
                self.read_again(&arguments);
                tokio::select! {
                    () = stop.stopped() => return Ok(()),
                    () = told.notified() => tokio::time::sleep(SETTLE).await,
                    () = tokio::time::sleep(period) => {}
                    _ = changes.changed() => changed = true,
                }
            }
        }
    }
}

// === impl File ===

impl File {
    fn read_again(&self, arguments: &FileArguments) {
        match read(arguments) {
            Ok(exports) => {
                self.last_accessed.set(clock::now_ms() as f64 / 1000.0);
                self.context.publish(&exports);
                self.context.healthy("read file");
            }
            Err(problem) => {
                tracing::error!(path = arguments.filename, error = %problem, "keeping the last contents");
                self.context.unhealthy(problem.message);
            }
        }
    }
}

fn read(arguments: &FileArguments) -> Result<FileExports, Problem> {
    let contents = fs::read_bounded(Path::new(&arguments.filename), MAX_BYTES)
        .map_err(|error| Problem::environment(format!("failed to read file: {}: {error}", arguments.filename)))?;
    let text = language_eval::Text::from(contents);
    let content = if arguments.is_secret { OptionalSecret::secret(text) } else { OptionalSecret::plain(text) };
    Ok(FileExports { content })
}

/// Watches the directory, as a file that is replaced is another file. Without a watcher, polling does.
fn watcher(filename: &str, told: Arc<Notify>) -> Option<RecommendedWatcher> {
    let path = std::path::absolute(filename).ok()?;
    let directory: PathBuf = path.parent()?.to_owned();
    // Files of Kubernetes' volumes change by a link beside them, so any event in the directory counts.
    let mut watcher = notify::recommended_watcher(move |_| told.notify_one()).ok()?;
    watcher.watch(&directory, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

#[cfg(test)]
mod tests {
    use language_eval::{Scope, Value};
    use sdk_testing::component::Alone;

    use super::*;

    async fn wait(alone: &Alone<File>, expected: &str) {
        for _ in 0..500 {
            if content(alone) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(content(alone), expected);
    }

    fn content(alone: &Alone<File>) -> String {
        let Some(Value::Secret(secret)) = alone.export("content") else { panic!("an optional secret") };
        secret.value.to_string_lossy().into_owned()
    }

    #[tokio::test]
    async fn a_changed_file_is_exported_anew() {
        for detector in ["fsnotify", "poll"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("token");
            std::fs::write(&path, "one").unwrap();
            let period = if detector == "poll" { "10ms" } else { "1h" };
            let config = format!("filename = {path:?}\ndetector = {detector:?}\npoll_frequency = {period:?}");
            let mut alone = Alone::<File>::start(&config, &Scope::new()).unwrap();
            assert_eq!(content(&alone), "one");
            tokio::time::sleep(Duration::from_millis(100)).await;
            std::fs::write(&path, "two").unwrap();
            wait(&alone, "two").await;
            let other = dir.path().join("other");
            std::fs::write(&other, "three").unwrap();
            std::fs::rename(&other, &path).unwrap();
            wait(&alone, "three").await;
            alone.stop().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_file_that_goes_missing_keeps_its_contents_and_turns_red() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "one").unwrap();
        let config = format!("filename = {path:?}\npoll_frequency = \"10ms\"\nis_secret = true");
        let mut alone = Alone::<File>::start(&config, &Scope::new()).unwrap();
        std::fs::remove_file(&path).unwrap();
        for _ in 0..500 {
            if alone.health().is_some_and(|(_, message)| message.starts_with("failed to read file: ")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(alone.health().unwrap().0, sdk_component::HealthState::Unhealthy);
        assert_eq!(content(&alone), "one");
        alone.stop().await.unwrap();
        assert!(Alone::<File>::build(&config, &Scope::new()).is_err_and(|error| error.contains("No such file")));
    }
}
