//! Folders that this user may not read, and what it would take.

use std::{io, path::Path};

use crate::Error;

/// What cannot be read and, where that is a matter of rights, whose folder is in the way and which right is needed.
pub(super) fn fault(path: &Path, error: io::Error) -> Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Error::io(path, error);
    }
    // What can be looked at but not into is what is in the way.
    let barrier = path
        .ancestors()
        .find(|above| std::fs::metadata(above).is_ok())
        .unwrap_or(path);
    Error::invalid(
        path.display().to_string(),
        format!(
            "permission denied: {} {}; this user needs the right to read and to enter it (r-x), through its group for example: sudo usermod -aG GROUP USER, then log in again",
            barrier.display(),
            rights(barrier)
        ),
    )
}

/// A store's error, with the right that is needed where that is what is missing.
pub(super) fn explain(error: Error) -> Error {
    match error {
        Error::Io { path, source } => fault(Path::new(&path), source),
        other => other,
    }
}

#[cfg(unix)]
fn rights(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    match std::fs::metadata(path) {
        Ok(meta) => format!(
            "belongs to user {} and group {} with rights {:o}",
            meta.uid(),
            meta.gid(),
            meta.mode() & 0o7777
        ),
        Err(error) => error.to_string(),
    }
}

#[cfg(not(unix))]
fn rights(_: &Path) -> String {
    "belongs to another user".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_folder_in_the_way_and_the_right() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("models/manifests");
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let message = explain(Error::io(&below, denied())).to_string();
        let barrier = format!(
            "{}: permission denied: {}",
            below.display(),
            dir.path().display()
        );
        assert!(message.starts_with(&barrier), "{message}");
        for part in ["belongs to user", "read and to enter it (r-x)", "usermod"] {
            assert!(message.contains(part), "{message}");
        }
        let other = fault(&below, io::Error::from(io::ErrorKind::NotFound)).to_string();
        assert!(!other.contains("usermod"), "{other}");
    }
}
