//! `ssh_key`: what git asks of the `ssh` program, as everybody who speaks SSH to a git server does.
//!
//! The key stands in a file that only we may read for as long as a fetch takes, as `ssh` takes keys from files alone. Hosts
//! must be known (`~/.ssh/known_hosts`, or the file that `SSH_KNOWN_HOSTS` names): nobody is there to be asked.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base_sys::fs;

/// Who we are to an SSH server.
#[derive(Clone, PartialEq)]
pub struct SshKey {
    /// The account there; `git` on most.
    pub username: String,
    /// The private key, in OpenSSH's or PEM form; without one, `ssh` offers those of the account that we run as.
    pub key: Option<String>,
    /// Of the key.
    pub passphrase: Option<String>,
}

/// The files of one fetch; dropped, they are gone.
pub(crate) struct Session {
    directory: PathBuf,
    command: String,
}

/// Neither the key nor the passphrase is printed.
impl std::fmt::Debug for SshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshKey").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Session {
    /// Writes the files into `directory`, which is ours.
    pub(crate) fn new(program: &str, key: &SshKey, directory: &Path) -> io::Result<Session> {
        fs::create_dir_private(directory)?;
        let mut session = Session { directory: directory.to_owned(), command: String::new() };
        let mut words = Vec::new();
        let write = |name: &str, text: &str| -> io::Result<PathBuf> {
            let path = directory.join(name);
            fs::create_private(&path)?.write_all(text.as_bytes())?;
            std::path::absolute(path)
        };
        if let Some(passphrase) = &key.passphrase {
            let passphrase = write("passphrase", passphrase)?;
            // A shell reads the script, so that it need not be on a file system that lets programs run.
            let ask = write("ask", &format!("#!/bin/sh\nexec cat {}\n", quoted(&passphrase)))?;
            make_executable(&ask)?;
            words.extend(["env".to_owned(), format!("SSH_ASKPASS={}", quoted(&ask))]);
            words.extend(["SSH_ASKPASS_REQUIRE=force".to_owned(), "DISPLAY=:".to_owned()]);
        }
        words.extend([program.to_owned(), "-l".to_owned(), quoted(Path::new(&key.username))]);
        if let Some(text) = &key.key {
            // OpenSSH wants the last line to end.
            let path = write("key", &format!("{}\n", text.trim_end()))?;
            words.extend(["-i".to_owned(), quoted(&path), "-oIdentitiesOnly=yes".to_owned()]);
        }
        words.push("-oStrictHostKeyChecking=yes".to_owned());
        if key.passphrase.is_none() {
            words.push("-oBatchMode=yes".to_owned());
        }
        if let Some(hosts) = std::env::var_os("SSH_KNOWN_HOSTS").filter(|hosts| !hosts.is_empty()) {
            words.push(format!("-oUserKnownHostsFile={}", quoted(Path::new(&hosts))));
        }
        session.command = words.join(" ");
        Ok(session)
    }

    /// The value of git's `core.sshCommand`.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::error!(path = %self.directory.display(), %error, "cannot remove the files of an SSH key");
        }
    }
}

/// As one word of a shell's command.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}
