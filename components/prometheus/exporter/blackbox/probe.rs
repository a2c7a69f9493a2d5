//! One probe under way: what it has found so far, what it says of it, and until when it may go on.

use std::collections::BTreeMap;
use std::future::Future;

use base_metrics::{Kind, Losses, Page};
use tokio::time::Instant;

/// A family of gauges.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Family {
    pub name: &'static str,
    pub help: &'static str,
}

/// One probe.
pub(super) struct Probe {
    families: BTreeMap<&'static Family, Samples>,
    deadline: Instant,
    /// What happened, for who asks for it with `debug=true`, and for the log at the level debug.
    story: Vec<String>,
    /// Whether this process has what such a probe takes, or why not; none if nobody looked.
    equipped: Option<Result<(), String>>,
}

type Samples = BTreeMap<Vec<(&'static str, String)>, f64>;

/// Lines that are kept of one probe.
const LONGEST_STORY: usize = 200;

pub(super) const SUCCESS: Family =
    Family { name: "probe_success", help: "Displays whether or not the probe was a success" };
pub(super) const DURATION: Family =
    Family { name: "probe_duration_seconds", help: "Returns how long the probe took to complete in seconds" };
pub(super) const FAILED_DUE_TO_REGEX: Family =
    Family { name: "probe_failed_due_to_regex", help: "Indicates if probe failed due to regex" };

// === impl Probe ===

impl Probe {
    pub fn until(deadline: Instant) -> Probe {
        Probe { families: BTreeMap::new(), deadline, story: Vec::new(), equipped: None }
    }

    /// Sets a gauge without labels.
    pub fn set(&mut self, family: &'static Family, value: f64) {
        self.set_of(family, &[], value);
    }

    /// Sets a gauge.
    pub fn set_of(&mut self, family: &'static Family, labels: &[(&'static str, &str)], value: f64) {
        *self.sample(family, labels) = value;
    }

    /// Adds to the gauge of a phase.
    pub fn add_phase(&mut self, family: &'static Family, phase: &'static str, seconds: f64) {
        *self.sample(family, &[("phase", phase)]) += seconds;
    }

    fn sample(&mut self, family: &'static Family, labels: &[(&'static str, &str)]) -> &mut f64 {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.families.entry(family).or_default().entry(labels).or_default()
    }

    /// Notes what happened.
    pub fn say(&mut self, what: impl Into<String>) {
        let what = what.into();
        tracing::debug!(what, "probe");
        if self.story.len() < LONGEST_STORY {
            self.story.push(what);
        }
    }

    /// Notes that this process has what such a probe takes, or that it can make none, whatever the target.
    pub fn is_equipped(&mut self, equipped: Result<(), &str>) {
        self.equipped = Some(equipped.map_err(str::to_owned));
    }

    /// What [`Probe::is_equipped`] was told.
    pub fn equipped(&self) -> Option<Result<(), &str>> {
        self.equipped.as_ref().map(|equipped| equipped.as_ref().copied().map_err(String::as_str))
    }

    /// Notes why the probe fails.
    pub fn fail(&mut self, why: impl Into<String>) -> bool {
        self.say(why);
        false
    }

    /// What `work` gives, if the time of the probe suffices for it.
    pub async fn in_time<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        match tokio::time::timeout_at(self.deadline, work).await {
            Ok(done) => done,
            Err(_) => Err("the time of the probe is over".to_owned()),
        }
    }

    /// The page of what was found.
    pub fn page(&self) -> String {
        let mut page = Page::new();
        let mut writer = page.writer();
        for (family, samples) in &self.families {
            let mut written = writer.family(family.name, family.help, Kind::Gauge);
            for (labels, value) in samples {
                let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
                written.sample(&labels, *value);
            }
        }
        let mut text = String::new();
        page.encode(&mut text, &Losses::default());
        text
    }

    /// The page behind what happened.
    pub fn told(&self) -> String {
        let mut text = "Logs for the probe:\n".to_owned();
        for line in &self.story {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("\n\n\nMetrics that would have been returned:\n");
        text + &self.page()
    }
}
