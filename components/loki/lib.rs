//! loki.*.

mod echo;
mod enrich;
#[cfg(test)]
mod notes;
pub mod process;
mod recent;
mod relabel;
mod secretfilter;
mod source;
mod write;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<echo::Echo>(),
    Definition::of::<enrich::Enrich>(),
    Definition::of::<process::Process>(),
    Definition::of::<relabel::Relabel>(),
    Definition::of::<secretfilter::Secretfilter>(),
    Definition::of::<source::api::Api>(),
    Definition::of::<source::docker::Docker>(),
    Definition::of::<source::file::File>(),
    Definition::of::<source::journal::Journal>(),
    Definition::of::<source::kubernetes::Kubernetes>(),
    Definition::of::<source::kubernetes_events::KubernetesEvents>(),
    Definition::of::<source::podlogs::PodLogs>(),
    Definition::of::<source::syslog::Syslog>(),
    Definition::of::<write::Write>(),
];
