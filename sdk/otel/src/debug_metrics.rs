//! The `debug_metrics` block.

use language_eval::{Block, Word};

/// Which metrics a component publishes about itself.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct DebugMetrics {
    /// Leaves out attributes with many values. They are never published here.
    #[attr(default = true)]
    pub disable_high_cardinality_metrics: bool,
    /// Accepted and without effect, as in Alloy.
    #[attr(default = Level::Detailed)]
    pub level: Level,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Level {
    /// Nothing.
    None,
    /// Little.
    Basic,
    /// Some.
    Normal,
    /// All.
    Detailed,
}
