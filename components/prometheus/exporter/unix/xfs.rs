//! `/sys/fs/xfs/*/stats/stats`: what XFS did on each of its file systems.

use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::entries;

pub(crate) struct Xfs {
    root: PathBuf,
}

/// The numbers of a line of the file: its name, how many there are, and the families of some.
struct Line {
    name: &'static str,
    numbers: &'static [usize],
    /// Place in the line, family, help.
    families: &'static [(usize, &'static str, &'static str)],
}

const LINES: [Line; 8] = [
    Line {
        name: "extent_alloc",
        numbers: &[4],
        families: &[
            (0, "extent_allocation_extents_allocated", "Number of extents allocated for a filesystem."),
            (1, "extent_allocation_blocks_allocated", "Number of blocks allocated for a filesystem."),
            (2, "extent_allocation_extents_freed", "Number of extents freed for a filesystem."),
            (3, "extent_allocation_blocks_freed", "Number of blocks freed for a filesystem."),
        ],
    },
    Line {
        name: "abt",
        numbers: &[4],
        families: &[
            (0, "allocation_btree_lookups", "Number of allocation B-tree lookups for a filesystem."),
            (1, "allocation_btree_compares", "Number of allocation B-tree compares for a filesystem."),
            (2, "allocation_btree_records_inserted", "Number of allocation B-tree records inserted for a filesystem."),
            (3, "allocation_btree_records_deleted", "Number of allocation B-tree records deleted for a filesystem."),
        ],
    },
    Line {
        name: "blk_map",
        numbers: &[7],
        families: &[
            (0, "block_mapping_reads", "Number of block map for read operations for a filesystem."),
            (1, "block_mapping_writes", "Number of block map for write operations for a filesystem."),
            (2, "block_mapping_unmaps", "Number of block unmaps (deletes) for a filesystem."),
            (3, "block_mapping_extent_list_insertions", "Number of extent list insertions for a filesystem."),
            (4, "block_mapping_extent_list_deletions", "Number of extent list deletions for a filesystem."),
            (5, "block_mapping_extent_list_lookups", "Number of extent list lookups for a filesystem."),
            (6, "block_mapping_extent_list_compares", "Number of extent list compares for a filesystem."),
        ],
    },
    Line {
        name: "bmbt",
        numbers: &[4],
        families: &[
            (0, "block_map_btree_lookups", "Number of block map B-tree lookups for a filesystem."),
            (1, "block_map_btree_compares", "Number of block map B-tree compares for a filesystem."),
            (2, "block_map_btree_records_inserted", "Number of block map B-tree records inserted for a filesystem."),
            (3, "block_map_btree_records_deleted", "Number of block map B-tree records deleted for a filesystem."),
        ],
    },
    Line {
        name: "dir",
        numbers: &[4],
        families: &[
            (
                0,
                "directory_operation_lookup",
                "Number of file name directory lookups which miss the operating systems directory name lookup cache.",
            ),
            (1, "directory_operation_create", "Number of times a new directory entry was created for a filesystem."),
            (
                2,
                "directory_operation_remove",
                "Number of times an existing directory entry was created for a filesystem.",
            ),
            (
                3,
                "directory_operation_getdents",
                "Number of times the directory getdents operation was performed for a filesystem.",
            ),
        ],
    },
    Line {
        name: "ig",
        numbers: &[7],
        families: &[
            (0, "inode_operation_attempts", "Number of times the OS looked for an XFS inode in the inode cache."),
            (
                1,
                "inode_operation_found",
                "Number of times the OS looked for and found an XFS inode in the inode cache.",
            ),
            (
                2,
                "inode_operation_recycled",
                "Number of times the OS found an XFS inode in the cache, but could not use it as it was being recycled.",
            ),
            (
                3,
                "inode_operation_missed",
                "Number of times the OS looked for an XFS inode in the cache, but did not find it.",
            ),
            (
                4,
                "inode_operation_duplicates",
                "Number of times the OS tried to add a missing XFS inode to the inode cache, but found it had already \
                 been added by another process.",
            ),
            (
                5,
                "inode_operation_reclaims",
                "Number of times the OS reclaimed an XFS inode from the inode cache to free memory for another purpose.",
            ),
            (
                6,
                "inode_operation_attribute_changes",
                "Number of times the OS explicitly changed the attributes of an XFS inode.",
            ),
        ],
    },
    Line {
        name: "rw",
        numbers: &[2],
        families: &[
            (1, "read_calls", "Number of read(2) system calls made to files in a filesystem."),
            (0, "write_calls", "Number of write(2) system calls made to files in a filesystem."),
        ],
    },
    Line {
        name: "vnodes",
        // The eighth, how many are free, came later.
        numbers: &[7, 8],
        families: &[
            (0, "vnode_active", "Number of vnodes not on free lists for a filesystem."),
            (1, "vnode_allocate", "Number of times vn_alloc called for a filesystem."),
            (2, "vnode_get", "Number of times vn_get called for a filesystem."),
            (3, "vnode_hold", "Number of times vn_hold called for a filesystem."),
            (4, "vnode_release", "Number of times vn_rele called for a filesystem."),
            (5, "vnode_reclaim", "Number of times vn_reclaim called for a filesystem."),
            (6, "vnode_remove", "Number of times vn_remove called for a filesystem."),
        ],
    },
];

impl Xfs {
    pub fn new(paths: &Paths) -> Xfs {
        Xfs { root: paths.sysfs.join("fs/xfs") }
    }
}

impl Collector for Xfs {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        // A host without such a file system has nothing to tell, and that is no failure.
        for (device, folder) in entries(&self.root).unwrap_or_default() {
            let path = folder.join("stats/stats");
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                // `stats` is the whole machine's own folder, whose `stats` is a file.
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => continue,
                Err(error) => return Err(Failure::reading(&path, &error)),
            };
            for line in LINES {
                let numbers = line.read(&text, &path)?;
                for (at, name, help) in line.families {
                    let value = numbers.get(*at).copied().unwrap_or_default();
                    page.family(&format!("node_xfs_{name}_total"), help, Kind::Counter)
                        .sample(&[("device", &device)], f64::from(value));
                }
            }
        }
        Ok(())
    }
}

impl Line {
    /// A line that is not there is all zeros.
    fn read(&self, text: &str, path: &Path) -> Result<Vec<u32>, Failure> {
        let rest = text.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == self.name);
        let Some((_, rest)) = rest else { return Ok(Vec::new()) };
        let numbers: Result<Vec<u32>, _> = rest.split_whitespace().map(str::parse).collect();
        numbers
            .ok()
            .filter(|numbers| self.numbers.contains(&numbers.len()))
            .ok_or_else(|| Failure::malformed(path, self.name))
    }
}
