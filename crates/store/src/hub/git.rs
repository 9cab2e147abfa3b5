//! Ids of git blobs: the hub's check of files that are not in large file storage.

use sha1::{Digest as _, Sha1};

/// The id that git gives to a content: the SHA-1 of `blob LENGTH`, a zero byte and the content. SHA-1 is no defence
/// against someone who wants a collision; it finds damage.
pub fn git_oid(bytes: &[u8]) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    /// Ids that git itself prints (`git hash-object`).
    #[test]
    fn ids_are_those_of_git() {
        for (content, want) in [
            ("", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            ("hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
        ] {
            assert_eq!(hex(&git_oid(content.as_bytes())), want);
        }
    }
}
