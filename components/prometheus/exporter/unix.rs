//! `prometheus.exporter.unix`: this host's CPUs, memory, disks, file systems and network, under node_exporter's names.

mod arguments;
mod arp;
mod bcache;
mod bonding;
mod btrfs;
mod buddyinfo;
mod cgroups;
mod collector;
mod conntrack;
mod conversation;
mod cpu;
mod cpu_vulnerabilities;
mod cpufreq;
mod dbus;
mod diskstats;
mod dmi;
mod drbd;
mod drm;
mod edac;
mod entropy;
mod ethtool;
mod fibrechannel;
mod filefd;
mod filesystem;
mod filter;
mod hwmon;
mod infiniband;
mod interrupts;
mod ipvs;
mod ksmd;
mod listing;
mod lnstat;
mod loadavg;
mod logind;
mod mdadm;
mod meminfo;
mod meminfo_numa;
mod mountstats;
mod netclass;
mod netdev;
mod netlink;
mod netstat;
mod network_route;
mod nfs;
mod nfsd;
mod node;
mod ntp;
mod nvme;
mod os;
mod perf;
mod powersupplyclass;
mod pressure;
mod processes;
mod qdisc;
mod rapl;
mod rpc;
mod runit;
mod schedstat;
mod selinux;
mod slabinfo;
mod sockstat;
mod softirqs;
mod softnet;
mod stat;
mod supervisord;
mod sysctl;
mod systemd;
mod tapestats;
mod tcpstat;
mod textfile;
mod thermal_zone;
mod time;
mod timex;
mod udp_queues;
mod uname;
mod vmstat;
mod wifi;
mod xfs;
mod xmlrpc;
mod zfs;
mod zoneinfo;

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

    fn doubts(arguments: &Arguments) -> Vec<Problem> {
        arguments.unknown_collectors()
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
        // Nothing goes wrong between the collectors and the page; that is worth two series to whoever looks for them.
        page.family(
            "promhttp_metric_handler_errors_total",
            "Total number of internal errors encountered by the promhttp metric handler.",
            Kind::Counter,
        )
        .sample(&[("cause", "encoding")], 0.0)
        .sample(&[("cause", "gathering")], 0.0);
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
