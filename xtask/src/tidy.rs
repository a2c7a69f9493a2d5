//! What no compiler sees: source files that no `mod` reaches, files without a page at their top, names that say nothing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::workspace::root;

/// Every fault, in words.
pub fn faults() -> Vec<String> {
    let files = sources();
    let reached = reached(&files);
    let mut faults = Vec::new();
    for file in &files {
        let shown = file.strip_prefix(root()).unwrap_or(file).display();
        if !reached.contains(file) {
            faults.push(format!("{shown}: no `mod` reaches it"));
        }
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        // What `tests.rs` holds is said by its name.
        if !first.starts_with("//!") && !file.ends_with("tests.rs") {
            faults.push(format!("{shown}: begins without a page (`//!`) that says what it is"));
        }
        if text.lines().any(|line| line.ends_with([' ', '\t'])) {
            faults.push(format!("{shown}: a line ends in a blank"));
        }
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        if ["util", "utils", "common", "helper", "helpers", "misc"].contains(&stem.as_ref()) {
            faults.push(format!("{shown}: its name says nothing"));
        }
    }
    faults
}

fn sources() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = WalkDir::new(root())
        .into_iter()
        .filter_entry(|entry| {
            entry.depth() == 0 || !["target", ".git", "data-alloy"].iter().any(|name| entry.file_name() == *name)
        })
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    files
}

/// The files that a crate root names, directly or through `mod` lines.
fn reached(files: &[PathBuf]) -> HashSet<PathBuf> {
    let all: HashSet<&PathBuf> = files.iter().collect();
    let mut queue: Vec<PathBuf> = files.iter().filter(|file| is_root(file)).cloned().collect();
    let mut reached = HashSet::new();
    while let Some(file) = queue.pop() {
        if !reached.insert(file.clone()) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let folder = file.parent().unwrap_or(root());
        let stem = file.file_stem().unwrap_or_default();
        let children = if is_root(&file) || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
        let mut path_attribute = None;
        for line in text.lines().map(str::trim) {
            if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
                path_attribute = Some(path.to_owned());
                continue;
            }
            let Some(name) = module_name(line) else { continue };
            let candidates = match path_attribute.take() {
                Some(path) => vec![folder.join(path)],
                None => vec![children.join(format!("{name}.rs")), children.join(name).join("mod.rs")],
            };
            queue.extend(candidates.into_iter().filter(|candidate| all.contains(candidate)));
        }
    }
    reached
}

/// A file that cargo compiles by itself.
fn is_root(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default();
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    let has_manifest = |folder: &Path| folder.join("Cargo.toml").is_file();
    let parent = file.parent().unwrap_or(file);
    (name == "lib.rs" && (has_manifest(parent) || parent.parent().is_some_and(has_manifest)))
        || (name == "main.rs" && (folder == "src" || parent.parent().is_some_and(|tests| tests.ends_with("tests"))))
        || (name == "build.rs" && has_manifest(parent))
        || ["tests", "benches", "examples", "fuzz_targets"].iter().any(|kind| folder == *kind)
            && parent.parent().is_some_and(has_manifest)
}

/// The `x` of `mod x;`, with any visibility.
fn module_name(line: &str) -> Option<&str> {
    let line = line.strip_suffix(';')?;
    let line = match line.strip_prefix("pub") {
        Some(rest) => {
            rest.trim_start().strip_prefix('(').map_or(rest, |rest| rest.split_once(')').map_or(rest, |(_, rest)| rest))
        }
        None => line,
    };
    let name = line.trim_start().strip_prefix("mod ")?.trim();
    Some(name.strip_prefix("r#").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        assert_eq!(faults(), Vec::<String>::new());
    }

    #[test]
    fn module_lines_are_read_as_the_compiler_reads_them() {
        assert_eq!(module_name("mod a;"), Some("a"));
        assert_eq!(module_name("pub(crate) mod a;"), Some("a"));
        assert_eq!(module_name("pub mod r#match;"), Some("match"));
        assert_eq!(module_name("mod a {"), None);
        assert_eq!(module_name("// mod a;"), None);
    }
}
