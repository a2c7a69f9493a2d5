//! Runs the specs: prose with fenced blocks under `specs/`, readable as documentation.
//!
//! A heading begins a case. In it stand, in the order in which things happen,
//!
//! ````text
//! ```alloy                   the configuration; `spec.in` and `spec.out` are the two ends of the test
//! ```input                   what `spec.in` sends, see `data`: log lines, samples or OTLP, as its receivers take them
//! ```output                  what `spec.out` gets, in the same form; `spec.out "metrics"` and `spec.out "otlp"` take those
//! ```output LABEL            the same, where there are several `spec.out`
//! ```exports ID              what the component exports, one `name = value` a line
//! ```log ID                  what the component logs, without time and id
//! ```file NAME               a file in the folder `@dir@`; behind the configuration, it is replaced while that runs
//! ```append NAME             more text for a file
//! ```written NAME            what stands in a file now
//! ```answer PATH             what the server `@server@` (an address with port) serves there
//! ```request                 what that server was asked: request line, the headers of interest, an empty line, the body
//! ```down                    from now on that server answers 503 to everything; `up` ends it (both have no text)
//! ```restart                 the collector is stopped, and starts again where it was (no text)
//! ```post ID PATH            what is sent to the port that the component says it listens on: headers, an empty line, the body;
//!                            behind `hex` the body is bytes, two digits for each
//! ```answered                what it answered to that: the status, an empty line, the body
//! ```page ID PATH NAME...    of what the component serves at this path, the families whose names begin with one of these; of a
//!                            line that ends in `…`, what stands before that; an answer that is no page whole, after its status
//! ```error                   how loading is refused, as the terminal shows it (nothing else may stand in the case)
//! ````

mod backend;
mod data;
mod ends;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use language_syntax::Diagnostics;
use runtime::{LoadError, Runtime, Texts};
use sdk_testing::oracle;
use services_logging::{Format, Level, Log};
use walkdir::WalkDir;

use backend::Backend;
use ends::{AnyReceiver, End, lock};

/// How often to look whether what a component holds back (multi-line blocks, batches) has left. Looks are counted, not
/// seconds, as a machine may stand still.
const LOOK: Duration = Duration::from_millis(5);

/// After so many looks it does not come any more.
const MAX_LOOKS: usize = 6000;

#[test]
fn every_spec_holds() {
    let mut failed = Vec::new();
    let mut cases = 0;
    for entry in WalkDir::new(oracle::root().join("specs")).sort_by_file_name().into_iter().filter_map(Result::ok) {
        if entry.path().extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).expect("specs are text");
        for case in parse(&text) {
            cases += 1;
            let found = check(&case);
            if let Err(difference) = found {
                failed.push(format!("--- {} › {}\n{difference}", entry.path().display(), case.title));
            }
        }
    }
    eprintln!("specs: {cases} cases");
    assert!(failed.is_empty(), "{} of {cases} cases fail:\n{}", failed.len(), failed.join("\n"));
}

/// One heading with its fences.
struct Case {
    title: String,
    /// Info string and text.
    fences: Vec<(String, String)>,
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut fence: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut fence, line) {
            (Some(_), "```") => {
                let done = fence.take().expect("just matched");
                if let Some(case) = cases.last_mut() {
                    case.fences.push(done);
                }
            }
            (Some((_, body)), line) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, line) if line.starts_with("```") => fence = Some((line[3..].to_owned(), String::new())),
            (None, line) if line.starts_with('#') => {
                cases.push(Case { title: line.trim_start_matches('#').trim().to_owned(), fences: Vec::new() });
            }
            (None, _) => {}
        }
    }
    cases.retain(|case| !case.fences.is_empty());
    cases
}

fn check(case: &Case) -> Result<(), String> {
    // One thread, so that what is logged in it was logged by this case.
    let reactor =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let logged = Logged::default();
    let log = Log::writing_to(Box::new(logged.clone()));
    log.configure(Level::Info, Format::Logfmt);
    let run = || reactor.block_on(run(case, folder.path(), logged));
    let result = tracing::subscriber::with_default(log.subscriber(), run);
    reactor.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn run(case: &Case, folder: &Path, logged: Logged) -> Result<(), String> {
    let fences = |kind: &str| {
        let kind = kind.to_owned();
        case.fences.iter().filter(move |(info, _)| info.split(' ').next() == Some(&kind))
    };
    let pages = fences("answer").map(|(info, text)| (info.replacen("answer ", "", 1), text.clone()));
    let backend = Backend::start(pages.collect()).await.map_err(|error| error.to_string())?;
    let before = case.fences.iter().take_while(|(info, _)| info != "alloy");
    for (info, text) in before.filter(|(info, _)| info.starts_with("file ")) {
        write(&folder.join(&info[5..]), text, false)?;
    }
    let config: String = fences("alloy").map(|(_, text)| text.as_str()).collect();
    let config = config.replace("@dir@", &folder.display().to_string()).replace("@server@", &backend.address);
    let storage = tempfile::tempdir().map_err(|error| error.to_string())?;
    let graph = start(storage.path(), &config);
    let loaded = graph.load().await;

    let storage_path = storage.path().display().to_string();
    let expected_error: Vec<_> = fences("error").collect();
    let ends = ends::of(&storage_path);
    let mut observer =
        Observer { graph, config: &config, storage: storage.path(), ends, folder, backend: &backend, logged: &logged };
    let result = match (&loaded, expected_error.first()) {
        (Err(error), Some((_, expected))) => same(expected, &refusal(error, folder)),
        (Ok(_), Some(_)) => Err("it loads; the spec says that it does not".to_owned()),
        (Err(error), None) => Err(format!("it does not load:\n{}", refusal(error, folder))),
        (Ok(_), None) => observer.all(case).await,
    };
    observer.graph.stop().await;
    ends::forget(&storage_path);
    result
}

fn start(storage: &Path, config: &str) -> Runtime {
    let options = crate::harness::options(storage, &ends::COMPONENTS);
    Runtime::start(options, Arc::new(Texts::of("config.alloy", config)))
}

/// Goes through the fences of a case while its configuration runs.
struct Observer<'c> {
    graph: Runtime,
    config: &'c str,
    storage: &'c Path,
    ends: Vec<(String, End)>,
    folder: &'c Path,
    backend: &'c Backend,
    logged: &'c Logged,
}

impl Observer<'_> {
    async fn all(&mut self, case: &Case) -> Result<(), String> {
        let mut running = false;
        let mut answered = String::new();
        for (info, text) in &case.fences {
            let (kind, rest) = info.split_once(' ').unwrap_or((info, ""));
            match kind {
                "alloy" => running = true,
                "input" => self.input(text).await?,
                "output" => self.output(rest, text).await?,
                "exports" => self.settles(text, || self.exports(rest)).await?,
                "log" => self.settles(text, || Ok(self.logged.of(rest))).await?,
                "file" if running => write(&self.folder.join(rest), text, false)?,
                "append" => write(&self.folder.join(rest), text, true)?,
                "written" => self.settles(text, || read(&self.folder.join(rest))).await?,
                "request" => self.request(text).await?,
                "down" => self.backend.is_down(true),
                "up" => self.backend.is_down(false),
                "restart" => self.restart().await?,
                "post" => answered = self.post(rest, text).await?,
                "answered" => same(text, &answered)?,
                "page" => self.page(rest, text).await?,
                "file" | "answer" | "error" => {}
                other => return Err(format!("a spec has no fence {other:?}")),
            }
        }
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), String> {
        self.graph.stop().await;
        let storage = self.storage.display().to_string();
        ends::forget(&storage);
        self.graph = start(self.storage, self.config);
        self.graph.load().await.map_err(|error| refusal(&error, self.folder))?;
        self.ends = ends::of(&storage);
        Ok(())
    }

    async fn input(&self, text: &str) -> Result<(), String> {
        let receivers = self.ends.iter().find_map(|(_, end)| match end {
            End::In(receivers) => Some(receivers),
            End::Out(_) => None,
        });
        for receiver in receivers.ok_or("there is an input, but no spec.in in the configuration")? {
            let mut taken = Vec::new();
            match receiver {
                AnyReceiver::Logs(receiver) => {
                    for batch in data::logs(text)? {
                        taken.push(receiver.0.consume(batch).await);
                    }
                }
                AnyReceiver::Metrics(receiver) => taken.push(receiver.0.consume(data::samples(text)?).await),
                AnyReceiver::Otlp(consumer) => {
                    for batch in data::otlp(text)? {
                        taken.push(consumer.0.consume(batch).await);
                    }
                }
            }
            for delivery in taken {
                delivery.map_err(|refused| format!("refused: {refused}"))?.detach();
            }
        }
        Ok(())
    }

    async fn output(&self, label: &str, text: &str) -> Result<(), String> {
        let captured = self.ends.iter().find_map(|(id, end)| match end {
            End::Out(lines) if label.is_empty() || id.ends_with(&format!(".{label}")) => Some((id, lines)),
            _ => None,
        });
        let (id, captured) = captured.ok_or("there is an output, but no such spec.out in the configuration")?;
        if !id.ends_with(".otlp") {
            return self.settles(text, || Ok(lock(captured).iter().map(|line| format!("{line}\n")).collect())).await;
        }
        self.settles(&data::pretty(text)?, || data::pretty(&lock(captured).join("\n"))).await
    }

    fn exports(&self, id: &str) -> Result<String, String> {
        let component = self.graph.host().component(id).ok_or_else(|| format!("there is no component {id:?}"))?;
        Ok(component.exports.iter().fold(String::new(), |mut text, node| {
            if let language_eval::BodyNode::Attribute { name, value } = node {
                let _ = writeln!(text, "{name} = {value:?}");
            }
            text
        }))
    }

    async fn request(&self, text: &str) -> Result<(), String> {
        for _ in 0..MAX_LOOKS {
            match self.backend.take(text) {
                Some(shown) => return same(&laid_out(text), &self.unfolded(shown?)),
                None => tokio::time::sleep(LOOK).await,
            }
        }
        Err(format!("no such request came:\n{text}\nbut:\n{}", self.backend.seen()))
    }

    async fn post(&self, to: &str, text: &str) -> Result<String, String> {
        let (id, path) = to.split_once(' ').ok_or("a post is for the ID of a component and a path")?;
        for _ in 0..MAX_LOOKS {
            let log = self.logged.of(id);
            let port = log.split("127.0.0.1:").nth(1).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            match port {
                Some(Some(port)) => return backend::post(&format!("127.0.0.1:{port}"), path, text).await,
                _ => tokio::time::sleep(LOOK).await,
            }
        }
        Err(format!("{id} does not say that it listens on 127.0.0.1"))
    }

    /// What an exporter counts over time may need a second look.
    async fn page(&self, from: &str, expected: &str) -> Result<(), String> {
        let mut words = from.split(' ');
        let (Some(id), Some(path)) = (words.next(), words.next()) else {
            return Err("a page is of the ID of a component, at a path".to_owned());
        };
        let path = path.replace("@server@", &self.backend.address);
        let families: Vec<&str> = words.collect();
        let handler = self.graph.host().http_handler(id).ok_or_else(|| format!("{id:?} serves nothing"))?;
        let mut difference = String::new();
        for _ in 0..MAX_LOOKS {
            let request = http::Request::get(&path).body(Bytes::new()).map_err(|error| error.to_string())?;
            let shown = self.unfolded(selected(&handler(request).await, &families));
            match same(expected, &as_told(expected, &shown)) {
                Ok(()) => return Ok(()),
                Err(differs) => difference = differs,
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(difference)
    }

    /// Waits until something is as expected; says what it is if it does not become so.
    async fn settles(&self, expected: &str, actual: impl Fn() -> Result<String, String>) -> Result<(), String> {
        let compare = || actual().and_then(|actual| same(expected, &self.unfolded(actual)));
        for _ in 0..MAX_LOOKS {
            if compare().is_ok() {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        compare()
    }

    /// With the names that the spec has for what is different in each run.
    fn unfolded(&self, text: String) -> String {
        text.replace(&self.folder.display().to_string(), "@dir@").replace(&self.backend.address, "@server@")
    }
}

/// The log of a case.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// The lines of a component, without what is the same in each or different in each run.
    fn of(&self, id: &str) -> String {
        let text = String::from_utf8_lossy(&lock(&self.0)).into_owned();
        let id = format!(" component_path=/ component_id={id}");
        let lines = text.lines().filter(|line| line.contains(&format!("{id} ")) || line.ends_with(&id));
        lines.filter_map(|line| Some(line.split_once(' ')?.1.replace(&id, "") + "\n")).collect()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write(path: &Path, text: &str, append: bool) -> Result<(), String> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(|error| error.to_string())?;
    let file = std::fs::OpenOptions::new().create(true).write(true).append(append).truncate(!append).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A request with a body of JSON as it is shown.
fn laid_out(request: &str) -> String {
    match request.split_once("\n\n").map(|(head, body)| (head, data::pretty(body))) {
        Some((head, Ok(body))) => format!("{head}\n\n{body}"),
        _ => request.to_owned(),
    }
}

/// The lines of the families whose names begin with one of these; an answer that is no page whole.
fn selected(answer: &http::Response<Bytes>, families: &[&str]) -> String {
    let body = String::from_utf8_lossy(answer.body());
    if answer.status() != http::StatusCode::OK {
        return format!("{}\n\n{body}", answer.status());
    }
    let wanted = |line: &&str| {
        let name = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
        families.iter().any(|family| name.starts_with(family))
    };
    body.split_inclusive('\n').filter(wanted).collect()
}

/// A page in which lines end in `…` where those of the expected page do.
fn as_told(expected: &str, page: &str) -> String {
    let mut told = expected.lines();
    let lines = page.lines().map(|line| match told.next().and_then(|told| told.strip_suffix('…')) {
        Some(beginning) if line.starts_with(beginning) => format!("{beginning}…\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn same(expected: &str, actual: &str) -> Result<(), String> {
    if expected.trim_end() == actual.trim_end() {
        Ok(())
    } else {
        Err(format!("expected:\n{expected}\ngot:\n{actual}"))
    }
}

fn refusal(error: &LoadError, folder: &Path) -> String {
    let text = match error {
        LoadError::Unreadable(text) => text.clone(),
        LoadError::Unparsable(diagnostics) | LoadError::Refused(diagnostics) => render(diagnostics),
    };
    text.replace(&folder.display().to_string(), "@dir@")
}

fn render(diagnostics: &Diagnostics) -> String {
    crate::harness::drawn(diagnostics)
}
