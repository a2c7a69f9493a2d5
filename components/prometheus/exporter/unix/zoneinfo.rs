//! `/proc/zoneinfo`: the zones of memory in their nodes.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};

pub(crate) struct Zoneinfo {
    source: Source,
}

/// Name in the file, family, help, type.
const FAMILIES: [(&str, &str, &str, Kind); 34] = [
    ("nr_free_pages", "nr_free_pages", "Total number of free pages in the zone", Kind::Gauge),
    ("min", "min_pages", "Zone watermark pages_min", Kind::Gauge),
    ("low", "low_pages", "Zone watermark pages_low", Kind::Gauge),
    ("high", "high_pages", "Zone watermark pages_high", Kind::Gauge),
    ("scanned", "scanned_pages", "Pages scanned since last reclaim", Kind::Gauge),
    ("spanned", "spanned_pages", "Total pages spanned by the zone, including holes", Kind::Gauge),
    ("present", "present_pages", "Physical pages existing within the zone", Kind::Gauge),
    ("managed", "managed_pages", "Present pages managed by the buddy system", Kind::Gauge),
    ("nr_active_anon", "nr_active_anon_pages", "Number of anonymous pages recently more used", Kind::Gauge),
    ("nr_inactive_anon", "nr_inactive_anon_pages", "Number of anonymous pages recently less used", Kind::Gauge),
    ("nr_isolated_anon", "nr_isolated_anon_pages", "Temporary isolated pages from anon lru", Kind::Gauge),
    ("nr_anon_pages", "nr_anon_pages", "Number of anonymous pages currently used by the system", Kind::Gauge),
    (
        "nr_anon_transparent_hugepages",
        "nr_anon_transparent_hugepages",
        "Number of anonymous transparent huge pages currently used by the system",
        Kind::Gauge,
    ),
    ("nr_active_file", "nr_active_file_pages", "Number of active pages with file-backing", Kind::Gauge),
    ("nr_inactive_file", "nr_inactive_file_pages", "Number of inactive pages with file-backing", Kind::Gauge),
    ("nr_isolated_file", "nr_isolated_file_pages", "Temporary isolated pages from file lru", Kind::Gauge),
    ("nr_file_pages", "nr_file_pages", "Number of file pages", Kind::Gauge),
    ("nr_slab_reclaimable", "nr_slab_reclaimable_pages", "Number of reclaimable slab pages", Kind::Gauge),
    ("nr_slab_unreclaimable", "nr_slab_unreclaimable_pages", "Number of unreclaimable slab pages", Kind::Gauge),
    ("nr_mlock_stack", "nr_mlock_stack_pages", "mlock()ed pages found and moved off LRU", Kind::Gauge),
    ("nr_kernel_stack", "nr_kernel_stacks", "Number of kernel stacks", Kind::Gauge),
    ("nr_mapped", "nr_mapped_pages", "Number of mapped pages", Kind::Gauge),
    ("nr_dirty", "nr_dirty_pages", "Number of dirty pages", Kind::Gauge),
    ("nr_writeback", "nr_writeback_pages", "Number of writeback pages", Kind::Gauge),
    ("nr_unevictable", "nr_unevictable_pages", "Number of unevictable pages", Kind::Gauge),
    ("nr_shmem", "nr_shmem_pages", "Number of shmem pages (included tmpfs/GEM pages)", Kind::Gauge),
    ("nr_dirtied", "nr_dirtied_total", "Page dirtyings since bootup", Kind::Counter),
    ("nr_written", "nr_written_total", "Page writings since bootup", Kind::Counter),
    ("numa_hit", "numa_hit_total", "Allocated in intended node", Kind::Counter),
    ("numa_miss", "numa_miss_total", "Allocated in non intended node", Kind::Counter),
    ("numa_foreign", "numa_foreign_total", "Was intended here, hit elsewhere", Kind::Counter),
    ("numa_interleave", "numa_interleave_total", "Interleaver preferred this zone", Kind::Counter),
    ("numa_local", "numa_local_total", "Allocation from local node", Kind::Counter),
    ("numa_other", "numa_other_total", "Allocation from other node", Kind::Counter),
];

impl Zoneinfo {
    pub fn new(paths: &Paths) -> Zoneinfo {
        Zoneinfo { source: Source::records(paths.procfs.join("zoneinfo")) }
    }
}

impl Collector for Zoneinfo {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.source.path().to_owned();
        let text = self.source.read(scratch).map_err(|error| Failure::reading(&path, &error))?;
        for zone in text.trim_start_matches("Node").split("\nNode") {
            // ` 0, zone      DMA`
            let heading = zone.lines().next().and_then(|line| line.split_once(", zone"));
            let Some((node, zone_name)) = heading else { continue };
            let labels = [("node", node.trim()), ("zone", zone_name.trim())];
            let values = |name: &str| {
                // The last one counts where a name stands twice.
                zone.lines()
                    .filter_map(move |line| line.trim_start().strip_prefix(name))
                    .rfind(|rest| rest.starts_with(' '))
            };
            for (name, family, help, kind) in FAMILIES {
                // The number of free pages of old kernels is `pages free`, which node_exporter does not read.
                if let Some(rest) = values(name) {
                    let value = rest.split_whitespace().next().and_then(|value| value.parse::<i64>().ok());
                    page.family(&format!("node_zoneinfo_{family}"), help, kind)
                        .sample(&labels, value.unwrap_or_default() as f64);
                }
            }
            let protection = values("protection:").unwrap_or_default().trim();
            let numbers = protection.trim_start_matches('(').trim_end_matches(')').split(", ");
            let numbers: Result<Vec<i64>, _> = numbers.map(str::parse).collect();
            for (at, value) in numbers.unwrap_or_default().into_iter().enumerate() {
                page.family(
                    &format!("node_zoneinfo_protection_{at}"),
                    &format!("Protection array {at}. field"),
                    Kind::Gauge,
                )
                .sample(&labels, value as f64);
            }
        }
        Ok(())
    }
}
