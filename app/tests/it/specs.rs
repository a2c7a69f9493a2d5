//! Runs the specs: prose with fenced blocks under `specs/`, readable as documentation.
//!
//! A heading begins a case. In it stand, in this order,
//!
//! ````text
//! ```alloy                   the configuration; `spec.in` and `spec.out` are the two ends of the test
//! ```input                   log lines for `spec.in.logs`: `{label="value"} line`
//! ```output                  what `spec.out.logs` gets, in the same form; `[name=value]` after the line is metadata
//! ```exports ID              what the component exports, one `name = value` a line
//! ```error                   how loading is refused, as the terminal shows it (nothing else may stand in the case)
//! ````
//!
//! `@dir@` in a configuration is an empty folder; a fence `file NAME` writes a file into it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use language_eval::{Arguments, Exports};
use language_syntax::Diagnostics;
use runtime::{LoadError, Runtime, Texts};
use sdk_component::{Component, Context, Definition, Problem, Stop, Stopped, Update};
use sdk_labels::Labels;
use sdk_signals::{BoxFuture, Consumer, Delivery, FanOut, LogBatch, LogEntry, LogsReceiver, Receiver, Refused};
use sdk_testing::oracle;
use walkdir::WalkDir;

/// A moment that no component moves: the time of every input line.
const INPUT_TIME: i64 = 1_760_000_000_000_000_000;

/// How long what a component holds back (multi-line blocks, batches) may take to leave.
const PATIENCE: Duration = Duration::from_secs(10);

// The two ends. They are found through these, as a spec runs in a process of its own kind.
static ENDS: Mutex<Vec<(String, End)>> = Mutex::new(Vec::new());

#[derive(Clone)]
enum End {
    In(FanOut<LogBatch>),
    Out(Arc<Mutex<Vec<String>>>),
}

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
    let reactor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let result = reactor.block_on(run(case, folder.path()));
    reactor.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn run(case: &Case, folder: &Path) -> Result<(), String> {
    let fences = |kind: &str| {
        let kind = kind.to_owned();
        case.fences.iter().filter(move |(info, _)| info.split(' ').next() == Some(&kind))
    };
    for (info, text) in fences("file") {
        let name = info.strip_prefix("file ").ok_or("a file fence names its file")?;
        std::fs::write(folder.join(name), text).map_err(|error| error.to_string())?;
    }
    let config: String = fences("alloy").map(|(_, text)| text.as_str()).collect();
    let config = config.replace("@dir@", &folder.display().to_string());
    let storage = tempfile::tempdir().map_err(|error| error.to_string())?;
    let graph = Runtime::start(
        crate::harness::options(storage.path(), &TEST_COMPONENTS),
        Arc::new(Texts::of("config.alloy", &config)),
    );
    let loaded = graph.load().await;

    let expected_error: Vec<_> = fences("error").collect();
    let result = match (&loaded, expected_error.first()) {
        (Err(error), Some((_, expected))) => same(expected, &refusal(error, folder)),
        (Ok(_), Some(_)) => Err("it loads; the spec says that it does not".to_owned()),
        (Err(error), None) => Err(format!("it does not load:\n{}", refusal(error, folder))),
        (Ok(_), None) => observe(case, &graph).await,
    };
    graph.stop().await;
    let own = storage.path().display().to_string();
    ENDS.lock().expect("no holder panics").retain(|(storage, _)| *storage != own);
    result
}

async fn observe(case: &Case, graph: &Runtime) -> Result<(), String> {
    let ends: Vec<End> = ENDS.lock().expect("no holder panics").iter().map(|(_, end)| end.clone()).collect();
    let captured = ends.iter().find_map(|end| match end {
        End::Out(lines) => Some(lines.clone()),
        End::In(_) => None,
    });
    for (info, text) in &case.fences {
        let (kind, rest) = info.split_once(' ').unwrap_or((info, ""));
        match kind {
            "input" => {
                let Some(End::In(forward)) = ends.iter().find(|end| matches!(end, End::In(_))) else {
                    return Err("there is an input, but no spec.in in the configuration".to_owned());
                };
                for line in text.lines() {
                    let (labels, line) = labels_and_line(line)?;
                    let entry = LogEntry::new(INPUT_TIME, line.to_owned().into_bytes());
                    let taken = forward.consume(LogBatch::of(labels, vec![entry])).await;
                    taken.map_err(|refused| format!("refused: {refused}"))?.detach();
                }
            }
            "output" => {
                let captured = captured.as_ref().ok_or("there is an output, but no spec.out in the configuration")?;
                let wanted = text.lines().count();
                let start = tokio::time::Instant::now();
                while captured.lock().expect("no holder panics").len() < wanted && start.elapsed() < PATIENCE {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let mut lines = captured.lock().expect("no holder panics").join("\n");
                if !lines.is_empty() {
                    lines.push('\n');
                }
                same(text, &lines)?;
            }
            "exports" => {
                let component =
                    graph.host().component(rest).ok_or_else(|| format!("there is no component {rest:?}"))?;
                let shown: String = component.exports.iter().fold(String::new(), |mut text, node| {
                    if let language_eval::BodyNode::Attribute { name, value } = node {
                        let _ = writeln!(text, "{name} = {value:?}");
                    }
                    text
                });
                same(text, &shown)?;
            }
            "alloy" | "file" | "error" => {}
            other => return Err(format!("a spec has no fence {other:?}")),
        }
    }
    Ok(())
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

/// `{a="1", b="2"} line`
fn labels_and_line(text: &str) -> Result<(Labels, &str), String> {
    let rest = text.strip_prefix('{').ok_or("an input line begins with its labels: {job=\"x\"} …")?;
    let (labels, line) = rest.split_once("} ").ok_or("labels end in `} `")?;
    let pairs = labels.split(", ").filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is no label"))?;
        Ok((name, value.trim_matches('"')))
    });
    let pairs: Result<Vec<_>, String> = pairs.collect();
    Ok((Labels::from_pairs(pairs?), line))
}

// The test's own two components. They are in no family.

static TEST_COMPONENTS: [Definition; 2] = [Definition::of::<In>(), Definition::of::<Out>()];

/// Sends the input lines.
#[derive(Arguments)]
struct InArguments {
    /// To whom.
    #[attr]
    forward_to: Vec<LogsReceiver>,
}

struct In;

impl Component for In {
    const NAME: &'static str = "spec.in";
    type Arguments = InArguments;
    type Exports = ();

    fn build(context: &Context, arguments: InArguments) -> Result<In, Problem> {
        register(context, End::In(FanOut::new(arguments.forward_to.into_iter().map(|receiver| receiver.0))));
        Ok(In)
    }

    fn update(&self, _: InArguments) -> Result<Update, Problem> {
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

/// Takes the output lines.
#[derive(Arguments)]
struct OutArguments {}

#[derive(Exports)]
struct OutExports {
    /// What takes them.
    receiver: LogsReceiver,
}

struct Out;

struct Capture(Arc<Mutex<Vec<String>>>);

impl Component for Out {
    const NAME: &'static str = "spec.out";
    type Arguments = OutArguments;
    type Exports = OutExports;

    fn build(context: &Context, _: OutArguments) -> Result<Out, Problem> {
        let lines = Arc::default();
        register(context, End::Out(Arc::clone(&lines)));
        context.publish(&OutExports { receiver: LogsReceiver(Receiver::new(context.id(), Arc::new(Capture(lines)))) });
        Ok(Out)
    }

    fn update(&self, _: OutArguments) -> Result<Update, Problem> {
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

impl Consumer<LogBatch> for Capture {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        let mut lines = self.0.lock().expect("no holder panics");
        for group in batch.groups {
            for entry in group.entries {
                let mut line = format!("{} {}", group.labels, String::from_utf8_lossy(&entry.line));
                if entry.timestamp != INPUT_TIME {
                    let _ = write!(line, " @{}", entry.timestamp);
                }
                for (name, value) in entry.metadata.pairs() {
                    let _ = write!(line, " [{}={}]", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
                }
                lines.push(line);
            }
        }
        Box::pin(std::future::ready(Ok(Delivery::delivered())))
    }
}

/// Cases run one after another; the storage path tells them apart all the same.
fn register(context: &Context, end: End) {
    let storage = context.data_path().parent().unwrap_or(context.data_path()).display().to_string();
    ENDS.lock().expect("no holder panics").push((storage, end));
}
