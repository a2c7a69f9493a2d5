//! `prometheus.exporter.unix`: this host's CPUs, memory, disks, file systems and network, under node_exporter's names.

mod arguments;
mod arp;
mod bonding;
mod collector;
mod conntrack;
mod cpu;
mod cpufreq;
mod diskstats;
mod dmi;
mod edac;
mod entropy;
mod filefd;
mod filesystem;
mod filter;
mod hwmon;
mod listing;
mod loadavg;
mod mdadm;
mod meminfo;
mod netclass;
mod netdev;
mod netstat;
mod node;
mod nvme;
mod os;
mod powersupplyclass;
mod pressure;
mod processes;
mod rapl;
mod schedstat;
mod selinux;
mod sockstat;
mod softnet;
mod stat;
mod textfile;
mod thermal_zone;
mod time;
mod timex;
mod udp_queues;
mod uname;
mod vmstat;

use std::sync::{Arc, Mutex, PoisonError};

use base_metrics::{Kind, Losses, Page};
use sdk_component::{Component, Context, HttpHandler, Problem, Stop, Stopped, Update};

use crate::build_info;
use crate::serve::serve;
use crate::targets::{ExporterExports, targets};
pub use arguments::Arguments;
use node::{Node, Settings};

/// The component.
pub struct Unix {
    current: Arc<Mutex<Exporter>>,
}

/// What a scrape works with; one at a time.
struct Exporter {
    node: Node,
    /// Kept, with the room it grew.
    page: Page,
    losses: Losses,
    /// Whether to tell of the exporter itself.
    itself: bool,
    scrapes: u64,
}

impl Component for Unix {
    const NAME: &'static str = "prometheus.exporter.unix";

    type Arguments = Arguments;
    type Exports = ExporterExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Unix, Problem> {
        let exporter = Exporter::new(&arguments, arguments.settings()?);
        context.publish(&targets(context, Self::NAME, "integrations/unix"));
        Ok(Unix { current: Arc::new(Mutex::new(exporter)) })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let exporter = Exporter::new(&arguments, arguments.settings()?);
        let current = self.current.clone();
        Ok(Update::then(move || *current.lock().unwrap_or_else(PoisonError::into_inner) = exporter))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }

    fn http(&self) -> Option<HttpHandler> {
        Some(serve("prometheus.exporter.unix scrape", self.current.clone(), Exporter::scrape))
    }
}

impl Exporter {
    fn new(arguments: &Arguments, settings: Settings) -> Exporter {
        for (name, nearest) in arguments.unknown_collectors() {
            tracing::warn!(collector = name, nearest, "no collector has this name; it is ignored");
        }
        Exporter {
            node: Node::new(settings),
            page: Page::new(),
            losses: Losses::default(),
            itself: arguments.include_exporter_metrics,
            scrapes: 0,
        }
    }

    fn scrape(&mut self) -> String {
        self.page.clear();
        let mut page = self.page.writer();
        self.node.collect(&mut page);
        build_info::write(&mut page, "node_exporter_build_info", "node_exporter");
        if self.itself {
            base_metrics::process::write(&mut page);
            page.family(
                "promhttp_metric_handler_requests_total",
                "Total number of scrapes by HTTP status code.",
                Kind::Counter,
            )
            .sample(&[("code", "200")], self.scrapes as f64);
        }
        self.scrapes += 1;
        let mut text = String::new();
        self.page.encode(&mut text, &self.losses);
        text
    }
}

#[cfg(test)]
mod tests;
