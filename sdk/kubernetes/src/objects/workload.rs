//! What makes pods: of each only its metadata.

use serde::Deserialize;

use super::{Metadata, Object};

macro_rules! workloads {
    ($($(#[$doc:meta])* $name:ident: $path:literal, $plural:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct $name {
            /// Name and labels.
            pub metadata: Metadata,
        }

        impl Object for $name {
            const PATH: &'static str = $path;
            const PLURAL: &'static str = $plural;

            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
        }
    )*};
}

workloads! {
    /// A deployment.
    Deployment: "/apis/apps/v1", "deployments";
    /// A replica set.
    ReplicaSet: "/apis/apps/v1", "replicasets";
    /// A stateful set.
    StatefulSet: "/apis/apps/v1", "statefulsets";
    /// A daemon set.
    DaemonSet: "/apis/apps/v1", "daemonsets";
    /// A job.
    Job: "/apis/batch/v1", "jobs";
}
