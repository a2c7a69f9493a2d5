//! `import.*`: where a module's text comes from, and how it is kept fresh (spec §3.9).

mod http;
mod poll;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base_stdx::GoDuration;
use language_eval::{Arguments as DeriveArguments, Block, BodyNode, BodySource, OptionalSecret, SecretString, Word};
use language_syntax::{Diagnostic, Diagnostics, Source, ast};
use sdk_component::Problem;
use tokio::sync::Notify;

use crate::module::{Environment, Module};
use crate::options::{GitKey, GitRequest, Options};
use crate::plan::{Catalogue, ImportKind, Names, Place, Plan};
use crate::sources::{MAX_TEXT, read_path};
use crate::stage::StagedModule;

pub(crate) use crate::sources::Texts;
pub(crate) use poll::keep_fresh;

/// The import's part of its node.
#[derive(Default)]
pub(crate) struct ImportNode {
    pub arguments: Mutex<Option<Arguments>>,
    /// What custom components are made of now.
    pub current: Mutex<Option<Arc<Imported>>>,
    /// What was fetched last, when that is not yet (or cannot be) what is current.
    pub newest: Mutex<Option<Texts>>,
    /// The arguments have changed.
    pub rearranged: Notify,
}

/// The declares of a text.
pub(crate) struct Imported {
    pub texts: Texts,
    pub environment: Arc<Environment>,
    /// Holds the imports inside it.
    pub module: Arc<Module>,
    /// Why it holds nothing.
    pub broken: Option<String>,
    /// It could not be read on this machine.
    pub unfetched: bool,
}

/// An import ready to commit.
pub(crate) struct StagedImport {
    pub body: Vec<BodyNode>,
    pub arguments: Arguments,
    /// `None` keeps what is current.
    pub imported: Option<Arc<Imported>>,
    pub module: Option<StagedModule>,
    /// What is wrong with the newest text.
    pub problem: Option<String>,
}

/// What an import's block says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arguments {
    File {
        path: PathBuf,
        notify: bool,
        every: Duration,
    },
    String {
        content: OptionalSecret,
    },
    Http {
        request: Box<http::Request>,
        every: Duration,
    },
    Git {
        request: GitRequest,
        /// With the private key of `request`, read anew for each fetch.
        key_file: Option<PathBuf>,
        path: String,
        every: Duration,
    },
}

/// Why there is no text.
pub(crate) enum FetchError {
    /// It never will be.
    Refused(Problem),
    /// Not now.
    Unreachable(String),
}

/// Imports a file or a directory.
#[derive(DeriveArguments)]
struct FileBlock {
    /// A file, or a directory of `*.alloy` files.
    #[attr]
    filename: String,
    /// How changes are noticed.
    #[attr(default = Detector::Fsnotify)]
    detector: Detector,
    /// How often the file is read in any case.
    #[attr(default = GoDuration(60_000_000_000))]
    poll_frequency: GoDuration,
}

/// How a file's changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Word)]
enum Detector {
    /// The system tells.
    Fsnotify,
    /// By reading it every now and then.
    Poll,
}

/// Imports a text.
#[derive(DeriveArguments)]
struct StringBlock {
    /// The text.
    #[attr]
    content: OptionalSecret,
}

/// Imports what a web server answers.
#[derive(DeriveArguments)]
struct HttpBlock {
    /// Where.
    #[attr]
    url: String,
    /// How.
    #[attr(default = "GET".to_owned())]
    method: String,
    /// Sent along.
    #[attr(optional)]
    headers: BTreeMap<String, String>,
    /// Sent along.
    #[attr(name = "body", optional)]
    sent: String,
    /// How often it is asked.
    #[attr(default = GoDuration(60_000_000_000))]
    poll_frequency: GoDuration,
    /// How long an answer may take.
    #[attr(default = GoDuration(10_000_000_000))]
    poll_timeout: GoDuration,
    /// Who to be there, and how to get there.
    #[block(optional)]
    client: sdk_net::ClientConfig,
}

/// Imports from a Git repository.
#[derive(DeriveArguments)]
struct GitBlock {
    /// Its URL.
    #[attr]
    repository: String,
    /// A file or directory in it.
    #[attr]
    path: String,
    /// A tag, a branch or a commit.
    #[attr(default = "main".to_owned())]
    revision: String,
    /// How often it is pulled; 0 for never.
    #[attr(default = GoDuration(60_000_000_000))]
    pull_frequency: GoDuration,
    /// User and password.
    #[block]
    basic_auth: Option<GitAuth>,
    /// For repositories that are reached by SSH. The `ssh` program is used; hosts must be known to it.
    #[block]
    ssh_key: Option<GitSsh>,
}

/// Who to be on an SSH server.
#[derive(Block)]
struct GitSsh {
    /// The account.
    #[attr]
    username: String,
    /// The private key.
    #[attr]
    key: Option<SecretString>,
    /// A file with the private key, read at each pull.
    #[attr]
    key_file: Option<String>,
    /// Of the key.
    #[attr]
    passphrase: Option<SecretString>,
}

/// User and password.
#[derive(Block)]
struct GitAuth {
    /// User.
    #[attr]
    username: String,
    /// Password.
    #[attr]
    password: SecretString,
}

/// A private key is far shorter.
const MAX_KEY_BYTES: usize = 256 << 10;

/// Names that move with every command and so mean nothing to a collector.
const REFUSED_REVISIONS: &[&str] = &["HEAD", "FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD"];

impl Arguments {
    pub fn decode(kind: ImportKind, body: &BodySource<'_>) -> Result<Arguments, Diagnostics> {
        let refuse = |field: &str, message: String| {
            let named = body.body.statements.iter().find_map(|statement| match statement {
                ast::Statement::Attribute(attribute) if attribute.name.name == field => Some(attribute.value.span),
                _ => None,
            });
            Diagnostics::from(Diagnostic::error(named.unwrap_or(body.header).in_source(body.source), message))
        };
        let period = |field: &str, duration: GoDuration| match duration.to_std() {
            Some(duration) if !duration.is_zero() => Ok(duration),
            _ => Err(refuse(field, format!("{field} must be greater than 0"))),
        };
        match kind {
            ImportKind::File => {
                let block: FileBlock = body.decode()?;
                Ok(Arguments::File {
                    every: period("poll_frequency", block.poll_frequency)?,
                    path: block.filename.into(),
                    notify: block.detector == Detector::Fsnotify,
                })
            }
            ImportKind::String => {
                let block: StringBlock = body.decode()?;
                Ok(Arguments::String { content: block.content })
            }
            ImportKind::Http => {
                let block: HttpBlock = body.decode()?;
                Ok(Arguments::Http {
                    every: period("poll_frequency", block.poll_frequency)?,
                    request: Box::new(http::Request {
                        timeout: period("poll_timeout", block.poll_timeout)?,
                        method: block.method,
                        url: block.url,
                        headers: block.headers,
                        body: block.sent,
                        client: block.client,
                    }),
                })
            }
            ImportKind::Git => {
                let block: GitBlock = body.decode()?;
                if REFUSED_REVISIONS.contains(&block.revision.as_str()) {
                    let message = format!("{:?} is no revision that can be followed", block.revision);
                    return Err(refuse("revision", message));
                }
                if Path::new(&block.path).components().any(|part| part == std::path::Component::ParentDir) {
                    return Err(refuse("path", "the path must stay inside the repository".to_owned()));
                }
                let text = |secret: SecretString| secret.expose().into_owned();
                let key_file = block.ssh_key.as_ref().filter(|ssh| ssh.key.is_none());
                let key_file = key_file.and_then(|ssh| ssh.key_file.as_ref()).map(PathBuf::from);
                let ssh_key = block.ssh_key.map(|ssh| GitKey {
                    username: ssh.username,
                    key: ssh.key.map(text).filter(|key| !key.is_empty()),
                    passphrase: ssh.passphrase.map(text).filter(|passphrase| !passphrase.is_empty()),
                });
                Ok(Arguments::Git {
                    key_file,
                    every: block.pull_frequency.to_std().unwrap_or_default(),
                    path: block.path,
                    request: GitRequest {
                        repository: block.repository,
                        revision: block.revision,
                        basic_auth: block.basic_auth.map(|auth| (auth.username, text(auth.password))),
                        ssh_key,
                    },
                })
            }
        }
    }

    /// For the web API.
    pub fn encode(&self) -> Vec<BodyNode> {
        let value = |name: &str, value: String| BodyNode::Attribute { name: name.to_owned(), value: value.into() };
        match self {
            Arguments::File { path, .. } => vec![value("filename", path.display().to_string())],
            Arguments::String { .. } => Vec::new(),
            Arguments::Http { request, .. } => vec![value("url", request.url.clone())],
            Arguments::Git { request, path, .. } => {
                vec![value("repository", request.repository.clone()), value("path", path.clone())]
            }
        }
    }

    /// How often to fetch again; `None` for never.
    fn every(&self) -> Option<Duration> {
        match self {
            Arguments::File { every, .. } | Arguments::Http { every, .. } | Arguments::Git { every, .. } => {
                Some(*every).filter(|every| !every.is_zero())
            }
            Arguments::String { .. } => None,
        }
    }

    /// The text as it is now. `id` names what has no file name; `around` is the `module_path` of the importing module.
    pub async fn fetch(
        &self,
        options: &Options,
        directory: PathBuf,
        id: &str,
        around: &str,
    ) -> Result<Texts, FetchError> {
        match self {
            Arguments::File { path, .. } => {
                let path = path.clone();
                let read = base_sys::task::blocking("import.file", move || read_path(&path)).await;
                read.returned()
                    .unwrap_or_else(|| Err("reading was cut off".to_owned()))
                    .map_err(FetchError::Unreachable)
            }
            Arguments::String { content } => Ok(Texts {
                files: vec![Source::new(id, content.expose_bytes().to_vec())],
                module_path: around.to_owned(),
            }),
            Arguments::Http { request, .. } => {
                let answer = request.fetch(MAX_TEXT).await?;
                let module_path = request.url.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
                Ok(Texts { files: vec![Source::new(request.url.clone(), answer.trim_ascii().to_vec())], module_path })
            }
            Arguments::Git { request, path, key_file, .. } => {
                let Some(git) = &options.git else { return Err(unsupported("import.git")) };
                let clone = directory.join("repo");
                let mut request = request.clone();
                if let (Some(ssh), Some(file)) = (&mut request.ssh_key, key_file) {
                    let path = file.clone();
                    let read = move || base_sys::fs::read_text_bounded(&path, MAX_KEY_BYTES);
                    let key = match base_sys::task::blocking("import.git", read).await.returned() {
                        Some(read) => read.map_err(|error| error.to_string()),
                        None => Err("reading was cut off".to_owned()),
                    };
                    let tell = |error| format!("cannot read the key file {}: {error}", file.display());
                    ssh.key = Some(key.map_err(tell).map_err(FetchError::Unreachable)?);
                }
                git.update(request, clone.clone()).await.map_err(FetchError::Unreachable)?;
                let inside = clone.join(path);
                let read = base_sys::task::blocking("import.git", move || read_path(&inside)).await;
                let texts = read.returned().unwrap_or_else(|| Err("reading was cut off".to_owned()));
                let texts = texts.map_err(FetchError::Unreachable)?;
                Ok(Texts { module_path: clone.display().to_string(), ..texts })
            }
        }
    }
}

fn unsupported(block: &str) -> FetchError {
    FetchError::Refused(Problem::new(format!("{block} is not supported yet by this version of Ferroalloy")))
}

impl Imported {
    /// Stands for what `validate` cannot read on this machine.
    pub fn unfetched(catalogue: &Catalogue) -> Imported {
        let plan = Arc::new(Plan::of_files(catalogue, &[], Place::Import));
        let environment = Arc::new(Environment {
            names: Arc::new(Names::default()),
            parent: None,
            imports: Mutex::default(),
            module_path: "".into(),
        });
        let module = Module {
            id: "".into(),
            plan,
            nodes: Vec::new(),
            environment: environment.clone(),
            inputs: Default::default(),
            exports: Mutex::default(),
        };
        let texts = Texts { files: Vec::new(), module_path: String::new() };
        Imported { texts, environment, module: Arc::new(module), broken: None, unfetched: true }
    }
}
