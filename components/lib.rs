//! The one list of all components.
//!
//! To add a component: its file (the path is the name), a `mod` line and a line in its family's `COMPONENTS`, and a spec.

use sdk_component::Definition;

/// Every family.
pub const FAMILIES: &[&[Definition]] = &[
    components_discovery::COMPONENTS,
    components_faro::COMPONENTS,
    components_local::COMPONENTS,
    components_loki::COMPONENTS,
    components_otelcol::COMPONENTS,
    components_otelcol_connector::COMPONENTS,
    components_otelcol_exporter::COMPONENTS,
    components_otelcol_processor::COMPONENTS,
    components_otelcol_receiver::COMPONENTS,
    components_prometheus::COMPONENTS,
    components_prometheus_exporter::COMPONENTS,
];

/// Every component, family by family.
pub fn all() -> impl Iterator<Item = &'static Definition> {
    FAMILIES.iter().copied().flatten()
}
