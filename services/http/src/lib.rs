//! The HTTP server on 127.0.0.1:12345: `/metrics`, `/-/ready`, `/-/healthy`, `/-/reload`, the components' own pages, and
//! whatever is mounted on it, such as the web API.
//!
//! [`Http::bind`] takes the port before anything else happens, so that a port in use is said at once. As a
//! [`sdk_component::Service`] it is configured by the `http` block: TLS and basic authentication. Until the first load
//! has applied that block only `/-/ready` and `/-/healthy` are answered: the rest may be meant for fewer eyes.
//!
//! The same routes answer requests that never leave the process ([`sdk_component::MemoryHttp`]), which is how
//! `prometheus.scrape` reads `prometheus.exporter.*`. Those need neither TLS nor a password.

mod answer;
mod arguments;
mod auth;
mod compress;
mod routes;
mod service;
mod support;

pub use arguments::{Arguments, Auth, BasicAuth, Filter, Tls, WindowsCertificateFilter};
pub use routes::{Mount, page_not_found, text};
pub use service::{BindError, Http, Options};
pub use support::{RecordLog, Support};
