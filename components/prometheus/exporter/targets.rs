//! What every exporter exports: where its page is, as targets for a scraper.

use std::collections::BTreeMap;

use language_eval::{Exports, Target};
use sdk_component::Context;

/// The exporter's page.
#[derive(Clone, Debug, Exports)]
pub struct ExporterExports {
    /// Targets to give to `prometheus.scrape`.
    pub targets: Vec<Target>,
}

/// One target: the exporter's page on our own HTTP server, reached without leaving the process.
pub(crate) fn targets(context: &Context, component: &str, job: &str) -> ExporterExports {
    ExporterExports { targets: vec![labels(context, component, job, instance()).into_iter().collect()] }
}

/// The labels of an exporter's page.
pub(crate) fn labels(context: &Context, component: &str, job: &str, instance: String) -> BTreeMap<String, String> {
    let labels = [
        ("__address__", context.memory_http().address().to_owned()),
        ("__meta_component_id", context.id().to_owned()),
        ("__meta_component_name", component.to_owned()),
        ("__metrics_path__", format!("/api/v0/component/{}/metrics", context.id())),
        ("__scheme__", "http".to_owned()),
        ("instance", instance),
        ("job", job.to_owned()),
    ];
    labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `$HOSTNAME`, or what the kernel calls the host.
fn instance() -> String {
    let from_environment = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let from_kernel = || nix::unistd::gethostname().ok()?.into_string().ok();
    from_environment.or_else(from_kernel).unwrap_or_else(|| "unknown".to_owned())
}
