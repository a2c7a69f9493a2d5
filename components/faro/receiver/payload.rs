//! What browsers send.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::read::{self, fields};

/// One request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Payload {
    pub exceptions: Vec<Exception>,
    pub logs: Vec<Log>,
    pub measurements: Vec<Measurement>,
    pub events: Vec<Event>,
    pub meta: Meta,
    /// As a request of OTLP.
    pub traces: Option<Vec<u8>>,
}

/// An error that was thrown.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Exception {
    pub kind: String,
    pub value: String,
    pub stacktrace: Stacktrace,
    pub timestamp: String,
    pub trace: Trace,
    pub context: BTreeMap<String, String>,
}

/// Where an error was thrown, innermost first.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stacktrace {
    pub frames: Vec<Frame>,
}

/// A place in the code.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Frame {
    pub function: String,
    pub module: String,
    pub filename: String,
    pub line: i64,
    pub column: i64,
}

/// A message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Log {
    pub message: String,
    pub level: String,
    pub context: BTreeMap<String, String>,
    pub timestamp: String,
    pub trace: Trace,
}

/// Numbers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Measurement {
    pub kind: String,
    pub values: BTreeMap<String, f64>,
    pub timestamp: String,
    pub trace: Trace,
    pub context: BTreeMap<String, String>,
}

/// Something that happened.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Event {
    pub name: String,
    pub domain: String,
    pub attributes: BTreeMap<String, String>,
    pub timestamp: String,
    pub trace: Trace,
}

/// The span that something belongs to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Trace {
    pub trace_id: String,
    pub span_id: String,
}

/// What all of a payload has in common.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Meta {
    pub sdk: Sdk,
    pub app: App,
    pub user: User,
    pub session: Session,
    pub page: Page,
    pub browser: Browser,
    pub view: View,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Sdk {
    pub name: String,
    pub version: String,
    pub integrations: Vec<Integration>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Integration {
    pub name: String,
    pub version: String,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct App {
    pub name: String,
    pub namespace: String,
    pub release: String,
    pub version: String,
    pub environment: String,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct User {
    pub email: String,
    pub id: String,
    pub username: String,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Session {
    pub id: String,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    pub id: String,
    pub url: String,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Browser {
    pub name: String,
    pub version: String,
    pub os: String,
    pub mobile: bool,
    pub user_agent: String,
    pub language: String,
    pub viewport_width: String,
    pub viewport_height: String,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct View {
    pub name: String,
}

impl Payload {
    /// Reads one; times that have the offset of `local` get its name.
    pub fn read(json: &[u8], local: &TimeZone) -> Result<Payload, serde_json::Error> {
        let mut payload = Payload::default();
        read::read(json, &mut payload, local)?;
        Ok(payload)
    }
}

fields!(Payload {
    "exceptions" => List(exceptions),
    "logs" => List(logs),
    "measurements" => List(measurements),
    "events" => List(events),
    "meta" => Object(meta),
    "traces" => Traces(traces),
});
fields!(Exception {
    "type" => Text(kind),
    "value" => Text(value),
    "stacktrace" => Object(stacktrace),
    "timestamp" => Time(timestamp),
    "trace" => Object(trace),
    "context" => Texts(context),
});
fields!(Stacktrace { "frames" => List(frames) });
fields!(Frame {
    "function" => Text(function),
    "module" => Text(module),
    "filename" => Text(filename),
    "lineno" => Whole(line),
    "colno" => Whole(column),
});
fields!(Log {
    "message" => Text(message),
    "level" => Text(level),
    "context" => Texts(context),
    "timestamp" => Time(timestamp),
    "trace" => Object(trace),
});
fields!(Measurement {
    "type" => Text(kind),
    "values" => Numbers(values),
    "timestamp" => Time(timestamp),
    "trace" => Object(trace),
    "context" => Texts(context),
});
fields!(Event {
    "name" => Text(name),
    "domain" => Text(domain),
    "attributes" => Texts(attributes),
    "timestamp" => Time(timestamp),
    "trace" => Object(trace),
});
fields!(Trace { "trace_id" => Text(trace_id), "span_id" => Text(span_id) });
fields!(Meta {
    "sdk" => Object(sdk),
    "app" => Object(app),
    "user" => Object(user),
    "session" => Object(session),
    "page" => Object(page),
    "browser" => Object(browser),
    "view" => Object(view),
});
fields!(Sdk { "name" => Text(name), "version" => Text(version), "integrations" => List(integrations) });
fields!(Integration { "name" => Text(name), "version" => Text(version) });
fields!(App {
    "name" => Text(name),
    "namespace" => Text(namespace),
    "release" => Text(release),
    "version" => Text(version),
    "environment" => Text(environment),
});
fields!(User {
    "email" => Text(email),
    "id" => Text(id),
    "username" => Text(username),
    "attributes" => Texts(attributes),
});
fields!(Session { "id" => Text(id), "attributes" => Texts(attributes) });
fields!(Page { "id" => Text(id), "url" => Text(url), "attributes" => Texts(attributes) });
fields!(Browser {
    "name" => Text(name),
    "version" => Text(version),
    "os" => Text(os),
    "mobile" => Flag(mobile),
    "userAgent" => Text(user_agent),
    "language" => Text(language),
    "viewportWidth" => Text(viewport_width),
    "viewportHeight" => Text(viewport_height),
});
fields!(View { "name" => Text(name) });
