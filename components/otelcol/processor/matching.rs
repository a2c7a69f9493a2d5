//! The `include` and `exclude` blocks.
//!
//! Every kind of condition that is given must hold; inside a list one is enough (but every `attribute` must match, and
//! every `library`, as in the Collector).

use base_re2::Regex;
use language_eval::{Block, Value, Word};
use sdk_component::Problem;
use sdk_otel::output::Output;
use sdk_protocols_otlp::edit::{Attributes, Item};
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{Any, AnyValue, Message};
use sdk_signals::OtlpSignal;

use crate::attributes::action::encode;

/// What an item must be like.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Match {
    /// How texts are compared.
    #[attr]
    pub match_type: MatchType,
    /// Without effect: patterns are matched in linear time and not cached.
    #[block]
    pub regexp: Option<RegexpCache>,
    /// Values of `service.name` of the resource. For spans.
    #[attr(optional)]
    pub services: Vec<String>,
    /// Names. For spans.
    #[attr(optional)]
    pub span_names: Vec<String>,
    /// Bodies, as text. For logs.
    #[attr(optional)]
    pub log_bodies: Vec<String>,
    /// Severities, as written in the record. For logs.
    #[attr(optional)]
    pub log_severity_texts: Vec<String>,
    /// The lowest severity. For logs.
    #[block]
    pub log_severity: Option<SeverityMatch>,
    /// Names. For metrics.
    #[attr(optional)]
    pub metric_names: Vec<String>,
    /// Attributes of the span or log record.
    #[block]
    pub attribute: Vec<AttributeMatch>,
    /// Attributes of the resource.
    #[block]
    pub resource: Vec<AttributeMatch>,
    /// The instrumentation scope.
    #[block]
    pub library: Vec<LibraryMatch>,
    /// `SPAN_KIND_SERVER`, … For spans.
    #[attr(optional)]
    pub span_kinds: Vec<String>,
}

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum MatchType {
    /// As a whole.
    Strict,
    /// As patterns, found anywhere.
    Regexp,
}

/// Settings of a cache that is not there.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct RegexpCache {
    /// Without effect.
    #[attr(optional)]
    pub cache_enabled: bool,
    /// Without effect.
    #[attr(optional)]
    pub cache_max_num_entries: i64,
}

/// An attribute to look for.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct AttributeMatch {
    /// Its key.
    #[attr]
    pub key: String,
    /// Its value; without one the key is enough.
    #[attr]
    pub value: Option<Value>,
}

/// An instrumentation scope to look for.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct LibraryMatch {
    /// Its name.
    #[attr]
    pub name: String,
    /// Its version; without one any is fine.
    #[attr]
    pub version: Option<String>,
}

/// A lowest severity.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct SeverityMatch {
    /// `TRACE`, …, `FATAL4`.
    #[attr]
    pub min: Severity,
    /// Whether a record without severity matches.
    #[attr]
    pub match_undefined: bool,
}

/// The severities of OTLP, in the order of their numbers from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
#[allow(missing_docs, reason = "the names are the protocol's")]
#[rustfmt::skip]
pub enum Severity {
    #[word(name = "TRACE")] Trace,
    #[word(name = "TRACE2")] Trace2,
    #[word(name = "TRACE3")] Trace3,
    #[word(name = "TRACE4")] Trace4,
    #[word(name = "DEBUG")] Debug,
    #[word(name = "DEBUG2")] Debug2,
    #[word(name = "DEBUG3")] Debug3,
    #[word(name = "DEBUG4")] Debug4,
    #[word(name = "INFO")] Info,
    #[word(name = "INFO2")] Info2,
    #[word(name = "INFO3")] Info3,
    #[word(name = "INFO4")] Info4,
    #[word(name = "WARN")] Warn,
    #[word(name = "WARN2")] Warn2,
    #[word(name = "WARN3")] Warn3,
    #[word(name = "WARN4")] Warn4,
    #[word(name = "ERROR")] Error,
    #[word(name = "ERROR2")] Error2,
    #[word(name = "ERROR3")] Error3,
    #[word(name = "ERROR4")] Error4,
    #[word(name = "FATAL")] Fatal,
    #[word(name = "FATAL2")] Fatal2,
    #[word(name = "FATAL3")] Fatal3,
    #[word(name = "FATAL4")] Fatal4,
}

const SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

// === impl Match ===

impl Match {
    /// Whether the conditions make sense for a signal.
    pub(crate) fn check(&self, signal: OtlpSignal) -> Result<(), String> {
        let for_logs =
            !self.log_bodies.is_empty() || !self.log_severity_texts.is_empty() || self.log_severity.is_some();
        let for_spans = !self.services.is_empty() || !self.span_names.is_empty() || !self.span_kinds.is_empty();
        let for_metrics = !self.metric_names.is_empty();
        let scoped = !self.attribute.is_empty() || !self.library.is_empty();
        let any = scoped || !self.resource.is_empty();
        let missing = |names: &str| Err(format!("at least one of {names} must be given for {}", signal.name()));
        match signal {
            OtlpSignal::Traces if for_logs || for_metrics => {
                Err("log_bodies, log_severity_texts, log_severity and metric_names are not valid for spans".to_owned())
            }
            OtlpSignal::Traces if !for_spans && !any => {
                missing("services, span_names, span_kinds, attribute, library or resource")
            }
            OtlpSignal::Traces if self.match_type == MatchType::Strict => {
                match self.span_kinds.iter().find(|kind| !SPAN_KINDS[1..].contains(&&kind[..])) {
                    Some(unknown) => Err(format!("span_kinds: {unknown:?} is none of {:?}", &SPAN_KINDS[1..])),
                    None => Ok(()),
                }
            }
            OtlpSignal::Traces => Ok(()),
            OtlpSignal::Logs if for_spans || for_metrics => {
                Err("services, span_names, span_kinds and metric_names are not valid for log records".to_owned())
            }
            OtlpSignal::Logs if !for_logs && !any => {
                missing("log_bodies, log_severity_texts, log_severity, attribute, library or resource")
            }
            OtlpSignal::Logs => Ok(()),
            OtlpSignal::Metrics if for_spans || for_logs || scoped => {
                Err("only metric_names and resource are valid for metrics".to_owned())
            }
            OtlpSignal::Metrics if !for_metrics && self.resource.is_empty() => missing("metric_names or resource"),
            OtlpSignal::Metrics => Ok(()),
        }
    }
}

// === selection ===

/// Both blocks, ready to be asked.
pub(crate) struct Selection {
    include: Option<Filter>,
    exclude: Option<Filter>,
}

/// A selection at work on one payload.
pub(crate) struct Selecting<'f> {
    include: Option<Asked<'f>>,
    exclude: Option<Asked<'f>>,
}

impl Selection {
    /// Refuses what makes no sense for a signal that is sent on.
    pub(crate) fn new(
        include: Option<&Match>,
        exclude: Option<&Match>,
        signals: &[OtlpSignal],
        output: &Output,
    ) -> Result<Selection, Problem> {
        let filter = |name: &'static str, given: Option<&Match>| {
            let Some(given) = given else { return Ok(None) };
            for signal in signals.iter().filter(|signal| !output.of(**signal).is_empty()) {
                given.check(*signal).map_err(|message| Problem::at(name, message))?;
            }
            Filter::new(given).map(Some).map_err(|message| Problem::at(name, message))
        };
        Ok(Selection { include: filter("include", include)?, exclude: filter("exclude", exclude)? })
    }

    /// Whether nothing is left out.
    pub(crate) fn is_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    pub(crate) fn on(&self, signal: OtlpSignal) -> Selecting<'_> {
        let [include, exclude] = [&self.include, &self.exclude].map(|filter| filter.as_ref().map(|f| f.on(signal)));
        Selecting { include, exclude }
    }
}

impl Selecting<'_> {
    pub(crate) fn takes(&mut self, item: &Item<'_>, attributes: &Attributes<'_>) -> bool {
        self.include.as_mut().is_none_or(|filter| filter.matches(item, attributes))
            && !self.exclude.as_mut().is_some_and(|filter| filter.matches(item, attributes))
    }
}

// === filter ===

/// The conditions, ready to be asked.
pub(crate) struct Filter {
    services: Option<Texts>,
    span_names: Option<Texts>,
    span_kinds: Option<Texts>,
    log_bodies: Option<Texts>,
    log_severity_texts: Option<Texts>,
    log_severity: Option<(u64, bool)>,
    metric_names: Option<Texts>,
    attributes: Vec<Wanted>,
    resource: Vec<Wanted>,
    libraries: Vec<(Texts, Option<Texts>)>,
}

/// A filter at work on one payload; what concerns a whole group is found out once for it.
pub(crate) struct Asked<'f> {
    filter: &'f Filter,
    signal: OtlpSignal,
    resource: Option<(usize, bool)>,
    scope: Option<(usize, bool)>,
}

enum Texts {
    Strict(Vec<Vec<u8>>),
    Regexp(Vec<Regex>),
}

struct Wanted {
    key: Vec<u8>,
    value: WantedValue,
}

enum WantedValue {
    Any,
    Equal(Vec<u8>),
    Like(Texts),
}

// === impl Filter ===

impl Filter {
    pub(crate) fn new(given: &Match) -> Result<Filter, String> {
        let texts = |name: &str, list: &[String]| {
            let texts = (!list.is_empty()).then(|| Texts::new(given.match_type, list)).transpose();
            texts.map_err(|error| format!("{name}: {error}"))
        };
        let library = |library: &LibraryMatch| {
            let version =
                library.version.as_ref().map(|version| Texts::new(given.match_type, std::slice::from_ref(version)));
            Ok((Texts::new(given.match_type, std::slice::from_ref(&library.name))?, version.transpose()?))
        };
        Ok(Filter {
            services: texts("services", &given.services)?,
            span_names: texts("span_names", &given.span_names)?,
            span_kinds: texts("span_kinds", &given.span_kinds)?,
            log_bodies: texts("log_bodies", &given.log_bodies)?,
            log_severity_texts: texts("log_severity_texts", &given.log_severity_texts)?,
            log_severity: given.log_severity.as_ref().map(|s| (s.min as u64 + 1, s.match_undefined)),
            metric_names: texts("metric_names", &given.metric_names)?,
            attributes: given.attribute.iter().map(|a| Wanted::new(given.match_type, a)).collect::<Result<_, _>>()?,
            resource: given.resource.iter().map(|a| Wanted::new(given.match_type, a)).collect::<Result<_, _>>()?,
            libraries: given.library.iter().map(library).collect::<Result<_, String>>()?,
        })
    }

    pub(crate) fn on(&self, signal: OtlpSignal) -> Asked<'_> {
        Asked { filter: self, signal, resource: None, scope: None }
    }

    fn resource_matches(&self, group: &Message<'_>) -> bool {
        let attributes: Vec<_> = group.message(1).attributes(1).map(|a| (a.key, a.value)).collect();
        if let Some(services) = &self.services {
            let service = attributes.iter().find(|(key, _)| *key == b"service.name").map(|(_, value)| text::of(*value));
            if !services.contain(service.as_deref().unwrap_or("<nil-service-name>").as_bytes()) {
                return false;
            }
        }
        self.resource.iter().all(|wanted| wanted.is_in(attributes.iter().copied()))
    }

    fn scope_matches(&self, group: &Message<'_>) -> bool {
        let scope = group.message(1);
        self.libraries.iter().all(|(name, version)| {
            name.contain(scope.bytes(1)) && version.as_ref().is_none_or(|version| version.contain(scope.bytes(2)))
        })
    }
}

// === impl Asked ===

impl Asked<'_> {
    pub(crate) fn matches(&mut self, item: &Item<'_>, attributes: &Attributes<'_>) -> bool {
        let filter = self.filter;
        let remembered =
            |memory: &mut Option<(usize, bool)>, group: &Message<'_>, ask: &dyn Fn(&Message<'_>) -> bool| {
                let start = group.place.start;
                match memory {
                    Some((place, answer)) if *place == start => *answer,
                    _ => memory.insert((start, ask(group))).1,
                }
            };
        if !remembered(&mut self.resource, &item.resource_group, &|group| filter.resource_matches(group))
            || !remembered(&mut self.scope, &item.scope_group, &|group| filter.scope_matches(group))
        {
            return false;
        }
        let record = &item.record;
        let fits = |texts: &Option<Texts>, text: &dyn Fn() -> Vec<u8>| {
            texts.as_ref().is_none_or(|texts| texts.contain(&text()))
        };
        let own = match self.signal {
            OtlpSignal::Traces => {
                fits(&filter.span_names, &|| record.bytes(5).to_vec())
                    && fits(&filter.span_kinds, &|| {
                        SPAN_KINDS.get(record.number(6) as usize).copied().unwrap_or_default().into()
                    })
            }
            OtlpSignal::Logs => {
                fits(&filter.log_bodies, &|| text::of(AnyValue(record.bytes(5))).into_bytes())
                    && fits(&filter.log_severity_texts, &|| record.bytes(3).to_vec())
                    && filter.log_severity.is_none_or(|(min, undefined)| match record.number(2) {
                        0 => undefined,
                        severity => severity >= min,
                    })
            }
            OtlpSignal::Metrics => fits(&filter.metric_names, &|| {
                item.metric.as_ref().map(|metric| metric.bytes(1).to_vec()).unwrap_or_default()
            }),
        };
        own && filter.attributes.iter().all(|wanted| wanted.is_in(attributes.iter()))
    }
}

// === impl Texts ===

impl Texts {
    fn new(how: MatchType, list: &[String]) -> Result<Texts, String> {
        Ok(match how {
            MatchType::Strict => Texts::Strict(list.iter().map(|text| text.clone().into_bytes()).collect()),
            MatchType::Regexp => Texts::Regexp(
                list.iter().map(|text| Regex::new(text)).collect::<Result<_, _>>().map_err(|e| e.to_string())?,
            ),
        })
    }

    fn contain(&self, text: &[u8]) -> bool {
        match self {
            Texts::Strict(list) => list.iter().any(|other| other == text),
            Texts::Regexp(list) => list.iter().any(|pattern| pattern.is_match(text)),
        }
    }
}

// === impl Wanted ===

impl Wanted {
    fn new(how: MatchType, given: &AttributeMatch) -> Result<Wanted, String> {
        if given.key.is_empty() {
            return Err("can't have empty key in the list of attributes".to_owned());
        }
        let value = match (&given.value, how) {
            (None | Some(Value::Null), _) => WantedValue::Any,
            (Some(value), MatchType::Strict) => WantedValue::Equal(encode(value)?),
            (Some(Value::String(text)), MatchType::Regexp) => {
                WantedValue::Like(Texts::new(how, &[text.to_string_lossy().into_owned()])?)
            }
            (Some(other), MatchType::Regexp) => {
                return Err(format!(
                    "match_type regexp needs a string as the value of {:?}, not a {}",
                    given.key,
                    other.kind()
                ));
            }
        };
        Ok(Wanted { key: given.key.clone().into_bytes(), value })
    }

    fn is_in<'a>(&self, mut attributes: impl Iterator<Item = (&'a [u8], AnyValue<'a>)>) -> bool {
        let Some((_, value)) = attributes.find(|(key, _)| *key == self.key) else { return false };
        match &self.value {
            WantedValue::Any => true,
            WantedValue::Equal(wanted) => same(AnyValue(wanted), value),
            WantedValue::Like(texts) => match value.get() {
                Any::Text(_) | Any::Bool(_) | Any::Int(_) | Any::Double(_) => texts.contain(text::of(value).as_bytes()),
                _ => false,
            },
        }
    }
}

/// Of the same type and value. Lists and maps are compared by their JSON.
fn same(a: AnyValue<'_>, b: AnyValue<'_>) -> bool {
    match (a.get(), b.get()) {
        (Any::Array(_), Any::Array(_)) | (Any::Map(_), Any::Map(_)) => text::of(a) == text::of(b),
        (a, b) => a == b,
    }
}
