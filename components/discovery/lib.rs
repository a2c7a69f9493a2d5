//! discovery.*.

mod dns;
mod docker;
mod dockerswarm;
mod file;
mod groups;
mod http;
mod kubernetes;
mod look;
mod process;
mod relabel;
mod rounds;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<dns::Dns>(),
    Definition::of::<docker::Docker>(),
    Definition::of::<dockerswarm::DockerSwarm>(),
    Definition::of::<file::File>(),
    Definition::of::<http::Http>(),
    Definition::of::<kubernetes::Kubernetes>(),
    Definition::of::<process::Process>(),
    Definition::of::<relabel::Relabel>(),
];
