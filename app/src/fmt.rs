//! `ferroalloy fmt`.

use std::io::{Read, Write};
use std::path::Path;

use base_sys::fs::{Sync, write_atomic};
use language_syntax::{Source, format, parse};

use crate::cli::Invocation;
use crate::report::Failure;

/// The name of standard input in messages.
const STDIN: &str = "<stdin>";

/// Formats a file, or standard input if there is no argument or it is `-`.
pub fn fmt(invocation: &Invocation) -> Result<(), Failure> {
    let (write, test) = (invocation.is_set("write"), invocation.is_set("test"));
    if write && test {
        return Err(Failure::new("cannot use -w/--write and -t/--test at the same time"));
    }
    let path = invocation.arguments.first().map(String::as_str).filter(|path| *path != "-");
    if write && path.is_none() {
        return Err(Failure::new("cannot use -w with standard input"));
    }
    let (name, text) = read(path)?;
    let (file, diagnostics) = parse(Source::new(name.as_str(), text.as_slice()));
    if !diagnostics.is_empty() {
        let lines: String = diagnostics.0.iter().map(|diagnostic| format!("{diagnostic}\n")).collect();
        return Err(Failure::new("encountered errors during formatting").after(lines));
    }
    let formatted = format(&file).map_err(|error| Failure::new(error.to_string()))?;
    match path {
        _ if test && formatted != text => Err(Failure::new(format!("file {name} is not formatted correctly"))),
        _ if test => Ok(()),
        Some(path) if write && formatted != text => replace(Path::new(path), &formatted),
        _ if write => Ok(()),
        _ => std::io::stdout().write_all(&formatted).map_err(|error| Failure::new(format!("standard output: {error}"))),
    }
}

fn read(path: Option<&str>) -> Result<(String, Vec<u8>), Failure> {
    let Some(path) = path else {
        let mut text = Vec::new();
        let result = std::io::stdin().read_to_end(&mut text);
        result.map_err(|error| Failure::new(format!("standard input: {error}")))?;
        return Ok((STDIN.to_owned(), text));
    };
    let metadata = std::fs::metadata(path).map_err(|error| Failure::io("stat", path, &error))?;
    if metadata.is_dir() {
        return Err(Failure::new("cannot format a directory"));
    }
    let text = std::fs::read(path).map_err(|error| Failure::io("open", path, &error))?;
    Ok((path.to_owned(), text))
}

/// Replaces a file whole: whoever reads it sees the old text or the new, never a part. It keeps its permissions, and a
/// symbolic link stays one.
fn replace(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let write = || {
        let target = std::fs::canonicalize(path)?;
        let permissions = std::fs::metadata(&target)?.permissions();
        write_atomic(&target, text, Sync::Disk)?;
        std::fs::set_permissions(&target, permissions)
    };
    write().map_err(|error: std::io::Error| Failure::io("write", &path.display().to_string(), &error))
}
