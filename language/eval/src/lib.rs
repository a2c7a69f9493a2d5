//! Values of a configuration: what expressions evaluate to, how values become typed arguments, and back.
//!
//! ```text
//! ast::Expr ──evaluate(scope)──→ Value ──FromValue──→ a field of a typed struct
//! ast::Body ──decode(scope)────→ a struct with #[derive(Arguments)], or every diagnostic of the body
//! a typed struct ──Block::encode──→ body nodes (web API, redacted printing, equality)
//! ```
//!
//! This crate knows no component and no signal. Whatever it cannot know (a log receiver, an HTTP handler) is a
//! [`Capsule`].

pub mod block;
pub mod capsule;
pub mod convert;
pub mod decode;
pub mod encode;
pub mod evaluate;
pub mod fuzz;
pub mod json;
pub mod operators;
pub mod references;
pub mod schema;
pub mod scope;
pub mod secret;
pub mod stdlib;
mod unset;
pub mod value;
pub mod word;

// The derives name this crate by its path from outside.
extern crate self as language_eval;

pub use block::{Block, BodyNode, BodySource, Exports, Invalid, Validate};
pub use capsule::{Capsule, CapsuleObject, DataEdge};
pub use convert::{FromValue, ToValue, ValueError};
pub use decode::decode_attributes;
pub use evaluate::evaluate;
pub use json::{body_to_json, object_to_body, value_to_json};
pub use language_derive::{Arguments, Block, Exports, Word};
pub use references::{Traversal, body_references, references};
pub use schema::{BlockSchema, TypeSchema};
pub use scope::Scope;
pub use secret::{OptionalSecret, SecretString};
pub use value::{Number, Object, Target, Text, Value};
pub use word::Word;
