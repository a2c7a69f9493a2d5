//! otelcol.processor.*.

pub mod attributes;
pub mod batch;
pub mod cumulativetodelta;
mod decoded;
pub mod deltatocumulative;
pub mod discovery;
mod environment;
mod exponential;
pub mod filter;
pub mod groupbyattrs;
mod groups;
#[cfg(test)]
mod hostile_tests;
mod identity;
pub mod interval;
pub mod k8sattributes;
pub mod matching;
pub mod memory_limiter;
pub mod probabilistic_sampler;
pub mod processing;
pub mod resourcedetection;
pub mod span;
pub mod tail_sampling;
#[cfg(test)]
mod testing;
pub mod transform;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<attributes::Component>(),
    Definition::of::<batch::Batch>(),
    Definition::of::<cumulativetodelta::Component>(),
    Definition::of::<deltatocumulative::Component>(),
    Definition::of::<discovery::Component>(),
    Definition::of::<filter::Component>(),
    Definition::of::<groupbyattrs::Component>(),
    Definition::of::<interval::Component>(),
    Definition::of::<k8sattributes::Component>(),
    Definition::of::<memory_limiter::Component>(),
    Definition::of::<probabilistic_sampler::Component>(),
    Definition::of::<resourcedetection::Component>(),
    Definition::of::<span::Component>(),
    Definition::of::<tail_sampling::Component>(),
    Definition::of::<transform::Component>(),
];
