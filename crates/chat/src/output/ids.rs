//! Ids for calls that have none.

use super::format::{Format, Ids};

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl Format {
    /// An id for call `index` of an answer with this `text`: the same for the same two. `call_`
    /// and eight letters or digits, or nine of them alone where the family's templates insist on
    /// that.
    pub fn invent_id(&self, index: usize, text: &str) -> String {
        let (prefix, length) = match self.row.ids {
            Ids::Invented => ("call_", 8),
            Ids::Nine => ("", 9),
        };
        // FNV-1a: ids are to differ, not to be secret.
        let number = index.to_le_bytes();
        let bytes = number.iter().chain(text.as_bytes());
        let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut id = prefix.to_owned();
        for _ in 0..length {
            id.push(char::from(LETTERS[(hash % 62) as usize]));
            hash /= 62;
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_form_and_differ() {
        let hermes = Format::by_name("hermes").unwrap();
        let mistral = Format::by_name("mistral").unwrap();
        let id = hermes.invent_id(0, "a");
        assert_eq!(id, hermes.invent_id(0, "a"));
        assert_ne!(id, hermes.invent_id(1, "a"));
        assert_ne!(id, hermes.invent_id(0, "b"));
        assert!(id.starts_with("call_") && id.len() == 13, "{id}");
        let id = mistral.invent_id(0, "a");
        assert!(
            id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{id}"
        );
    }
}
