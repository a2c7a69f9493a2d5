//! What the block holds.

use base_stdx::duration::GoDuration;
use language_eval::{Block, Invalid, Validate, Word};
use sdk_otel::debug_metrics::DebugMetrics;

/// Writes telemetry to files.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Arguments {
    /// The file. With `group_by`, the `*` in it stands for the value of the attribute.
    #[attr]
    pub path: String,
    /// Writes behind what is there; otherwise the file is emptied at each start.
    #[attr(optional)]
    pub append: bool,
    /// Begins new files by size; the file is always appended to.
    #[block]
    pub rotation: Option<Rotation>,
    /// A line of OTLP/JSON for each batch, or protobuf behind its length in four bytes.
    #[attr(default = Format::Json)]
    pub format: Format,
    /// Encodings of extensions. Not supported, as in Alloy.
    #[attr(optional)]
    pub encoding: String,
    /// Compresses each batch; it stands behind its length in four bytes then, in both formats.
    #[attr(default = Compression::None)]
    pub compression: Compression,
    /// How strongly.
    #[block]
    pub compression_params: Option<CompressionParams>,
    /// The longest time that something is kept in memory; 0 is none.
    #[attr(default = GoDuration::from_secs(1))]
    pub flush_interval: GoDuration,
    /// A file for each value of a resource attribute.
    #[block]
    pub group_by: Option<GroupBy>,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// Begins new files by size.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Rotation {
    /// The largest file; 0 is 100.
    #[attr(default = 100)]
    pub max_megabytes: i64,
    /// Old files are deleted after so many days; 0 is never.
    #[attr(default = 0)]
    pub max_days: i64,
    /// So many old files are kept; 0 is all of them.
    #[attr(default = 100)]
    pub max_backups: i64,
    /// The names of old files tell the time of this place, not UTC.
    #[attr(optional)]
    pub localtime: bool,
}

/// How batches are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Format {
    /// OTLP/JSON.
    Json,
    /// OTLP.
    Proto,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Compression {
    /// Not at all.
    #[word(name = "")]
    None,
    /// zstd.
    Zstd,
}

/// How strongly batches are compressed.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct CompressionParams {
    /// As zstd counts: 1 to 22.
    #[attr]
    pub level: i64,
}

/// A file for each value of a resource attribute.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct GroupBy {
    /// Whether at all.
    #[attr(optional)]
    pub enabled: bool,
    /// The attribute. What does not have it is dropped, and counted.
    #[attr(default = "fileexporter.path_segment".to_owned())]
    pub resource_attribute: String,
    /// So many files are open at a time.
    #[attr(default = 100)]
    pub max_open_files: i64,
}

// === impl Arguments ===

impl Arguments {
    /// The grouping, if it is on.
    pub(super) fn grouping(&self) -> Option<&GroupBy> {
        self.group_by.as_ref().filter(|group| group.enabled)
    }
}

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.path.is_empty() {
            return Err(Invalid::field("path", "path must be non-empty"));
        }
        if !self.encoding.is_empty() {
            return Err(Invalid::field("encoding", "encoding parameter is not yet supported"));
        }
        if self.append && self.rotation.is_some() {
            return Err(Invalid::field("rotation", "append and rotation enabled at the same time is not supported"));
        }
        if self.compression_params.as_ref().is_some_and(|params| !(1..=22).contains(&params.level)) {
            return Err(Invalid::field("compression_params", "invalid level: zstd takes 1 to 22"));
        }
        if self.flush_interval.0 < 0 {
            return Err(Invalid::field("flush_interval", "flush_interval must be larger than zero"));
        }
        if let Some(rotation) = &self.rotation
            && [rotation.max_megabytes, rotation.max_days, rotation.max_backups].iter().any(|limit| *limit < 0)
        {
            return Err(Invalid::field("rotation", "limits of rotation must not be negative"));
        }
        let Some(group) = self.grouping() else { return Ok(()) };
        if self.path.matches('*').count() != 1 {
            return Err(Invalid::field("path", "path must contain exactly one * when group_by is enabled"));
        }
        if self.path.starts_with('*') {
            return Err(Invalid::field("path", "path must not start with * when group_by is enabled"));
        }
        if group.resource_attribute.is_empty() {
            return Err(Invalid::field("group_by", "resource_attribute must not be empty when group_by is enabled"));
        }
        if group.max_open_files <= 0 {
            return Err(Invalid::field("group_by", "max_open_files must be larger than zero"));
        }
        Ok(())
    }
}
