//! `otelcol.processor.span`: names spans by their attributes, takes attributes out of names, sets the status.

use base_re2::{Regex, Slots};
use language_eval::{Block, Invalid, Validate, Word};
use sdk_component::{Context, Problem};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::edit;
use sdk_protocols_otlp::model::{AnyValue, Data, Message as _, Span as SpanData, Status as SpanStatus};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};

use crate::matching::{Match, Selection};
use crate::processing::{Processing, Processor};

/// Names spans by their attributes, takes attributes out of names, sets the status.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Changes only what matches.
    #[block]
    pub include: Option<Match>,
    /// Leaves alone what matches.
    #[block]
    pub exclude: Option<Match>,
    /// What becomes of the name: first `from_attributes`, then `to_attributes`.
    #[block(optional)]
    pub name: Name,
    /// The status to set.
    #[block]
    pub status: Option<Status>,
    /// Where to send what was changed, and what was not.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// What becomes of the name.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Name {
    /// The new name is made of the values of these attributes, in this order; of a span that lacks one it stays.
    #[attr(optional)]
    pub from_attributes: Vec<String>,
    /// Stands between the values.
    #[attr(optional)]
    pub separator: String,
    /// Attributes to take out of the name.
    #[block]
    pub to_attributes: Option<ToAttributes>,
}

/// Attributes to take out of the name.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct ToAttributes {
    /// Patterns, applied one after the other to the name that the one before left: each named group becomes an attribute, and
    /// in the name its `{name}` takes its place.
    #[attr]
    pub rules: Vec<String>,
    /// Stops at the first pattern that matches.
    #[attr(optional)]
    pub break_after_match: bool,
    /// Leaves the name as it is.
    #[attr(optional)]
    pub keep_original_name: bool,
}

/// The status to set.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Status {
    /// `Ok`, `Error` or `Unset`.
    #[attr]
    pub code: Code,
    /// For people; only for `Error`.
    #[attr(optional)]
    pub description: String,
}

/// The code of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Code {
    /// All went well, as somebody says who knows.
    #[word(name = "Ok")]
    Ok,
    /// It failed.
    #[word(name = "Error")]
    Error,
    /// Nobody says.
    #[word(name = "Unset")]
    Unset,
}

/// The arguments, ready to be applied.
pub struct Span {
    selection: Selection,
    from_attributes: Vec<String>,
    separator: String,
    rules: Vec<Regex>,
    break_after_match: bool,
    keep_original_name: bool,
    status: Option<SpanStatus>,
}

/// `otelcol.processor.span`.
pub type Component = Processing<Span>;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.status.as_ref().is_some_and(|status| status.code != Code::Error && !status.description.is_empty()) {
            let message = "status description should be empty for non-error status codes";
            return Err(Invalid::field("status", message));
        }
        Ok(())
    }
}

// === impl Span ===

impl Processor for Span {
    const NAME: &'static str = "otelcol.processor.span";
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Traces];
    type Arguments = Arguments;

    fn new(_: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let Name { from_attributes, separator, to_attributes } = &arguments.name;
        let patterns = to_attributes.as_ref().map(|to| &to.rules[..]).unwrap_or_default();
        if from_attributes.is_empty() && patterns.is_empty() && arguments.status.is_none() {
            return Err(Problem::new(
                "there is nothing to do: either from_attributes or to_attributes must be given in name, or status",
            ));
        }
        let rule = |pattern: &String| {
            Regex::new(pattern)
                .map_err(|error| Problem::at("name", format!("invalid regexp pattern {pattern}: {error}")))
        };
        let (include, exclude) = (arguments.include.as_ref(), arguments.exclude.as_ref());
        Ok(Span {
            selection: Selection::new(include, exclude, Self::SIGNALS, &arguments.output)?,
            from_attributes: from_attributes.clone(),
            separator: separator.clone(),
            rules: patterns.iter().map(rule).collect::<Result<_, _>>()?,
            break_after_match: to_attributes.as_ref().is_some_and(|to| to.break_after_match),
            keep_original_name: to_attributes.as_ref().is_some_and(|to| to.keep_original_name),
            status: arguments.status.as_ref().map(|status| SpanStatus {
                code: match status.code {
                    Code::Unset => 0,
                    Code::Ok => 1,
                    Code::Error => 2,
                },
                message: status.description.as_str().into(),
                unknown: Vec::new(),
            }),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        for payload in &mut batch.payload {
            // The selection reads the payload as it came, span by span in the order of the model.
            let mut selected = Vec::new();
            if !self.selection.is_all() {
                let mut selecting = self.selection.on(batch.signal);
                edit::items(batch.signal, payload, |item, attributes| selected.push(selecting.takes(item, attributes)));
            }
            let mut selected = selected.into_iter();
            let mut data = Data::<SpanData>::decode(payload);
            let scopes = data.resources.iter_mut().flat_map(|group| &mut group.scopes);
            for span in scopes.flat_map(|group| &mut group.items) {
                if self.selection.is_all() || selected.next() == Some(true) {
                    self.apply(span);
                }
            }
            *payload = data.encode().into();
        }
        Ok(batch)
    }
}

impl Span {
    fn apply(&self, span: &mut SpanData) {
        if let Some(name) = self.name(span) {
            span.name = name.into();
        }
        self.take_attributes(span);
        if let Some(status) = &self.status {
            let unknown = std::mem::take(&mut span.status.unknown);
            span.status = SpanStatus { unknown, ..status.clone() };
        }
    }

    /// The name out of the attributes, if all are there.
    fn name(&self, span: &SpanData) -> Option<String> {
        if self.from_attributes.is_empty() {
            return None;
        }
        let value = |key: &String| span.attributes.get(key).map(in_name);
        Some(self.from_attributes.iter().map(value).collect::<Option<Vec<_>>>()?.join(&self.separator))
    }

    fn take_attributes(&self, span: &mut SpanData) {
        let mut slots = Slots::default();
        for rule in &self.rules {
            let old = span.name.as_bytes().clone();
            if old.is_empty() || !rule.captures(&old, &mut slots) {
                continue;
            }
            let mut name = Vec::with_capacity(old.len());
            let mut copied = 0;
            for (i, group) in rule.group_names().enumerate().skip(1) {
                // A group that took no part has nothing to tell; one inside another is an attribute, but not in the name.
                let Some(found) = slots.get(i) else { continue };
                let group = group.unwrap_or_default();
                span.attributes.set(group, sdk_protocols_otlp::model::Text::from(old.slice(found.clone())));
                if found.start >= copied {
                    name.extend_from_slice(&old[copied..found.start]);
                    name.extend_from_slice(format!("{{{group}}}").as_bytes());
                    copied = found.end;
                }
            }
            name.extend_from_slice(&old[copied..]);
            if !self.keep_original_name {
                span.name = bytes::Bytes::from(name).into();
            }
            if self.break_after_match {
                return;
            }
        }
    }
}

/// A value as part of a name.
fn in_name(value: &AnyValue) -> String {
    match value {
        AnyValue::Text(text) => text.as_str().into_owned(),
        AnyValue::Bool(value) => value.to_string(),
        AnyValue::Int(value) => value.to_string(),
        AnyValue::Double(value) if value.is_infinite() => if *value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        AnyValue::Double(value) => value.to_string(),
        AnyValue::Empty | AnyValue::Array(_) | AnyValue::Map(_) | AnyValue::Bytes(_) => {
            "<unknown-attribute-type>".to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
