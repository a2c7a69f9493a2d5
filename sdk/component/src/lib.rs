//! The contract between components and the runtime.
//!
//! A component is a Rust type with a name, a stability, typed arguments and exports, and four acts: it is **built** from
//! arguments (without side effects that anyone could see), **updated** with new ones, **run** until stopped, and
//! **described** on request. Everything it may touch comes from its [`Context`]. 184 components pay for each line here:
//! the contract stays small.
//!
//! A family lists its components in one place:
//!
//! ```ignore
//! pub const COMPONENTS: &[Definition] = &[Definition::of::<write::Write>(), Definition::of::<echo::Echo>()];
//! ```
//!
//! Life of one: `Arguments` are decoded → [`Component::build`] → (the whole new graph is built; nothing has started) →
//! commit → [`Component::run`]. On a reload, a component whose arguments differ gets [`Component::update`], which does all
//! that can fail and returns an [`Update`]; only if the whole new graph is fine are the updates committed.

pub mod component;
pub mod context;
pub mod definition;
pub mod health;
pub mod host;
pub mod problem;
pub mod service;
pub mod stability;
pub mod tap;

pub use component::{BodyStream, BoxFuture, Component, Description, HttpHandler, Stopped, Update};
pub use context::{Context, ContextParts, MemoryHttp, Stop};
pub use definition::{Decoded, Definition, Instance};
pub use health::{Health, HealthState};
pub use problem::{Blame, Problem};
pub use service::{Service, ServiceDefinition, ServiceInstance};
pub use stability::Stability;
pub use tap::{Look, Passed, Tap, Watcher, Watching};

// What every component file needs beside the contract, under one roof.
pub use base_metrics as metrics;
pub use language_eval::{Arguments, Block, Exports};
