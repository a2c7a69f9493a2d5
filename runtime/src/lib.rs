//! Graph, evaluation order, modules, reload, scheduling, health.
//!
//! ```text
//! texts ─parse→ files ─plan→ nodes in order ─stage→ built, checked, not started ─commit→ live ─supervise→ running
//!                                                            ↑ dropped if anything is wrong        │ exports
//!                                                            └──────────── propagate ←── marks ────┘
//! ```
//!
//! Start reading at [`Runtime`]: one controller task takes loads and marks and does everything that changes the graph,
//! so nothing about the graph needs a lock to be changed. `plan` knows names, `stage` evaluates without being seen,
//! `commit` cannot fail, `supervise` runs what is live.
//!
//! This crate knows no signal and no component: definitions and services are given to it, capsules are opaque.

mod blame;
mod commit;
mod engine;
mod host;
mod import;
mod marks;
mod mask;
mod measure;
mod module;
mod node;
mod options;
mod plan;
mod propagate;
mod runtime;
mod sources;
mod stage;
mod supervise;

pub use options::{FetchGit, GitKey, GitRequest, Options};
pub use plan::ImportKind;
pub use runtime::{LoadError, Runtime, validate};
pub use sources::{MAX_TEXT, PathSources, Sources, Texts};
