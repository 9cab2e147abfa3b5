//! Base64 with the standard alphabet.

use crate::{Error, Result};

/// The bytes that a text encodes; padding may be missing.
pub(super) fn decode(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for c in text
        .bytes()
        .filter(|c| !c.is_ascii_whitespace() && *c != b'=')
    {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => {
                return Err(Error::Invalid {
                    what: "base64 with a character outside its alphabet",
                    found: char::from(c).to_string(),
                });
            }
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("aGVhcnRo", b"hearth"),
            ("aGk=", b"hi"),
            ("/+8", &[0xFF, 0xEF]),
        ] {
            assert_eq!(decode(text).unwrap(), bytes);
        }
        assert!(decode("a-b").is_err());
    }
}
