//! The `resource_attributes` block of a detector: which of its attributes are set.

use std::marker::PhantomData;

use language_eval::block::{BodyDecoder, Failed};
use language_eval::schema::{FieldKind, FieldSchema, Repeat};
use language_eval::{Block, BlockSchema, BodyNode, ToValue, Value, encode};

/// The attributes of a detector.
pub trait Attributes {
    /// Their names, and whether they are set when nobody says.
    const ALL: &'static [(&'static str, bool)];
}

/// Which of a detector's attributes are set: one block of each's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen<A> {
    /// In the order of [`Attributes::ALL`].
    set: Vec<bool>,
    of: PhantomData<A>,
}

/// Whether an attribute is set.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Toggle {
    /// Whether to set it.
    #[attr]
    pub enabled: bool,
}

/// A detector that has no other arguments.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Plain<A: Attributes + PartialEq> {
    /// Which attributes are set.
    #[block(optional)]
    pub resource_attributes: Chosen<A>,
}

// === impl Chosen ===

impl<A: Attributes> Chosen<A> {
    /// Whether the attribute of this name is set.
    pub fn has(&self, name: &str) -> bool {
        A::ALL.iter().zip(&self.set).any(|((other, _), set)| *other == name && *set)
    }
}

impl<A: Attributes> Default for Chosen<A> {
    fn default() -> Self {
        Chosen { set: A::ALL.iter().map(|(_, on)| *on).collect(), of: PhantomData }
    }
}

impl<A: Attributes> Block for Chosen<A> {
    fn decode(body: &mut BodyDecoder<'_>) -> Result<Self, Failed> {
        let toggles: Vec<Option<Toggle>> =
            A::ALL.iter().map(|(name, on)| body.block_or(name, || Toggle { enabled: *on })).collect();
        let set = toggles.into_iter().map(|toggle| toggle.map(|toggle| toggle.enabled)).collect::<Option<_>>();
        Ok(Chosen { set: set.ok_or(Failed)?, of: PhantomData })
    }

    fn schema() -> BlockSchema {
        let field = |(name, on): &(&'static str, bool)| FieldSchema {
            name,
            doc: "Whether the attribute of this name is set.",
            required: false,
            kind: FieldKind::Block {
                schema: Toggle::schema,
                repeat: Repeat::Once,
                labelled: false,
                absent: Some(encode::body_to_object(Toggle { enabled: *on }.encode())),
            },
        };
        BlockSchema { fields: A::ALL.iter().map(field).collect(), doc: "Which attributes are set." }
    }

    fn encode(&self) -> Vec<BodyNode> {
        let mut body = Vec::new();
        for ((name, on), set) in A::ALL.iter().zip(&self.set) {
            encode::block_unless(&mut body, name, &Toggle { enabled: *set }, &Toggle { enabled: *on });
        }
        body
    }
}

impl<A: Attributes> ToValue for Chosen<A> {
    fn to_value(&self) -> Value {
        encode::body_to_object(self.encode())
    }
}
