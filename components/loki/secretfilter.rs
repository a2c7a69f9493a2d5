//! `loki.secretfilter`: takes secrets out of log lines.

mod defaults;
mod durations;
mod gitleaks;
mod rule;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_metrics::{Counter, CounterVec};
use base_stdx::GoDuration;
use base_sys::chance::Chance;
use bytes::Bytes;
use language_eval::{Arguments, Exports, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Tap, Update};
use sdk_labels::Labels;
use sdk_signals::{
    BoxFuture, Consumer, Delivery, FanOut, LogBatch, LogEntry, LogGroup, LogsReceiver, Receiver, Refused,
};
use sha1::{Digest as _, Sha1};
use tokio::time::Instant;

use durations::Durations;
use rule::{Detector, Finding};

/// What stands for a secret that is wholly hidden.
const REDACTED: &str = "REDACTED";
const DEFAULT_PERCENT: i64 = 80;

/// Takes secrets out of log lines.
///
/// A secret is what one of the rules knows: access tokens of clouds and services, private keys, passwords that are assigned
/// to something. The rules are ours, some hundred; where one means the same as a rule of gitleaks it has its id. With
/// `gitleaks_config` they come from a file of gitleaks, which may extend ours (`[extend] useDefault = true`). Only the line
/// is looked at, neither labels nor structured metadata. No filter knows every secret: keep them out of logs where you can.
#[derive(Arguments)]
#[block(validate)]
pub struct SecretfilterArguments {
    /// Where the lines go.
    #[attr]
    forward_to: Vec<LogsReceiver>,
    /// The label whose value is `origin` in `loki_secretfilter_secrets_redacted_by_category_total`.
    #[attr(optional)]
    origin_label: String,
    /// What stands in the place of a secret; `$SECRET_NAME` is the rule's id, `$SECRET_HASH` the secret's SHA-1.
    #[attr(optional)]
    redact_with: String,
    /// Without `redact_with`: how much of a secret is hidden; the rest is its beginning. 100 leaves `REDACTED`, and what is
    /// not from 1 to 100 means 80.
    #[attr(default = DEFAULT_PERCENT)]
    redact_percent: i64,
    /// A file with rules of gitleaks (TOML); empty means ours.
    #[attr(optional)]
    gitleaks_config: String,
    /// The part of the lines that is looked at, from 0 to 1; the others go on as they are.
    #[attr(default = 1.0)]
    rate: f64,
    /// How long one line may take; what was found by then is taken out. 0 is no limit.
    #[attr(default = GoDuration::ZERO)]
    processing_timeout: GoDuration,
    /// Drop lines that took too long.
    #[attr(optional)]
    drop_on_timeout: bool,
    /// Label lines that took too long: `secretfilter="timed-out"`.
    #[attr(optional)]
    label_timed_out: bool,
}

/// What others may refer to.
#[derive(Exports)]
pub struct SecretfilterExports {
    /// Takes the lines to filter.
    receiver: LogsReceiver,
}

/// The component.
pub struct Secretfilter {
    context: Context,
    filter: Arc<Filter>,
    receiver: LogsReceiver,
}

/// The consumer behind the exported receiver.
struct Filter {
    component: String,
    wanted: Mutex<Arc<Wanted>>,
    chance: Mutex<Chance>,
    counters: Counters,
    durations: Arc<Mutex<Durations>>,
    ended: AtomicBool,
    tap: Tap,
}

struct Wanted {
    forward_to: FanOut<LogBatch>,
    detector: Detector,
    origin_label: String,
    redaction: Redaction,
    rate: f64,
    limit: Option<Duration>,
    drop_on_timeout: bool,
    label_timed_out: bool,
}

/// What is put in the place of a secret.
enum Redaction {
    Template(String),
    /// How much of it is hidden.
    Percent(usize),
}

struct Counters {
    redacted: Counter,
    by_category: CounterVec,
    bypassed: Counter,
    timed_out: Counter,
    dropped: Counter,
}

/// What becomes of an entry.
enum Fate {
    Kept,
    /// It took too long, and is to say so.
    Labelled,
    Dropped,
}

// === impl Secretfilter ===

impl Validate for SecretfilterArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(Invalid::field("rate", format!("rate must be between 0 and 1, but is {}", self.rate)));
        }
        if self.redact_percent < 0 {
            return Err(Invalid::field("redact_percent", "must not be negative"));
        }
        Ok(())
    }
}

impl Component for Secretfilter {
    const NAME: &'static str = "loki.secretfilter";
    const STABILITY: Stability = Stability::PublicPreview;

    type Arguments = SecretfilterArguments;
    type Exports = SecretfilterExports;

    fn build(context: &Context, arguments: SecretfilterArguments) -> Result<Secretfilter, Problem> {
        let metrics = context.metrics();
        let durations: Arc<Mutex<Durations>> = Arc::default();
        let shown = durations.clone();
        metrics.collect(Box::new(move |page| shown.lock().unwrap_or_else(PoisonError::into_inner).write(page)));
        let counter = |name: &str, help: &str| metrics.counter(&format!("loki_secretfilter_{name}"), help);
        let filter = Arc::new(Filter {
            component: context.local_id().to_owned(),
            wanted: Mutex::new(Arc::new(arguments.into_wanted(context)?)),
            chance: Mutex::new(Chance::new()),
            counters: Counters {
                redacted: counter("secrets_redacted_total", "Total number of secrets that have been redacted."),
                by_category: metrics.counter_vec(
                    "loki_secretfilter_secrets_redacted_by_category_total",
                    "Number of secrets redacted, partitioned by rule name and origin label value.",
                    &["rule", "origin"],
                ),
                bypassed: counter(
                    "entries_bypassed_total",
                    "Total number of entries forwarded without processing due to sampling.",
                ),
                timed_out: counter(
                    "lines_timed_out_total",
                    "Total number of log lines that exceeded the processing timeout, regardless of whether they were dropped or forwarded unredacted.",
                ),
                dropped: counter("lines_dropped_total", "Total number of log lines dropped due to processing timeout."),
            },
            durations,
            ended: AtomicBool::new(false),
            tap: context.tap(),
        });
        let receiver = LogsReceiver(Receiver::new(context.id(), filter.clone() as Arc<dyn Consumer<LogBatch>>));
        context.publish(&SecretfilterExports { receiver: receiver.clone() });
        Ok(Secretfilter { context: context.clone(), filter, receiver })
    }

    fn update(&self, arguments: SecretfilterArguments) -> Result<Update, Problem> {
        let filter = self.filter.clone();
        let wanted = Arc::new(arguments.into_wanted(&self.context)?);
        let exports = SecretfilterExports { receiver: self.receiver.clone() };
        Ok(Update::exporting(&exports, move || {
            *filter.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.filter.ended.store(false, Ordering::Relaxed);
        stop.stopped().await;
        self.filter.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl SecretfilterArguments {
    fn into_wanted(self, context: &Context) -> Result<Wanted, Problem> {
        let detector = match self.gitleaks_config.as_str() {
            "" => gitleaks::default_detector().map_err(Problem::new)?,
            path => gitleaks::detector_of(Path::new(path))
                .map_err(|why| Problem { field: Some("gitleaks_config".to_owned()), ..Problem::environment(why) })?,
        };
        let percent = if (1..=100).contains(&self.redact_percent) { self.redact_percent } else { DEFAULT_PERCENT };
        Ok(Wanted {
            detector,
            forward_to: FanOut::new(self.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
            origin_label: self.origin_label,
            redaction: match self.redact_with.is_empty() {
                true => Redaction::Percent(usize::try_from(percent).unwrap_or_default()),
                false => Redaction::Template(self.redact_with),
            },
            rate: self.rate,
            limit: self.processing_timeout.to_std().filter(|limit| !limit.is_zero()),
            drop_on_timeout: self.drop_on_timeout,
            label_timed_out: self.label_timed_out,
        })
    }
}

// === impl Filter ===

impl Consumer<LogBatch> for Filter {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(&self.component));
            }
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let batch = self.filter(&wanted, batch);
            if batch.is_empty() {
                return Ok(Delivery::dropped());
            }
            wanted.forward_to.consume(batch).await
        })
    }
}

impl Filter {
    fn filter(&self, wanted: &Wanted, batch: LogBatch) -> LogBatch {
        let look = self.tap.look();
        let show = |before: &Bytes, after: &Bytes| {
            if let Some(look) = &look {
                look.count("loki_log", 1);
                look.show(|| format!("{} => {}", String::from_utf8_lossy(before), String::from_utf8_lossy(after)));
            }
        };
        let mut took = Vec::with_capacity(batch.len());
        let mut filtered = LogBatch { groups: Vec::with_capacity(batch.groups.len()), ..batch };
        for LogGroup { labels, entries } in batch.groups {
            let origin = labels.get(&wanted.origin_label).filter(|_| !wanted.origin_label.is_empty()).unwrap_or("");
            let mut kept = Vec::with_capacity(entries.len());
            for mut entry in entries {
                if !self.is_chosen(wanted) {
                    self.counters.bypassed.inc();
                    show(&entry.line, &entry.line);
                    kept.push(entry);
                    continue;
                }
                let before = entry.line.clone();
                let began = Instant::now();
                let fate = self.entry(wanted, origin, &mut entry);
                took.push(began.elapsed());
                if !matches!(fate, Fate::Dropped) {
                    show(&before, &entry.line);
                }
                match fate {
                    Fate::Kept => kept.push(entry),
                    Fate::Labelled => {
                        let before = std::mem::take(&mut kept);
                        if !before.is_empty() {
                            filtered.groups.push(LogGroup { labels: labels.clone(), entries: before });
                        }
                        let labels = Labels::from_pairs(labels.iter().chain([("secretfilter", "timed-out")]));
                        filtered.groups.push(LogGroup { labels, entries: vec![entry] });
                    }
                    Fate::Dropped => {}
                }
            }
            if !kept.is_empty() {
                filtered.groups.push(LogGroup { labels, entries: kept });
            }
        }
        self.durations.lock().unwrap_or_else(PoisonError::into_inner).add(&took);
        filtered
    }

    fn is_chosen(&self, wanted: &Wanted) -> bool {
        wanted.rate >= 1.0 || self.chance.lock().unwrap_or_else(PoisonError::into_inner).below(wanted.rate)
    }

    fn entry(&self, wanted: &Wanted, origin: &str, entry: &mut LogEntry) -> Fate {
        let found = wanted.detector.find(&entry.line, wanted.limit);
        if found.timed_out {
            self.counters.timed_out.inc();
            if wanted.drop_on_timeout {
                self.counters.dropped.inc();
                return Fate::Dropped;
            }
        }
        if !found.findings.is_empty() {
            for finding in &found.findings {
                self.counters.redacted.inc();
                self.counters.by_category.with(&[finding.rule, origin]).inc();
            }
            entry.line = wanted.redaction.redact(&entry.line, &found.findings);
        }
        match found.timed_out && wanted.label_timed_out {
            true => Fate::Labelled,
            false => Fate::Kept,
        }
    }
}

// === impl Redaction ===

impl Redaction {
    /// Each secret is replaced wherever it stands in the line.
    fn redact(&self, line: &Bytes, findings: &[Finding<'_>]) -> Bytes {
        let mut redacted = line.to_vec();
        for finding in findings {
            let secret = &line[finding.secret.clone()];
            let replacement = self.replacement(finding.rule, secret);
            let mut replaced = Vec::with_capacity(redacted.len());
            let mut behind = 0;
            for at in memchr::memmem::find_iter(&redacted, secret) {
                replaced.extend_from_slice(&redacted[behind..at]);
                replaced.extend_from_slice(&replacement);
                behind = at + secret.len();
            }
            replaced.extend_from_slice(&redacted[behind..]);
            redacted = replaced;
        }
        redacted.into()
    }

    fn replacement(&self, rule: &str, secret: &[u8]) -> Vec<u8> {
        match self {
            Redaction::Template(template) => {
                let named = template.replace("$SECRET_NAME", rule);
                if !named.contains("$SECRET_HASH") {
                    return named.into_bytes();
                }
                let hash: String = Sha1::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
                named.replace("$SECRET_HASH", &hash).into_bytes()
            }
            Redaction::Percent(100) => REDACTED.as_bytes().to_vec(),
            Redaction::Percent(percent) => {
                // Half goes to the even side, as in gitleaks.
                let shown = (secret.len() as f64 * (100 - percent) as f64 / 100.0).round_ties_even() as usize;
                [&secret[..shown.min(secret.len())], b"..."].concat()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{FromValue, Scope, ToValue, Value};
    use sdk_testing::collector::Collector;
    use sdk_testing::component::{Alone, scope};

    use super::*;

    fn token() -> String {
        format!("glpat-{}", "aB3dE6gH9jK2mN5pQ8rS")
    }

    fn sink() -> (Arc<Collector<LogBatch>>, Scope) {
        let (collector, receiver) = Collector::new();
        (collector, scope([("sink", Value::Array(vec![LogsReceiver(receiver).to_value()].into()))]))
    }

    async fn filtered(options: &str, line: &str) -> (Vec<LogGroup>, Alone<Secretfilter>) {
        let (collector, scope) = sink();
        let alone = Alone::<Secretfilter>::build(&format!("forward_to = sink\n{options}"), &scope).unwrap();
        let receiver = LogsReceiver::from_value(&alone.export("receiver").unwrap()).unwrap();
        let batch = LogBatch::of(Labels::from_pairs([("app", "web")]), vec![LogEntry::new(1, line.to_owned())]);
        receiver.0.consume(batch).await.unwrap().detach();
        (collector.take().into_iter().flat_map(|batch| batch.groups).collect(), alone)
    }

    fn line(groups: &[LogGroup]) -> &str {
        std::str::from_utf8(&groups[0].entries[0].line).unwrap()
    }

    #[tokio::test]
    async fn secrets_are_hidden_as_far_as_is_asked() {
        let text = format!("a {0} and {0} again", token());
        let (groups, alone) = filtered("origin_label = \"app\"", &text).await;
        assert_eq!(line(&groups), "a glpat... and glpat... again");
        let category = [("rule", "gitlab-pat"), ("origin", "web")];
        assert_eq!(alone.metric("loki_secretfilter_secrets_redacted_total", &[]), Some(2.0));
        let by_category = "loki_secretfilter_secrets_redacted_by_category_total";
        assert_eq!(alone.metric(by_category, &category), Some(2.0));
        let page = alone.metrics();
        assert!(
            page.contains("loki_secretfilter_processing_duration_seconds_count") && page.contains("quantile=\"0.99\""),
            "{page}"
        );

        let (groups, _) = filtered("redact_percent = 100", &text).await;
        assert_eq!(line(&groups), "a REDACTED and REDACTED again");
        let (groups, _) = filtered("redact_with = \"<$SECRET_NAME:$SECRET_HASH>\"", &token()).await;
        let hash: String = Sha1::digest(token().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line(&groups), format!("<gitlab-pat:{hash}>"));
    }

    #[tokio::test]
    async fn who_looks_sees_lines_before_and_after() {
        let (_, alone) = filtered("redact_percent = 100", "").await;
        let notes = crate::notes::Notes::of(&alone.component.filter.tap);
        let batch = LogBatch::of(Labels::empty(), vec![LogEntry::new(1, format!("key {}", token()))]);
        alone.component.filter.consume(batch).await.unwrap().detach();
        assert_eq!(notes.take(), ["1 loki_log".to_owned(), format!("key {} => key REDACTED", token())]);
    }

    #[tokio::test]
    async fn lines_that_are_not_chosen_pass() {
        let (groups, alone) = filtered("rate = 0", &token()).await;
        assert_eq!(line(&groups), token());
        assert_eq!(alone.metric("loki_secretfilter_entries_bypassed_total", &[]), Some(1.0));
    }

    #[tokio::test]
    async fn lines_that_take_too_long_are_labelled_or_dropped_and_counted() {
        let (groups, alone) = filtered("processing_timeout = \"1ns\"\nlabel_timed_out = true", &token()).await;
        assert_eq!(groups[0].labels.to_string(), r#"{app="web", secretfilter="timed-out"}"#);
        assert_eq!(alone.metric("loki_secretfilter_lines_timed_out_total", &[]), Some(1.0));
        let (groups, alone) = filtered("processing_timeout = \"1ns\"\ndrop_on_timeout = true", &token()).await;
        assert!(groups.is_empty());
        assert_eq!(alone.metric("loki_secretfilter_lines_dropped_total", &[]), Some(1.0));
    }

    #[tokio::test]
    async fn rules_of_a_file_are_used_and_a_bad_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.toml");
        std::fs::write(&file, "[[rules]]\nid = 'own'\nregex = 'own-\\d+'\n").unwrap();
        let option = format!("gitleaks_config = \"{}\"\nredact_with = \"[$SECRET_NAME]\"", file.display());
        let (groups, _) = filtered(&option, "x own-123 y").await;
        assert_eq!(line(&groups), "x [own] y");
        std::fs::write(&file, "[[rules]]\nid = 'own'\nregex = '('\n").unwrap();
        let (_, scope) = sink();
        let refused = Alone::<Secretfilter>::build(&format!("forward_to = sink\n{option}"), &scope);
        assert!(refused.is_err_and(|error| error.contains("rules.toml") && error.contains("own")));
        let refused = Alone::<Secretfilter>::build("forward_to = sink\nrate = 1.5", &scope);
        assert!(refused.is_err_and(|error| error.contains("between 0 and 1")));
    }
}
