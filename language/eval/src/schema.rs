//! What a block may hold, as data: docs, `validate`, completion, the UI and the converter read this.

/// A block's arguments.
#[derive(Clone, Debug, Default)]
pub struct BlockSchema {
    /// In declaration order, squashed structs already inlined.
    pub fields: Vec<FieldSchema>,
    /// The doc comment of the struct.
    pub doc: &'static str,
}

/// One attribute or child block.
#[derive(Clone, Debug)]
pub struct FieldSchema {
    /// As written in a configuration; `stage.json` for a child of an enum of blocks.
    pub name: &'static str,
    /// The doc comment of the field.
    pub doc: &'static str,
    /// Must be given.
    pub required: bool,
    /// An attribute with its type, or a block with its schema.
    pub kind: FieldKind,
}

/// Attribute or block.
#[derive(Clone, Debug)]
pub enum FieldKind {
    /// `name = value`
    Attribute {
        /// What it takes.
        value: TypeSchema,
        /// What applies when it is left out, encoded; `None` when required or unset.
        default: Option<crate::Value>,
    },
    /// `name { … }`
    Block {
        /// What it holds. A function, as blocks may nest without end (`stage.match`).
        schema: fn() -> BlockSchema,
        /// How often it may stand.
        repeat: Repeat,
        /// Takes a label.
        labelled: bool,
        /// What applies when it is left out, as an object; `None` when it is then not there at all.
        absent: Option<crate::Value>,
    },
}

/// How often a block may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// At most once.
    Once,
    /// Any number of times.
    Many,
    /// Any number of times, in source order together with the other blocks of the same enum (`stage.*`).
    Variant,
}

/// The type of an attribute.
#[derive(Clone, Debug)]
pub enum TypeSchema {
    /// Anything.
    Any,
    /// `bool`
    Bool,
    /// A whole number.
    Int,
    /// A whole number from 0.
    Uint,
    /// Any number.
    Float,
    /// Text.
    String,
    /// Text in Go's duration form.
    Duration,
    /// Text in a form of its own: `bytes size`, `Prometheus duration`, `RE2 regular expression`.
    Text(&'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text that is never shown.
    Secret,
    /// A list.
    List(Box<TypeSchema>),
    /// An object with any keys.
    Map(Box<TypeSchema>),
    /// An object with known keys.
    Struct(fn() -> BlockSchema),
    /// A discovery target.
    Target,
    /// A host object, by its type's name.
    Capsule(&'static str),
}

// === impl TypeSchema ===

impl TypeSchema {
    /// See [`FromValue::alloy_type`](crate::FromValue::alloy_type).
    pub(crate) fn alloy_type(&self) -> String {
        let name = match self {
            TypeSchema::Any | TypeSchema::Struct(_) => "",
            TypeSchema::Bool => "bool",
            TypeSchema::Int => "int",
            TypeSchema::Uint => "uint64",
            TypeSchema::Float => "float64",
            // Durations, sizes and words are read from a string there.
            TypeSchema::String | TypeSchema::Duration | TypeSchema::Text(_) | TypeSchema::Word(_) => "string",
            TypeSchema::Secret => "alloytypes.Secret",
            TypeSchema::Target => "discovery.Target",
            TypeSchema::Capsule(name) => name,
            TypeSchema::List(item) => return wrapped("[]", &item.alloy_type()),
            TypeSchema::Map(value) => return wrapped("map[string]", &value.alloy_type()),
        };
        name.to_owned()
    }
}

/// Nothing where what is wrapped has no name.
pub(crate) fn wrapped(wrapping: &str, name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{wrapping}{name}") }
}
