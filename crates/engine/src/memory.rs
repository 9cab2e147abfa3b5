//! What the system says of memory; nothing where it says nothing.

/// Bytes that can be had without swapping.
pub fn available_memory() -> Option<usize> {
    kibibytes("/proc/meminfo", "MemAvailable:")
}

/// The most bytes that this process had in memory at once, mapped files included.
pub fn peak_memory() -> Option<usize> {
    kibibytes("/proc/self/status", "VmHWM:")
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
