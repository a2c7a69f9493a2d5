//! The lines of each kind: which pairs, in which order.

use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

use super::line::Pairs;
use super::moment::NEVER;
use super::payload::{Event, Exception, Frame, Log, Measurement, Meta, Trace};

/// A line's own pairs, before those that all lines of a payload have.
fn start<'p>(timestamp: &'p str, kind: &'static str) -> Pairs<'p> {
    let mut pairs = Pairs::default();
    pairs.text("timestamp", if timestamp.is_empty() { NEVER } else { timestamp });
    pairs.text("kind", kind);
    pairs
}

impl Trace {
    fn add<'p>(&'p self, pairs: &mut Pairs<'p>) {
        pairs.text("traceID", &self.trace_id);
        pairs.text("spanID", &self.span_id);
    }
}

impl Log {
    pub(super) fn pairs(&self) -> Pairs<'_> {
        let mut pairs = start(&self.timestamp, "log");
        pairs.text("message", &self.message);
        pairs.text("level", &self.level);
        pairs.texts("context_", &self.context);
        self.trace.add(&mut pairs);
        pairs
    }
}

impl Exception {
    /// With these frames in place of its own, which may be of minified code.
    pub(super) fn pairs(&self, frames: &[Frame]) -> Pairs<'_> {
        let mut pairs = start(&self.timestamp, "exception");
        pairs.text("type", &self.kind);
        pairs.text("value", &self.value);
        let mut stacktrace = format!("{}: {}", self.kind, self.value);
        for Frame { function, module, filename, line, column } in frames {
            let bar = if module.is_empty() { "" } else { "|" };
            let _ = write!(stacktrace, "\n  at {function} ({module}{bar}{filename}:{line}:{column})");
        }
        pairs.text("stacktrace", stacktrace);
        // Tells equal errors; dashboards group by it.
        pairs.text("hash", xxh3_64(self.value.as_bytes()).to_string());
        pairs.texts("context_", &self.context);
        self.trace.add(&mut pairs);
        pairs
    }
}

impl Measurement {
    pub(super) fn pairs(&self) -> Pairs<'_> {
        let mut pairs = start(&self.timestamp, "measurement");
        pairs.text("type", &self.kind);
        for (name, value) in &self.values {
            pairs.text(name, format!("{value:.6}"));
        }
        self.trace.add(&mut pairs);
        pairs.texts("context_", &self.context);
        for (name, value) in &self.values {
            pairs.number(format!("value_{name}"), *value);
        }
        pairs
    }
}

impl Event {
    pub(super) fn pairs(&self) -> Pairs<'_> {
        let mut pairs = start(&self.timestamp, "event");
        pairs.text("event_name", &self.name);
        pairs.text("event_domain", &self.domain);
        pairs.texts("event_data_", &self.attributes);
        self.trace.add(&mut pairs);
        pairs
    }
}

impl Meta {
    /// What every line of the payload has.
    pub(super) fn pairs(&self) -> Pairs<'_> {
        let Meta { sdk, app, user, session, page, browser, view } = self;
        let mut pairs = Pairs::default();
        pairs.text("sdk_name", &sdk.name);
        pairs.text("sdk_version", &sdk.version);
        let integrations = sdk.integrations.iter().map(|part| format!("{}:{}", part.name, part.version));
        pairs.text("sdk_integrations", integrations.collect::<Vec<_>>().join(","));
        pairs.text("app_name", &app.name);
        pairs.text("app_namespace", &app.namespace);
        pairs.text("app_release", &app.release);
        pairs.text("app_version", &app.version);
        pairs.text("app_environment", &app.environment);
        pairs.text("user_email", &user.email);
        pairs.text("user_id", &user.id);
        pairs.text("user_username", &user.username);
        pairs.texts("user_attr_", &user.attributes);
        pairs.text("session_id", &session.id);
        pairs.texts("session_attr_", &session.attributes);
        pairs.text("page_id", &page.id);
        pairs.text("page_url", &page.url);
        pairs.texts("page_attr_", &page.attributes);
        pairs.text("browser_name", &browser.name);
        pairs.text("browser_version", &browser.version);
        pairs.text("browser_os", &browser.os);
        pairs.text("browser_mobile", if browser.mobile { "true" } else { "false" });
        pairs.text("browser_userAgent", &browser.user_agent);
        pairs.text("browser_language", &browser.language);
        pairs.text("browser_viewportWidth", &browser.viewport_width);
        pairs.text("browser_viewportHeight", &browser.viewport_height);
        pairs.text("view_name", &view.name);
        pairs
    }
}
