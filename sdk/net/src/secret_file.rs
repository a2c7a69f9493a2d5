//! Files that hold a secret, read again when they change.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base_sys::fs;
use language_eval::SecretString;

/// No password, token or PEM bundle is longer.
const MAX_BYTES: usize = 1 << 20;

/// A file whose contents are used for each request, so that a rotated secret needs no reload. The file is looked at each
/// time and read only when its time or size changed.
pub struct SecretFile {
    path: PathBuf,
    last: Mutex<Option<(Stamp, Arc<str>)>>,
}

/// What tells two versions of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// A secret as it stands in the configuration, or in a file.
#[derive(Debug)]
pub enum Credential {
    /// The secret itself.
    Text(SecretString),
    /// Where it is.
    File(SecretFile),
}

// === impl Credential ===

impl Credential {
    /// The file if there is one; it wins over the text.
    pub fn new(text: impl Into<SecretString>, file: &str) -> Credential {
        match file {
            "" => Credential::Text(text.into()),
            file => Credential::File(SecretFile::new(file)),
        }
    }

    /// The secret as it is now.
    ///
    /// # Errors
    /// The file cannot be read, or there is nothing in it.
    pub fn read(&self) -> Result<Arc<str>, String> {
        match self {
            Credential::Text(text) => Ok(text.expose().into()),
            Credential::File(file) => match file.read() {
                Ok(text) if text.is_empty() => {
                    Err(format!("cannot read credentials: {}: it is empty", file.path.display()))
                }
                Ok(text) => Ok(text),
                Err(error) => Err(format!("cannot read credentials: {error}")),
            },
        }
    }
}

// === impl SecretFile ===

impl SecretFile {
    /// Reads nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> SecretFile {
        SecretFile { path: path.into(), last: Mutex::new(None) }
    }

    /// The contents, without blanks and line ends around them.
    pub fn read(&self) -> io::Result<Arc<str>> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        let stamp = Stamp::of(&self.path).map_err(named)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read_at, contents)) = &*last
            && *read_at == stamp
        {
            return Ok(contents.clone());
        }
        let contents: Arc<str> = fs::read_text_bounded(&self.path, MAX_BYTES).map_err(named)?.trim().into();
        *last = Some((stamp, contents.clone()));
        Ok(contents)
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({})", self.path.display())
    }
}

// === impl Stamp ===

impl Stamp {
    pub fn of(path: &Path) -> io::Result<Stamp> {
        let metadata = std::fs::metadata(path)?;
        Ok(Stamp { modified: metadata.modified().ok(), bytes: metadata.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_secret_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let file = SecretFile::new(&path);
        assert_eq!(&*file.read().unwrap(), "one");
        std::fs::write(&path, "  three\n").unwrap();
        assert_eq!(&*file.read().unwrap(), "three");
        std::fs::remove_file(&path).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("token: "), "the path is named");
    }
}
