//! Blocks at a configuration's root that are decoded and have no service behind them yet: `tracing`, `labelstore`,
//! `remotecfg`.
//!
//! A configuration that has them loads, as it does in Alloy. What such a block would have *done* is said once in the log;
//! what a user would wait for in vain (a remote configuration) is refused.

mod labelstore;
mod remotecfg;
mod tracing_block;

use std::sync::Arc;

use sdk_component::ServiceDefinition;

/// All of them.
pub fn services() -> Vec<ServiceDefinition> {
    vec![
        ServiceDefinition::of(Arc::new(labelstore::LabelStore)),
        ServiceDefinition::of(Arc::new(remotecfg::RemoteConfig)),
        ServiceDefinition::of(Arc::new(tracing_block::Tracing)),
    ]
}
