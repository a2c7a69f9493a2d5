//! A client for the Kubernetes API: as much of it as a collector needs.
//!
//! It stands on our own HTTP client, whose arguments are the user's, and reads of each object only the fields that somebody
//! uses: a full pod is ten times as large as what is kept of it. [`ClientArguments`] says how to reach the API, [`Cluster`]
//! asks it, [`watch()`] follows a kind of object for ever, whatever happens on the way.

pub mod access;
mod api;
mod arguments;
mod kubeconfig;
mod lines;
pub mod objects;
mod selector;
mod store;
mod watch;

pub use access::{Access, AccessError, AuthType};
pub use api::{ApiError, Cluster, LogRequest};
pub use arguments::ClientArguments;
pub use objects::{Object, label_name};
pub use selector::{LabelSelector, Operator, Requirement};
pub use store::{Key, Store};
pub use watch::{Change, Scope, Timing, watch};
