//! The arguments of `otelcol.receiver.filelog`.

use std::collections::BTreeMap;

use base_stdx::{ByteSize, GoDuration};
use language_eval::{Block, Invalid, Validate, Word};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_otel::storage::StorageHandler;
use sdk_stanza::Operators;

use super::finding::Finding;
use super::lines::{Encoding, Splitter};

/// Reads log files as they grow, and makes log records of their lines.
///
/// A file is known by its first bytes: one that is renamed is read on where it was, and of files with the same beginning
/// one is read. With `storage`, positions survive a restart, and a crash or a dead backend repeats lines rather than losing
/// them. Without it, every start begins as `start_at` says, as in Alloy. Reading waits while what follows is full; records
/// are not given up after a time.
///
/// Operators are `add`, `assign_keys`, `container`, `copy`, `csv_parser`, `filter`, `flatten`, `json_parser`,
/// `key_value_parser`, `move`, `noop`, `recombine`, `regex_parser`, `regex_replace`, `remove`, `retain`, `router`,
/// `sanitize_utf8`, `scope_name_parser`, `severity_parser`, `time_parser`, `trace_parser`, `unquote` and `uri_parser`. A key
/// that an operator does not have, a field or an expression that cannot be read are errors when the configuration is loaded.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Patterns of the files to read.
    #[attr]
    pub include: Vec<String>,
    /// Patterns of files to leave out.
    #[attr(optional)]
    pub exclude: Vec<String>,
    /// Leaves out files that were last changed longer ago than this. 0 means none.
    #[attr(default = GoDuration::ZERO)]
    pub exclude_older_than: GoDuration,
    /// Reads only the first of the files in an order.
    #[block]
    pub ordering_criteria: Option<OrderingCriteria>,
    /// How often files are looked for and looked at.
    #[attr(default = GoDuration::from_millis(200))]
    pub poll_interval: GoDuration,
    /// Twice as many files as are read at the same time.
    #[attr(default = 1024)]
    pub max_concurrent_files: i64,
    /// So many times `max_concurrent_files` / 2 files are read in one round. 0 means all.
    #[attr(default = 0)]
    pub max_batches: i64,
    /// Where files begin that are there at the start.
    #[attr(default = StartAt::End)]
    pub start_at: StartAt,
    /// By how many of its first bytes a file is known.
    #[attr(default = ByteSize(1024))]
    pub fingerprint_size: ByteSize,
    /// Longer lines are cut.
    #[attr(default = ByteSize(1 << 20))]
    pub max_log_size: ByteSize,
    /// How the bytes are text, by IANA name; `nop` leaves them as they are, and does not split them.
    #[attr(default = "utf-8".to_owned())]
    pub encoding: String,
    /// A line without end is taken when so much time went by without more. 0 means never.
    #[attr(default = GoDuration::from_millis(500))]
    pub force_flush_period: GoDuration,
    /// Not supported: Alloy refuses it as well.
    #[attr(default = false)]
    pub delete_after_read: bool,
    /// Adds `log.file.record_number`.
    #[attr(default = false)]
    pub include_file_record_number: bool,
    /// `gzip` for files that are compressed, `auto` for those whose first bytes say so.
    #[attr(default = Compression::None)]
    pub compression: Compression,
    /// Reads a file only while nobody locks it.
    #[attr(default = false)]
    pub acquire_fs_lock: bool,
    /// Accepted: what was read of a file leaves the page cache when the kernel finds it right.
    #[attr(default = false)]
    pub file_cache_advise: bool,
    /// Records of several lines.
    #[block]
    pub multiline: Option<Multiline>,
    /// Keeps blanks at the beginning of a record.
    #[attr(optional)]
    pub preserve_leading_whitespaces: bool,
    /// Keeps blanks at its end.
    #[attr(optional)]
    pub preserve_trailing_whitespaces: bool,
    /// The first lines of a file describe it.
    #[block]
    pub header: Option<Header>,
    /// Adds `log.file.name`.
    #[attr(default = true)]
    pub include_file_name: bool,
    /// Adds `log.file.path`.
    #[attr(default = false)]
    pub include_file_path: bool,
    /// Adds `log.file.name_resolved`: the name behind links.
    #[attr(default = false)]
    pub include_file_name_resolved: bool,
    /// Adds `log.file.path_resolved`: the path behind links.
    #[attr(default = false)]
    pub include_file_path_resolved: bool,
    /// Adds `log.file.owner.name`.
    #[attr(default = false)]
    pub include_file_owner_name: bool,
    /// Adds `log.file.owner.group.name`.
    #[attr(default = false)]
    pub include_file_owner_group_name: bool,
    /// Adds `log.file.permissions`.
    #[attr(default = false)]
    pub include_file_permissions: bool,
    /// Attributes of every record; they may hold `EXPR(…)`.
    #[attr(optional)]
    pub attributes: BTreeMap<String, String>,
    /// Attributes of the resource; they may hold `EXPR(…)`.
    #[attr(optional)]
    pub resource: BTreeMap<String, String>,
    /// What is done to each record, in this order.
    #[attr(optional)]
    pub operators: Operators,
    /// How long reading waits when records are refused.
    #[block(optional)]
    pub retry_on_failure: RetryOnFailure,
    /// Where positions survive a restart.
    #[attr(optional)]
    pub storage: Option<StorageHandler>,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
    /// Where to send the records.
    #[block(required)]
    pub output: Output,
}

/// Reads only the first of the files in an order.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct OrderingCriteria {
    /// Names the parts of a path that are compared; paths that do not match are left out.
    #[attr(default = String::new())]
    pub regex: String,
    /// How many files are read. 0 means one.
    #[attr(default = 0)]
    pub top_n: i64,
    /// What is compared, the last one first.
    #[block(required)]
    pub sort_by: Vec<SortBy>,
    /// Its first group parts the files; of each part the first ones are read.
    #[attr(default = String::new())]
    pub group_by: String,
}

/// What is compared.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct SortBy {
    /// `numeric`, `lexicographic`, `timestamp` or `mtime`.
    #[attr(default = String::new())]
    pub sort_type: String,
    /// The group of `regex` that is compared.
    #[attr(default = String::new())]
    pub regex_key: String,
    /// The least comes first.
    #[attr(default = false)]
    pub ascending: bool,
    /// The layout of a `timestamp`.
    #[attr(default = String::new())]
    pub layout: String,
    /// The zone of a `timestamp`; UTC if empty.
    #[attr(default = String::new())]
    pub location: String,
}

/// Where files begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum StartAt {
    /// At their start.
    Beginning,
    /// At their end.
    End,
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Compression {
    /// Not at all.
    #[word(name = "")]
    None,
    /// With gzip.
    Gzip,
    /// As their first bytes say.
    Auto,
}

/// Records of several lines.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct Multiline {
    /// Matches where a record begins.
    #[attr(default = String::new())]
    pub line_start_pattern: String,
    /// Matches where a record ends.
    #[attr(default = String::new())]
    pub line_end_pattern: String,
    /// Leaves out what matched.
    #[attr(default = false)]
    pub omit_pattern: bool,
}

/// The first lines of a file describe it.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct Header {
    /// Matches the lines of the header.
    #[attr]
    pub pattern: String,
    /// Makes attributes of them, which every record of the file has.
    #[attr]
    pub metadata_operators: Operators,
}

/// How long reading waits when records are refused: they are kept until they are taken, whatever `enabled` and
/// `max_elapsed_time` say.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct RetryOnFailure {
    /// Accepted: it is always tried again.
    #[attr(default = false)]
    pub enabled: bool,
    /// The first pause.
    #[attr(default = GoDuration::from_secs(1))]
    pub initial_interval: GoDuration,
    /// The longest pause.
    #[attr(default = GoDuration::from_secs(30))]
    pub max_interval: GoDuration,
    /// Accepted: records are not given up.
    #[attr(default = GoDuration::from_secs(300))]
    pub max_elapsed_time: GoDuration,
}

/// The shortest beginning by which a file is known.
const MIN_FINGERPRINT: i64 = 16;

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        let positive = [
            ("max_concurrent_files", self.max_concurrent_files > 0, "must be positive"),
            ("max_batches", self.max_batches >= 0, "must not be negative"),
            ("poll_interval", self.poll_interval.as_nanos() > 0, "must be positive"),
            ("force_flush_period", self.force_flush_period.as_nanos() >= 0, "must not be negative"),
            ("exclude_older_than", self.exclude_older_than.as_nanos() >= 0, "must not be negative"),
            ("fingerprint_size", self.fingerprint_size.0 >= MIN_FINGERPRINT, "must be at least 16 bytes"),
            ("max_log_size", self.max_log_size.0 > 0, "must be positive"),
        ];
        if let Some((field, _, what)) = positive.into_iter().find(|(_, holds, _)| !holds) {
            return Err(Invalid::field(field, format!("{field} {what}")));
        }
        if self.delete_after_read {
            let what = "delete_after_read is not supported: Alloy does not allow it either (feature gate filelog.allowFileDeletion)";
            return Err(Invalid::field("delete_after_read", what));
        }
        let encoding = Encoding::named(&self.encoding).ok_or_else(|| {
            Invalid::field("encoding", format!("{:?} is no encoding that is known here", self.encoding))
                .with_hint("use a name of the IANA list, such as \"utf-16le\" or \"windows-1252\"")
        })?;
        Splitter::new(encoding, self.multiline.as_ref()).map_err(|what| Invalid::field("multiline", what))?;
        Finding::new(self).map_err(|(field, what)| Invalid::field(field, what))?;
        if let Some(header) = &self.header {
            if self.start_at == StartAt::End {
                return Err(Invalid::field("header", "header cannot be used with start_at = \"end\""));
            }
            if header.metadata_operators.is_empty() {
                return Err(Invalid::field("header", "header requires at least one of metadata_operators"));
            }
            if header.metadata_operators.have("filter") {
                return Err(Invalid::field("header", "a filter is not allowed in metadata_operators"));
            }
            base_re2::Regex::new(&header.pattern).map_err(|error| Invalid::field("header", error.to_string()))?;
        }
        for (field, templates) in [("attributes", &self.attributes), ("resource", &self.resource)] {
            for (name, text) in templates {
                let template = sdk_stanza::expression::Template::new(text);
                template.map_err(|error| Invalid::field(field, format!("{name}: {error}")))?;
            }
        }
        Ok(())
    }
}
