//! `local.file_match`: targets for the files that match patterns.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base_stdx::GoDuration;
use base_sys::glob::Glob;
use language_eval::{Arguments, Exports, Invalid, Target, Validate};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use tokio::sync::watch;

/// Finds the files that match patterns, and exports one target for each.
///
/// `__path__` of each target is a pattern: `*` any text within a name, `**` any number of directories, `?` one character,
/// `[a-z]` one of these, `{a,b}` alternatives. `__path_exclude__` is a pattern for what shall not be among them. The
/// directories are searched every `sync_period`.
#[derive(Arguments, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct FileMatchArguments {
    /// Patterns with the labels for what they match.
    #[attr]
    path_targets: Vec<Target>,
    /// How often to look.
    #[attr(default = GoDuration::from_secs(10))]
    sync_period: GoDuration,
    /// Leave out files that were last changed longer ago than this. 0 means none.
    #[attr(default = GoDuration::ZERO)]
    ignore_older_than: GoDuration,
}

/// What others may refer to.
#[derive(Exports)]
pub struct FileMatchExports {
    /// One target for each file, with `__path__` set to it.
    targets: Vec<Target>,
}

/// The component.
pub struct FileMatch {
    context: Context,
    arguments: watch::Sender<FileMatchArguments>,
}

impl Validate for FileMatchArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.sync_period.as_nanos() <= 0 {
            return Err(Invalid::field("sync_period", "must be greater than 0"));
        }
        Ok(())
    }
}

impl Component for FileMatch {
    const NAME: &'static str = "local.file_match";

    type Arguments = FileMatchArguments;
    type Exports = FileMatchExports;

    fn build(context: &Context, arguments: FileMatchArguments) -> Result<FileMatch, Problem> {
        context.publish(&FileMatchExports { targets: Vec::new() });
        Ok(FileMatch { context: context.clone(), arguments: watch::Sender::new(arguments) })
    }

    fn update(&self, arguments: FileMatchArguments) -> Result<Update, Problem> {
        let sender = self.arguments.clone();
        Ok(Update::then(move || {
            sender.send_replace(arguments);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut changes = self.arguments.subscribe();
        let mut published: Option<(FileMatchArguments, Vec<Target>)> = None;
        loop {
            let arguments = changes.borrow_and_update().clone();
            let period = arguments.sync_period.to_std().unwrap_or_default();
            let before = published.take().filter(|(of, _)| *of == arguments).map(|(_, targets)| targets);
            let search = {
                let arguments = arguments.clone();
                move || find(&arguments, before)
            };
            // A large tree takes its time on the disk.
            if let Some(found) = base_sys::task::blocking("local.file_match", search).await.returned() {
                for problem in &found.problems {
                    tracing::error!(problem, "cannot search for files");
                }
                match found.problems.first() {
                    Some(problem) => self.context.unhealthy(problem.clone()),
                    None => self.context.healthy("searched for files"),
                }
                if found.is_new {
                    self.context.publish(&FileMatchExports { targets: found.targets.clone() });
                }
                published = Some((arguments, found.targets));
            }
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = tokio::time::sleep(period) => {}
                _ = changes.changed() => {}
            }
        }
    }
}

struct Found {
    targets: Vec<Target>,
    /// They are not those of the search before.
    is_new: bool,
    problems: Vec<String>,
}

/// Searches for files. `before` is what the last search for the same found: mostly it is the same again, and with ten
/// thousand files it would cost more to make their targets anew than to find them.
fn find(arguments: &FileMatchArguments, before: Option<Vec<Target>>) -> Found {
    let mut problems = Vec::new();
    let mut paths = Vec::new();
    for target in &arguments.path_targets {
        match find_one(target, arguments.ignore_older_than) {
            Ok(found) => paths.push((target, found)),
            Err(problem) => problems.push(problem),
        }
    }
    let all = || paths.iter().flat_map(|(target, paths)| paths.iter().map(move |path| (*target, path.as_str())));
    if let Some(targets) = before
        && problems.is_empty()
        && targets.iter().map(|target| target.get("__path__").unwrap_or_default()).eq(all().map(|(_, path)| path))
    {
        return Found { targets, is_new: false, problems };
    }
    Found { targets: all().map(|(target, path)| target.with("__path__", path)).collect(), is_new: true, problems }
}

fn find_one(target: &Target, ignore_older_than: GoDuration) -> Result<Vec<String>, String> {
    let pattern = |label: &str| Glob::new(target.get(label).unwrap_or_default()).map_err(|error| error.to_string());
    let exclude = match target.get("__path_exclude__") {
        None | Some("") => None,
        Some(_) => Some(pattern("__path_exclude__")?),
    };
    let absolute = |path: PathBuf| {
        let path = if is_absolute(&path) { path } else { std::path::absolute(&path).ok()? };
        path.into_os_string().into_string().ok()
    };
    let files = pattern("__path__")?.files(ignore_older_than.as_nanos()).into_iter();
    let wanted = files.filter(|path| exclude.as_ref().is_none_or(|exclude| !exclude.matches(path)));
    Ok(wanted.filter_map(absolute).collect())
}

/// Whether nothing is left to do to make a path absolute.
fn is_absolute(path: &Path) -> bool {
    path.is_absolute() && !path.as_os_str().as_encoded_bytes().windows(2).any(|two| two == b"/.")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base_sys::clock;
    use language_eval::{Scope, Value};
    use sdk_testing::component::Alone;

    use super::*;

    fn paths(alone: &Alone<FileMatch>) -> Vec<String> {
        let Some(Value::Array(targets)) = alone.export("targets") else { panic!("targets are a list") };
        let path = |target: &Value| {
            let Value::Target(target) = target else { panic!("a target") };
            assert_eq!(target.get("app"), Some("x"), "labels are kept");
            target.get("__path__").unwrap().rsplit_once('/').unwrap().1.to_owned()
        };
        targets.iter().map(path).collect()
    }

    async fn wait(alone: &Alone<FileMatch>, expected: &[&str]) {
        for _ in 0..500 {
            if paths(alone) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(paths(alone), expected);
    }

    #[tokio::test]
    async fn files_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(dir.path().join(name), "").unwrap();
        write("a.log");
        write("b.txt");
        write("no.log");
        std::fs::create_dir(dir.path().join("dir.log")).unwrap();
        let dir_name = dir.path().display();
        let config = |period: &str| {
            format!(
                "path_targets = [{{ __path__ = \"{dir_name}/*.log\", __path_exclude__ = \"{dir_name}/no*\", app = \"x\" }}]\nsync_period = {period:?}"
            )
        };
        let mut alone = Alone::<FileMatch>::start(&config("20ms"), &Scope::new()).unwrap();
        wait(&alone, &["a.log"]).await;
        write("c.log");
        wait(&alone, &["a.log", "c.log"]).await;
        std::fs::remove_file(dir.path().join("a.log")).unwrap();
        wait(&alone, &["c.log"]).await;
        alone.update(&config("1h").replace("*.log", "*.txt"), &Scope::new()).unwrap();
        wait(&alone, &["b.txt"]).await;
        alone.stop().await.unwrap();
    }

    #[tokio::test]
    async fn old_files_can_be_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for (name, age) in [("new", 0), ("old", 7200)] {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(clock::now() - Duration::from_secs(age)).unwrap();
        }
        let config = format!(
            "path_targets = [{{ __path__ = \"{}/*\", app = \"x\" }}]\nignore_older_than = \"1h\"",
            dir.path().display()
        );
        let mut alone = Alone::<FileMatch>::start(&config, &Scope::new()).unwrap();
        wait(&alone, &["new"]).await;
        alone.stop().await.unwrap();
    }

    #[test]
    fn a_period_of_zero_is_refused() {
        assert!(Alone::<FileMatch>::build("path_targets = []\nsync_period = \"0s\"", &Scope::new()).is_err());
    }
}
