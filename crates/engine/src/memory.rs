//! What the system says of memory; nothing where it says nothing.

mod cgroup;
mod mappings;

use std::path::Path;

pub(crate) use mappings::{Mappings, Reading, read_places};

/// Bytes that can be had without swapping, within the limits of the control groups of this process.
pub fn available_memory() -> Option<usize> {
    let system = kibibytes("/proc/meminfo", "MemAvailable:");
    let group = cgroup::available(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"));
    match (system, group) {
        (Some(system), Some(group)) => Some(system.min(group)),
        (system, group) => system.or(group),
    }
}

/// The most bytes that this process had in memory at once, mapped files included.
pub fn peak_memory() -> Option<usize> {
    kibibytes("/proc/self/status", "VmHWM:").max(resident_memory())
}

/// Bytes that this process has in memory now, mapped files included.
pub fn resident_memory() -> Option<usize> {
    // The first is counted page by page, the second from counters that lag behind.
    kibibytes("/proc/self/smaps_rollup", "Rss:")
        .or_else(|| kibibytes("/proc/self/status", "VmRSS:"))
}

/// Bytes that this process has in memory of the files that the program consists of; 0 where the system does not tell.
pub fn program_memory() -> usize {
    Mappings::now().program()
}

fn kibibytes(file: &str, key: &str) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace()
        .next()?
        .parse::<usize>()
        .ok()?
        .checked_mul(1024)
}
