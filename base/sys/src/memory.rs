//! Memory: what this process uses, and how much there is for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What the allocator of the process does to give back what it keeps in reserve.
static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// Bytes of memory that only this process uses. Pages of files (the program itself, mapped databases) do not count: the
/// kernel takes them back when it needs them.
///
/// # Errors
/// The kernel does not tell: `/proc` is not there.
pub fn used() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| bytes(status.lines().find_map(|line| line.strip_prefix(name))?);
    field("RssAnon:").or_else(|| field("VmRSS:")).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status does not tell the resident memory")
    })
}

/// Bytes of memory that this process may use: what its control group allows, or what the machine has.
///
/// # Errors
/// The kernel does not tell: `/proc` is not there.
pub fn total() -> io::Result<u64> {
    let machine = fs::read_to_string("/proc/meminfo")?;
    let machine = machine.lines().find_map(|line| bytes(line.strip_prefix("MemTotal:")?));
    let machine =
        machine.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo does not tell the memory"))?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    Ok(limits.chain([machine]).min().unwrap_or(machine))
}

/// Asks the allocator to give back to the system what is free. Does nothing if it has not said how.
pub fn give_back() {
    if let Some(give_back) = GIVE_BACK.get() {
        give_back();
    }
}

/// For the program that chose the allocator: how it gives memory back.
pub fn on_give_back(give_back: fn()) {
    // Only the first counts: there is one allocator.
    let _ = GIVE_BACK.set(give_back);
}

/// `   1024 kB`, as the kernel writes sizes.
fn bytes(size: &str) -> Option<u64> {
    size.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// Where the limits of control groups stand, of the group itself and of those around it: `/proc/self/cgroup` lists
/// `0::/path` (version 2) or `9:memory:/path` (version 1). Seen from inside a container the path may not exist, but the
/// root is its own group.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        files.extend(path.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_used() {
        let before = used().unwrap();
        let held = vec![1_u8; 64 << 20];
        let after = used().unwrap();
        assert!(after >= before + (32 << 20), "{before} {after}");
        assert!(used().unwrap() <= total().unwrap());
        drop(held);
    }

    #[test]
    fn limits_of_all_groups_around_count() {
        assert_eq!(
            limit_files("0::/a/b\n"),
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"]
                .map(PathBuf::from)
        );
        let one = limit_files("4:cpu:/x\n9:memory,y:/\nnonsense\n");
        assert_eq!(one, [PathBuf::from("/sys/fs/cgroup/memory/memory.limit_in_bytes")]);
    }
}
