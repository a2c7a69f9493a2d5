//! prometheus.*.

#[cfg(test)]
mod again;
mod echo;
mod enrich;
mod lists;
mod look;
#[cfg(test)]
mod metric_names;
mod outages;
mod receive_http;
mod relabel;
mod remote_write;
mod rewrite;
mod scrape;
#[cfg(test)]
mod testing;
mod write;

use sdk_component::Definition;
use sdk_signals::forward;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<echo::Echo>(),
    Definition::of::<enrich::Enrich>(),
    Definition::of::<receive_http::ReceiveHttp>(),
    Definition::of::<relabel::Relabel>(),
    Definition::of::<remote_write::RemoteWrite>(),
    Definition::of::<scrape::Scrape>(),
    Definition::of::<write::queue::Queue>(),
];
