//! Files that had a name before, looked for among those beside it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::compressed::Format;
use super::handle::{self, Handle};
use super::identity::{Id, Identity, Known};

/// What a restart finds.
#[derive(Default)]
pub struct Found {
    /// Files that had the name, and where to read on in them; the oldest first.
    pub older: Vec<(Handle, u64)>,
    /// The file that has the name.
    pub current: Option<Handle>,
    /// Where to read on in the file that has the name; it is a new one if there is nothing here.
    pub resume: Option<u64>,
}

/// A file beside the one that has the name.
struct Sibling {
    path: PathBuf,
    id: Option<Id>,
    /// It is called as a rotated file is.
    is_rotated: bool,
    modified: SystemTime,
    created: SystemTime,
}

/// Of a folder with more files than this, the rest is not looked at.
const MAX_SIBLINGS: usize = 100_000;

/// So often it is looked again when a file has gone meanwhile.
const MAX_LOOKS: usize = 10;

/// Looks where the files are whose rest is to be read. `others` are read by themselves.
pub fn find(path: &Path, known: &Known, position: u64, others: &HashSet<PathBuf>) -> Found {
    for _ in 1..MAX_LOOKS {
        // A rotation, or a compression, may be under way: what was found before it ends is not all.
        let (found, listed) = look(path, known, position, others);
        let id = std::fs::metadata(path).ok().map(|metadata| handle::id(&metadata));
        let has_its_name = match (&found.current, id) {
            (Some(current), Some(id)) => current.identity().has_id(id),
            (None, None) => true,
            _ => false,
        };
        if has_its_name && listed.iter().all(|sibling| !sibling.is_rotated || sibling.path.exists()) {
            return found;
        }
    }
    look(path, known, position, others).0
}

/// One look, and which files it saw.
fn look(path: &Path, known: &Known, position: u64, others: &HashSet<PathBuf>) -> (Found, Vec<Sibling>) {
    let current = Handle::open(path).ok();
    let reaches = |file: &Handle, offset: u64| file.size().is_ok_and(|size| size >= offset);
    let mut found = Found { current: current.clone(), ..Found::default() };
    let mut wanted = known.behind.clone();
    match (&known.now, &current) {
        // It was empty: what has come and gone since does not show in it.
        (Some(now), Some(current)) if now.was_empty() && now.is(current) => {}
        (Some(now), Some(current)) if now.is(current) && reaches(current, position) => found.resume = Some(position),
        (Some(now), _) => wanted.push((now.clone(), position)),
        // It was the last one, and has the name again.
        (None, Some(current)) => {
            if let Some((last, offset)) = wanted.last()
                && last.is_text_of(current)
                && reaches(current, *offset)
            {
                found.resume = Some(*offset);
                wanted.pop();
            }
        }
        (None, None) => {}
    }
    if found.resume.is_some() && wanted.is_empty() {
        return (found, Vec::new());
    }
    let siblings = siblings(path, current.as_ref(), others);
    for (file, offset) in wanted {
        if let Some(handle) = renamed(&file, offset, &siblings) {
            found.older.push((handle, offset));
            continue;
        }
        let is_now = found.resume.is_none() && known.now.as_ref() == Some(&file);
        if let Some(current) = current.as_ref().filter(|_| is_now)
            && file.is_text_of(current)
            && reaches(current, offset)
        {
            // Devices get other numbers when a machine starts; some programs write a file anew to add to it.
            found.resume = Some(offset);
        } else if let Some(handle) = copied(&file, offset, &siblings) {
            found.older.push((handle, offset));
        } else if !file.was_empty() {
            tracing::warn!(path = %path.display(), offset, "the file that was read before is gone: what was not read of it is not found under another name");
        }
    }
    if found.resume.is_none()
        && let Some(latest) = known.latest()
    {
        let between = between(latest, known, &siblings, &found.older);
        found.older.extend(between.into_iter().map(|handle| (handle, 0)));
    }
    (found, siblings)
}

/// The file under another name.
fn renamed(file: &Identity, offset: u64, siblings: &[Sibling]) -> Option<Handle> {
    // Of a file that was empty only the inode is known, which may be another's by now; called as a rotated file is, it is
    // found in its order.
    let same = siblings.iter().filter(|sibling| file.has_id(sibling.id) && !(file.was_empty() && sibling.is_rotated));
    let mut handles = same.filter_map(|sibling| Handle::open_rotated(&sibling.path).ok());
    handles.find(|handle| file.is(handle) && handle.size().is_ok_and(|size| size >= offset))
}

/// A copy of the file, perhaps compressed; the newest.
fn copied(file: &Identity, offset: u64, siblings: &[Sibling]) -> Option<Handle> {
    let rotated = siblings.iter().rev().filter(|sibling| sibling.is_rotated);
    let mut handles = rotated.filter_map(|sibling| Handle::open_rotated(&sibling.path).ok());
    handles.find(|copy| file.is_before(copy) && file.is_text_of(copy) && copy.size().is_ok_and(|size| size >= offset))
}

/// Files that had the name behind the last one that is known, and lost it, too.
fn between(latest: &Identity, known: &Known, siblings: &[Sibling], older: &[(Handle, u64)]) -> Vec<Handle> {
    let mut files = Vec::new();
    for sibling in siblings.iter().filter(|sibling| sibling.is_rotated) {
        // Compression is under way.
        let original = sibling.path.with_extension("");
        if Format::of_name(&sibling.path).is_some() && siblings.iter().any(|other| other.path == original) {
            continue;
        }
        let Ok(handle) = Handle::open_rotated(&sibling.path) else { continue };
        let is_known = || known.is_done(&handle) || older.iter().any(|(older, _)| older.is(&handle));
        if latest.is_before(&handle) && !is_known() {
            files.push(handle);
        }
    }
    files
}

/// What is beside a name, and beside what it links to; what was written first comes first.
fn siblings(path: &Path, current: Option<&Handle>, others: &HashSet<PathBuf>) -> Vec<Sibling> {
    let target = std::fs::canonicalize(path).ok().filter(|target| target != path);
    let linked = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let mut siblings: Vec<Sibling> = Vec::new();
    for named in [Some(path), target.as_deref()].into_iter().flatten() {
        let (Some(folder), Some(name)) = (named.parent(), named.file_name()) else { continue };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_SIBLINGS) {
            let path = entry.path();
            if others.contains(&path) || path == named {
                continue;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            let id = handle::id(&metadata);
            let is_current = current.is_some_and(|current| current.identity().has_id(id));
            let file_name = entry.file_name();
            if !metadata.is_file() || is_current || siblings.iter().any(|sibling| sibling.path == path) {
                continue;
            }
            let is_rotated = is_rotated(name, &file_name) || (linked && differs_in_digits(name, &file_name));
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let created = metadata.created().unwrap_or(modified);
            siblings.push(Sibling { path, id, is_rotated, modified, created });
        }
    }
    siblings.sort_by_key(|sibling| (sibling.modified, sibling.created));
    siblings
}

/// Whether a file is called as rotation calls the former file of a name: `app.log.1`, `app.log-20260101.gz`, or
/// `app-2026-01-01.log`.
fn is_rotated(name: &OsStr, other: &OsStr) -> bool {
    let (Some(name), Some(other)) = (name.to_str(), other.to_str()) else { return false };
    let other = without_compression(other);
    let number = |text: &str| {
        text.starts_with(['.', '-', '_'])
            && text.contains(|letter: char| letter.is_ascii_digit())
            && text.chars().all(|letter| letter.is_ascii_digit() || ".-_:T".contains(letter))
    };
    if let Some(rest) = other.strip_prefix(name) {
        return number(rest);
    }
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let rest = other.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'));
    rest.is_some_and(number)
}

/// Whether two names are the same but for their numbers: what a link led to, and leads to.
fn differs_in_digits(name: &OsStr, other: &OsStr) -> bool {
    let (Some(name), Some(other)) = (name.to_str(), other.to_str()) else { return false };
    let bare = |text: &str| text.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>();
    let other = without_compression(other);
    name != other && bare(name) == bare(other)
}

fn without_compression(name: &str) -> &str {
    match Format::of_name(Path::new(name)) {
        Some(_) => name.rsplit_once('.').map_or(name, |(name, _)| name),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_known_by_their_names() {
        let is = |name: &str, other: &str| is_rotated(OsStr::new(name), OsStr::new(other));
        for other in
            ["app.log.1", "app.log.12.gz", "app.log-20260101", "app-2026-01-01T10:00.log", "app.1.log", "app.log.1.bz2"]
        {
            assert!(is("app.log", other), "{other}");
        }
        for other in [
            "app.log",
            "app-error.log",
            "app.log.gz",
            "app.log.old",
            "app.log.1.swp",
            "app2.log",
            "apple.log.1",
            "x.log.1",
        ] {
            assert!(!is("app.log", other), "{other}");
        }
        assert!(is("messages", "messages-20260101"));
        assert!(is("0.log", "0.log.20260101-120000.gz"));
        assert!(!is("0.log", "1.log"));
        assert!(differs_in_digits(OsStr::new("app.3.log"), OsStr::new("app.12.log")));
    }
}
