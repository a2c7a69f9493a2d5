//! Structs that decode from a block's body: what `#[derive(Arguments)]` and `#[derive(Block)]` implement.
//!
//! ```ignore
//! /// Where to send.
//! #[derive(Arguments)]
//! #[block(validate)]                               // calls `Validate::validate` after decoding
//! pub struct Arguments {
//!     /// Address of the push API.
//!     #[attr]
//!     url: String,                                 // required
//!     /// How long a batch waits.
//!     #[attr(default = GoDuration::from_secs(1))]
//!     batch_wait: GoDuration,
//!     #[attr(optional)]                            // absent = the type's zero
//!     tenant_id: String,
//!     #[attr]
//!     stream_lag_labels: Option<Vec<String>>,      // an Option is optional by itself
//!     #[block]
//!     endpoint: Vec<Endpoint>,                     // repeatable, optional
//!     #[block]
//!     wal: Option<Wal>,                            // at most once
//!     #[block(default = QueueConfig::default())]   // absent = this; present = starts from its own defaults
//!     queue_config: QueueConfig,
//!     #[block(required)]
//!     output: Output,
//!     #[block(enum, prefix = "stage")]             // `Stage` derives Block too: an enum, one variant per kind
//!     stages: Vec<Stage>,
//!     #[label]
//!     name: String,
//!     #[squash]
//!     client: HttpClientArguments,
//! }
//! ```
//! A raw identifier or a `name = "…"` inside the attribute renames a field.

use std::sync::Arc;

use language_syntax::{Source, Span, ast};

use crate::schema::BlockSchema;
use crate::scope::Scope;
use crate::value::{Object, Value};

pub use crate::decode::{BodyDecoder, Failed};

/// A struct that a block's body decodes to.
pub trait Block: Sized {
    /// Decodes; every diagnostic goes to the decoder, `Failed` only says that there is one.
    fn decode(body: &mut BodyDecoder<'_>) -> Result<Self, Failed>;

    /// What the body may hold.
    fn schema() -> BlockSchema;

    /// The body that would decode to this, without what equals its default (spec §2.6, §2.8).
    fn encode(&self) -> Vec<BodyNode>;
}

/// A body with all that decoding it takes. `BodySource::decode::<T>()` is the entry: it collects every diagnostic of the
/// body in one go.
pub struct BodySource<'a> {
    /// The statements.
    pub body: &'a ast::Body,
    /// The text they are in.
    pub source: &'a Arc<Source>,
    /// The block's header (`a.b "label"`): what an error about the block as a whole underlines.
    pub header: Span,
    /// Its label.
    pub label: Option<&'a str>,
    /// What expressions may refer to.
    pub scope: &'a Scope,
}

/// What `#[derive(Exports)]` implements: the fields that others may refer to.
pub trait Exports {
    /// As the value `component.label` has.
    fn to_object(&self) -> Object;

    /// Names, types, docs.
    fn schema() -> BlockSchema;
}

/// A component that exports nothing.
impl Exports for () {
    fn to_object(&self) -> Object {
        Object::default()
    }

    fn schema() -> BlockSchema {
        BlockSchema::default()
    }
}

/// What has a check of its own, run after a block is decoded.
pub trait Validate {
    /// `Err` is a sentence; name the attribute to have the caret put under it.
    fn validate(&self) -> Result<(), Invalid>;
}

/// What a [`Validate`] objects to.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// The attribute or child block to blame, if one is.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// One statement of an encoded body: the web API prints it as JSON (spec §2.8), two equal lists mean equal arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyNode {
    /// `name = value`
    Attribute {
        /// Its name.
        name: String,
        /// Its value; secrets stay [`Value::Secret`] and print as such.
        value: Value,
    },
    /// `name "label" { … }`
    Block {
        /// `stage.json`
        name: String,
        /// If it has one.
        label: Option<String>,
        /// What it holds.
        body: Vec<BodyNode>,
    },
}
