//! Who we are towards AWS, and requests that prove it.
//!
//! A [`Chain`] looks for keys where the tools of AWS look: in the configuration, in the environment, at the Security Token Service,
//! in shared files, at the container's agent and in the metadata of the instance. It keeps them until they end, signs requests
//! of others with them ([`Chain::sign`]), and asks the services of AWS themselves ([`Chain::ask`]).

mod chain;
mod machine;
mod profile;
mod sigv4;
#[cfg(test)]
mod testing;
mod xml;

use std::sync::Arc;

pub use chain::{Api, Chain};
pub use xml::element;

/// The variables of the process, or of a test; "" for what is not set.
pub type Environment = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// What a configuration says. What is empty is looked for.
#[derive(Clone, Default)]
pub struct Settings {
    /// The region.
    pub region: String,
    /// The name of the key; not without the key.
    pub access_key: String,
    /// The key.
    pub secret_key: String,
    /// The profile of the shared files.
    pub profile: String,
    /// A role to take.
    pub role_arn: String,
    /// What the owner of the role wants to be told.
    pub external_id: String,
    /// Ask for the role where FIPS 140 is kept to.
    pub use_fips_sts_endpoint: bool,
}
