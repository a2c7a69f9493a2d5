//! Clones for `import.git`: brings a folder to the state of a revision of a repository.
//!
//! The heavy dependency (gix, a git in Rust) stays in this crate. Only the objects and refs are git's: the files are
//! written by ourselves from the revision's tree, so that a half-finished update never shows half of a module.

mod ssh;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use base_sys::fs;
use gix::bstr::ByteSlice as _;
use gix::remote::Direction;

use ssh::Session;
pub use ssh::SshKey;

/// Files of a module that a repository may hold at most, and bytes of one of them.
const MAX_FILES: usize = 10_000;
const MAX_FILE_BYTES: usize = 16 << 20;

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Request {
    /// URL or path of the repository.
    pub repository: String,
    /// Tag, branch of the remote, or anything that `git rev-parse` knows; looked up in this order.
    pub revision: String,
    /// User and password for HTTP.
    pub basic_auth: Option<(String, String)>,
    /// For SSH.
    pub ssh_key: Option<SshKey>,
}

/// Why an update failed; what was there before is untouched.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("cannot clone {repository}: {why}")]
    Clone { repository: String, why: String },
    #[error("cannot fetch {repository}: {why}")]
    Fetch { repository: String, why: String },
    #[error("revision {revision:?} does not exist in {repository}: it is neither a tag, nor a branch, nor a commit")]
    NoSuchRevision { repository: String, revision: String },
    #[error("revision {0:?} means something else after each fetch; name a tag, a branch or a commit")]
    MovingRevision(String),
    #[error("cannot read the tree of {revision:?}: {why}")]
    Tree { revision: String, why: String },
    #[error("revision {revision:?} has more than {MAX_FILES} files")]
    TooManyFiles { revision: String },
    #[error("{path} has more than {MAX_FILE_BYTES} bytes")]
    FileTooLarge { path: String },
    #[error("cannot write {path}: {why}")]
    Write { path: String, why: String },
    #[error("cannot lay down the SSH key: {0}")]
    Key(std::io::Error),
}

/// Brings `directory` to the newest state of the revision. Blocks: call it off the reactor.
pub fn update(request: &Request, directory: &Path) -> Result<(), Error> {
    update_by("ssh", request, directory)
}

/// `ssh`: the program that speaks SSH.
fn update_by(ssh: &str, request: &Request, directory: &Path) -> Result<(), Error> {
    // Refs that git itself moves would compare a clone with itself.
    if ["HEAD", "FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD"].contains(&request.revision.as_str()) {
        return Err(Error::MovingRevision(request.revision.clone()));
    }
    // gix brings a client without a crypto provider; whoever else has installed one has installed the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let git = directory.join(".git");
    // Beside the clone, whose folder holds what is in the repository and nothing else.
    let session = request.ssh_key.as_ref().map(|key| Session::new(ssh, key, &directory.with_extension("ssh")));
    let session = session.transpose().map_err(Error::Key)?;
    let open = |git: &Path| {
        let overrides = session.iter().flat_map(|session| {
            // Otherwise gix would start the command to find out what kind of ssh it is.
            [format!("core.sshCommand={}", session.command()), "ssh.variant=ssh".to_owned()]
        });
        gix::open_opts(git, gix::open::Options::default().config_overrides(overrides)).map_err(|error| chain(&error))
    };
    // A clone that broke off leaves no HEAD that could be read: start over.
    let repository = match open(&git) {
        Ok(repository) if origin_is(&repository, &request.repository) => {
            fetch(request, &repository)?;
            repository
        }
        _ => clone(request, directory, &git, open)?,
    };
    let tree = tree_of(&repository, request)?;
    write_tree(request, &repository, tree, directory)
}

fn origin_is(repository: &gix::Repository, url: &str) -> bool {
    let Ok(remote) = repository.find_remote("origin") else { return false };
    remote.url(Direction::Fetch).is_some_and(|known| known.to_bstring() == url.as_bytes())
        || remote.url(Direction::Fetch).is_some_and(|known| known.path.as_bstr() == url.as_bytes())
}

fn clone(
    request: &Request,
    directory: &Path,
    git: &Path,
    open: impl Fn(&Path) -> Result<gix::Repository, String>,
) -> Result<gix::Repository, Error> {
    let failed = |why: String| Error::Clone { repository: request.repository.clone(), why };
    if git.exists() {
        std::fs::remove_dir_all(git).map_err(|error| failed(error.to_string()))?;
    }
    std::fs::create_dir_all(directory).map_err(|error| failed(error.to_string()))?;
    let repository = gix::init_bare(git).map_err(|error| failed(chain(&error)))?;
    // An own fetch rather than gix's clone: all branches and tags, no checkout.
    let config = git.join("config");
    let mut text = std::fs::read_to_string(&config).map_err(|error| failed(error.to_string()))?;
    text += &format!(
        "[remote \"origin\"]\n\turl = \"{}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\ttagOpt = --tags\n",
        request.repository.replace('\\', "\\\\").replace('"', "\\\"")
    );
    fs::write_atomic(&config, text.as_bytes(), fs::Sync::Kernel).map_err(|error| failed(error.to_string()))?;
    drop(repository);
    let repository = open(git).map_err(failed)?;
    fetch(request, &repository).map_err(|error| match error {
        Error::Fetch { repository, why } => Error::Clone { repository, why },
        other => other,
    })?;
    Ok(repository)
}

fn fetch(request: &Request, repository: &gix::Repository) -> Result<(), Error> {
    let failed = |why: String| Error::Fetch { repository: request.repository.clone(), why };
    let remote = repository.find_remote("origin").map_err(|error| failed(chain(&error)))?;
    let remote = remote.with_fetch_tags(gix::remote::fetch::Tags::All);
    let mut connection = remote.connect(Direction::Fetch).map_err(|error| failed(chain(&error)))?;
    if let Some((username, password)) = request.basic_auth.clone() {
        connection.set_credentials(move |action| {
            use gix::credentials::helper::Action;
            match action {
                Action::Get(context) => Ok(Some(gix::credentials::protocol::Outcome {
                    identity: gix::sec::identity::Account {
                        username: username.clone(),
                        password: password.clone(),
                        oauth_refresh_token: None,
                    },
                    next: context.into(),
                })),
                Action::Store(_) | Action::Erase(_) => Ok(None),
            }
        });
    }
    let stop = AtomicBool::new(false);
    connection
        .prepare_fetch(gix::progress::Discard, Default::default())
        .map_err(|error| failed(chain(&error)))?
        .receive(gix::progress::Discard, &stop)
        .map_err(|error| failed(chain(&error)))?;
    Ok(())
}

/// The tree of the revision: a tag, then a branch of the remote, then whatever names a commit.
fn tree_of<'r>(repository: &'r gix::Repository, request: &Request) -> Result<gix::Tree<'r>, Error> {
    let revision = &request.revision;
    let found = [format!("refs/tags/{revision}"), format!("refs/remotes/origin/{revision}"), revision.clone()]
        .into_iter()
        .find_map(|name| repository.rev_parse_single(name.as_str()).ok());
    let id = found
        .ok_or_else(|| Error::NoSuchRevision { repository: request.repository.clone(), revision: revision.clone() })?;
    let unreadable = |why: String| Error::Tree { revision: revision.clone(), why };
    let object = id.object().map_err(|error| unreadable(chain(&error)))?;
    object.peel_to_tree().map_err(|error| unreadable(chain(&error)))
}

/// Writes what differs, then removes what is not in the tree any more.
fn write_tree(
    request: &Request,
    repository: &gix::Repository,
    tree: gix::Tree<'_>,
    directory: &Path,
) -> Result<(), Error> {
    let unreadable = |why: String| Error::Tree { revision: request.revision.clone(), why };
    let entries = tree.traverse().breadthfirst.files().map_err(|error| unreadable(chain(&error)))?;
    let mut kept = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.mode.is_blob()) {
        if kept.len() == MAX_FILES {
            return Err(Error::TooManyFiles { revision: request.revision.clone() });
        }
        // A tree that was made by hand may hold any names: nothing may leave the folder.
        let Some(relative) = safe(entry.filepath.to_str_lossy().as_ref()) else { continue };
        let shown = || relative.display().to_string();
        let header = repository.find_header(entry.oid).map_err(|error| unreadable(chain(&error)))?;
        if header.size() > MAX_FILE_BYTES as u64 {
            return Err(Error::FileTooLarge { path: shown() });
        }
        let blob = repository.find_object(entry.oid).map_err(|error| unreadable(chain(&error)))?;
        let path = directory.join(&relative);
        if std::fs::read(&path).ok().as_deref() != Some(&blob.data[..]) {
            let failed = |error: std::io::Error| Error::Write { path: shown(), why: error.to_string() };
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            fs::write_atomic(&path, &blob.data, fs::Sync::Kernel).map_err(failed)?;
        }
        kept.insert(relative);
    }
    remove_others(directory, directory, &kept);
    Ok(())
}

/// A path of normal parts only, none of them `.git`.
fn safe(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(name) if !name.eq_ignore_ascii_case(".git")));
    plain.then(|| path.to_owned())
}

/// What cannot be removed stays; the next update tries again.
fn remove_others(root: &Path, folder: &Path, kept: &BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == ".git" {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_others(root, &path, kept);
            let _ = std::fs::remove_dir(&path);
        } else if path.strip_prefix(root).is_ok_and(|relative| !kept.contains(relative)) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A repository made by the git program; the tests that need one are skipped, loudly, without it.
    struct Origin(tempfile::TempDir);

    impl Origin {
        fn new() -> Option<Origin> {
            let origin = Origin(tempfile::tempdir().expect("a temporary folder"));
            if !origin.git(&["init", "--quiet", "--initial-branch=main"]) {
                eprintln!("SKIPPED: no git program to make a repository with");
                return None;
            }
            Some(origin)
        }

        fn git(&self, arguments: &[&str]) -> bool {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
            Command::new("git")
                .args(identity)
                .args(arguments)
                .current_dir(&self.0)
                .output()
                .is_ok_and(|o| o.status.success())
        }

        fn commit(&self, file: &str, text: &str) {
            if std::fs::read_to_string(self.0.path().join(file)).is_ok_and(|now| now == text) {
                return;
            }
            std::fs::create_dir_all(self.0.path().join(file).parent().expect("in the folder")).expect("a folder");
            std::fs::write(self.0.path().join(file), text).expect("a file");
            assert!(self.git(&["add", "."]) && self.git(&["commit", "--quiet", "-m", "x"]));
        }

        fn request(&self, revision: &str) -> Request {
            Request {
                repository: self.0.path().display().to_string(),
                revision: revision.into(),
                basic_auth: None,
                ssh_key: None,
            }
        }
    }

    #[test]
    fn follows_a_branch_and_forgets_what_was_removed() {
        let Some(origin) = Origin::new() else { return };
        let clone = tempfile::tempdir().expect("a temporary folder");
        origin.commit("modules/a.alloy", "one");
        origin.commit("old.alloy", "old");
        update(&origin.request("main"), clone.path()).expect("clones");
        let read = |file: &str| std::fs::read_to_string(clone.path().join(file)).ok();
        assert_eq!((read("modules/a.alloy").as_deref(), read("old.alloy").as_deref()), (Some("one"), Some("old")));

        assert!(origin.git(&["rm", "--quiet", "old.alloy"]));
        origin.commit("modules/a.alloy", "two");
        update(&origin.request("main"), clone.path()).expect("pulls");
        assert_eq!((read("modules/a.alloy").as_deref(), read("old.alloy")), (Some("two"), None));
    }

    #[test]
    fn a_tag_and_a_commit_stay_where_they_are() {
        let Some(origin) = Origin::new() else { return };
        origin.commit("a.alloy", "one");
        assert!(origin.git(&["tag", "v1"]));
        let head = std::fs::read_to_string(origin.0.path().join(".git/refs/heads/main")).expect("a commit");
        origin.commit("a.alloy", "two");
        for revision in ["v1", head.trim()] {
            let clone = tempfile::tempdir().expect("a temporary folder");
            update(&origin.request(revision), clone.path()).expect("clones");
            assert_eq!(
                std::fs::read_to_string(clone.path().join("a.alloy")).ok().as_deref(),
                Some("one"),
                "{revision}"
            );
        }
    }

    #[test]
    fn a_failed_update_leaves_what_was_there() {
        let Some(origin) = Origin::new() else { return };
        origin.commit("a.alloy", "one");
        let clone = tempfile::tempdir().expect("a temporary folder");
        update(&origin.request("main"), clone.path()).expect("clones");
        let missing = update(&origin.request("nowhere"), clone.path()).expect_err("there is no such branch");
        assert!(missing.to_string().contains("\"nowhere\" does not exist"), "{missing}");
        assert!(matches!(update(&origin.request("FETCH_HEAD"), clone.path()), Err(Error::MovingRevision(_))));
        assert!(clone.path().join("a.alloy").is_file());
    }

    /// Stands for `ssh`: notes what it is told and with which key, and is the server as well.
    const FAKE_SSH: &str = r#"#!/bin/sh
log="$(dirname "$0")/log"
echo "arguments: $*" >> "$log"
while [ "${1%% *}" != git-upload-pack ]; do
    if [ "$1" = -i ]; then
        echo "key: $(cat "$2") $(stat -c %a "$2")" >> "$log"
    fi
    shift
done
[ -z "$SSH_ASKPASS" ] || echo "passphrase: $("$SSH_ASKPASS" 'Enter passphrase:')" >> "$log"
exec sh -c "$*"
"#;

    #[test]
    fn a_key_is_there_for_ssh_and_gone_afterwards() {
        let Some(origin) = Origin::new() else { return };
        origin.commit("a.alloy", "one");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join("ssh");
        std::fs::write(&program, FAKE_SSH).expect("a file");
        let executable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
        std::fs::set_permissions(&program, executable).expect("permissions");
        let request = Request {
            repository: format!("ssh://git.example.org{}", origin.0.path().display()),
            ssh_key: Some(SshKey {
                username: "robot".to_owned(),
                key: Some("PRIVATE".to_owned()),
                passphrase: Some("it's secret".to_owned()),
            }),
            ..origin.request("main")
        };
        let clone = folder.path().join("repo");
        for text in ["one", "two"] {
            origin.commit("a.alloy", text);
            update_by(&program.display().to_string(), &request, &clone).expect("fetches");
            assert_eq!(std::fs::read_to_string(clone.join("a.alloy")).ok().as_deref(), Some(text));
        }
        let log = std::fs::read_to_string(folder.path().join("log")).expect("ssh was called");
        assert!(log.contains("-l robot"), "{log}");
        assert!(log.contains("git.example.org"), "{log}");
        assert!(log.contains("key: PRIVATE 600"), "{log}");
        assert!(log.contains("passphrase: it's secret"), "{log}");
        assert!(log.contains("-oStrictHostKeyChecking=yes"), "{log}");
        assert!(!folder.path().join("repo.ssh").exists(), "the key is gone");
        assert!(!format!("{request:?}").contains("PRIVATE"));
    }

    #[test]
    fn no_name_in_a_tree_leaves_the_folder() {
        for path in ["../a", "/etc/passwd", "a/../../b", ".git/config", "a/.GIT/config"] {
            assert_eq!(safe(path), None, "{path}");
        }
        assert_eq!(safe("a/b.alloy"), Some(PathBuf::from("a/b.alloy")));
    }
}
