//! The kernel's table of tracked connections.

use base_metrics::FamilyWriter;

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Conntrack {
    entries: Source,
    limit: Source,
    statistics: Source,
}

/// Columns of `nf_conntrack` in `/proc/net/stat`, hexadecimal, one line for each CPU.
const COLUMNS: [(usize, &str, &str); 8] = [
    (2, "node_nf_conntrack_stat_found", "Number of searched entries which were successful."),
    (4, "node_nf_conntrack_stat_invalid", "Number of packets seen which can not be tracked."),
    (5, "node_nf_conntrack_stat_ignore", "Number of packets seen which are already connected to a conntrack entry."),
    (8, "node_nf_conntrack_stat_insert", "Number of entries inserted into the list."),
    (9, "node_nf_conntrack_stat_insert_failed", "Number of entries for which list insertion was attempted but failed."),
    (10, "node_nf_conntrack_stat_drop", "Number of packets dropped due to conntrack failure."),
    (
        11,
        "node_nf_conntrack_stat_early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
    ),
    (
        16,
        "node_nf_conntrack_stat_search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

impl Conntrack {
    pub fn new(paths: &Paths) -> Conntrack {
        let netfilter = paths.procfs.join("sys/net/netfilter");
        Conntrack {
            entries: Source::single(netfilter.join("nf_conntrack_count")),
            limit: Source::single(netfilter.join("nf_conntrack_max")),
            statistics: Source::short_records(paths.procfs.join("net/stat/nf_conntrack")),
        }
    }
}

impl Collector for Conntrack {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for (source, name, help) in [
            (
                &mut self.entries,
                "node_nf_conntrack_entries",
                "Number of currently allocated flow entries for connection tracking.",
            ),
            (&mut self.limit, "node_nf_conntrack_entries_limit", "Maximum size of connection tracking table."),
        ] {
            let text = source.read(scratch);
            let path = source.path();
            let text = text.map_err(|error| Failure::absent_or(path, &error))?;
            page.gauge(name, help, number(text.trim(), path)?);
        }
        let text = self.statistics.read(scratch);
        let path = self.statistics.path();
        let text = text.map_err(|error| Failure::absent_or(path, &error))?;
        let mut sums = [0u64; COLUMNS.len()];
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            for (sum, (column, ..)) in sums.iter_mut().zip(COLUMNS) {
                let field = fields.get(column).ok_or_else(|| Failure::malformed(path, line))?;
                *sum += u64::from_str_radix(field, 16).map_err(|_| Failure::malformed(path, line))?;
            }
        }
        for ((_, name, help), sum) in COLUMNS.into_iter().zip(sums) {
            page.gauge(name, help, sum as f64);
        }
        Ok(())
    }
}
