//! prometheus.write.*.

pub(crate) mod queue;
