//! Memory limits of control groups, version 1 and 2: what a container may use, whatever the machine has.

use std::{fs, path::Path};

/// The names that the files of a version have.
struct Version {
    /// Where its hierarchies may be mounted, below the mount point of all.
    mounts: &'static [&'static str],
    limits: &'static [&'static str],
    used: &'static str,
    /// Entries of `memory.stat` that can be taken back without swapping.
    reclaimable: &'static [&'static str],
}

const V1: Version = Version {
    mounts: &["memory"],
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    reclaimable: &["total_inactive_file", "total_active_file"],
};

const V2: Version = Version {
    mounts: &["", "unified"],
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    reclaimable: &["inactive_file", "active_file", "slab_reclaimable"],
};

/// Bytes that the groups of a process leave it, the tightest of them; none where nothing is limited.
///
/// * `membership`: `/proc/self/cgroup`.
/// * `root`: `/sys/fs/cgroup`.
pub(super) fn available(membership: &Path, root: &Path) -> Option<usize> {
    let text = fs::read_to_string(membership).ok()?;
    let groups = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some((&V2, path)),
            list if list.split(',').any(|name| name == "memory") => Some((&V1, path)),
            _ => None,
        }
    });
    groups
        .flat_map(|(version, path)| {
            let mounts = version.mounts.iter().map(|mount| root.join(mount));
            mounts.filter_map(move |mount| tightest(version, &mount, path))
        })
        .min()
}

/// A group is held to its ancestors' limits too. In a container the path may be the host's: what is not there is
/// passed over, up to the mount point, which is then the container's own group.
fn tightest(version: &Version, mount: &Path, path: &str) -> Option<usize> {
    let group = mount.join(path.trim_start_matches('/'));
    group
        .ancestors()
        .take_while(|at| at.starts_with(mount))
        .filter_map(|at| left(version, at))
        .min()
}

/// What one group leaves.
fn left(version: &Version, group: &Path) -> Option<usize> {
    let number = |name: &str| -> Option<usize> {
        fs::read_to_string(group.join(name))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    // "max", and the huge number that version 1 writes for it, are no limit.
    let limits = version.limits.iter().filter_map(|name| number(name));
    let limit = limits.min().filter(|limit| *limit < 1 << 60)?;
    let used = number(version.used)?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let entry = |line: &str| -> Option<usize> {
        let (name, value) = line.split_once(' ')?;
        let counts = version.reclaimable.contains(&name);
        counts.then(|| value.trim().parse().ok()).flatten()
    };
    let reclaimable: usize = stat.lines().filter_map(entry).sum();
    Some(limit.saturating_sub(used.saturating_sub(reclaimable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of files, and what is available in it.
    fn of(membership: &str, files: &[(&str, &str)]) -> Option<usize> {
        let root = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let own = root.path().join("membership");
        fs::write(&own, membership).expect("a file");
        available(&own, root.path())
    }

    #[test]
    fn version_2_takes_the_tightest_of_a_group_and_its_ancestors() {
        let files = [
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "700\n"),
            (
                "a/memory.stat",
                "anon 300\ninactive_file 150\nactive_file 50\nfile 400\n",
            ),
            ("a/b/memory.max", "max\n"),
            ("a/b/memory.high", "900\n"),
            ("a/b/memory.current", "100\n"),
        ];
        assert_eq!(of("0::/a/b\n", &files), Some(500));
        assert_eq!(of("0::/a/b\n", &files[3..]), Some(800));
        assert_eq!(of("0::/a\n", &files[3..]), None);
    }

    #[test]
    fn version_1_knows_its_controller_and_its_word_for_no_limit() {
        let files = [
            ("memory/c/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/c/memory.usage_in_bytes", "5\n"),
            ("memory/memory.limit_in_bytes", "2000\n"),
            ("memory/memory.usage_in_bytes", "600\n"),
            ("memory/memory.stat", "cache 500\ntotal_inactive_file 400\n"),
        ];
        let lines = "9:name=systemd:/x\n4:cpu,memory:/c\n0::/\n";
        assert_eq!(of(lines, &files), Some(1800));
        assert_eq!(of(lines, &files[..2]), None);
        // The path of a host, seen from inside a container.
        assert_eq!(of("4:memory:/docker/123\n", &files), Some(1800));
    }

    #[test]
    fn nonsense_is_no_limit_and_no_memory_is_none_left() {
        assert_eq!(of("", &[]), None);
        assert_eq!(of("0\n::\n0::/../..\n", &[("memory.max", "soon")]), None);
        let over = [("memory.max", "10"), ("memory.current", "30")];
        assert_eq!(of("0::/\n", &over), Some(0));
    }
}
