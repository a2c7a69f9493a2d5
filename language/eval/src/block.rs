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
//! A raw identifier or a `name = "…"` inside the attribute renames a field. `#[block(default)]` on the struct writes its
//! `Default` from the same defaults, so that they stand in one place. An optional block of a type without `Option`
//! (`#[block(optional)]`) is the type's `Default` when absent.
//!
//! Alternative blocks under one prefix are an enum; each variant holds a struct (boxed where they nest):
//!
//! ```ignore
//! #[derive(Block)]
//! pub enum Stage {
//!     /// Reads fields out of JSON.
//!     Json(JsonStage),                             // stage.json
//!     #[block(name = "match")]
//!     Match(Box<MatchStage>),                      // stage.match
//! }
//! ```
//!
//! A struct that derives `Block` also stands as an attribute: `targets = [{ … }]` (spec §2.5).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use language_syntax::{Source, Span, ast};

use crate::schema::{BlockSchema, FieldKind, FieldSchema, Repeat};
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

    /// Whether the block takes a label.
    const LABELLED: bool = false;

    /// Its label.
    fn label(&self) -> Option<String> {
        None
    }
}

/// Alternative blocks under one prefix, in source order: what `#[derive(Block)]` on an enum implements.
pub trait BlockVariants: Sized {
    /// Every alternative.
    const VARIANTS: &'static [Variant];

    /// Decodes the alternative of that name (without the prefix).
    fn decode_variant(name: &str, body: &mut BodyDecoder<'_>) -> Result<Self, Failed>;

    /// Name (without the prefix), label and body.
    fn encode_variant(&self) -> (&'static str, Option<String>, Vec<BodyNode>);
}

/// One of several alternative blocks.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Without the prefix: `json`.
    pub name: &'static str,
    /// The doc comment of the variant.
    pub doc: &'static str,
    /// What it holds.
    pub schema: fn() -> BlockSchema,
    /// Takes a label.
    pub labelled: bool,
}

/// The schema of an enum of blocks, one field for each alternative.
pub fn variant_fields<T: BlockVariants>(prefix: &'static str) -> impl Iterator<Item = FieldSchema> {
    T::VARIANTS.iter().map(move |variant| FieldSchema {
        name: interned_name(prefix, variant.name),
        doc: variant.doc,
        required: false,
        kind: FieldKind::Block {
            schema: variant.schema,
            repeat: Repeat::Variant,
            labelled: variant.labelled,
            absent: None,
        },
    })
}

/// `prefix.name` as long-lived as the names that the derive writes down; each is made once.
fn interned_name(prefix: &'static str, name: &'static str) -> &'static str {
    static NAMES: Mutex<BTreeMap<(&str, &str), &str>> = Mutex::new(BTreeMap::new());
    if prefix.is_empty() {
        return name;
    }
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.entry((prefix, name)).or_insert_with(|| format!("{prefix}.{name}").leak())
}

/// No arguments at all.
impl Block for () {
    fn decode(_: &mut BodyDecoder<'_>) -> Result<(), Failed> {
        Ok(())
    }

    fn schema() -> BlockSchema {
        BlockSchema::default()
    }

    fn encode(&self) -> Vec<BodyNode> {
        Vec::new()
    }
}

impl<T: Block> Block for Box<T> {
    const LABELLED: bool = T::LABELLED;

    fn decode(body: &mut BodyDecoder<'_>) -> Result<Box<T>, Failed> {
        T::decode(body).map(Box::new)
    }

    fn schema() -> BlockSchema {
        T::schema()
    }

    fn encode(&self) -> Vec<BodyNode> {
        (**self).encode()
    }

    fn label(&self) -> Option<String> {
        (**self).label()
    }
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

/// What `#[derive(Exports)]` implements: the fields that others may refer to, under their names or
/// `#[export(name = "…")]`.
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

// === impl Invalid ===

impl Invalid {
    /// About an attribute or child block.
    pub fn field(field: &'static str, message: impl Into<String>) -> Invalid {
        Invalid { field: Some(field), message: message.into(), hint: None }
    }

    /// About the block as a whole.
    pub fn block(message: impl Into<String>) -> Invalid {
        Invalid { field: None, message: message.into(), hint: None }
    }

    /// With what to write instead.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Invalid {
        self.hint = Some(hint.into());
        self
    }
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
