//! The stages of `loki.process`, one file for each: `stage.json` is `stage/json.rs`.

pub(super) mod cri;
mod decolorize;
mod docker;
mod drop;
mod eventlogmessage;
mod geoip;
mod json;
mod label_drop;
mod label_keep;
mod labels;
mod limit;
mod logfmt;
mod luhn;
mod r#match;
mod metrics;
mod multiline;
mod output;
mod pack;
mod pattern;
mod regex;
mod replace;
mod sampling;
mod split_json;
mod static_labels;
mod structured_metadata;
mod structured_metadata_drop;
mod template;
mod tenant;
mod timestamp;
mod truncate;
mod windowsevent;

use language_eval::Block;
use sdk_component::Problem;
use sdk_labels::is_utf8_name;

use super::pipeline::StageConfig;
use super::streams::Streams;
use super::work::{Line, Seen, Store, Value};

/// Writes down the kinds of stages once: the blocks, their names, and the way to each one's configuration.
macro_rules! stages {
    ($($(#[doc = $doc:literal])* $variant:ident($config:ty) = $name:literal,)*) => {
        /// A stage: one of the blocks `stage.*`.
        #[derive(Block, Clone, Debug, PartialEq)]
        pub enum StageArguments {
            $($(#[doc = $doc])* #[block(name = $name)] $variant($config),)*
        }

        impl StageArguments {
            /// As the configuration writes it: `stage.json`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(StageArguments::$variant(_) => concat!("stage.", $name),)*
                }
            }

            /// What the stage is made of.
            pub fn config(&self) -> &dyn StageConfig {
                match self {
                    $(StageArguments::$variant(config) => config,)*
                }
            }
        }
    };
}

stages! {
    /// Reads `time stream flag text` lines of container runtimes.
    Cri(cri::CriStage) = "cri",
    /// Removes ANSI escape sequences.
    Decolorize(decolorize::DecolorizeStage) = "decolorize",
    /// Reads lines of Docker's json-file driver.
    Docker(docker::DockerStage) = "docker",
    /// Drops lines.
    Drop(drop::DropStage) = "drop",
    /// Extracts `key: value` lines of Windows events.
    Eventlogmessage(eventlogmessage::EventlogmessageStage) = "eventlogmessage",
    /// Looks up where addresses are.
    Geoip(geoip::GeoipStage) = "geoip",
    /// Extracts values of JSON.
    Json(json::JsonStage) = "json",
    /// Removes all labels but some.
    LabelKeep(label_keep::LabelKeepStage) = "label_keep",
    /// Removes labels.
    LabelDrop(label_drop::LabelDropStage) = "label_drop",
    /// Makes labels of extracted values.
    Labels(labels::LabelsStage) = "labels",
    /// Lets so many lines a second pass.
    Limit(limit::LimitStage) = "limit",
    /// Extracts values of logfmt.
    Logfmt(logfmt::LogfmtStage) = "logfmt",
    /// Hides card numbers.
    Luhn(luhn::LuhnStage) = "luhn",
    /// Runs stages for some lines only, or drops them.
    Match(Box<r#match::MatchStage>) = "match",
    /// Makes metrics of lines.
    Metrics(metrics::MetricsStage) = "metrics",
    /// Joins lines that belong together.
    Multiline(multiline::MultilineStage) = "multiline",
    /// Makes an extracted value the line.
    Output(output::OutputStage) = "output",
    /// Moves labels into the line.
    Pack(pack::PackStage) = "pack",
    /// Extracts parts of a line by a LogQL pattern.
    Pattern(pattern::PatternStage) = "pattern",
    /// Extracts named groups of a regular expression.
    Regex(regex::RegexStage) = "regex",
    /// Replaces what a regular expression captures.
    Replace(replace::ReplaceStage) = "replace",
    /// Makes a line of each element of a JSON list.
    SplitJson(split_json::SplitJsonStage) = "split_json",
    /// Sets labels.
    StaticLabels(static_labels::StaticLabelsStage) = "static_labels",
    /// Makes structured metadata of extracted values and labels.
    StructuredMetadata(structured_metadata::StructuredMetadataStage) = "structured_metadata",
    /// Removes structured metadata.
    StructuredMetadataDrop(structured_metadata_drop::StructuredMetadataDropStage) = "structured_metadata_drop",
    /// Keeps a part of the lines by chance.
    Sampling(sampling::SamplingStage) = "sampling",
    /// Sets an extracted value by a template.
    Template(template::TemplateStage) = "template",
    /// Sets the tenant.
    Tenant(tenant::TenantStage) = "tenant",
    /// Cuts long texts.
    Truncate(truncate::TruncateStage) = "truncate",
    /// Sets the time of the line.
    Timestamp(timestamp::TimestampStage) = "timestamp",
    /// Extracts the sections of Windows events.
    Windowsevent(windowsevent::WindowseventStage) = "windowsevent",
}

impl<C: StageConfig + ?Sized> StageConfig for Box<C> {
    fn names(&self, plan: &mut super::plan::Plan) {
        (**self).names(plan);
    }

    fn build(&self, site: &super::pipeline::Site<'_>) -> Result<Box<dyn super::pipeline::Stage>, Problem> {
        (**self).build(site)
    }
}

/// Names are checked by the UTF-8 rule (spec §9.13).
fn label_names<'n>(names: impl Iterator<Item = &'n String>) -> Result<(), Problem> {
    for name in names {
        if !is_utf8_name(name) {
            return Err(Problem::at("values", format!("invalid label name: {name}")));
        }
    }
    Ok(())
}

/// Keeps what was found in the message of a Windows event; where the key is taken and may not be overwritten, it is
/// another one.
fn extract(line: &mut Line, mut key: String, value: &str, overwrite: bool, store: &mut Store, streams: &Streams) {
    if !overwrite && store.see_by_name(line, &key, streams) != Seen::Absent {
        key.push_str("_extracted");
    }
    if let Some(value) = store.push(value.trim().as_bytes()) {
        store.set_by_name(line, &key, Value::Text(value));
    }
}

/// A label name of the classic kind: what does not fit becomes an underscore.
fn label_name_of(text: &str) -> String {
    if text.is_empty() {
        return "_".to_owned();
    }
    let fits = |at: usize, c: char| c.is_ascii_alphabetic() || c == '_' || (at > 0 && c.is_ascii_digit());
    text.char_indices().map(|(at, c)| if fits(at, c) { c } else { '_' }).collect()
}
