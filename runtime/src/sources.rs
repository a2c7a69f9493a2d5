//! Where a configuration is read from: one file, or a directory of `*.alloy` files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use language_syntax::Source;

/// No configuration written by people comes near; a path to the wrong file does.
pub const MAX_TEXT: usize = 16 << 20;

/// How many files a directory may hold.
const MAX_FILES: usize = 10_000;

/// Reads the configuration anew for each load.
pub trait Sources: Send + Sync {
    /// All files, in name order.
    fn read(&self) -> Result<Texts, String>;

    /// What errors call it: the path that was given.
    fn name(&self) -> String;
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Texts {
    /// In name order.
    pub files: Vec<Arc<Source>>,
    /// What `module_path` is: the directory of the file, or the directory itself.
    pub module_path: String,
}

/// A file, or every `*.alloy` file directly in a directory.
#[derive(Clone, Debug)]
pub struct PathSources {
    path: PathBuf,
}

impl PathSources {
    /// Of the path a user gave.
    pub fn new(path: impl Into<PathBuf>) -> PathSources {
        PathSources { path: path.into() }
    }
}

impl Sources for PathSources {
    fn read(&self) -> Result<Texts, String> {
        read_path(&self.path)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// A text given directly.
impl Sources for Texts {
    fn read(&self) -> Result<Texts, String> {
        Ok(self.clone())
    }

    fn name(&self) -> String {
        self.files.first().map(|file| file.name().to_owned()).unwrap_or_default()
    }
}

impl Texts {
    /// One file.
    pub fn of(name: &str, text: &str) -> Texts {
        Texts { files: vec![Source::new(name, text.as_bytes().to_vec())], module_path: ".".to_owned() }
    }

    /// Whether two readings found the same files with the same text.
    pub(crate) fn same(&self, other: &Texts) -> bool {
        self.files.len() == other.files.len()
            && self.files.iter().zip(&other.files).all(|(a, b)| a.name() == b.name() && a.bytes() == b.bytes())
    }
}

/// Also for `import.file`.
pub(crate) fn read_path(path: &Path) -> Result<Texts, String> {
    // Following links: a directory given as a link is a directory (Alloy reads nothing there, silently).
    let about = std::fs::metadata(path).map_err(|error| describe("stat", path, &error))?;
    if !about.is_dir() {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let files = vec![read_file(path, MAX_TEXT)?];
        return Ok(Texts { files, module_path: clean(directory) });
    }
    let entries = std::fs::read_dir(path).map_err(|error| describe("open", path, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| describe("read", path, &error))?.path();
        if entry.extension().is_some_and(|extension| extension == "alloy") && !entry.is_dir() {
            paths.push(entry);
        }
        if paths.len() > MAX_FILES {
            return Err(format!("{} holds more than {MAX_FILES} configuration files", path.display()));
        }
    }
    paths.sort();
    let (mut files, mut left) = (Vec::new(), MAX_TEXT);
    for path in paths {
        let file = read_file(&path, left)?;
        left = left.saturating_sub(file.bytes().len());
        files.push(file);
    }
    Ok(Texts { files, module_path: clean(path) })
}

fn read_file(path: &Path, limit: usize) -> Result<Arc<Source>, String> {
    let text = base_sys::fs::read_bounded(path, limit).map_err(|error| describe("open", path, &error))?;
    Ok(Source::new(path.display().to_string(), text))
}

/// `stat config.alloy: no such file or directory`, as Alloy says it.
fn describe(act: &str, path: &Path, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = error.to_string();
            let words = text.split(" (os error").next().unwrap_or_default();
            let mut letters = words.chars();
            letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
        }
    };
    format!("{act} {}: {reason}", path.display())
}

fn clean(path: &Path) -> String {
    let cleaned: PathBuf = path.components().collect();
    cleaned.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_in_name_order_also_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        for (name, text) in [("b.alloy", "b"), ("a.alloy", "a"), ("c.txt", "c")] {
            std::fs::write(real.join(name), text).unwrap();
        }
        std::fs::create_dir(real.join("d.alloy")).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        for given in ["real", "link"] {
            let path = dir.path().join(given);
            let texts = PathSources::new(&path).read().unwrap();
            let names: Vec<&str> = texts.files.iter().map(|file| file.name()).collect();
            assert_eq!(names, [path.join("a.alloy").display().to_string(), path.join("b.alloy").display().to_string()]);
            assert_eq!(texts.module_path, path.display().to_string());
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = PathSources::new("no-such.alloy").read().unwrap_err();
        assert_eq!(error, "stat no-such.alloy: no such file or directory");
    }

    #[test]
    fn the_module_path_of_a_file_is_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.alloy");
        std::fs::write(&path, "").unwrap();
        assert_eq!(PathSources::new(&path).read().unwrap().module_path, dir.path().display().to_string());
    }
}
