//! `ferroalloy run`.

use crate::cli::Invocation;
use crate::report::Failure;
use sdk_component::Stability;

/// Flags that only the experimental level allows.
const EXPERIMENTAL: [&str; 3] =
    ["server.http.enable-graphql", "server.http.enable-graphql-playground", "feature.prometheus.direct-fanout.enabled"];

/// The formats that Alloy can convert a configuration from.
const CONVERTIBLE: [&str; 4] = ["otelcol", "prometheus", "promtail", "static"];

/// Runs a configuration until the process is told to stop.
pub fn run(invocation: &Invocation) -> Result<(), Failure> {
    check_flags(invocation)?;
    Err(Failure::new("run is not part of this build yet"))
}

/// Refuses flags that cannot be met, in the order in which Alloy looks at them.
fn check_flags(invocation: &Invocation) -> Result<(), Failure> {
    if invocation.stability("stability.level") != Stability::Experimental {
        if let Some(flag) = EXPERIMENTAL.into_iter().find(|flag| invocation.is_set(flag)) {
            return Err(Failure::new(format!(
                "'--{flag}' can only be used at experimental stability level. Use --stability.level=experimental to enable."
            )));
        }
    }
    let format = invocation.text("config.format");
    if format != "alloy" && !CONVERTIBLE.contains(&format) {
        let path = base_stdx::quote::quote(invocation.arguments[0].as_bytes());
        let format = base_stdx::quote::quote(format.as_bytes());
        return Err(Failure::new(format!(
            "reading config path {path}: (Critical) unrecognized kind {format} given to the config converter"
        )));
    }
    invocation.check_support().map_err(|refused| Failure::new(refused.message))
}
